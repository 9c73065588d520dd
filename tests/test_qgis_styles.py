"""Default styles in the GeoPackage: what they say, in what colours, and that nothing is left undrawn.

Whether QGIS draws them as meant is seen by `test_qgis_render.py`.
"""

import csv
import io
import re
import sqlite3
import zipfile
from contextlib import closing
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from colorspacious import cspace_convert, deltaE
from defusedxml import ElementTree
from hypothesis import given
from hypothesis import strategies as st

from qpv_geo.analysis.health_plan import load_health_plan
from qpv_geo.errors import ConfigurationError, PublicationError
from qpv_geo.formats.base import Content
from qpv_geo.formats.fields import Layer, LayerField, load_layers
from qpv_geo.ingest.facilities import load_facility_types
from qpv_geo.qgis.cartography import Cartography, LegendRule, load_cartography
from qpv_geo.qgis.forms import form_fields
from qpv_geo.qgis.styles import classify, labels_of, styled_layers
from qpv_geo.qgis.templating import fill
from qpv_geo.statuses import ABSENCES, STATUSES
from qpv_geo.typography import typeset
from tests.mapping import full_content, snapshot_content, write

LOOK = load_cartography()
CHOROPLETH = LOOK.choropleth
(BASE_MAP,) = (group.layers for group in LOOK.groups if group.title == "Fond de plan")
WHITE = "#ffffff"
# CIECAM02-UCS: a difference of 1 can just be seen, of 5 is plain.
PLAIN = 5
DEFICIENCIES = [None, "deuteranomaly", "protanomaly", "tritanomaly"]


@pytest.fixture(scope="module")
def content() -> Content:
    return full_content()


@pytest.fixture(scope="module")
def package(content: Content, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("release"), content)


def rows(package: Path) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(package)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute("SELECT * FROM layer_styles ORDER BY id")]


def qml(package: Path, layer: str) -> ElementTree:
    (text,) = [row["styleQML"] for row in rows(package) if row["f_table_name"] == layer]
    return ElementTree.fromstring(text, forbid_dtd=False)


def legend(content: Content, layer: str) -> list[str]:
    """Return the entries of a legend, headings included."""

    def labels(rules: tuple[LegendRule, ...]) -> list[str]:
        return [label for rule in rules for label in (rule.label, *labels(rule.children))]

    return labels(styled_layers(content)[layer].look.rules)


def test_each_layer_and_table_has_one_default_style(package: Path, content: Content) -> None:
    found = {row["f_table_name"]: row for row in rows(package)}
    assert list(found) == list(content.frames)
    for name, row in found.items():
        assert row["useAsDefault"] == 1
        assert row["f_geometry_column"] == ("geom" if content.spatial(name) is not None else "")
        # QGIS looks for the empty text, not for NULL.
        assert row["f_table_schema"] == row["f_table_catalog"] == ""
        assert row["update_time"] == "2026-01-15T00:00:00.000Z"
        assert row["description"] == content.layers[name].title


def test_the_table_of_styles_is_registered(package: Path) -> None:
    with closing(sqlite3.connect(package)) as database:
        query = "SELECT data_type, last_change FROM gpkg_contents WHERE table_name = 'layer_styles'"
        assert database.execute(query).fetchall() == [("attributes", "2026-01-15T00:00:00.000Z")]


def test_styles_give_the_same_bytes_each_time(content: Content, package: Path, tmp_path: Path) -> None:
    assert write(tmp_path, content).read_bytes() == package.read_bytes()


def test_every_declared_spatial_layer_has_a_look() -> None:
    spatial = {name for name, layer in load_layers().items() if layer.geometry}
    assert spatial == set(LOOK.layers)


def test_looks_name_declared_fields() -> None:
    for name, drawn in LOOK.layers.items():
        fields = set(load_layers()[name].fields)
        assert drawn.name in fields
        quoted = {
            column
            for text in [
                *(text for label in drawn.labels for text in (label.expression, label.filter)),
                *(rule.filter for rule in drawn.rules),
            ]
            for column in re.findall(r'"(\w+)"', text)
        }
        own = {CHOROPLETH.field, f"{CHOROPLETH.field}_statut"} if name == CHOROPLETH.layer else set()
        assert quoted <= fields | own


