"""Portraits and index: what they say, in which words, and that nothing upstream can change what they are."""

import json
import math
import re
from collections import Counter
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from qpv_geo.errors import ConfigurationError
from qpv_geo.formats.frames import Frames
from qpv_geo.french import number
from qpv_geo.ingest.registry import Registry
from qpv_geo.portraits.charts import Bar, Range, bar_chart, range_chart
from qpv_geo.portraits.drawing import Labels, View
from qpv_geo.portraits.evolution import evolution_of
from qpv_geo.portraits.qpv_map import draw_qpv
from qpv_geo.portraits.sections import around, plans_for, section_plans
from qpv_geo.portraits.territory_map import classes_of, quintiles
from qpv_geo.settings import Settings
from qpv_geo.typography import typeset_markup
from tests.mapping import full_content
from tests.portraying import full_frames, portray, snapshot_frames, without_comparisons
from tests.publishing import BESANCON, REGISTRY, whole_snapshot

THIN, NBSP = "\u202f", "\u00a0"
ROOT = Path(__file__).parents[1]
INLINE = {"a", "small", "span", "strong"}
# Curved apostrophe, en dash.
PLAIN = {0x2019: "'", 0x2013: "-"}
MEGABYTE = 1024**2


class Page(HTMLParser):
    """A page taken apart: text, tags with attributes, what scripts hold."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._texts: list[str] = []
        self._inside = ""
        self.html = path.read_text(encoding="utf-8")
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._texts.append("" if tag in INLINE else " ")
        if tag in {"script", "style"}:
            self._inside = tag
            if tag == "script":
                self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = "" if tag == self._inside else self._inside
        self._texts.append("" if tag in INLINE else " ")

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif not self._inside:
            self._texts.append(data)

    @property
    def text(self) -> str:
        """What is read, with plain spaces, apostrophes and dashes in the place of all others."""
        return " ".join("".join(self._texts).translate(PLAIN).split())

    @property
    def row_headings(self) -> set[str]:
        """Of all tables, without the vintage behind."""
        cells = re.findall(r'<th scope="row">(.*?)(?: <small>.*?)?</th>', self.html)
        return {" ".join(unescape(cell).translate(PLAIN).split()) for cell in cells}

    def attributes(self, tag: str, name: str) -> list[str]:
        return [attrs[name] or "" for found, attrs in self.tags if found == tag and name in attrs]

    def data(self) -> dict[str, object]:
        return json.loads(self.scripts[0])


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(data_dir=tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def frames(settings: Settings) -> Frames:
    return snapshot_frames(settings)


@pytest.fixture(scope="module")
def full(settings: Settings) -> Frames:
    return full_frames(settings)


@pytest.fixture(scope="module")
def snapshot_pages(frames: Frames, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    return {path.stem: Page(path) for path in portray(tmp_path_factory.mktemp("snapshot"), frames)}


@pytest.fixture(scope="module")
def full_pages(full: Frames, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    written = portray(tmp_path_factory.mktemp("full"), full)
    return {path.stem: Page(path) for path in written}


def one_page(folder: Path, frames: Frames, code: str, registry: Registry = REGISTRY) -> Page:
    written = portray(folder, frames, registry)
    return next(Page(path) for path in written if path.stem == code)


def with_status(frames: Frames, code: str, indicator: str, status: str) -> Frames:
    """Take a value away and say why."""
    statistics = frames["statistiques"].copy()
    rows = (statistics["code"] == code) & (statistics["indicateur"] == indicator)
    assert rows.any()
    statistics.loc[rows, ["valeur", "statut"]] = [float("nan"), status]
    return frames | {"statistiques": statistics}


# ---------------------------------------------------------------- words


def test_punctuation_stays_with_its_word_and_markup_as_it_is() -> None:
    html = (
        """<p title="l'a : b">l'a&#39;b : b ; « c » ?</p><script>x ? y : 'z'</script><style>a : b</style>"""
    )
    bound = typeset_markup(html)
    assert f"l\u2019a\u2019b{NBSP}: b{THIN}; «{NBSP}c{NBSP}»{THIN}?" in bound
    assert """title="l'a : b\"""" in bound
    assert "<script>x ? y : 'z'</script><style>a : b</style>" in bound


# ---------------------------------------------------------------- what fits where


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_no_class_is_empty_and_every_value_has_one(values: list[float]) -> None:
    bounds = quintiles(values)
    assert len(bounds) <= 4
    assert all(low < high for low, high in pairwise(bounds))
    found = np.searchsorted(bounds, values, side="right")
    assert set(found) == set(range(len(bounds) + 1))


def test_poverty_has_the_classes_of_the_gis_project() -> None:
    poverty = next(i for i in REGISTRY.indicators if i.id == "taux_pauvrete_60")
    classes = classes_of(poverty, [38, 55])
    assert (classes.bounds, len(set(classes.colours))) == ((35, 40, 45, 50, 55), 6)
    assert classes.labels[0] == f"Moins de 35{NBSP}%"
    assert classes.colour(50) == classes.colours[4], "a bound belongs to the class above it"
    assert classes.colour(49.9) == classes.colours[3]


