"""The report: its schema stays, it says first where the data come from, and it escapes what it shows."""

import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from qpv_geo.analysis.concordances import Concordance, Statement, concordances_table
from qpv_geo.checks import CHECKS, Check
from qpv_geo.formats.report import Remark, absences, build_report, headlines, to_look_at
from qpv_geo.formats.report_schema import Changes, Control, NamedQpv, Report, SourceAbsent
from qpv_geo.ingest.registry import load_registry
from qpv_geo.releases.draft import build_content
from qpv_geo.releases.release import Release
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import load_catalogue
from tests.publishing import (
    BESANCON,
    FILES,
    Inputs,
    change,
    inputs,
    publish,
    snapshot_copy,
    spec_of,
)


def report_of(made: Inputs) -> Report:
    return build_report(build_content(made.layers, made.checks, spec_of(made.raws)))


@pytest.fixture(scope="module")
def page(release: Release) -> str:
    return (release.path / "rapport.html").read_text(encoding="utf-8")


def test_the_schema_is_the_one_that_others_rely_on() -> None:
    """A change here is a change of the number in ``rapport``."""
    assert list(Report.model_fields) == [
        "rapport",
        "publication",
        "origine",
        "date_des_donnees",
        "mentions",
        "sources",
        "sources_absentes",
        "controles",
        "concordances",
        "couches",
        "couches_absentes",
        "indicateurs_inconnus",
        "indicateurs_manquants",
        "reparations",
        "differences",
        "retenue",
    ]


def test_the_file_says_which_release_from_what(release: Release) -> None:
    text = (release.path / "rapport.json").read_text(encoding="utf-8")
    report = Report.model_validate_json(text)
    assert report.rapport == "qpv-geo/rapport/2"
    assert report.publication.id == release.id
    assert report.publication.empreinte == release.fingerprint
    assert report.publication.environnement["GDAL"]
    assert report.origine.startswith("Données fournies avec le programme, du 15 janvier 2026")
    assert {source.source: source.millesime for source in report.sources} == {
        "qpv_2024": "2024",
        "insee_population": "2020",
        "insee_filosofi": "2021",
        "communes_epci": "2026",
    }
    assert {layer.nom: layer.lignes for layer in report.couches} == release.layers
    states = {source.source: source.etat for source in report.sources_absentes}
    assert states.pop("cog_epci") == "absente"
    assert set(states.values()) <= {"sans objet"}
    controls = {control["controle"]: control for control in json.loads(text)["controles"]}
    assert controls["qpv_du_territoire"]["trouve"] == "6"


def test_a_layer_that_is_left_out_is_said() -> None:
    made = inputs()
    made.layers["contrat_de_ville"] = pd.DataFrame()
    there = [layer.nom for layer in report_of(inputs()).couches_absentes]
    assert "contrat_de_ville" not in there
    assert {layer.nom for layer in report_of(made).couches_absentes} == {*there, "contrat_de_ville"}


def test_unknown_and_missing_indicators_are_said() -> None:
    made = inputs()
    statistics = made.layers["statistiques"]
    poverty = statistics["indicateur"] == "taux_pauvrete_60"
    statistics.loc[poverty, ["indicateur", "code_producteur"]] = ["disp_nouveau_a21", "DISP_NOUVEAU_A21"]
    dictionary = made.layers["indicateurs"]
    dictionary.loc[dictionary["indicateur"] == "taux_pauvrete_60", ["indicateur", "libelle"]] = [
        "disp_nouveau_a21",
        "Nouvel indicateur",
    ]
    report = report_of(made)
    (unknown,) = report.indicateurs_inconnus
    assert (unknown.code_producteur, unknown.libelle, unknown.source) == (
        "DISP_NOUVEAU_A21",
        "Nouvel indicateur",
        "insee_filosofi",
    )
    assert "taux_pauvrete_60" in {indicator.indicateur for indicator in report.indicateurs_manquants}


def test_an_absent_source_makes_no_missing_indicator() -> None:
    made = inputs()
    made.raws["insee_filosofi"] = None
    statistics = made.layers["statistiques"]
    made.layers["statistiques"] = statistics[statistics["source"] != "insee_filosofi"]
    report = report_of(made)
    assert "insee_filosofi" not in {missing.source for missing in report.indicateurs_manquants}
    assert "insee_filosofi" in {source.source for source in report.sources_absentes}