@pytest.mark.parametrize("layer", ["communes", "epci"])
@pytest.mark.parametrize("population", [None, 0, 1_999, 2_000, 50_000, 118_489, 300_000, 2_103_778])
def test_one_label_names_a_place_of_any_population(layer: str, population: int | None) -> None:
    """At small scales the map names towns, whoever has room."""
    labels = LOOK.layers[layer].labels
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE place (population INTEGER)")
        database.execute("INSERT INTO place VALUES (?)", (population,))
        query = "SELECT count(*) FROM place WHERE {}"
        chosen = [one for one in labels if database.execute(query.format(one.filter)).fetchone()[0]]
    assert len(chosen) == 1
    beyond = [one.farthest or 10**9 for one in labels]
    assert beyond == sorted(beyond, reverse=True)


def test_outlines_get_thinner_with_the_scale() -> None:
    outlines = [line for look in LOOK.layers.values() for rule in look.rules for line in rule.outlines]
    for line in (*outlines, CHOROPLETH.outline):
        widths = [line.width, *(line.thinner[scale] for scale in sorted(line.thinner))]
        assert widths == sorted(widths, reverse=True)


def test_no_font_is_named_by_its_style(package: Path) -> None:
    """Qt 6 takes a weight of Qt 5 for thin: bold is a property, which both read alike."""
    for row in rows(package):
        root = ElementTree.fromstring(row["styleQML"], forbid_dtd=False)
        for text in root.iter("text-style"):
            assert text.get("namedStyle") == ""
            assert text.get("fontWeight") == "-1"
    bold = [option.get("name") for option in qml(package, "qpv").iter("Option")]
    assert bold.count("Bold") == sum(label.bold for label in LOOK.layers["qpv"].labels)


def test_tips_and_figures_name_published_fields(content: Content) -> None:
    for name, drawn in LOOK.layers.items():
        assert set(drawn.tip) <= set(content.layers[name].fields)
    assert set(LOOK.atlas.figures) <= set(content.layers["qpv"].fields)


def test_coded_values_have_words_for_fields_that_exist(content: Content) -> None:
    fields = [f"{name}.{field}" for name, layer in content.layers.items() for field in layer.fields]
    for words in LOOK.vocabulary.values():
        for pattern in words.fields:
            assert any(re.fullmatch(pattern.replace(".", r"\.").replace("*", ".*"), name) for name in fields)


def test_words_cover_the_coded_values_that_are_published(content: Content) -> None:
    for name, frame in content.frames.items():
        for field in content.layers[name].fields:
            if words := LOOK.words_of(name, field):
                assert set(frame[field].dropna()) <= set(words), f"{name}.{field}"


def test_a_spatial_layer_without_a_look_is_refused(content: Content) -> None:
    frame = content.frames["communes"][["insee_com", "geom"]]
    layer = Layer(
        name="nouvelle",
        title="Nouvelle",
        abstract="Nouvelle.",
        geometry="MultiPolygon",
        key=("insee_com",),
        fields={"insee_com": LayerField(type="text", alias="Code")},
    )
    grown = replace(
        content,
        frames={**content.frames, "nouvelle": frame},
        layers={**content.layers, "nouvelle": layer},
    )
    with pytest.raises(PublicationError, match=r"without a style: nouvelle; .*cartography\.toml"):
        styled_layers(grown)


def test_styles_carry_aliases_with_units(package: Path) -> None:
    aliases = {element.get("field"): element.get("name") for element in qml(package, "qpv").iter("alias")}
    assert aliases["lib_qp"] == "Nom officiel"
    assert aliases["surface_m2"] == "Surface (m²)"
    assert aliases["taux_pauvrete_60"].endswith("(%)")


def test_statuses_have_french_words(package: Path) -> None:
    configured = qml(package, "statistiques").findall("fieldConfiguration/field")
    fields = {field.get("name"): field for field in configured}
    (words,) = [
        {
            option.get("value"): option.get("name")
            for option in fields["statut"].iter("Option")
            if option.get("value")
        }
    ]
    assert words == {status: said.words for status, said in STATUSES.items()}