@given(st.lists(st.tuples(st.text("abc", min_size=1, max_size=12), st.floats(0, 300), st.floats(0, 200))))
def test_labels_neither_overlap_nor_leave_the_map(wanted: list[tuple[str, float, float]]) -> None:
    labels = Labels(300, 200)
    for text, x, y in wanted:
        labels.place(text, shapely.Point(x, y).buffer(5), 12)
    boxes = [shapely.box(*box) for box in labels._taken]
    assert all(box.within(shapely.box(-1e-9, -1e-9, 300.0001, 200.0001)) for box in boxes)
    area = sum(box.area for box in boxes)
    assert math.isclose(area, shapely.union_all(boxes).area, rel_tol=1e-9, abs_tol=1e-9)


@given(st.integers(1, 60), st.data(), st.integers(3, 9))
def test_an_extract_has_the_ends_and_the_neighbours(count: int, data: st.DataObject, most: int) -> None:
    own = data.draw(st.integers(0, count - 1))
    shown = around(own, count, most)
    assert {0, own, count - 1} <= set(shown)
    assert shown == sorted(set(shown))
    assert len(shown) == min(count, most)
    left_out = set(range(1, count - 1)) - set(shown)
    inner = set(shown) - {0, count - 1}
    assert all(abs(own - out) >= abs(own - kept) for out in left_out for kept in inner)


def test_a_view_keeps_proportions_and_the_north_up() -> None:
    view = View.around((1000, 2000, 1400, 2100), 400, 300)
    assert view.scale == 1
    assert view.point(shapely.Point(1000, 2050)) == (0, 150)
    assert view.point(shapely.Point(1000, 2150)) == (0, 50), "north is up"
    assert view.path(shapely.box(1000, 2000, 1400, 2100)) == "M400,200 400,100 0,100 0,200Z"
    assert View.around((0, 0, 10, 10), 400, 300, least=1200).scale == pytest.approx(1 / 3)
    assert view.scale_bar() == (100, 100)


def test_every_part_of_a_shape_and_its_holes_are_drawn() -> None:
    view = View.around((0, 0, 100, 100), 100, 100)
    holed = shapely.Polygon(shapely.box(0, 0, 40, 40).exterior, [shapely.box(10, 10, 20, 20).exterior])
    assert view.path(shapely.MultiPolygon([holed, shapely.box(60, 60, 90, 90)])).count("M") == 3


def test_a_chart_says_all_its_bars() -> None:
    svg = bar_chart(
        "Taux <b>", [Bar("A & B", 50.0, "50 %", strong=True), Bar("C", None, "secret statistique")]
    )
    assert 'role="img"' in svg
    assert 'aria-label="Taux &lt;b&gt;. A &amp; B 50 % ; C secret statistique."' in svg
    assert svg.count('class="fort"') == 1
    assert "secret statistique</text>" in svg


def test_a_long_name_leaves_room_for_its_bar_and_is_said_in_full() -> None:
    name = "6. Le Grand-Longs-Traits/Berlioz"
    svg = bar_chart("Taux", [Bar(name, 50.0, "50 %"), Bar("B", 10.0, "10 %")])
    assert ">6. Le Grand-Longs-Trait\u2026</text>" in svg
    assert f"{name} 50 %" in svg


def test_a_chart_has_whiskers_a_line_for_the_town_and_another_zone_behind() -> None:
    bars = [Bar("A", 50.0, "50 %", strong=True, interval=(40.0, 60.0)), Bar("B", 80.0, "80 %", behind=100.0)]
    svg = bar_chart("Taux", bars, (25.0, "Besançon 25 %"))
    assert 'aria-label="Taux. A 50 % ; B 80 % ; Besançon 25 %."' in svg
    widths = [float(width) for width in re.findall(r'<rect[^>]* width="([0-9.]+)"', svg)]
    left = float(re.search(r'<rect[^>]* x="([0-9.]+)"', svg)[1])  # type: ignore[index]
    assert widths == pytest.approx([widths[1] / 2, widths[1], widths[1] * 0.8], abs=0.1)
    low, high = re.search(r'class="moustache" d="M([0-9.]+) .*H([0-9.]+)m', svg).groups()  # type: ignore[union-attr]
    line = re.search(r'class="ville" d="M([0-9.]+) ', svg)[1]  # type: ignore[index]
    for place, value in ((low, 40), (high, 60), (line, 25)):
        assert float(place) - left == pytest.approx(widths[1] * value / 100, abs=0.1)


def test_a_value_is_written_clear_of_the_line_where_there_is_room() -> None:
    bars = [Bar("A", 50.0, "50 %"), Bar("B", 100.0, "100 %"), Bar("C", None, "précision insuffisante")]
    svg = bar_chart("Taux", bars, (55.0, "Besançon 55 %"))
    line = float(re.search(r'class="ville" d="M([0-9.]+) ', svg)[1])  # type: ignore[index]
    crossed, beyond, absent = [float(x) for x in re.findall(r'class="valeur" x="([0-9.]+)"', svg)]
    assert line < crossed < beyond
    assert absent < line, "no room behind it"


def test_a_range_says_its_three_values_and_keeps_to_scale() -> None:
    ranges = [
        Range("Planoise", (8_000, 12_000, 20_000), ("8", "12", "20"), strong=True),
        Range("Besançon", (10_000, 20_000, 38_000), ("10", "20", "38")),
    ]
    svg = range_chart("Niveau de vie", ranges)
    assert 'aria-label="Niveau de vie. Planoise 8, 12, 20 ; Besançon 10, 20, 38."' in svg
    ends = re.findall(r'd="M([0-9.]+) \d+H([0-9.]+)"', svg)
    (low, high), (other_low, other_high) = [(float(one), float(other)) for one, other in ends]
    assert (high - low) / (other_high - other_low) == pytest.approx(12 / 28, abs=0.01)
    assert low < other_low


