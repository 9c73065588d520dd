"""Health pages: what they say of a QPV, in whose name, and what they do not know."""

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from qpv_geo.errors import ConfigurationError
from qpv_geo.formats.base import Content
from qpv_geo.formats.frames import Frames
from qpv_geo.formats.health import distance_name, health_columns
from qpv_geo.formats.report_schema import Changes, HealthChange, HealthState
from qpv_geo.portraits.charts import line_chart
from qpv_geo.portraits.health_pages import HEALTH, METHOD, follow_up, page_of
from qpv_geo.portraits.pages import FOLDER
from qpv_geo.settings import Settings
from tests.health import CATEGORIES, UNREAD
from tests.portraying import full_frames, portray, snapshot_frames
from tests.publishing import spec_of, whole_snapshot

PLANOISE, BATTANT = "QN02503M", "QN02517N"
SENTINEL = 876543.0
PLAIN = {0x2019: "'", 0x202F: " ", 0xA0: " "}


class Cell(NamedTuple):
    """An element that shows a value: the zone that it is of, its text, and the heading of its column."""

    zone: str
    code: str
    line: str
    vintage: str
    text: str
    column: str
    section: str


class Page(HTMLParser):
    """A page taken apart: its text, and every element that says of which zone its value is."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.html = path.read_text(encoding="utf-8")
        self.cells: list[Cell] = []
        self.section, self._columns, self._column = "", [], 0
        self._open: dict[str, str | None] | None = None
        self._tag, self._texts, self._heading = "", [], None
        self._all: list[str] = []
        self._silent = ""
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag in {"style", "script"}:
            self._silent = tag
        if tag == "section":
            self.section = found.get("aria-labelledby") or ""
        if tag == "tr":
            self._column = -1
        if tag in {"td", "th"}:
            self._column += 1
        if tag == "thead":
            self._columns = []
        if tag == "th" and found.get("scope") == "col":
            self._heading = []
        if "data-zone" in found:
            self._open, self._tag, self._texts = found, tag, []

    def handle_endtag(self, tag: str) -> None:
        self._silent = "" if tag == self._silent else self._silent
        if tag == "th" and self._heading is not None:
            self._columns.append("".join(self._heading))
            self._heading = None
        if self._open is not None and tag == self._tag:
            keys = ("data-zone", "data-code", "data-ligne", "data-millesime")
            zone, code, line, vintage = (self._open[key] or "" for key in keys)
            column = self._columns[self._column] if tag == "td" else ""
            text = " ".join("".join(self._texts).translate(PLAIN).split())
            self.cells.append(Cell(zone, code, line, vintage, text, column, self.section))
            self._open = None

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self._all.append(data)
        for texts in (self._heading, self._texts if self._open is not None else None):
            if texts is not None:
                texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self._all).translate(PLAIN).split())


def pages_of(folder: Path, frames: Frames) -> dict[str, Page]:
    portray(folder, frames)
    return {path.name: Page(path) for path in (folder / FOLDER).glob("sante*.html")}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(data_dir=tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def full(settings: Settings) -> Frames:
    return full_frames(settings)


@pytest.fixture(scope="module")
def pages(full: Frames, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    return pages_of(tmp_path_factory.mktemp("full"), full)


# ---------------------------------------------------------------- of which territory a value is


def test_a_page_for_each_qpv_one_of_the_territory_and_the_method(
    pages: dict[str, Page], full: Frames
) -> None:
    assert set(pages) == {*map(page_of, full["qpv"]["code_qp"]), HEALTH, METHOD}


def test_each_value_is_that_of_the_zone_that_it_names(pages: dict[str, Page], full: Frames) -> None:
    sante, statistics, apl = full["sante"], full["statistiques"], full["apl"]
    known = {
        *zip(sante["zone"], sante["code"], sante["ligne"], sante["millesime"].fillna(""), strict=True),
        *zip(*(statistics[name] for name in ("zone", "code", "indicateur", "millesime")), strict=True),
    }  # fmt: skip
    trends = set(zip(apl["zone"], apl["code"], apl["millesime"], strict=True))
    for page in pages.values():
        for cell in page.cells:
            if cell.line == "apl":
                assert (cell.zone, cell.code, cell.vintage) in trends
            else:
                assert cell[:4] in known, cell
    poverty = sante.set_index(["code", "ligne"])["valeur"][PLANOISE, "taux_pauvrete_60"]
    (cell,) = [
        cell
        for cell in pages[page_of(PLANOISE)].cells
        if cell[:3] == ("qpv", PLANOISE, "taux_pauvrete_60") and cell.section == "determinants"
    ]
    assert cell.text == f"{poverty:.1f} %".replace(".", ",")


def test_no_value_of_a_larger_mesh_stands_in_a_place_of_the_qpv(full: Frames, tmp_path: Path) -> None:
    """Every value of another zone is made recognisable: none is read where the QPV's stand."""
    changed = dict(full)
    for table in ("sante", "statistiques", "apl", "accessibilite"):
        larger = ~changed[table]["zone"].isin(["qpv"])
        assert larger.any()
        values = changed[table]["valeur"].mask(larger, SENTINEL)
        changed[table] = changed[table].assign(
            valeur=values, statut=changed[table]["statut"].mask(larger, "ok")
        )
    names = dict(zip(full["qpv"]["code_qp"], full["qpv"]["lib_qp"], strict=True))
    for name, page in pages_of(tmp_path, changed).items():
        own = name.removeprefix("sante_").removesuffix(".html")
        seen = [cell for cell in page.cells if "876 543" in cell.text]
        for cell in seen:
            assert cell.zone != "qpv", cell
            assert cell.column != names.get(own), cell
            assert cell.section in {"contexte", "iris"} or cell.column in {"Besançon", "Ensemble des QPV"}, (
                cell
            )
        # Outside such elements, drawings and the first sentence (which names its zone) say them.
        assert all(cell.code == own for cell in page.cells if cell.zone == "qpv" and own in names)
        if own in names:
            assert {cell.zone for cell in seen} >= {"commune", "departement", "iris_du_qpv", "ensemble_qpv"}
        else:
            assert not seen
    for path in (tmp_path / FOLDER).glob("QN*.html"):
        own = re.findall(r'class="(?:propre|valeur)[^"]*">([^<]*)', path.read_text("utf-8"))
        assert len(own) > 20
        assert not [text for text in own if "876\u202f543" in text], path.stem
    index = (tmp_path / FOLDER / "index.html").read_text("utf-8")
    for table in re.findall(r"<tbody>.*?</tbody>", index, re.DOTALL):
        assert "876\u202f543" not in table, "rows of the tables are QPV"


