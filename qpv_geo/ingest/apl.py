"""DREES's local potential accessibility (APL): a workbook per profession, a sheet per year."""

import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv as arrow_csv

from qpv_geo import french
from qpv_geo.checks import Check
from qpv_geo.errors import SourceContentError
from qpv_geo.french import counted, listing
from qpv_geo.frozen import Frozen
from qpv_geo.ingest.cell_text import check_characters, report_reading
from qpv_geo.ingest.codes import COMMUNE
from qpv_geo.ingest.contracts import Names, Problems, either, find_columns, refuse_doubled, shown
from qpv_geo.ingest.text_table import MARKS, parse_values
from qpv_geo.ingest.workbook import Grid, cell_text, read_grids
from qpv_geo.settings import Settings
from qpv_geo.sources.archive import Member, read_tables_of
from qpv_geo.sources.catalogue import Pattern
from qpv_geo.sources.raw import Extract, RawFile, Whole
from qpv_geo.sources.store import Extracts
from qpv_geo.statuses import OK
from qpv_geo.toml_file import read_declarations

# The header stands below a few rows of titles.
_TITLE_ROWS = 40
_YEAR = re.compile(r"(?<!\d)20\d\d(?!\d)")
_VINTAGE = re.compile(r"mill[ée]sime\s*:?\s*(20\d\d)", re.IGNORECASE)
_SPACES = re.compile(r"\s+")
# Headers hold years that change: "Population standardisée 2021 pour la médecine générale".
_FROM_YEAR_ON = re.compile(r" 20\d\d\b.*")
_CODE = re.compile(COMMUNE.pattern)
_FEW = 2
_PROFESSIONS = Path(__file__).with_name("professions.toml")
# Counted up when what an extract holds changes, or how a sheet is read.
_LAYOUT = 1
_PLACE = ["vintage", "file", "column"]
_EXTRACT = dict.fromkeys([*_PLACE, "insee_com", "nom_com", "statut"], pa.string()) | dict.fromkeys(
    ["valeur", "population"], pa.float64()
)
_Row = Sequence[object]
_NUMBER = f"a number that is not negative, or one of the marks {', '.join(MARKS)}, or nothing"


class Profession(Frozen):
    """A profession of care: its id, its French name, and where its figures come from.

    `source` is that of its APL, in `unite`; the units of a sheet match `unite_reconnue`. `type_equipement` is
    its type of facility.
    """

    id: str
    libelle: str
    source: str
    unite: str
    unite_reconnue: Pattern
    type_equipement: str


@cache
def load_professions(path: Path = _PROFESSIONS) -> tuple[Profession, ...]:
    """Read the professions, in the order of the file."""
    with read_declarations(path, "the professions are not valid") as entries:
        return tuple(Profession(id=key, **entry) for key, entry in entries.items())


@dataclass(frozen=True, eq=False)
class AplSheet:
    """The APL of one profession in one year, of every commune of the file.

    `table` is indexed by ``insee_com``, sorted: ``nom_com``, ``valeur`` (NaN if missing), ``statut``, and
    ``population``, the standardised one, which weights means (NaN if missing). `column` is the header of the
    values in `file`, which is named ``<workbook>, feuille <sheet>``.
    """

    profession: Profession
    vintage: str
    file: str
    column: str
    table: pd.DataFrame


def read_apl(
    raw: RawFile, settings: Settings, *, keep: bool = False
) -> tuple[tuple[AplSheet, ...], tuple[Check, ...]]:
    """Read every year of one profession, oldest first.

    What an earlier run kept of the same file is read in a tenth of the time; with `keep`, this run keeps it.

    Sheets, rows and columns are recognised by what they hold, wherever they stand: a sheet of communes has a
    header with the column of codes, and units in the row below; any other sheet is documentation. Raises
    `SourceContentError` if there is no such sheet, the file is not a workbook or has cells in error, and
    `ContractError`, which names sheet and row, if a sheet of communes has no year, a column or its units are
    not as declared, a code is wrong or repeated, or a cell is not a number.
    """
    profession = next(one for one in load_professions() if one.source == raw.source.id)
    # The sheets are named after the file.
    needs = {"layout": _LAYOUT, "file": raw.path.name, "columns": raw.source.columns}
    extracts = Extracts(raw, needs | {"profession": profession.model_dump()}, settings)
    kept = extracts.kept()
    sheets = _sheets_of(kept, profession) if kept else _read_workbooks(raw, profession, settings)
    if keep and not kept:
        extracts.keep([_lines(sheets)], Whole(rows=sum(len(sheet.table) for sheet in sheets)))
    years = listing([sheet.vintage for sheet in sheets])
    communes = french.number(len(sheets[-1].table))
    found = f"{counted(len(sheets), 'année')} ({years}), {communes} communes en dernier lieu"
    return tuple(sheets), (report_reading((), found, raw.source.id),)