def test_repairs_are_listed_with_their_change_of_area() -> None:
    made = inputs()
    made.layers["qpv"].loc[2, "ecart_reparation_m2"] = -12.5
    (repair,) = report_of(made).reparations
    assert (repair.couche, repair.code, repair.ecart_m2) == ("qpv", "QN02504M", -12.5)


def test_concordances_are_a_section_with_both_sides(settings: Settings) -> None:
    made = inputs()
    said = Statement("46 <b>", "Contrat de ville", "présentation"), Statement("50", "INSEE", "insee_filosofi")
    row = Concordance("Pauvreté", "QN02502M", "Orchamps", *said, "aucune", "diverge", "46 contre 50.", 4.0)
    made.layers["concordances"] = concordances_table([row], BESANCON)
    (entry,) = report_of(made).concordances
    assert (entry.valeur_a, entry.valeur_b, entry.ecart) == ("46 <b>", "50", 4.0)
    page = (publish(settings, made).path / "rapport.html").read_text(encoding="utf-8")
    section = page.partition('<details id="concordances">')[2].partition("</details>")[0]
    for part in (
        "46 &lt;b&gt;",
        "INSEE, Revenus et pauvreté dans les QPV (Filosofi 2021)",
        '<td class="avertissement">diverge</td>',
        "46 contre 50.",
    ):
        assert part in section
    outline(page)