def test_the_age_structure_is_compared_with_the_first_zone_that_has_all_of_it(
    frames: Frames, tmp_path: Path
) -> None:
    def structure(held: Frames, folder: str) -> str:
        page = one_page(tmp_path / folder, held, "QN02503M")
        return next(label for label in page.attributes("svg", "aria-label") if label.startswith("Structure"))

    assert structure(frames, "a").startswith(
        "Structure par âge (2020, en clair : QPV de l'EPCI). 0 à 14 ans 28,2"
    )
    statistics = frames["statistiques"]
    gone = (statistics["zone"] == "ensemble_qpv_epci") & (statistics["indicateur"] == "part_75_ans_ou_plus")
    assert "en clair : Ensemble des QPV" in structure(frames | {"statistiques": statistics[~gone]}, "b")
    assert "en clair" not in structure(without_comparisons(frames), "c")


def test_income_is_drawn_as_a_range_where_all_three_values_are_known(full: Frames, tmp_path: Path) -> None:
    statistics = full["statistiques"].copy()
    for indicator, value in (("d1", 8_000.0), ("median", 12_000.0), ("d9", 21_000.0)):
        rows = (statistics["indicateur"] == f"niveau_vie_{indicator}") & (statistics["code"] == "QN02503M")
        statistics.loc[rows, ["valeur", "statut"]] = [value, "ok"]
    page = one_page(tmp_path, full | {"statistiques": statistics}, "QN02503M")
    (income,) = [
        label for label in page.attributes("svg", "aria-label") if label.startswith("Niveau de vie a")
    ]
    assert f"Planoise 8{THIN}000{THIN}€, 12{THIN}000{THIN}€, 21{THIN}000{THIN}€" in income


def test_what_only_the_town_publishes_is_drawn_beside_the_other_qpv(snapshot_pages: dict[str, Page]) -> None:
    charts = snapshot_pages["QN02517N"].attributes("svg", "aria-label")
    (poverty,) = [label for label in charts if label.startswith("Taux de pauvreté au")]
    assert "Planoise 55" in poverty
    assert poverty.translate({0x202F: " "}).endswith("Battant 38 % ; Besançon 23 %.")


# ---------------------------------------------------------------- the release without network


def test_one_page_for_each_qpv_and_an_index(frames: Frames, tmp_path: Path) -> None:
    written = portray(tmp_path, frames)
    codes = frames["qpv"]["code_qp"].tolist()
    assert written == [tmp_path / "portraits" / f"{code}.html" for code in [*codes, "index"]]
    health = ["sante", "sante_methode", *(f"sante_{code}" for code in codes)]
    health_pages = [tmp_path / "portraits" / f"{name}.html" for name in health]
    assert sorted(tmp_path.rglob("*.*")) == sorted([*written, *health_pages])


def test_figures_of_planoise(snapshot_pages: dict[str, Page]) -> None:
    page = snapshot_pages["QN02503M"]
    assert f"15{THIN}603" in page.html
    assert f"55{THIN}%" in page.html
    assert "QN02503M Besançon, Grand Besançon Métropole" in page.text
    assert "115,9 ha" in page.text


def test_figures_stand_beside_their_intervals_and_what_they_are_compared_with(
    snapshot_pages: dict[str, Page],
) -> None:
    text = snapshot_pages["QN02503M"].text
    assert "niveau de vie médian métropolitain (2021) 55 % 108ᵉ sur 1 299 23 %" in text
    assert (
        "monoparentales parmi les familles (2020) 38,4 % [36,9 ; 39,8] 324ᵉ sur 1 162 "
        "38,2 % 31,3 % 31,8 % 32,8 %" in text
    )
    assert "(moins de 20 ans / 60 ans ou plus) (2020) 2,1 [2,0 ; 2,3] 327ᵉ sur 1 298 1,9" in text
    assert "inférieur au bac (2020) 69,5 % 695ᵉ sur 1 362 66,1 %" in text
    assert "Taux de pauvreté (2021) 55 % Part des personnes" in text
    assert "108ᵉ sur 1 299 QPV de métropole (médiane 43 %)" in text
    assert "QPV de l'EPCI (3ᵉ sur 6) 38,2 % +0,2 point dans la marge" in text
    assert "QPV de l'EPCI (1ᵉʳ sur 6) non publié Ensemble des QPV non publié Besançon 23 % +32 points" in text
    assert (
        "résidences secondaires parmi les logements (2020) précision insuffisante [0,1 ; 0,2] 0,3 %" in text
    )
    assert "Entre crochets : intervalle de confiance à 95 %" in text
    assert "Rang : parmi les QPV de France métropolitaine qui ont une valeur" in text


def test_principal_indicators_are_seen_and_the_others_folded(snapshot_pages: dict[str, Page]) -> None:
    html = snapshot_pages["QN02503M"].html
    folded = "".join(re.findall(r"<details>.*?</details>", html, re.DOTALL))
    held = [i for i in REGISTRY.indicators if i.label in snapshot_pages["QN02503M"].row_headings]
    assert len(held) > 120
    assert not [i.id for i in held if i.qpv_layer and i.label in folded]
    assert folded.count('<th scope="row">') > 90


