"""A release opened, drawn and printed by a real QGIS (Debian's ``python3-qgis``), without a screen.

Two releases: the one that a refresh without network publishes, and one with every layer that can be drawn.
The folder of each is read-only and QGIS runs as nobody, as a user of a shared drive would.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
import shapely

from qpv_geo.formats.base import UNDECLARED, Content
from qpv_geo.formats.health import care_of, health_of
from qpv_geo.formats.summaries import Summaries
from qpv_geo.qgis.cartography import load_cartography
from qpv_geo.qgis.forms import form_tabs, shown_fields
from qpv_geo.statuses import STATUSES
from qpv_geo.typography import typeset
from tests.mapping import MISSING, content_about, full_content, snapshot_content, write
from tests.pictures import look_the_same
from tests.publishing import BESANCON

LOOK = load_cartography()
# Debian's own interpreter: QGIS's bindings are for it alone.
PYTHON = Path("/usr/bin/python3")
SCRIPT = Path(__file__).parent / "qgis" / "inspect_release.py"
ROOT = 0

# Points inside a polygon whose colours are looked at; names and hatches cover some.
SAMPLES = 150


@dataclass(frozen=True)
class Seen:
    """What QGIS says of a release."""

    content: Content
    said: dict[str, Any]
    pictures: Path

    @property
    def prefix(self) -> str:
        """What the ids of the project's layers begin with."""
        return f"qpv_geo_{self.content.spec.territory.id}_"

    @property
    def layers(self) -> dict[str, Any]:
        """Layers of the GeoPackage, added by themselves."""
        layers: dict[str, Any] = self.said["geopackage"]
        return layers

    @property
    def project(self) -> dict[str, Any]:
        """The project's layers by name of their table."""
        return {layer["id"].removeprefix(self.prefix): layer for layer in self.said["project"]["layers"]}

    @property
    def pages(self) -> dict[str, Any]:
        """Pages of the atlas by QPV."""
        return {page["file"].removeprefix("qpv_"): page for page in self.said["pages"]}


HOSTILE = "Lens [% 1 + 1 %] & <u>"


@pytest.fixture(scope="session")
def _qgis() -> None:
    """Skip without QGIS, but never in CI."""
    if (
        PYTHON.exists()
        and subprocess.run([PYTHON, "-c", "import qgis.core"], check=False, capture_output=True).returncode
        == 0
    ):
        return
    if os.environ.get("CI") == "true":
        pytest.fail("QGIS is missing: .ci/run installs Debian's python3-qgis")
    pytest.skip("needs QGIS's bindings: apt-get install python3-qgis")


@pytest.fixture(scope="session")
def snapshot_seen(_qgis: None) -> Iterator[Seen]:
    yield from look_at(snapshot_content())


@pytest.fixture(scope="session")
def full_seen(_qgis: None) -> Iterator[Seen]:
    yield from look_at(full_content())


@pytest.fixture(scope="session")
def short_seen(_qgis: None) -> Iterator[Seen]:
    """QGIS drops ids of ten characters or fewer, as four letters could give, and evaluates ``[% %]``."""
    territory = BESANCON.model_copy(update={"id": "lens", "nom": HOSTILE, "contrat": None})
    content = content_about(territory)
    qpv = content.frames["qpv"].copy()
    qpv.loc[qpv["code_qp"] == "QN02503M", "lib_qp"] = HOSTILE
    yield from look_at(replace(content, frames={**content.frames, "qpv": qpv}))


@pytest.fixture(params=["snapshot_seen", "full_seen"])
def seen(request: pytest.FixtureRequest) -> Seen:
    found: Seen = request.getfixturevalue(request.param)
    return found