def _lines(sheets: Sequence[AplSheet]) -> bytes:
    """Return the sheets as one CSV file."""
    frames = [
        sheet.table.reset_index().assign(vintage=sheet.vintage, file=sheet.file, column=sheet.column)
        for sheet in sheets
    ]
    table = pa.Table.from_pandas(pd.concat(frames)[list(_EXTRACT)], preserve_index=False)
    buffer = io.BytesIO()
    arrow_csv.write_csv(table, buffer)
    return buffer.getvalue()


def _sheets_of(extract: Extract, profession: Profession) -> list[AplSheet]:
    options = arrow_csv.ConvertOptions(column_types=_EXTRACT, null_values=[""], strings_can_be_null=False)
    table = arrow_csv.read_csv(extract.path, convert_options=options).to_pandas()
    table["insee_com"] = table["insee_com"].astype(object)
    tables = table.set_index("insee_com").groupby(_PLACE, sort=True)
    return [
        AplSheet(profession, str(year), str(file), str(column), rows.drop(columns=_PLACE))
        for (year, file, column), rows in tables
    ]


def _read_workbooks(raw: RawFile, profession: Profession, settings: Settings) -> list[AplSheet]:
    sheets: list[AplSheet] = []
    others: list[str] = []
    for member in read_tables_of(raw, settings):
        for name, grid in read_grids(raw, member).items():
            if sheet := _read_sheet(raw, member, name, grid, profession):
                sheets.append(sheet)
            else:
                others.append(name)
    if not sheets:
        found = ", ".join(map(repr, others))
        raise SourceContentError(
            f"{raw.label}: no sheet has a header with {either(raw.source.columns['insee_com'])} and communes "
            f"below (sheets: {found})"
        )
    problems = Problems(raw.label, raw.source)
    years = Counter(sheet.vintage for sheet in sheets)
    for year in sorted(year for year, times in years.items() if times > 1):
        same = (sheet.file for sheet in sheets if sheet.vintage == year)
        problems.add("one sheet a year", f"{' and '.join(same)}, all of {year}")
    problems.raise_if_any()
    return sorted(sheets, key=lambda sheet: sheet.vintage)


def _read_sheet(
    raw: RawFile, member: Member, name: str, grid: Grid, profession: Profession
) -> AplSheet | None:
    """Return the figures of a sheet; None for documentation.

    Raises `ContractError` with everything that is wrong.
    """
    problems = Problems(f"{raw.label_of(member.name)}, sheet {name}", raw.source)
    head = [[_heading(cell) for cell in row] for row in grid[:_TITLE_ROWS]]
    # Titles fill one or two cells.
    full = [row for row in head if _filled(row) > _FEW]
    spellings = raw.source.columns["insee_com"]
    codes = set(map(str.casefold, spellings))
    header = next((row for row in full if codes & set(map(str.casefold, row))), None)
    if header is None:
        is_named = re.search(r"apl.*20\d\d", name, re.IGNORECASE)
        if not is_named and not any(map(_CODE.fullmatch, chain.from_iterable(full))):
            return None
        found = ", ".join(repr(cell) for cell in full[0] if cell) if full else "none"
        problems.add(f"a header with {either(spellings)} in the first {_TITLE_ROWS} rows", found)
    place = len(head) if header is None else head.index(header)
    vintage = _vintage(name, head[:place], problems)
    places = _places(header, problems) if header else {}
    problems.raise_if_any()
    column = cell_text(grid[place][places["apl"]])
    published = np.array(["the header", "the name of the sheet"], dtype=object)
    check_characters([column, name], published, problems)
    table = _table(enumerate(grid[place + 1 :], start=place + 2), places, profession, problems)
    problems.raise_if_any()
    return AplSheet(profession, vintage, f"{member.name}, feuille {name}", column, table)