def test_special_characters_are_escaped(content: Content, tmp_path: Path) -> None:
    layers = dict(content.layers)
    fields = dict(layers["qpv"].fields)
    fields["lib_qp"] = fields["lib_qp"].model_copy(update={"alias": 'Nom <officiel> & "autre"'})
    layers["qpv"] = layers["qpv"].model_copy(update={"fields": fields})
    odd = replace(content, layers=layers)
    aliases = {
        element.get("field"): element.get("name")
        for element in qml(write(tmp_path, odd), "qpv").iter("alias")
    }
    assert aliases["lib_qp"] == 'Nom <officiel> & "autre"'


# ---------------------------------------------------------------- classes


def test_the_legend_lists_every_class_and_the_reasons_that_occur(content: Content) -> None:
    assert legend(content, "qpv") == [
        "Taux de pauvreté au seuil de 60\u202f%, 2021",
        "Moins de 35\u00a0%",
        "35\u00a0% à moins de 40\u00a0%",
        "40\u00a0% à moins de 45\u00a0%",
        "45\u00a0% à moins de 50\u00a0%",
        "50\u00a0% à moins de 55\u00a0%",
        "55\u00a0% et plus",
        "Valeur absente\u00a0: secret statistique",
        "Valeur absente\u00a0: non significatif",
        "Valeur absente\u00a0: non disponible",
    ]


def test_a_release_without_missing_rates_has_no_reason_in_its_legend() -> None:
    entries = legend(snapshot_content(), "qpv")
    assert len(entries) == 1 + len(CHOROPLETH.colors)


@given(st.floats(min_value=0, max_value=100, allow_nan=False))
def test_each_rate_is_in_one_class(rate: float) -> None:
    assert len(classes_of(rate)) == 1


@pytest.mark.parametrize("rank", range(len(CHOROPLETH.breaks)))
def test_a_bound_belongs_to_the_upper_class(rank: int) -> None:
    bound = CHOROPLETH.breaks[rank]
    assert classes_of(bound) == [labels_of(CHOROPLETH)[rank + 1]]
    assert classes_of(np.nextafter(bound, 0)) == [labels_of(CHOROPLETH)[rank]]


def classes_of(rate: float) -> list[str]:
    """Return the classes whose condition a rate meets; conditions are comparisons joined by AND."""
    frame = pd.DataFrame(
        {
            "taux_pauvrete_60": [rate],
            "taux_pauvrete_60_statut": ["ok"],
            "taux_pauvrete_60_millesime": ["2021"],
        }
    )
    heading = classify(CHOROPLETH, frame)[0]
    return [rule.label for rule in heading.children if meets(rule.filter, rate)]


def meets(condition: str, rate: float) -> bool:
    compare = {">=": rate.__ge__, "<": rate.__lt__}
    parts = [re.fullmatch(r'"taux_pauvrete_60" (>=|<) ([\d.]+)', part) for part in condition.split(" AND ")]
    assert all(parts), condition
    return all(compare[part[1]](float(part[2])) for part in parts if part)


def test_a_missing_value_without_status_is_drawn_as_not_available() -> None:
    frame = pd.DataFrame(
        {
            "taux_pauvrete_60": [np.nan, 40.0],
            "taux_pauvrete_60_statut": [None, "ok"],
            "taux_pauvrete_60_millesime": [None, None],
        }
    )
    heading, reason = classify(CHOROPLETH, frame)
    assert heading.label == CHOROPLETH.heading
    assert reason.label == "Valeur absente\u00a0: non disponible"
    assert reason.filter == (
        '"taux_pauvrete_60" IS NULL AND coalesce("taux_pauvrete_60_statut", \'non_disponible\') = '
        "'non_disponible'"
    )


def test_rates_of_two_years_are_both_named() -> None:
    frame = pd.DataFrame(
        {
            "taux_pauvrete_60": [40.0, 50.0],
            "taux_pauvrete_60_statut": ["ok", "ok"],
            "taux_pauvrete_60_millesime": ["2021", "2020"],
        }
    )
    assert classify(CHOROPLETH, frame)[0].label.endswith(", 2020 et 2021")