def test_a_table_has_no_column_that_its_own_rows_leave_empty(frames: Frames, tmp_path: Path) -> None:
    statistics = frames["statistiques"]
    rows = statistics[(statistics["indicateur"] == "population_municipale") & (statistics["zone"] == "qpv")]
    social = rows.assign(indicateur="logements_sociaux", millesime="2025", valeur=321.0, rang=pd.NA)
    changed = frames | {"statistiques": pd.concat([statistics, social], ignore_index=True)}
    page = one_page(tmp_path, changed, "QN02503M")
    assert "Logement : Planoise Indicateur Planoise Logements du parc locatif social (2025) 321" in page.text
    assert "Logement, autres indicateurs : Planoise et QPV de l'EPCI, QPV du département" in page.text


def test_a_remark_of_the_producer_is_a_note(frames: Frames, tmp_path: Path) -> None:
    statistics = frames["statistiques"].copy()
    rows = statistics["indicateur"].isin(["taux_emploi", "taux_chomage_recensement"])
    assert rows.sum() > 2
    statistics.loc[rows & (statistics["code"] == "QN02503M"), "remarque"] = 'Effectif < 50 "ménages"'
    page = one_page(tmp_path, frames | {"statistiques": statistics}, "QN02503M")
    assert page.html.count("<sup>(1)</sup>") == 2
    assert 'Remarques des producteurs (1) Effectif < 50 "ménages"' in page.text
    assert "Remarques des producteurs" not in one_page(tmp_path, frames, "QN02503M").text


def test_contract_and_insee_differ_where_they_do(snapshot_pages: dict[str, Page]) -> None:
    orchamps = snapshot_pages["QN02502M"]
    assert "Taux de pauvreté 46 % 50 % (2021) +4 points" in orchamps.text
    assert "l'INSEE publie 50 % (2021), le contrat indique 46 %" in orchamps.text
    assert "Part des familles monoparentales 35 % 35,9 % (2020) +0,9 point" in orchamps.text
    planoise = snapshot_pages["QN02503M"].text
    assert "Taux de pauvreté 55 % 55 % (2021) aucun" in planoise
    assert "Part des familles monoparentales 38 % 38,4 % (2020) +0,4 point" in planoise
    assert "le contrat indique" not in planoise, "the contract cuts decimals: 38 is 38.4"


def test_every_page_says_where_it_comes_from(snapshot_pages: dict[str, Page]) -> None:
    for page in snapshot_pages.values():
        assert (
            "Données fournies avec le programme, du 15 janvier 2026, contours de communes généralisés."
            in page.text
        )
        assert (
            "INSEE, Population municipale des QPV (recensement 2020), mise à jour du 1er août 2024"
            in page.text
        )
        assert "Licence Ouverte 2.0 (Etalab)" in page.text
        assert "qui ne l'ont ni approuvée ni cautionnée" in page.text
        assert "site injoignable : délai dépassé" in page.text
        assert page.attributes("html", "lang") == ["fr"]


def test_files_of_the_territory_are_said_in_one_sentence_with_the_details_folded(
    frames: Frames, tmp_path: Path
) -> None:
    snapshot = whole_snapshot()
    own = snapshot["insee_population"]
    assert own
    raws = snapshot | {"insee_population": replace(own, origin="local")}
    for path in portray(tmp_path, frames, raws=raws):
        page = Page(path)
        (sentence,) = re.findall(r'<p class="origine">(.*?)</p>', page.html)
        assert unescape(sentence).startswith("Données de plusieurs origines")
        assert sentence.count(own.source.title) == 0
        (folded,) = re.findall(r'<details class="origines">(.*?)</details>', page.html, re.DOTALL)
        assert folded.count("<li>") == len({raw.origin for raw in raws.values() if raw})
        assert all(raw.source.title in unescape(folded).translate(PLAIN) for raw in raws.values() if raw)


def test_objectives_and_principles_of_the_contract(snapshot_pages: dict[str, Page]) -> None:
    assert BESANCON.contrat is not None
    for page in snapshot_pages.values():
        for objective in BESANCON.contrat.objectifs:
            assert objective.titre in page.text
            assert all(action in page.text for action in objective.actions)
        assert "approche territoriale, approche partenariale, approche globale" in page.text
    for district in BESANCON.contrat.quartiers_fragiles:
        assert f"{district.nom} ({district.lib_com})" in snapshot_pages["index"].text


def test_what_is_missing_is_said_to_be_missing_and_why(snapshot_pages: dict[str, Page]) -> None:
    page = snapshot_pages["QN02517N"]
    assert (
        "Aucune donnée sur 2 thèmes : Santé et droits, Équipements (source non lue pour cette publication)."
        in page.text
    )
    assert "sante" not in page.attributes("h2", "id"), "a theme without data has no section"
    assert "Scolarité dans les QPV (2024-2025)" in page.text
    assert "complémentaire santé solidaire (01-01-2025) (source non lue pour cette publication)" in page.text
    assert "quartier entré dans la géographie prioritaire en 2024" in page.text
    assert (
        "Pas de superposition des contours de 2015 et de 2024 : source non lue pour cette publication"
        in page.text
    )
    assert "précision insuffisante : l'estimation est trop incertaine pour être publiée" in page.text


