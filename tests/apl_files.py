"""DREES's workbooks of the APL in their layout: titles, header on row 9, units on row 10, a row a commune."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from qpv_geo.ingest.apl import load_professions
from tests.raw_files import write_workbook

Cell = str | float | None
Row = tuple[str, str, Cell, Cell]
"""Code and name of a commune, its APL, its standardised population."""

# The header of the values, whom the standardised population is for, what it counts.
_HEADERS = {
    "medecins_generalistes": ("APL aux médecins généralistes", "la médecine générale", ""),
    "infirmiers": ("APL aux infirmières", "les infirmières", ""),
    "kinesitherapeutes": ("APL aux kinésithérapeutes", "les kinésithérapeutes", ""),
    "sages_femmes": ("APL aux sages-femmes", "les sages-femmes", "féminine "),
    "dentistes": ("APL aux chirurgiens-dentistes", "les chirurgiens-dentistes", ""),
}
_TITLES = (
    "Indicateur d'accessibilité potentielle localisée (APL)",
    "",
    "Millésime : {year}",
    "Sources : SNIIR-AM ; population de l'Insee",
    "Champ : France hors Mayotte.",
    "Lecture : en {year}, …",
    "Note : pondérer par la population standardisée.",
    "",
)


def apl_sheet(profession: str, year: int, rows: Sequence[Row]) -> list[list[Cell]]:
    """Return the cells of one sheet; doctors have three columns more, without those who retire soon."""
    header, whom, women = _HEADERS[profession]
    unit: Cell = "En équivalents temps plein (ETP) accessibles pour 100 000 habitants standardisés"
    younger: list[Cell] = []
    if profession == "medecins_generalistes":
        unit = "En nombre de consultations/visites accessibles par an par habitant standardisé"
        younger = [f"{header} de {age} ans et moins " for age in (65, 62, 60)]
    headers: list[Cell] = ["Code commune INSEE", "Commune", f"{header} ", *younger]
    headers += [f"Population {women}standardisée {year - 2} pour {whom}", f"Population totale {year - 2}"]
    units = ["", "", unit, *([unit] * len(younger)), "En nombre d'habitants standardisés", "En habitants"]
    cells: list[list[Cell]] = [[title.format(year=year)] for title in _TITLES]
    cells += [headers, units]
    for code, name, apl, population in rows:
        cells.append([code, name, apl, *([apl] * len(younger)), population, 1.0])
    return [*cells, [], ["Lecture : une note sous la table."]]


def write_apl(path: Path, profession: str, years: Mapping[int, Sequence[Row]]) -> Path:
    """Write the workbook of a profession, after a sheet of documentation."""
    path.parent.mkdir(parents=True, exist_ok=True)
    notes: list[list[Cell]] = [["Lisez-moi"], ["Code commune INSEE", "code officiel de la commune"]]
    sheets = {f"APL {year}": apl_sheet(profession, year, rows) for year, rows in years.items()}
    return write_workbook(path, {"Lisez-moi": notes, **sheets})


def write_every_apl(folder: Path, years: Mapping[int, Sequence[Row]]) -> None:
    """Write the workbooks of all professions, each with the same figures."""
    for profession in load_professions():
        write_apl(folder / f"apl_{profession.id}.xlsx", profession.id, years)