def test_the_context_of_the_commune_is_set_apart_under_its_heading(pages: dict[str, Page]) -> None:
    page = pages[page_of(PLANOISE)]
    assert "Contexte de la commune : ces chiffres ne sont pas ceux du quartier" in page.text
    context = [cell for cell in page.cells if cell.section == "contexte"]
    assert {cell.zone for cell in context} == {"commune", "departement", "france"}
    assert not [cell for cell in context if cell.column == "Planoise"]
    (drawing,) = re.findall(r'aria-label="(APL, Médecins[^"]*)"', page.html)
    assert re.search(r"Besançon \d,\d en 2019, .* ; Doubs \d,\d en 2019, .* ; France", unescape(drawing))


def test_each_commune_of_a_qpv_has_its_line_in_the_charts(full: Frames, tmp_path: Path) -> None:
    qpv, apl = full["qpv"], full["apl"]
    second = apl[apl["zone"] == "commune"].assign(code="25388", nom="Montbéliard", valeur=9.9)
    across = qpv.assign(
        insee_com_calcule=qpv["insee_com_calcule"].mask(qpv["code_qp"] == PLANOISE, "25056, 25388")
    )
    tables = {"apl": pd.concat([apl, second], ignore_index=True), "qpv": across}
    pages = pages_of(tmp_path, full | tables)
    values = [cell for cell in pages[page_of(PLANOISE)].cells if cell[:2] == ("commune", "25388")]
    assert [cell.text for cell in values] == ["9,9"] * 5
    assert pages[page_of(PLANOISE)].html.count('class="courbe commune autre"') == 5
    assert not [cell for cell in pages[page_of(BATTANT)].cells if cell.code == "25388"]


def test_a_commune_that_no_chart_draws_has_its_accessibility_in_the_table(
    full: Frames, tmp_path: Path
) -> None:
    sante = full["sante"]
    apl = sante["ligne"].str.startswith("apl_") & (sante["zone"] == "commune")
    second = sante[apl].assign(code="25388", nom_zone="Montbéliard", valeur=9.9)
    page = pages_of(tmp_path, full | {"sante": pd.concat([sante, second], ignore_index=True)})[
        page_of(PLANOISE)
    ]
    cells = [cell for cell in page.cells if cell.line.startswith("apl_")]
    assert {(cell.code, cell.text, cell.column) for cell in cells} == {
        ("25388", "9,9", "Montbéliard (commune)")
    }