def test_what_a_file_lacks_is_listed_apart(snapshot_pages: dict[str, Page]) -> None:
    text = snapshot_pages["QN02503M"].text
    assert "Indicateurs que les fichiers lus ne contiennent pas" in text
    assert "Revenus et pauvreté : Niveau de vie médian" in text


def test_nationality_stands_low_with_its_field_and_without_charts(full_pages: dict[str, Page]) -> None:
    page = full_pages["QN02503M"]
    titles = page.attributes("h2", "id")
    assert titles.index("essentiel") == 0
    assert titles.index("nationalite") > titles.index("equipements") > titles.index("logement")
    assert "Immigré : personne née étrangère à l'étranger" in page.text
    drawn = [label for label in page.attributes("svg", "aria-label") if "étrangers" in label]
    assert drawn == []


def test_a_source_that_was_asked_for_in_vain_is_named_with_its_reason(frames: Frames, tmp_path: Path) -> None:
    sources = frames["sources"].copy()
    absent = sources.iloc[0].copy()
    absent["source"], absent["etat"], absent["motif"] = (
        "insee_cnam",
        "absente",
        "site injoignable : erreur 503.",
    )
    sources = pd.concat([sources, absent.to_frame().T], ignore_index=True)
    page = one_page(tmp_path, frames | {"sources": sources}, "QN02503M")
    assert "complémentaire santé solidaire (01-01-2025) (site injoignable : erreur 503)" in page.text


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("secret", "secret statistique"),
        ("non_disponible", "non disponible"),
        ("non_significatif", "non significatif"),
    ],
)
def test_a_missing_value_has_its_reason_everywhere(
    frames: Frames, tmp_path: Path, status: str, words: str
) -> None:
    changed = with_status(frames, "QN02503M", "taux_pauvrete_60", status)
    written = {path.stem: Page(path) for path in portray(tmp_path, changed)}
    page, index = written["QN02503M"], written["index"]
    assert f"métropolitain (2021) {words}" in page.text, "the table"
    assert f"{words} : " in page.text, "what it means"
    assert f"Planoise {words}" in " ".join(page.attributes("svg", "aria-label")), "the chart"
    indicators = index.data()["indicateurs"]
    assert indicators["taux_pauvrete_60"]["valeurs"]["QN02503M"] == {
        "texte": words,
        "valeur": None,
        "classe": "absent",
    }
    assert indicators["taux_pauvrete_60"]["legende"][-1]["texte"] == f"Sans valeur : {words}"
    cells = [attrs for tag, attrs in index.tags if tag == "td" and attrs.get("class") == "absent"]
    # In the synthesis and of all QPV together, then in the table and on paper.
    assert [cell.get("data-tri") for cell in cells] == ["", None, "", None], "sorted after all values"


def test_the_reason_of_another_qpv_in_a_chart_is_explained_too(frames: Frames, tmp_path: Path) -> None:
    changed = without_comparisons(with_status(frames, "QN02503M", "taux_pauvrete_60", "secret"))
    assert "secret statistique : " in one_page(tmp_path, changed, "QN02517N").text


def test_an_estimate_is_labelled(frames: Frames, tmp_path: Path) -> None:
    statistics = frames["statistiques"].copy()
    rows = (statistics["code"] == "QN02503M") & (statistics["indicateur"] == "population_municipale")
    statistics.loc[rows, "statut"] = "estimation"
    page = one_page(tmp_path, frames | {"statistiques": statistics}, "QN02503M")
    assert "15 603 (estimation)" in page.text


# ---------------------------------------------------------------- a release that lacks nothing


def test_every_section_has_its_indicators_and_its_comparisons(full_pages: dict[str, Page]) -> None:
    page = full_pages["QN02503M"]
    for indicator in REGISTRY.indicators:
        assert (indicator.label in page.row_headings) == ("qpv" in indicator.zones), indicator.id
    assert (
        "Besançon Grand Besançon Métropole Doubs QPV de l'EPCI QPV du département QPV de la région "
        "Ensemble des QPV" in page.text
    )
    assert "Aucune donnée" not in page.text
    drawings = " ".join(page.attributes("svg", "aria-label"))
    assert "Ensemble des QPV" in drawings
    assert "Grand Besançon Métropole" in drawings


def test_the_map_draws_what_the_release_has(full_pages: dict[str, Page], full: Frames) -> None:
    page = full_pages["QN02503M"]
    kinds = Counter(page.attributes("path", "class"))
    # One more of each is in the legend.
    assert kinds["qpv"] == kinds["bande"] == 2
    assert kinds["ancien"] == 2
    assert kinds["iris"] > 5
    assert kinds["dehors"] == 2
    assert "QPV hors du territoire" in page.text
    assert "QPV hors du territoire" not in full_pages["QN02502M"].text, "too far to be seen"
    assert "Bande de 500 m (TVA réduite)" in page.text
    assert "Bande de 300 m (TVA réduite)" in full_pages["QN02517N"].text
    alternative = next(label for label in page.attributes("svg", "aria-label") if label.startswith("Carte"))
    assert alternative.startswith("Carte du quartier Planoise, au nord en haut, sur les communes ")
    assert alternative.endswith(
        "avec la bande de 500 m (TVA réduite) qui l'entoure, les contours de 2015, "
        "ce qui est entré en 2024, ce qui est sorti en 2024, les IRIS, les quartiers voisins Le Voisin."
    )
    assert len(full["qpv_2015"]) == 4