def look_at(content: Content) -> Iterator[Seen]:
    """Publish, hand to QGIS, and return what it says; the folders are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="qpv-geo-qgis-") as scratch:
        room = Path(scratch)
        release, pictures, home = room / "release", room / "pictures", room / "home"
        for folder in (release, pictures, home):
            folder.mkdir()
            folder.chmod(0o777)
        room.chmod(0o755)
        write(release, content)
        for path in release.iterdir():
            path.chmod(0o444)
        release.chmod(0o555)
        request = room / "request.json"
        points = sample_points(content)
        request.write_text(
            json.dumps({"release": str(release), "pictures": str(pictures), "points": points}),
            encoding="utf-8",
        )
        script = shutil.copy(SCRIPT, room)
        before = {path.name: path.read_bytes() for path in release.iterdir()}
        result = subprocess.run(
            [PYTHON, script, request],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            env={
                "QT_QPA_PLATFORM": "offscreen",
                "HOME": str(home),
                "XDG_RUNTIME_DIR": str(home),
                "LANG": "C.UTF-8",
            },
            user="nobody" if os.geteuid() == ROOT else None,
        )
        assert result.returncode == 0, result.stderr
        assert {path.name: path.read_bytes() for path in release.iterdir()} == before
        yield Seen(content, json.loads(result.stdout), pictures)
        release.chmod(0o755)


def sample_points(content: Content) -> dict[str, list[list[float]]]:
    """Return points inside each QPV, inside bands but outside QPV, and outside the EPCI."""
    qpv = content.frames["qpv"]
    assert isinstance(qpv, gpd.GeoDataFrame)
    inside = qpv.geometry.buffer(-20).sample_points(SAMPLES, rng=1)
    points = {code: coordinates(shape) for code, shape in zip(qpv["code_qp"], inside, strict=True)}
    west, south, east, north = content.bounds("qpv")
    frame = shapely.box(west, south, east, north)
    qpv_union = qpv.geometry.union_all().buffer(30)
    areas = {"territoire": frame.difference(qpv_union.buffer(1000))}
    if content.is_drawn("bande_300m"):
        bands = content.frames["bande_300m"]
        assert isinstance(bands, gpd.GeoDataFrame)
        areas["bande"] = bands.geometry.union_all().buffer(-30).difference(qpv_union.buffer(60))
    for name, area in areas.items():
        points[name] = coordinates(gpd.GeoSeries([area]).sample_points(SAMPLES, rng=1).iloc[0])
    return points


def coordinates(shape: shapely.Geometry) -> list[list[float]]:
    return [[float(x), float(y)] for x, y in shapely.get_coordinates(shape)]


def most_seen(colors: list[str | None]) -> str:
    """Return the colour of most points, if it is that of more than half of those in the picture."""
    visible = [color for color in colors if color]
    color, count = Counter(visible).most_common(1)[0]
    assert count > len(visible) / 2, Counter(visible).most_common(3)
    return color


# ---------------------------------------------------------------- the GeoPackage, layer by layer


def test_qgis_is_old_enough_to_prove_the_promise(snapshot_seen: Seen) -> None:
    """The README promises QGIS 3.22 and later."""
    assert tuple(int(part) for part in snapshot_seen.said["version"].split("-")[0].split(".")) >= (3, 22)


def test_every_layer_is_valid_and_holds_its_rows(seen: Seen) -> None:
    assert set(seen.layers) == set(seen.content.frames)
    for name, layer in seen.layers.items():
        assert layer["valid"], name
        assert layer["error"] == "", name
        assert layer["rows"] == len(seen.content.frames[name]), name
        assert layer["crs"] == ("" if seen.content.spatial(name) is None else "EPSG:2154"), name


def test_every_layer_takes_its_default_style(seen: Seen) -> None:
    for name, layer in seen.layers.items():
        assert layer["style"] is not None, name
        if name in LOOK.layers and seen.content.spatial(name) is not None:
            expected = "singleSymbol" if len(LOOK.layers[name].rules) == 1 else "RuleRenderer"
            assert layer["renderer"] == expected, name
            assert layer["labels"] == bool(LOOK.layers[name].labels), name


def test_every_field_has_its_alias_and_unit(seen: Seen) -> None:
    for name, layer in seen.layers.items():
        for field, declared in seen.content.layers[name].fields.items():
            unit = f" ({declared.unit})" if declared.unit else ""
            assert layer["aliases"][field] == declared.alias + unit, f"{name}.{field}"


def test_coded_values_are_shown_in_french(seen: Seen) -> None:
    words = {
        word: code for pair in seen.layers["statistiques"]["words"]["statut"] for word, code in pair.items()
    }
    assert words == {said.words: code for code, said in STATUSES.items()}


def test_every_layer_tells_title_abstract_licence_and_contact(seen: Seen) -> None:
    for name, layer in seen.layers.items():
        declared = seen.content.layers[name]
        assert layer["title"] == declared.title
        assert layer["abstract"].startswith(declared.abstract)
        assert layer["licences"] == ["Licence Ouverte 2.0 (Etalab)"]
        assert layer["rights"] == list(seen.content.mentions)
        assert layer["contacts"] == [UNDECLARED.organisation]


def test_each_qpv_is_drawn_by_one_class_or_with_its_reason(full_seen: Seen) -> None:
    drawn = dict(full_seen.layers["qpv"]["drawn_as"])
    reasons = {
        code: typeset(f"Valeur absente : {STATUSES[status].words}") for code, status in MISSING.items()
    }
    expected = {
        "QN02503M": "55\u00a0% et plus",
        "QN02504M": "45\u00a0% à moins de 50\u00a0%",
        "QN02517N": "35\u00a0% à moins de 40\u00a0%",
    } | reasons
    names = dict(
        zip(
            full_seen.content.frames["qpv"]["code_qp"], full_seen.content.frames["qpv"]["lib_qp"], strict=True
        )
    )
    assert drawn == {names[code]: [label] for code, label in expected.items()}


def test_each_feature_of_each_layer_is_drawn_once(full_seen: Seen) -> None:
    for name, layer in full_seen.layers.items():
        for feature, entries in layer.get("drawn_as", []):
            assert len(entries) == 1, f"{name}: {feature}"


def test_tips_are_whole_sentences_without_open_expressions(full_seen: Seen) -> None:
    for name, layer in full_seen.layers.items():
        for tip in layer.get("tips", []):
            assert tip.startswith("<b>"), name
            assert "[%" not in tip, name
            assert "NULL" not in tip, name
    (planoise,) = [tip for tip in full_seen.layers["qpv"]["tips"] if "QN02503M" in tip]
    assert "15\u202f603\u00a0habitants" in planoise
    assert "55\u00a0%" in planoise
    (secret,) = [tip for tip in full_seen.layers["qpv"]["tips"] if "QN02502M" in tip]
    assert "secret statistique" in secret


# ---------------------------------------------------------------- the project


def test_the_project_opens_without_a_question(seen: Seen) -> None:
    project = seen.said["project"]
    assert project["opened"]
    assert project["error"] == ""
    assert seen.said["bad_layers"] == []
    assert seen.said["messages"] == []
    assert not project["dirty"]


def test_nothing_is_asked_of_the_network(seen: Seen) -> None:
    assert seen.said["requests"] == []


def test_the_base_map_asks_for_tiles_of_the_geoplateforme_once_turned_on(snapshot_seen: Seen) -> None:
    addresses = snapshot_seen.said["base_requests"]
    assert addresses
    for address in addresses:
        assert address.startswith("https://data.geopf.fr/wmts?SERVICE=WMTS&VERSION=1.0.0&REQUEST=GetTile&")
        assert "{" not in address


def test_nothing_is_left_beside_the_file(seen: Seen) -> None:
    """No -wal, -shm, .qgd or backup; that the bytes are the same is checked when the fixture has run."""
    assert seen.said["files"] == ["qpv_besancon.gpkg", "qpv_besancon.qgz"]


def test_the_projects_layers_are_those_of_the_geopackage_with_their_styles(seen: Seen) -> None:
    assert seen.said["project"]["crs"] == "EPSG:2154"
    assert set(seen.project) == {*seen.content.frames, "fond_1", "fond_2"}
    for name in seen.content.frames:
        layer, alone = seen.project[name], seen.layers[name]
        assert layer["valid"]
        assert layer["read_only"]
        assert layer["uri"].endswith(f"/release/qpv_besancon.gpkg|layername={name}")
        same = (
            "crs",
            "rows",
            "aliases",
            "words",
            "legend",
            "drawn_as",
            "renderer",
            "labels",
            "licences",
            "contacts",
        )
        assert {key: layer.get(key) for key in same} == {key: alone.get(key) for key in same}, name


def test_relations_lead_from_a_qpv_to_its_rows(snapshot_seen: Seen) -> None:
    project = snapshot_seen.said["project"]
    assert all(project["relations"].values())
    first = snapshot_seen.content.frames["qpv"]["code_qp"].iloc[0]
    statistics = snapshot_seen.content.frames["statistiques"]
    assert project["related"]["Statistiques"] == (statistics["code"] == first).sum() > 0


def test_the_form_of_a_qpv_has_its_figures_with_vintage_interval_and_rank(seen: Seen) -> None:
    qpv = seen.content.frames["qpv"].set_index("code_qp")
    for code, tabs in seen.said["form"].items():
        assert list(tabs)[:3] == ["Essentiel", "Indicateurs par thème", "Contrat de ville"]
        essential, row = tabs["Essentiel"], qpv.loc[code]
        assert {row["lib_qp"], code} <= set(essential["values"])
        if row["population_municipale_statut"] == "ok":
            assert f"{row['population_municipale']:.0f}" in essential["values"]
        first = re.compile(
            r"Population municipale \(habitants\)\n2020, rang \d[\d\N{NARROW NO-BREAK SPACE}]* sur 1"
        )
        assert any(map(first.match, essential["labels"])), essential["labels"]
    families = [
        text for text in seen.said["form"]["QN02503M"]["Essentiel"]["labels"] if "monoparentales" in text
    ]
    assert re.fullmatch(r"Part des familles .*\(%\)\n2020 \[36,9.;.39,8\], rang 324 sur 1.162", families[0])


def test_the_form_says_why_a_figure_is_missing_and_shows_no_field_twice(full_seen: Seen) -> None:
    qpv = full_seen.content.frames["qpv"]
    missing = qpv[qpv["taux_pauvrete_60"].isna()]
    assert len(missing)
    for code, status in zip(missing["code_qp"], missing["taux_pauvrete_60_statut"], strict=True):
        tabs = full_seen.said["form"][code]
        (label,) = (text for text in tabs["Essentiel"]["labels"] if text.startswith("Taux de pauvreté"))
        assert label.endswith(STATUSES[status].words), label
        labels = [text for name in ("Essentiel", "Indicateurs par thème") for text in tabs[name]["labels"]]
        assert len(labels) == len(set(labels))
        assert not [text for text in labels if "statut" in text or "millésime" in text or "fid" in text]


def test_every_column_of_the_qpv_is_in_the_form_or_folded_into_a_label(full_seen: Seen) -> None:
    layer = full_seen.content.layers["qpv"]
    tabs = form_tabs(layer, full_seen.content, LOOK)
    shown = [name for tab in tabs for part in (tab, *tab.boxes) for name in part.fields]
    assert sorted(shown) == sorted(shown_fields(layer))


def test_bookmarks_and_themes(seen: Seen) -> None:
    project, qpv = seen.said["project"], seen.content.frames["qpv"]
    assert set(project["bookmarks"]) == set(qpv["lib_qp"])
    for name, contour in zip(qpv["lib_qp"], qpv.geometry, strict=True):
        assert shapely.from_wkt(project["bookmarks"][name]).contains(contour), name
    assert "Pauvreté" in project["themes"]
    for ids in project["themes"].values():
        assert set(ids) <= {layer["id"] for layer in project["layers"]}
        assert f"{seen.prefix}qpv" in ids


def test_a_short_name_of_the_territory_costs_no_layer(short_seen: Seen) -> None:
    project, qpv = short_seen.said["project"], short_seen.content.frames["qpv"]
    assert set(short_seen.project) == {*short_seen.content.frames, "fond_1", "fond_2"}
    assert all(layer["valid"] for layer in project["layers"])
    assert project["relations"]
    assert all(project["relations"].values())
    assert set(short_seen.pages) == set(qpv["code_qp"])
    for code, rate in zip(qpv["code_qp"], qpv["taux_pauvrete_60"], strict=True):
        color = LOOK.choropleth.colors[sum(rate >= bound for bound in LOOK.choropleth.breaks)]
        assert most_seen(short_seen.said["map"]["colors"][code]) == color, code
        assert most_seen(short_seen.pages[code]["colors"][code]) == color, code


def test_names_are_shown_and_not_evaluated(short_seen: Seen) -> None:
    page = short_seen.pages["QN02503M"]["texts"]
    assert page["Titre"] == HOSTILE
    assert page["Sous-titre"].endswith(typeset(f" · {HOSTILE}"))
    assert page["Contrat de ville"] == typeset(HOSTILE)
    (tip,) = [tip for tip in short_seen.layers["qpv"]["tips"] if "QN02503M" in tip]
    assert tip.startswith("<b>Lens [% 1 + 1 %] &amp; &lt;u></b>")


# ---------------------------------------------------------------- pictures


def test_the_map_shows_each_qpv_in_the_colour_of_its_class(snapshot_seen: Seen) -> None:
    picture = snapshot_seen.said["map"]
    assert picture["errors"] == []
    qpv = snapshot_seen.content.frames["qpv"]
    for code, rate in zip(qpv["code_qp"], qpv["taux_pauvrete_60"], strict=True):
        rank = sum(rate >= bound for bound in LOOK.choropleth.breaks)
        assert most_seen(picture["colors"][code]) == LOOK.choropleth.colors[rank], code


def test_missing_rates_are_hatched_and_of_no_class(full_seen: Seen) -> None:
    colors = full_seen.said["map"]["colors"]
    for code in MISSING:
        assert not set(colors[code]) & set(LOOK.choropleth.colors), code
        # White, multiplied with what is below: the map lets the base map through.
        assert int(most_seen(colors[code])[1:3], 16) > 0xE0, code
        grey = [color for color in colors[code] if int(color[1:3], 16) < 200]
        assert len(grey) > 0.05 * len(colors[code]), code


def test_bands_and_territory_are_tinted_differently(full_seen: Seen) -> None:
    colors = full_seen.said["map"]["colors"]
    band, territory = most_seen(colors["bande"]), most_seen(colors["territoire"])
    assert "#ffffff" not in {band, territory}
    assert band != territory
    red, _, blue = bytes.fromhex(band.removeprefix("#"))
    assert blue > red


def test_the_map_names_every_qpv(seen: Seen) -> None:
    assert set(seen.content.frames["qpv"]["lib_qp"]) <= set(seen.said["map"]["texts"])
    assert "Besançon" in seen.said["map"]["texts"]


def test_each_name_on_the_map_is_seen_to_be_of_its_district(seen: Seen) -> None:
    """It touches it, or a line leads there; no other district is nearer; no name covers another."""
    picture, qpv = seen.said["map"], seen.content.frames["qpv"].set_index("lib_qp").geometry
    names = {name: shapely.from_wkt(box) for name, box in picture["names"]}
    ends = shapely.from_wkt(picture["callouts"])
    assert set(names) == set(qpv.index)
    for name, box in names.items():
        distances = shapely.distance(box, qpv)
        own = distances[name]
        touches, led = own <= 2 * picture["pixel"], qpv[name].buffer(1).intersects(ends).any()
        assert touches or led, name
        assert own == distances.min(), f"{name}: {distances.idxmin()} is nearer"
    for (one, first), (other, second) in combinations(names.items(), 2):
        assert not first.intersects(second), f"{one} covers {other}"


def test_the_atlas_prints_a_page_for_each_qpv(seen: Seen) -> None:
    qpv = seen.content.frames["qpv"]
    assert set(seen.pages) == set(qpv["code_qp"])
    for code, name in zip(qpv["code_qp"], qpv["lib_qp"], strict=True):
        page = seen.pages[code]
        assert page["failed"] == 0
        # A3 at 100 dots per inch.
        assert page["size"] == pytest.approx([1654, 1169], abs=1)
        assert page["name"] == page["texts"]["Titre"] == name
        assert code in page["texts"]["Sous-titre"]
        assert page["scale"] % 2500 == pytest.approx(0, abs=0.01) or page["scale"] % 2500 == pytest.approx(
            2500, abs=0.01
        )


def test_each_page_shows_its_qpv_whole_and_in_its_colour(snapshot_seen: Seen) -> None:
    qpv = snapshot_seen.content.frames["qpv"]
    for code, rate in zip(qpv["code_qp"], qpv["taux_pauvrete_60"], strict=True):
        colors = snapshot_seen.pages[code]["colors"][code]
        assert None not in colors, code
        rank = sum(rate >= bound for bound in LOOK.choropleth.breaks)
        assert most_seen(colors) == LOOK.choropleth.colors[rank], code


def test_streets_show_through_the_qpv_on_a_page(full_seen: Seen, snapshot_seen: Seen) -> None:
    """The base map of the full release is around Planoise; the snapshot has none."""
    page, bare = (seen.pages["QN02503M"]["colors"]["QN02503M"] for seen in (full_seen, snapshot_seen))
    assert len(set(page)) > len(set(bare))
    rank = sum(bound <= 55 for bound in LOOK.choropleth.breaks)
    assert LOOK.choropleth.colors[rank] == most_seen(bare)
    assert LOOK.choropleth.colors[rank] not in page


def test_the_base_map_lies_below_all_else(full_seen: Seen) -> None:
    layers = [layer for layer in full_seen.said["project"]["layers"] if layer["spatial"]]
    below = [
        layer["id"].removeprefix(full_seen.prefix) for layer in layers if layer["group"] == "Fond de plan"
    ]
    assert below == ["fond_voies_ferrees", "fond_routes", "fond_batiments", "fond_eau", "fond_vegetation"]
    assert all(layer["visible"] for layer in layers if layer["group"] == "Fond de plan")
    vectors = [layer for layer in layers if layer["group"] != load_cartography().base_map.title]
    assert [layer["group"] for layer in vectors][-5:] == ["Fond de plan"] * 5


def test_pages_give_the_key_figures_in_french(full_seen: Seen) -> None:
    planoise, orchamps = full_seen.pages["QN02503M"]["texts"], full_seen.pages["QN02502M"]["texts"]
    fields = full_seen.content.layers["qpv"].fields
    poverty, families = fields["taux_pauvrete_60"].alias, fields["part_familles_monoparentales"].alias
    assert (
        planoise[typeset(f"Valeur : {fields['population_municipale'].alias}")] == "15\u202f603\u00a0habitants"
    )
    assert planoise[typeset(f"Valeur : {poverty}")] == "55\u00a0%"
    assert planoise[typeset(f"Libellé : {poverty}")].endswith(", 2021")
    assert planoise[typeset(f"Libellé : {families}")].endswith(", 2020 [36,9\u00a0;\u00a039,8]")
    assert orchamps[typeset(f"Valeur : {poverty}")] == "secret statistique"
    assert planoise["Page"] == "Page 6 sur 6"
    assert planoise["Date"] == "Données du 15 janvier 2026"
    assert "INSEE, Revenus et pauvreté" in planoise["Sources"]


def test_the_legend_of_a_page_names_the_band_by_the_width_of_its_qpv(full_seen: Seen) -> None:
    bands = full_seen.content.frames["bande_300m"]
    assert set(bands["distance_m"]) == {300, 500}
    for code, width in zip(bands["code_qp"], bands["distance_m"], strict=True):
        named = [title for title in full_seen.pages[code]["legend"] if title.startswith("Bande")]
        assert named == [f"Bande de {width:.0f} m (TVA réduite)"], code


def test_no_text_of_a_page_is_cut_or_left_as_an_expression(seen: Seen) -> None:
    for code, page in seen.pages.items():
        assert page["overflowing"] == [], code
        for name, text in page["texts"].items():
            assert "[%" not in text, f"{code}: {name}"
            assert text, f"{code}: {name}"


def test_the_layout_window_shows_words_before_any_page_is_seen(seen: Seen) -> None:
    designed = next(iter(seen.pages.values()))["designed"]
    assert designed["Titre"] == "Nom du quartier"
    for name, text in designed.items():
        assert "[%" not in text, name
        assert "_" not in name, "items have French names"


def test_a_page_says_its_projection_and_what_is_essential(snapshot_seen: Seen) -> None:
    summaries = Summaries(snapshot_seen.content)
    for code, page in snapshot_seen.pages.items():
        assert page["texts"]["Échelle (texte)"].endswith("Lambert-93")
        sentences = "\n".join(summaries.qpv[code].sentences)
        assert page["texts"]["Essentiel"] == typeset(sentences)


def test_the_legend_ends_above_what_is_below(seen: Seen) -> None:
    for code, page in seen.pages.items():
        assert page["legend_bottom"] < page["below_legend"], code


def test_health_pages_show_the_care_around_and_the_qpvs_own_figures(full_seen: Seen) -> None:
    qpv = full_seen.content.frames["qpv"].set_index("code_qp")
    care, figures = care_of(full_seen.content), health_of(full_seen.content)
    pages = {page["file"].removeprefix("sante_"): page for page in full_seen.said["health_pages"]}
    assert set(pages) == set(qpv.index)
    for code, page in pages.items():
        assert page["overflowing"] == [], code
        assert page["legend_bottom"] <= 268.1, code
        assert shapely.from_wkt(page["extent"]).contains(qpv.geometry[code].buffer(1000)), code
        assert page["layers"][0] == f"{full_seen.prefix}offre_soins_lieux"
        texts = page["texts"]
        assert texts["Titre"] == qpv["lib_qp"][code]
        assert texts["Soins\u00a0: à 500 m"].split("\n") == [row.around[1] for row in care[code]]
        own = {typeset(one.text) for one in figures[code] if one.own}
        assert set(texts["Chiffres\u00a0: valeurs"].split("\n")) <= own
        assert (
            len(texts["Chiffres\u00a0: valeurs"].split("\n"))
            == len(texts["Chiffres\u00a0: libellés"].split("\n"))
            > 3
        )
        assert not [name for name, text in texts.items() if "[%" in text]


def test_without_care_health_pages_say_so(snapshot_seen: Seen) -> None:
    pages = snapshot_seen.said["health_pages"]
    assert len(pages) == len(snapshot_seen.content.frames["qpv"])
    for page in pages:
        assert page["texts"]["Offre de soins"] == typeset(
            "Offre de soins : la Base permanente des équipements n'a pas été lue."
        )
        assert page["overflowing"] == []


def test_the_theme_of_health_shows_places_of_care(full_seen: Seen, snapshot_seen: Seen) -> None:
    theme = full_seen.said["project"]["themes"]["Santé"]
    assert f"{full_seen.prefix}offre_soins_lieux" in theme
    assert "Santé" not in snapshot_seen.said["project"]["themes"]


@pytest.mark.parametrize(
    ("picture", "guide"),
    [
        ("carte.png", "qgis-carte.png"),
        ("qpv_QN02503M.png", "qgis-atlas.png"),
        ("formulaire.png", "qgis-formulaire.png"),
    ],
)
def test_qgis_draws_what_the_guide_shows(snapshot_seen: Seen, picture: str, guide: str) -> None:
    assert look_the_same(snapshot_seen.pictures / picture, guide)