# mapclassify recommends numba for Fisher-Jenks, which is quick enough without it here.
@pytest.mark.filterwarnings("ignore:Numba not installed")
def test_round_classes_fit_the_rates_of_france_as_well_as_natural_ones(mirror: Path) -> None:
    mapclassify = pytest.importorskip("mapclassify")
    with zipfile.ZipFile(mirror / "insee" / "revenus_pauvrete_2021_qp24_v2_csv.zip") as archive:
        (name,) = [name for name in archive.namelist() if name.startswith("indic")]
        table = csv.DictReader(io.StringIO(archive.read(name).decode("utf-8-sig")), delimiter=";")
        cells = [row["DISP_TP60_A21"].replace(",", ".") for row in table]
    rates = np.array([float(cell) for cell in cells if re.fullmatch(r"[\d.]+", cell)])
    assert len(rates) > 1000
    # The last bound that mapclassify wants is the greatest value; its classes hold their upper bound.
    bounds = [np.nextafter(bound, 0) for bound in CHOROPLETH.breaks]
    declared = mapclassify.UserDefined(rates, [*bounds, rates.max()])
    natural = mapclassify.FisherJenks(rates, k=len(CHOROPLETH.colors))
    assert min(declared.counts) > 0.05 * len(rates)
    assert declared.adcm < 1.05 * natural.adcm


# ---------------------------------------------------------------- colours


def rgb(color: str) -> np.ndarray:
    return np.array(list(bytes.fromhex(color.removeprefix("#")))) / 255


def seen(color: str, deficiency: str | None) -> np.ndarray:
    """Return a colour as somebody with a complete colour deficiency sees it."""
    if deficiency is None:
        return rgb(color)
    space = {"name": "sRGB1+CVD", "cvd_type": deficiency, "severity": 100}
    return np.clip(cspace_convert(rgb(color), space, "sRGB1"), 0, 1)


def luminance(color: str) -> float:
    """Return the relative luminance of WCAG 2.2."""
    channels = rgb(color)
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_classes_are_told_apart_whoever_looks(deficiency: str | None) -> None:
    for one, other in combinations(CHOROPLETH.colors, 2):
        assert deltaE(seen(one, deficiency), seen(other, deficiency), input_space="sRGB1") > PLAIN


def test_classes_darken_with_the_rate() -> None:
    for lighter, darker in pairwise(CHOROPLETH.colors):
        assert contrast(lighter, darker) > 1.2
        assert luminance(lighter) > luminance(darker)


def test_outlines_and_texts_stand_out_from_the_paper() -> None:
    """WCAG 2.2: 3:1 for what is not text (1.4.11), 4.5:1 for text (1.4.3), which has a white halo."""
    for name, drawn in LOOK.layers.items():
        for label in drawn.labels:
            assert contrast(label.color, WHITE) >= 4.5, name
        if name in BASE_MAP:
            # Quiet on purpose: it says nothing that is not elsewhere.
            continue
        for rule in drawn.rules:
            for part in (rule, *rule.children):
                colors = [part.marker.color] if part.marker else [line.color for line in part.outlines[-1:]]
                assert all(contrast(color, WHITE) >= 3 for color in colors), name
                assert colors or part.children
            assert all(contrast(hatch.color, WHITE) >= 3 for hatch in rule.hatches), name
    assert contrast(CHOROPLETH.outline.color, WHITE) >= 3
    assert all(contrast(CHOROPLETH.outline.color, color) >= 1.5 for color in CHOROPLETH.colors)


def test_the_halo_keeps_names_legible_on_the_darkest_class() -> None:
    assert all(contrast(label.color, WHITE) >= 7 for label in LOOK.layers["qpv"].labels)


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_kinds_of_evolution_are_told_apart_whoever_looks(deficiency: str | None) -> None:
    fills = [rule.fill for rule in LOOK.layers["evolution_2015_2024"].rules]
    for one, other in combinations(fills, 2):
        assert one
        assert other
        assert deltaE(seen(one, deficiency), seen(other, deficiency), input_space="sRGB1") > PLAIN


def test_each_domain_of_facilities_has_its_pictogram() -> None:
    rules = [rule for heading in LOOK.layers["equipements_lieux"].rules for rule in heading.children]
    assert {rule.label for rule in rules} == set(load_facility_types()["domaine"])
    assert {rule.filter for rule in rules} == {f"\"domaine\" = '{rule.label}'" for rule in rules}