def test_evolution_is_told_in_shares(full_pages: dict[str, Page], full: Frames) -> None:
    pieces = full["evolution_2015_2024"]
    own = pieces[(pieces["code_qp"] == "QN02503M") & (pieces["nature"] == "conserve")].iloc[0]
    text = full_pages["QN02503M"].text
    kept, share = number(own["surface_m2"] / 10_000, 1), number(own["part_2024"], 1)
    assert f"Conservé Planoise {own['code_qp_2015']} {kept} ha {share} % du quartier 2024" in text
    assert f"Sorti en 2024 Planoise {own['code_qp_2015']}" in text
    assert "Entré en 2024 16,8 ha 100,0 % du quartier 2024" in full_pages["QN02517N"].text


def test_facilities_are_counted_in_and_around(full_pages: dict[str, Page], full: Frames) -> None:
    counts = full["equipements"]
    own = counts[(counts["code_qp"] == "QN02503M") & (counts["libelle"] == "Pharmacie")]
    inside, around = own.sort_values("perimetre", ascending=False)["nombre"]
    assert around >= inside > 0
    assert f"Pharmacie {inside} {around}" in full_pages["QN02503M"].text


def test_types_that_a_qpv_lacks_are_said_once(full: Frames, tmp_path: Path) -> None:
    counts = full["equipements"].copy()
    own = counts["code_qp"] == "QN02503M"
    counts.loc[own & (counts["libelle"] == "Pharmacie"), "nombre"] = 0
    counts.loc[
        own & (counts["libelle"] == "Chirurgien-dentiste") & (counts["perimetre"] == "qpv"), "nombre"
    ] = 0
    unknown = own & (counts["libelle"] == "Collège")
    counts.loc[unknown, ["nombre", "statut"]] = [pd.NA, "non_disponible"]
    page = one_page(tmp_path, full | {"equipements": counts}, "QN02503M")
    assert "Ni dans le quartier ni à 500 m : Pharmacie." in page.text
    assert {"Chirurgien-dentiste", "Collège"} <= page.row_headings
    assert "Pharmacie" not in page.row_headings
    assert re.search(r"Chirurgien-dentiste 0 [1-9]", page.text)


def test_only_values_of_one_vintage_are_compared(full: Frames, tmp_path: Path) -> None:
    statistics = full["statistiques"].copy()
    rows = (statistics["zone"] == "commune") & (statistics["indicateur"] == "taux_pauvrete_60")
    assert rows.any()
    statistics.loc[rows, ["millesime", "valeur", "statut"]] = ["2019", 12.3, "ok"]
    page = one_page(tmp_path, full | {"statistiques": statistics}, "QN02503M")
    assert "métropolitain (2021) 55,0 % 108ᵉ sur 1 299 non publié-" in page.text


def test_the_latest_vintage_is_shown(frames: Frames, tmp_path: Path) -> None:
    statistics = frames["statistiques"]
    newer = statistics[statistics["indicateur"] == "taux_pauvrete_60"].assign(millesime="2022", valeur=61.5)
    changed = frames | {"statistiques": pd.concat([newer, statistics], ignore_index=True)}
    page = one_page(tmp_path, changed, "QN02503M")
    assert "métropolitain (2022) 61,5 %" in page.text


def test_an_older_vintage_does_not_stand_in_for_the_newest(frames: Frames, tmp_path: Path) -> None:
    statistics = frames["statistiques"]
    rows = (statistics["indicateur"] == "taux_pauvrete_60") & (statistics["code"] == "QN02517N")
    newer = statistics[rows].assign(millesime="2022", valeur=61.5)
    changed = frames | {"statistiques": pd.concat([newer, statistics], ignore_index=True)}
    written = {path.stem: Page(path) for path in portray(tmp_path, changed)}
    assert "métropolitain (2022) 61,5 %" in written["QN02517N"].text
    assert "métropolitain (2022) non disponible" in written["QN02503M"].text
    legend = re.compile("à moins de 55 %|55 % et plus")
    assert "55 %" not in legend.sub("", written["index"].text)


def test_a_theme_that_nobody_foresaw_gets_its_section(frames: Frames, tmp_path: Path) -> None:
    template = REGISTRY.indicators[0]
    new = template.model_copy(
        update={"id": "acces_numerique", "theme": "Numérique", "label": "Foyers raccordés à la fibre"}
    )
    registry = Registry.model_construct(indicators=(*REGISTRY.indicators, new))
    rows = frames["statistiques"][frames["statistiques"]["indicateur"] == template.id]
    rows = rows.assign(indicateur=new.id, valeur=321.0)
    changed = frames | {"statistiques": pd.concat([frames["statistiques"], rows], ignore_index=True)}
    page = one_page(tmp_path, changed, "QN02503M", registry)
    assert "Numérique Numérique : Planoise Indicateur Planoise Rang Foyers raccordés à la fibre" in page.text
    assert [plan.title for plan in plans_for(registry)][-1] == "Numérique"