def test_every_table_of_the_qpv_says_its_mesh_in_words(pages: dict[str, Page]) -> None:
    page = pages[page_of(PLANOISE)]
    rows = re.findall(r'<td class="texte maille">([^<]*)</td>', page.html)
    assert set(rows) == {"Quartier"}
    assert len(rows) > 8
    assert "IRIS entiers, plus larges que le quartier" in page.text


# ---------------------------------------------------------------- what is near, what is missing


def test_care_is_counted_by_distance_and_on_both_sides_of_the_limit(
    pages: dict[str, Page], full: Frames
) -> None:
    supply = full["offre_soins"]
    own = supply[(supply["code_qp"] == PLANOISE) & (supply["categorie"] == "pharmacies")].iloc[0]
    cells = [own[f"nombre_{reach}"] for reach in ("qpv", "300m", "500m", "1000m")]
    sides = own["dedans_300m_limite"], own["dehors_300m_limite"]
    row = " ".join(str(count) for count in cells)
    nearest = distance_name(own["distance_m"])
    assert f"Pharmacies {row} {nearest} {sides[0]} {sides[1]}" in pages[page_of(PLANOISE)].text
    assert "à vol d'oiseau" in pages[page_of(PLANOISE)].text


@pytest.mark.parametrize(
    ("metres", "words"), [(0, "0 m"), (123, "120 m"), (994, "990 m"), (1000, "1,0 km"), (12_340, "12,3 km")]
)
def test_distances_are_rounded_as_far_as_they_are_known(metres: float, words: str) -> None:
    assert distance_name(metres) == words


def test_what_is_missing_within_a_kilometre_is_said(pages: dict[str, Page]) -> None:
    page = pages[page_of(PLANOISE)]
    assert (
        "Aucun lieu de soins connu, dans le quartier ni à 1 km au plus : Protection maternelle" in page.text
    )


def test_where_insee_counts_otherwise_both_numbers_are_told(full: Frames, tmp_path: Path) -> None:
    supply = full["offre_soins"].copy()
    rows = (supply["code_qp"] == PLANOISE) & (supply["categorie"] == "pharmacies")
    supply.loc[rows, ["nombre_qpv", "nombre_insee"]] = [2, 5]
    page = pages_of(tmp_path, full | {"offre_soins": supply})[page_of(PLANOISE)]
    assert (
        "L'INSEE, qui en place elle-même dans le quartier (QP2024), compte : pharmacies 5 (ici 2)."
        in page.text
    )


def test_the_map_has_a_pictogram_for_each_category_and_a_scale(pages: dict[str, Page], full: Frames) -> None:
    page = pages[page_of(PLANOISE)]
    legend = page.text.partition("1 km autour du quartier")[2]
    present = set(full["offre_soins_lieux"]["categorie"])
    assert all(label in legend for name, label in CATEGORIES.items() if name in present)
    assert page.html.count('class="echelle"') == 1
    assert 'class="portee"' in page.html
    assert page.html.count("<title>Pharmacies") >= 1


def test_the_index_is_labelled_an_estimation_with_its_range(pages: dict[str, Page]) -> None:
    cells = [cell for cell in pages[page_of(BATTANT)].cells if cell.section == "acces"]
    assert cells
    assert all(cell.text.endswith("(estimation)") for cell in cells)
    assert "[1,0 ; 130,0]" in pages[page_of(BATTANT)].text
    assert "Estimation de qpv-geo, et non une mesure" in pages[page_of(BATTANT)].text


def test_what_is_not_known_is_said_once_for_each_reason(pages: dict[str, Page]) -> None:
    text = pages[page_of(PLANOISE)].text
    assert f"{UNREAD} (Personnes en affection de longue durée)." in " ".join(text.split()).replace(" (", " (")
    assert "Secret statistique : l'INSEE ne publie pas la valeur" in text
    assert "(Part des résidences principales suroccupées)" in text
    secret = [cell for cell in pages[page_of(PLANOISE)].cells if cell.line == "part_logements_suroccupes"]
    assert secret == [], "a withheld value has no place among values"


def test_many_measures_that_lack_for_one_reason_are_named_by_their_heading(
    full: Frames, tmp_path: Path
) -> None:
    sante = full["sante"]
    lost = (sante["rubrique"] == "Accès aux droits") | (sante["zone"] == "departement")
    changed = sante.assign(
        valeur=sante["valeur"].mask(lost),
        statut=sante["statut"].mask(lost, "non_disponible"),
        remarque=sante["remarque"].mask(lost, UNREAD),
    )
    text = pages_of(tmp_path, full | {"sante": changed})[page_of(PLANOISE)].text
    reason = text.partition(f"{UNREAD} (")[2].partition(").")[0]
    assert reason.startswith("toutes les mesures de « Accès aux droits » ; ")
    assert "Niveau de vie médian, maille Département" in reason