def _vintage(name: str, titles: Sequence[Sequence[str]], problems: Problems) -> str:
    """Return the year that the name of the sheet holds, or its titles; they may not disagree."""
    said = {year for cell in chain.from_iterable(titles) for year in _VINTAGE.findall(cell)}
    years = set(_YEAR.findall(name)) or said
    if len(years | said) != 1:
        found = ", ".join(sorted(years | said)) or "none"
        problems.add("one year in the name of the sheet and its titles (such as 'APL 2024')", found)
    return max(years, default="")


def _places(header: Sequence[str], problems: Problems) -> dict[str, int]:
    """Return the position of each declared column."""
    names = [_FROM_YEAR_ON.sub("", cell) for cell in header]
    accepted = {s.casefold() for spellings in problems.source.columns.values() for s in spellings}
    refuse_doubled([name for name in names if name.casefold() in accepted], problems)
    columns = find_columns([name for name in names if name], problems.source.columns, problems)
    return {name: names.index(column) for name, column in columns.items()}


def _table(
    below: Iterator[tuple[int, _Row]], places: dict[str, int], profession: Profession, problems: Problems
) -> pd.DataFrame:
    """Return the communes among the rows below the header, the first of which holds the units."""
    number, first = next((pair for pair in below if _filled(pair[1])), (0, None))
    units = _heading(first[places["apl"]]) if first else ""
    if not re.search(profession.unite_reconnue, units):
        expected = f"units below the header ({profession.unite}), which match {profession.unite_reconnue}"
        problems.add(expected, shown(units), column="apl", where=f"row {number}" if number else "")
    place = places["insee_com"]
    rows = []
    for n, row in below:
        if _CODE.fullmatch(code := cell_text(row[place])):
            rows.append((n, code, row))
        # Notes below the table fill one cell.
        elif _filled(row) > 1:
            problems.add(COMMUNE.expected, shown(code, COMMUNE), column="insee_com", where=f"row {n}")
    if not rows:
        problems.add("at least one commune", "none")
    where = np.array([f"row {n}" for n, _, _ in rows], dtype=object)
    cells = {name: [row[place] for _, _, row in rows] for name, place in places.items()}
    names = list(map(cell_text, cells["nom_com"]))
    check_characters(names, where, problems, "nom_com")
    codes = pd.Series([code for _, code, _ in rows], dtype=object)
    table = pd.DataFrame({"insee_com": codes, "nom_com": names})
    twice = codes.duplicated(keep=False)
    expected = "a code that appears once in the sheet"
    problems.add_rows(expected, where[twice], map(shown, codes[twice]), column="insee_com")
    valeur, statut = _numbers(cells["apl"], where, "apl", problems)
    population, _ = _numbers(cells["population"], where, "population", problems)
    table = table.assign(statut=statut, valeur=valeur, population=population)
    return table.set_index("insee_com").sort_index()


def _numbers(
    cells: list[object], where: Names, column: str, problems: Problems
) -> tuple[NDArray[np.float64], NDArray[np.object_]]:
    """Return values and their statuses; numbers may be written as text."""
    is_number = np.array([type(cell) in {float, int} for cell in cells], dtype=bool)
    values = np.array([cell if ok else np.nan for cell, ok in zip(cells, is_number, strict=True)], float)
    statuses = np.full(len(cells), OK, dtype=object)
    texts = np.flatnonzero(~is_number)
    parsed = parse_values(np.array([cell_text(cells[row]) for row in texts], object), problems.source.blank)
    values[texts], statuses[texts] = parsed
    wrong = (statuses == OK) & ~((values >= 0) & np.isfinite(values))
    rows = np.flatnonzero(wrong | pd.isna(statuses))
    problems.add_rows(_NUMBER, where[rows], [shown(cell_text(cells[row])) for row in rows], column=column)
    return values, statuses


def _heading(cell: object) -> str:
    """Return a cell without line breaks and repeated spaces, which headers of workbooks have."""
    return _SPACES.sub(" ", cell_text(cell)).strip()


def _filled(row: _Row) -> int:
    return len(row) - row.count("")