def test_of_many_qpv_a_chart_shows_an_extract(frames: Frames, tmp_path: Path) -> None:
    qpv, statistics = frames["qpv"], without_comparisons(frames)["statistiques"]
    copies = [
        qpv.assign(
            code_qp=qpv["code_qp"].str.replace("QN025", f"QN0{number}"), lib_qp=qpv["lib_qp"] + f" {number}"
        )
        for number in (70, 71)
    ]
    others = [
        statistics.assign(
            code=statistics["code"].str.replace("QN025", f"QN0{number}"),
            valeur=statistics["valeur"] + number / 100,
        )
        for number in (70, 71)
    ]
    alone = {name: frame for name, frame in frames.items() if name != "bande_300m"}
    many = alone | {
        "qpv": pd.concat([qpv, *copies], ignore_index=True),
        "statistiques": pd.concat([statistics, *others], ignore_index=True),
    }
    page = one_page(tmp_path, many, "QN02503M")
    assert "(8 des 18 quartiers du territoire, par rang, 2021)" in page.text
    poverty = next(
        label for label in page.attributes("svg", "aria-label") if label.startswith("Taux de pauvreté au")
    )
    assert "1. Planoise 71 55,7" in poverty
    assert "3. Planoise 55,0" in poverty
    assert "18. Battant 38,0" in poverty
    equal = one_page(tmp_path, many, "QN02504M")
    poverty = next(
        label for label in equal.attributes("svg", "aria-label") if label.startswith("Taux de pauvreté au")
    )
    assert "14. Montrapon 45,0" in poverty
    assert "14. Hauts de Saint-Claude 45,0" in poverty


def test_sizes(full: Frames, tmp_path: Path) -> None:
    for path in portray(tmp_path, full):
        assert path.stat().st_size < (6 * MEGABYTE if path.stem == "index" else 400 * 1024)


def test_a_count_is_drawn_as_circles_and_a_rate_as_colours(full_pages: dict[str, Page]) -> None:
    indicators = full_pages["index"].data()["indicateurs"]
    population = indicators["population_municipale"]
    radius = {code: value["rayon"] for code, value in population["valeurs"].items()}
    assert radius["QN02503M"] == max(radius.values())
    ratio = (radius["QN02502M"] / radius["QN02503M"]) ** 2
    assert ratio == pytest.approx(3194 / 15603, abs=0.01), "areas of circles are as the counts"
    poverty = indicators["taux_pauvrete_60"]
    colours = {entry["couleur"] for entry in poverty["legende"] if "couleur" in entry}
    assert {value["couleur"] for value in poverty["valeurs"].values()} <= colours


def test_downloads_lead_to_every_file(frames: Frames, tmp_path: Path) -> None:
    files = (
        "qpv_besancon.gpkg",
        "csv/qpv.csv",
        "geojson/qpv.geojson",
        "geoparquet/qpv.parquet",
        "rapport.html",
    )
    for name in files[:-1]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * 2048)
    index = Page(portray(tmp_path, frames, files=files)[-1])
    links = [link for link in index.attributes("a", "href") if link.startswith("../")]
    links = [link for link in links if not link.startswith("../portraits/sante")]
    assert sorted(links) == sorted(f"../{name}" for name in (*files, "catalogue.jsonld", "datapackage.json"))
    assert "qpv.csv Quartiers prioritaires (QPV 2024), 2 Ko" in index.text
    saved = [attrs["href"] for tag, attrs in index.tags if tag == "a" and "download" in attrs]
    assert "../rapport.html" not in saved
    assert len(saved) == 4


# ---------------------------------------------------------------- what upstream must not do


HOSTILE = '</script><script>alert("1")</script>" onmouseover="x" <img src=x onerror=y> & « é »'


def test_upstream_text_stays_text(full: Frames, full_pages: dict[str, Page], tmp_path: Path) -> None:
    changed = dict(full)
    for layer, column in (
        ("qpv", "lib_qp"),
        ("qpv", "nom_contrat"),
        ("qpv", "lib_com_calcule"),
        ("communes", "nom_com"),
        ("epci", "nom_epci"),
        ("iris", "nom_iris"),
        ("qpv_2015", "nom_qp"),
        ("evolution_2015_2024", "nom_qp_2015"),
        ("equipements", "libelle"),
        ("sources", "mention"),
        ("sources", "motif"),
        ("contrat_de_ville", "libelle"),
        ("statistiques", "millesime"),
    ):
        changed[layer] = changed[layer].assign(**{column: HOSTILE})
    registry = Registry.model_construct(
        indicators=tuple(
            i.model_copy(update={"label": HOSTILE, "unit": HOSTILE}) for i in REGISTRY.indicators
        )
    )
    for path in portray(tmp_path, changed, registry):
        page, sound = Page(path), full_pages[path.stem]
        assert Counter(tag for tag, _ in page.tags)["script"] == len(sound.scripts)
        assert Counter(tag for tag, _ in page.tags)["img"] == 0
        assert not [attrs for _, attrs in page.tags if any(name.startswith("on") for name in attrs)]
        plain = HOSTILE.replace("« é »", f"«{NBSP}é{NBSP}»")
        assert " ".join(plain.split()) in page.text
    assert page.data()["qpv"][0]["nom"] == HOSTILE
    # Data of the map, data of the search, Leaflet and the page's own.
    assert page.scripts[2:] == sound.scripts[2:], "the scripts hold nothing from upstream"


@pytest.mark.parametrize("stem", ["QN02503M", "index"])
def test_pages_need_nothing_but_themselves(full_pages: dict[str, Page], stem: str) -> None:
    page = full_pages[stem]
    loading = [
        (tag, attrs)
        for tag, attrs in page.tags
        if tag in {"img", "iframe", "object", "embed", "audio", "video", "source"}
        or (tag == "script" and "src" in attrs)
    ]
    assert loading == []
    assert [link.partition(",")[0] for link in page.attributes("link", "href")] == ["data:image/svg+xml"]
    styles = re.findall(r"<style.*?</style>", page.html, re.DOTALL)
    assert not [found for style in styles for found in re.findall(r"url\(|@import", style)]
    assert "sourceMappingURL" not in page.html