def test_each_category_of_care_has_a_pictogram_of_its_own() -> None:
    rules = [rule for heading in LOOK.layers["offre_soins_lieux"].rules for rule in heading.children]
    categories = load_health_plan().categories
    assert {rule.filter: typeset(rule.label) for rule in rules} == {
        f"\"categorie\" = '{name}'": one.libelle for name, one in categories.items()
    }
    assert len({rule.marker.pictogram for rule in rules if rule.marker}) == len(rules)


def test_every_pictogram_is_used_and_can_be_read() -> None:
    layers = ("equipements_lieux", "offre_soins_lieux", "etablissements_finess")
    headings = [rule for name in layers for rule in LOOK.layers[name].rules]
    rules = [*headings, *(rule for heading in headings for rule in heading.children)]
    markers = [rule.marker for rule in rules if rule.marker]
    assert {one.pictogram for one in markers} == LOOK.pictograms.keys()
    for one in markers:
        assert ElementTree.fromstring(LOOK.picture(one)).tag.endswith("svg")


def test_reasons_for_missing_values_have_different_hatches() -> None:
    assert len(set(CHOROPLETH.missing.values())) == len(ABSENCES)


# ---------------------------------------------------------------- the declaration itself


def changed(path: Path, old: str, new: str) -> Path:
    text = (
        Path(load_cartography.__wrapped__.__code__.co_filename)
        .with_name("cartography.toml")
        .read_text("utf-8")
    )
    assert old in text
    target = path / "cartography.toml"
    target.write_text(text.replace(old, new, 1), encoding="utf-8")
    return target


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("breaks = [35, 40,", "breaks = [40, 35,", "breaks do not increase"),
        ("breaks = [35, 40,", "breaks = [40,", "make 5 classes, not 6"),
        ('"qpv_iris"]', '"qpv_iris", "epci"]', "must be in one group: epci"),
        ('"qpv_iris"]', '"epci2"]', "must be in one group: epci2, qpv_iris"),
        ("#ffffd4", "yellow", "colors"),
        ('dash = "1.4;1"', 'dash = "1.4"', "dash"),
        ("imprecis = [{", "flou = [{", "no other: ['flou', 'imprecis']"),
        ("[choropleth]", "[choropleth", "cartography.toml"),
    ],
)
def test_a_wrong_declaration_is_said(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)) as caught:
        load_cartography(changed(tmp_path, old, new))
    assert "cartography.toml" in str(caught.value)


def test_fills_of_qpv_let_the_base_map_through_where_there_is_one(content: Content) -> None:
    bare = replace(content, frames={n: f for n, f in content.frames.items() if n not in BASE_MAP})
    for drawn, blend_mode, opacity in ((content, "6", f"{0.62 * 255:.0f}"), (bare, "0", "255")):
        style = ElementTree.fromstring(fill("layer.qml", layer=styled_layers(drawn)["qpv"]), forbid_dtd=False)
        assert style.findtext("blendMode") == blend_mode, "multiply is 6"
        fills = style.findall(".//layer[@class='SimpleFill']/Option/Option[@name='color']")
        assert {str(color.get("value")).rpartition(",")[2] for color in fills} == {opacity}


def test_the_order_of_drawing_puts_small_things_on_large_ones() -> None:
    assert isinstance(LOOK, Cartography)
    order = LOOK.order
    assert order[:4] == ["equipements_lieux", "offre_soins_lieux", "etablissements_finess", "qpv"]
    assert order[-6:] == ["epci", *BASE_MAP]
    assert order.index("bande_300m") < order.index("communes")
    assert order.index("qpv_2015") < order.index("bande_300m")


def test_columns_are_as_wide_as_what_they_hold(content: Content) -> None:
    width = {field.name: field.width for field in form_fields(content.layers["concordances"], LOOK)}
    assert width["message"] > width["theme"] > width["ecart"]
    width = {field.name: field.width for field in form_fields(content.layers["qpv"], LOOK)}
    assert width["lib_qp"] > width["code_qp"] == width["surface_m2"]