def test_what_changed_since_the_release_before_is_told_with_its_reason(
    full: Frames, settings: Settings
) -> None:
    def state(value: float | None, vintage: str) -> HealthState:
        status = "secret" if value is None else "ok"
        return HealthState(valeur=value, statut=status, millesime=vintage, borne_basse=None, borne_haute=None)

    def change(line: int, zone: str = "qpv", *, comparable: bool = False) -> HealthChange:
        return HealthChange(
            code_qp=PLANOISE, lib_qp="Planoise", ligne=f"l{line}", libelle=f"Mesure {line}", maille="qpv",
            zone=zone, code=PLANOISE, nom_zone=None, unite="%", avant=state(50.5, "2016"),
            apres=state(None if line == 1 else 49.0, "2022"), comparable=comparable, raison=f"Raison {line}.",
        )  # fmt: skip

    told = [*map(change, range(1, 9)), change(9, comparable=True), change(10, "commune")]
    content = Content(
        spec_of(whole_snapshot(), settings),
        full,
        {},
        {},
        Changes(precedente="x", empreinte_precedente="x", sante=tuple(told)),
    )
    sentences = follow_up(content, PLANOISE)
    assert sentences[0].replace("\u202f", " ") == "Mesure 9 : 50,5 % (2016), puis 49,0 % (2022). Raison 9."
    assert (
        sentences[1].replace("\u202f", " ") == "Mesure 1 : 50,5 % (2016), puis secret statistique. Raison 1."
    )
    assert (len(sentences), sentences[-1]) == (7, "3 autres lignes : rapport de la publication.")
    assert follow_up(content, BATTANT) == []
    assert follow_up(replace(content, changes=None), PLANOISE) == []


def test_the_objective_of_the_contract_leads_to_its_figures(pages: dict[str, Page], full: Frames) -> None:
    rows = full["sante"].set_index(["code_qp", "ligne"])["valeur"]
    text = pages[page_of(PLANOISE)].text
    assert "Accès aux droits et à la santé" in text
    count = f"{rows[PLANOISE, 'c2s_sans_participation']:.0f}"
    assert f"Bénéficiaires de la C2S sans participation : {count} personnes (2023)" in text
    assert "APL aux médecins généralistes : mesure de la maille « Commune », à part" in text


# ---------------------------------------------------------------- the territory, the method, absent sources


def test_the_territory_compares_its_qpv_by_their_own_values(pages: dict[str, Page], full: Frames) -> None:
    page = pages[HEALTH]
    assert {cell.zone for cell in page.cells} == {"qpv"}
    poverty = [cell for cell in page.cells if cell.line == "taux_pauvrete_60"]
    assert sorted(cell.code for cell in poverty) == sorted(full["qpv"]["code_qp"])
    assert all(f'href="{page_of(code)}' in page.html for code in full["qpv"]["code_qp"])


def test_a_release_without_the_national_files_says_so_in_one_sentence(full: Frames, tmp_path: Path) -> None:
    sante = full["sante"]
    unread = sante["rubrique"] != "Déterminants de santé"
    bare = {name: frame for name, frame in full.items() if name not in {
        "offre_soins", "offre_soins_lieux", "apl", "accessibilite", "etablissements_finess",
    }}  # fmt: skip
    bare["sante"] = sante.assign(
        valeur=sante["valeur"].mask(unread), statut=sante["statut"].mask(unread, "non_disponible")
    )
    pages = pages_of(tmp_path, bare)
    sentence = (
        "Cette publication n'a pas pu lire ce qui donne les droits ouverts (INSEE, CNAM, CNAF), l'offre de "
        "soins (Base permanente des équipements), l'indice d'accessibilité aux soins et l'accessibilité "
        "potentielle localisée des communes (APL, DREES)."
    )
    for name in (page_of(PLANOISE), HEALTH):
        assert pages[name].text.count(sentence) == 1
    assert [cell for cell in pages[page_of(PLANOISE)].cells if cell.section == "determinants"]
    assert not [
        cell for cell in pages[page_of(PLANOISE)].cells if cell.section in {"droits", "contexte", "acces"}
    ]
    assert "la Base permanente des équipements n'a pas été lue" in pages[page_of(PLANOISE)].text