@pytest.mark.parametrize("stem", ["QN02503M", "index"])
def test_every_drawing_has_an_alternative_and_every_id_is_unique(
    full_pages: dict[str, Page], stem: str
) -> None:
    page = full_pages[stem]
    for tag, attrs in page.tags:
        if tag == "svg":
            assert attrs.get("aria-hidden") == "true" or (
                attrs.get("role") == "img" and attrs.get("aria-label")
            )
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = page.attributes("section", "aria-labelledby") + page.attributes("div", "aria-labelledby")
    assert set(targets) <= set(ids)


def test_sections_that_are_not_valid_are_named(tmp_path: Path) -> None:
    path = tmp_path / "sections.toml"
    path.write_text('[emploi]\ntitle = "Emploi"\nthemes = []\n', encoding="utf-8")
    with pytest.raises(
        ConfigurationError, match=r"sections\.toml: the sections of portraits are not valid(?s:.*)themes"
    ):
        section_plans(path)


def test_a_territory_without_contract_has_pages_all_the_same(frames: Frames, tmp_path: Path) -> None:
    territory = BESANCON.model_copy(update={"contrat": None})
    bare = {name: frame for name, frame in frames.items() if name != "contrat_de_ville"}
    bare["qpv"] = frames["qpv"].assign(nom_contrat=None)
    for path in portray(tmp_path, bare, territory=territory):
        assert "Contrat de ville" not in Page(path).text


def test_the_map_shows_facilities_by_domain_and_what_the_perimeter_gained_and_lost(
    tmp_path: Path,
) -> None:
    frames = full_content().frames
    drawing = draw_qpv("QN02503M", frames)
    assert {"entrant", "sortant", "ancien"} <= {shape.kind for shape in drawing.shapes}
    assert "ce qui est entré en 2024, ce qui est sorti en 2024" in drawing.alternative
    domains = set(frames["equipements_lieux"]["domaine"])
    assert {place.domain for place in drawing.places} <= domains
    width, height = drawing.view.width, drawing.view.height
    assert all(0 <= place.x <= width and 0 <= place.y <= height for place in drawing.places)
    page = one_page(tmp_path, frames, "QN02503M")
    used = page.attributes("use", "href")
    assert set(used) == {f"#{name}" for name in page.attributes("symbol", "id")} & set(used)
    assert len(used) == len(drawing.places) + len({place.domain for place in drawing.places})
    for domain in domains:
        assert domain in page.text


def test_the_map_has_streets_with_names_and_buildings_close_by(tmp_path: Path) -> None:
    """The base map of these frames is around Planoise."""
    frames = full_content().frames
    drawing = draw_qpv("QN02503M", frames)
    kinds = [shape.kind for shape in drawing.shapes]
    assert {"fond-batiments", "fond-principale", "fond-locale", "fond-chemin", "fond-tramway"} <= set(kinds)
    assert all(kinds.count(kind) == 1 for kind in kinds if kind.startswith("fond-"))
    assert kinds.index("fond-principale") < kinds.index("bande") < kinds.index("qpv")
    assert "sur un fond de rues et de bâtiments" in drawing.alternative
    streets = [label for label in drawing.labels if label.kind == "rue"]
    assert streets
    assert all(label.text.startswith("Rue de Bourgogne") for label in streets), "the main ones"
    assert {label.angle for label in streets} == {0, -90}
    page = one_page(tmp_path, frames, "QN02503M")
    assert "Rue de Bourgogne" in page.text
    assert "avec-fond" in " ".join(page.attributes("svg", "class"))
    assert (tmp_path / "portraits" / "QN02503M.html").stat().st_size < 400_000
    entered = next(
        piece
        for piece in evolution_of("QN02503M", frames, {})["pieces"]
        if piece["nature"] == "Entré en 2024"
    )
    assert entered["streets"].endswith("autres rues")
    assert entered["streets"].translate(PLAIN) in page.text


def test_a_street_is_named_only_where_there_is_room() -> None:
    room = Labels(100, 100)
    assert room.place_turned("Rue", (50, 50), 0, 10)
    assert not room.place_turned("Rue", (52, 52), 90, 10)
    assert not room.place_turned("Rue", (98, 20), 0, 10), "it would leave the map"
    assert room.place_turned("Rue", (90, 20), -90, 10)


def test_a_release_without_facilities_shows_none(snapshot_pages: dict[str, Page]) -> None:
    assert not snapshot_pages["QN02503M"].attributes("symbol", "id")


def test_generalised_limits_of_communes_are_dashed_and_named_so(settings: Settings) -> None:
    frames = snapshot_frames(settings)
    kinds = {
        generalised: {shape.kind for shape in draw_qpv("QN02505M", frames, generalised=generalised).shapes}
        for generalised in (True, False)
    }
    assert kinds[True] ^ kinds[False] == {"limite", "commune"}
    assert "limite" in kinds[True]
    near = draw_qpv("QN02505M", frames, generalised=True)
    assert ("limite", "Commune (limite généralisée)") in near.legend
    assert ("bande", "Bande de 300 m (TVA réduite)") in near.legend
    assert "Chalezeule" in near.alternative