class Outline(HTMLParser):
    """Collects what a reader of the page relies on."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "br", "link"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def outline(page: str) -> Outline:
    parser = Outline()
    parser.feed(page)
    parser.close()
    assert not parser.open
    return parser


def test_the_page_says_first_where_the_data_come_from(page: str) -> None:
    body = page.partition("<body>")[2]
    assert body.index("Données fournies avec le programme, du 15 janvier 2026") < body.index("<h2")
    assert "contours de communes généralisés" in body.partition("<h2")[0]


def test_the_page_is_french_and_accessible(page: str) -> None:
    found = outline(page)
    assert ("html", {"lang": "fr"}) in found.tags
    assert [tag for tag, _ in found.tags].count("h1") == 1
    tables = [tag for tag, _ in found.tags if tag == "table"]
    assert len(tables) == len([tag for tag, _ in found.tags if tag == "caption"]) == 5
    assert all("scope" in attributes for tag, attributes in found.tags if tag == "th")
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    labels = {attributes.get("aria-labelledby") for _, attributes in found.tags}
    assert labels - {None} <= set(ids)
    assert "@media print" in page
    assert "<script" not in page
    assert not [a for _, a in found.tags if str(a.get("src", "")).startswith("http")], "nothing is fetched"


def test_the_page_has_the_licences_mention_and_claims_no_endorsement(page: str) -> None:
    footer = page.partition("<footer>")[2]
    assert "INSEE, Population municipale des QPV (recensement 2020), mise à jour du 1er août 2024" in footer
    assert "Licence Ouverte 2.0 (Etalab)" in footer
    assert "engage pas leurs producteurs et n\u2019a pas été approuvé par eux" in footer


def test_the_page_shows_figures_and_the_reason_of_those_that_miss(
    settings: Settings, page: str, tmp_path: Path
) -> None:
    assert "15\u202f603 <small>(2020)</small>" in page
    folder = snapshot_copy(tmp_path / "originals")
    (path,) = (folder / FILES["insee_filosofi"]).glob("indic*.csv")
    change(path, "QN02517N;38,0", "QN02517N;s")
    text = (publish(settings, inputs(folder)).path / "rapport.html").read_text(encoding="utf-8")
    assert '<td class="nombre">secret statistique <small>(2021)</small></td>' in text


def words_of(page: str) -> str:
    """Return what a reader sees, with plain spaces and apostrophes."""
    text = re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(text).replace("\u2019", "'").split())


def test_the_page_begins_with_three_things_to_know(page: str) -> None:
    text = words_of(page)
    first, second, third = re.findall(r"<li>(.*?)</li>", page.partition('<ol class="savoir">')[2])[:3]
    assert "relue et comparée" in first
    assert "première publication" in second
    assert "pas pu être lue" in third
    assert (
        text.index("Trois choses à savoir")
        < text.index("Ce qui manque, et pourquoi")
        < text.index("Le détail")
    )


def test_the_page_has_names_in_the_place_of_identifiers(page: str) -> None:
    known = {source.id for source in load_catalogue().sources if "_" in source.id}
    known |= {indicator.id for indicator in load_registry().indicators}
    layers = set(re.findall(r"<td>([a-z0-9_]+)</td>", page))
    assert not (known - layers) & set(re.findall(r"[a-z0-9]+(?:_[a-z0-9]+)+", words_of(page)))


def test_a_reason_is_said_once_however_many_sources_it_explains(offline: Release) -> None:
    report = Report.model_validate_json((offline.path / "rapport.json").read_bytes())
    page = words_of((offline.path / "rapport.html").read_text(encoding="utf-8").partition('id="details"')[0])
    reasons = absences(report)
    assert max(map(len, reasons.values())) > 3
    for reason in reasons:
        assert page.count(reason) == 1


def report_with(**changed: object) -> Report:
    return report_of(inputs()).model_copy(update=changed)


def test_what_changed_is_counted_in_words() -> None:
    qpv = NamedQpv(code_qp="QN02502M", lib_qp="Orchamps")
    changes = Changes(precedente="2025-x", empreinte_precedente="x", qpv_entres=(qpv,), qpv_sortis=(qpv, qpv))
    assert headlines(report_with(differences=changes))[1] == (
        "Depuis la publication 2025-x : 1 quartier entré et 2 quartiers sortis."
    )
    same = Changes(precedente="2025-x", empreinte_precedente="x")
    assert headlines(report_with(differences=same))[1] == "Rien n'a changé depuis la publication 2025-x."


def test_what_is_missing_is_counted_in_words() -> None:
    report = report_with(sources_absentes=(), indicateurs_manquants=())
    assert headlines(report)[2].startswith("Rien ne manque")
    one = SourceAbsent(source="bpe", titre="BPE", etat="absente", motif="BPE : pas de réseau.")
    other = SourceAbsent(source="iris", titre="IRIS", etat="sans objet", motif=None)
    report = report_with(sources_absentes=(one, other), couches_absentes=())
    assert headlines(report)[2] == "1 source n'a pas pu être lue : il manque ses indicateurs."
    assert absences(report) == {"Pas de réseau": ["BPE"]}


def test_a_held_release_says_so_first() -> None:
    assert headlines(report_with(retenue=("a", "b")))[0].startswith(
        "Cette publication est retenue pour 2 raisons"
    )


def warning(subject: str, message: str) -> Control:
    return Control(
        controle="statistique_sans_qpv",
        objet=subject,
        resultat="avertissement",
        attendu=None,
        trouve=None,
        message=message,
    )


def test_a_warning_about_several_sources_is_told_once() -> None:
    assert to_look_at([warning("a", "Rien."), warning("b", "Rien.")]) == [Remark("Rien.", ("a", "b"), ())]


def test_a_long_list_and_many_warnings_are_folded() -> None:
    codes = ", ".join(["QN02502M"] * 20)
    assert to_look_at([warning("a", f"20 codes : {codes}")]) == [Remark("20 codes.", ("a",), (codes,))]
    many = [warning("a", f"Code {number}.") for number in range(9)]
    (finding,) = to_look_at(many)
    assert (finding.sentence, len(finding.details)) == (CHECKS["statistique_sans_qpv"], 9)


def test_what_sources_say_is_escaped(settings: Settings) -> None:
    made = inputs()
    made.checks.append(
        Check("champs_vides", "qpv", "avertissement", "", "", "<script>alert(1)</script> & co")
    )
    made.raws["qpv_2024"] = replace(made.raws["qpv_2024"], reason='<img src="x">')  # type: ignore[type-var]
    text = (publish(settings, made).path / "rapport.html").read_text(encoding="utf-8")
    assert "<script>" not in text
    assert "<img" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; co" in text
    outline(text)