def test_the_method_names_every_limit(pages: dict[str, Page]) -> None:
    text = pages[METHOD].text
    for words in (
        "secret statistique", "IRIS entiers", "à vol d'oiseau", "tirées au sort", "lieux d'exercice",
        "E2SFCA", "millésime", "pondérées par la population des communes", "Rayon : 5 km",
    ):  # fmt: skip
        assert words in text, words


def test_without_the_table_there_are_no_health_pages(full: Frames, tmp_path: Path) -> None:
    assert not pages_of(tmp_path, {name: frame for name, frame in full.items() if name != "sante"})
    for page in (f"{PLANOISE}.html", "index.html"):
        assert "sante" not in re.findall(
            r'href="([^"]*)\.html"', (tmp_path / FOLDER / page).read_text("utf-8")
        )


def test_portraits_and_index_lead_to_the_health_pages(full: Frames, tmp_path: Path) -> None:
    portray(tmp_path, full)
    portrait, index = (
        (tmp_path / FOLDER / f"{stem}.html").read_text("utf-8") for stem in (PLANOISE, "index")
    )
    assert f'href="{page_of(PLANOISE)}"' in portrait
    assert {f'href="{HEALTH}"', f'href="{METHOD}"', f'href="{page_of(BATTANT)}"'} <= set(
        re.findall(r'href="[^"]*"', index)
    )
    assert f'href="../portraits/{HEALTH}"' in index, "among the downloads"
    assert f'href="../portraits/{PLANOISE}.html"' not in index


def test_a_missing_count_of_care_is_not_a_zero(full: Frames, tmp_path: Path) -> None:
    supply = full["offre_soins"].copy()
    rows = (supply["code_qp"] == PLANOISE) & (supply["categorie"] == "pharmacies")
    counts = [name for name in supply.columns if name.startswith(("nombre_", "dedans_", "dehors_"))]
    supply.loc[rows, counts] = pd.NA
    supply.loc[rows, ["distance_m", "statut"]] = [np.nan, "non_disponible"]
    page = pages_of(tmp_path, full | {"offre_soins": supply})[page_of(PLANOISE)]
    assert "Pharmacies non disponible non disponible" in page.text
    assert "Pharmacies" not in page.text.partition("Aucun lieu de soins connu")[2].partition(".")[0]


def test_upstream_text_stays_text(full: Frames, pages: dict[str, Page], tmp_path: Path) -> None:
    hostile = '</script><script>alert(1)</script>" onmouseover="x" <img src=x onerror=y>'
    changed = dict(full)
    for table, columns in {
        "sante": ("libelle", "maille", "nom_zone", "unite", "remarque", "millesime"),
        "offre_soins": ("libelle", "millesime"),
        "offre_soins_lieux": ("libelle",),
        "apl": ("nom", "libelle", "unite"),
        "objectifs_indicateurs": ("libelle",),
    }.items():
        changed[table] = changed[table].assign(**dict.fromkeys(columns, hostile))
    for name, page in pages_of(tmp_path, changed).items():
        assert page.html.count("<script") == pages[name].html.count("<script"), name
        assert "<img" not in page.html
        assert not re.search(r"<[a-z]+ [^>]*onmouseover=", page.html.replace("&#34; onmouseover", ""))
    assert "alert(1)" in page.html or name == METHOD


def test_lines_over_years_keep_to_scale_and_are_read_out() -> None:
    svg = line_chart(
        "APL",
        [("A", "commune", ((2019, 2.0), (2021, 4.0))), ("B", "france", ((2020, 1.0),))],
        1,
    )
    assert 'aria-label="APL. A 2,0 en 2019, 4,0 en 2021 ; B 1,0 en 2020."' in svg
    (path,) = re.findall(r'class="courbe commune" d="M([0-9.]+) ([0-9.]+)L([0-9.]+) ([0-9.]+)"', svg)
    zero, top = (float(y) for y in re.findall(r'class="axe" d="M\S+ ([0-9.]+)H', svg))
    assert float(path[3]) == top
    assert float(path[1]) == pytest.approx((zero + top) / 2)
    assert svg.count("<circle") == 3


def test_columns_that_are_not_valid_are_named(tmp_path: Path) -> None:
    path = tmp_path / "health.toml"
    path.write_text("columns = []\n", encoding="utf-8")
    with pytest.raises(
        ConfigurationError, match=r"health\.toml: the health figures are not valid(?s:.*)columns"
    ):
        health_columns(path)


def test_the_release_without_network_has_its_pages(settings: Settings, tmp_path: Path) -> None:
    frames = snapshot_frames(settings)
    if "sante" in frames:
        assert len(pages_of(tmp_path, frames)) == len(frames["qpv"]) + 2
