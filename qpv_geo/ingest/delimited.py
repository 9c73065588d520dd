"""INSEE's CSV files: semicolons, decimal commas, either encoding."""

import csv
import io
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from qpv_geo.characters import forbidden_character
from qpv_geo.ingest.cell_text import check_cells, decode
from qpv_geo.ingest.contracts import Names, Problems, refuse_doubled
from qpv_geo.ingest.recognition import KEYS, known_keys
from qpv_geo.ingest.text_table import DICTIONARY, TextTable
from qpv_geo.sources.archive import Member
from qpv_geo.sources.raw import RawFile

_SEPARATOR = ";"
# Ten times what the widest file of the catalogue has; a row of a million cells costs a gigabyte and more.
MOST_COLUMNS = 5_000
# A publisher keeps Excel from taking a code for a number with ="01053" (in a quoted cell, "=""01053""").
_FOR_EXCEL = '="'


def read_delimited(raw: RawFile, member: Member, keeps: Callable[[str], bool] = lambda _: True) -> TextTable:
    """Read a CSV file as text; the result has no row if `keeps` wants none of them.

    `keeps` judges the rows of a national file by their code in its key column. Raises `SourceContentError` if
    the file is empty, a web page, or not text in UTF-8 or Windows-1252, and `ContractError` if there is no
    row, a column is there twice or has no name, or a row has not as many cells as the header (a truncated
    file ends with such a row).
    """
    label = raw.label_of(member.name)
    text, encoding = decode(member.data, label)
    problems = Problems(label, raw.source)
    columns, records, is_empty = _records(text, keeps, problems)
    if len(columns) == 1:
        problems.add(f"columns separated by {_SEPARATOR!r}", f"a single one, {columns[0]!r}")
    refuse_doubled([column for column in columns if column], problems)
    # A dictionary that says nothing does no harm.
    if is_empty and not problems and not {column.upper() for column in columns} >= DICTIONARY:
        problems.add("at least one row under the header", "none")
    problems.raise_if_any()
    cells = pd.DataFrame([cells for _, cells in records], columns=pd.RangeIndex(len(columns)), dtype=object)
    cells.columns = pd.Index(columns)
    where = np.array([f"line {line}" for line, _ in records], dtype=object)
    if forbidden_character(text):
        check_cells(cells, where, problems)
    cells = _without_nameless(cells, where, problems)
    remarks = () if encoding == "UTF-8" else (f"texte en {encoding} et non en UTF-8 : converti",)
    return TextTable(member.name, label, cells, where, remarks=remarks)


def _records(
    text: str, keeps: Callable[[str], bool], problems: Problems
) -> tuple[list[str], list[tuple[int, list[str]]], bool]:
    """Return the header, the wanted rows with the number of their last line, and whether there is no row.

    Blank rows are left out; a row that has not as many cells as the header is a problem.
    """
    clean = _unwrapped if _FOR_EXCEL in text else str.strip
    rows = _rows(text, problems)
    _, header = next(rows, (1, [""]))
    columns = [clean(column) for column in header]
    if len(columns) > MOST_COLUMNS:
        problems.add(f"at most {MOST_COLUMNS} columns", f"{len(columns)}")
        problems.raise_if_any()
    # A spreadsheet pads its header with nameless columns, and not every row with as many cells.
    width = max((place for place, column in enumerate(columns, start=1) if column), default=1)
    keys = known_keys(columns, problems.source)
    position = columns.index(keys[0]) if keys else None
    variable = next((place for place, column in enumerate(columns) if column.upper() == "COD_VAR"), None)
    if variable is not None:
        # Most lines of a dictionary name the zones of a national file: they are of no use here.
        position, keeps = variable, lambda name: name.lower() not in KEYS
    records = []
    is_empty = True
    for line, cells in rows:
        is_empty = False
        if not width <= len(cells) <= len(columns):
            problems.add(f"{width} cells in each row", f"{len(cells)}", where=f"line {line}")
        elif position is None or keeps(clean(cells[position])):
            records.append((line, [*map(clean, cells), *[""] * (len(columns) - len(cells))]))
    return columns, records, is_empty


def _unwrapped(cell: str) -> str:
    """Return a cell without the formula in which it is wrapped for Excel: ``="13055;13070"``."""
    cell = cell.strip()
    return cell[2:-1].strip() if cell.startswith(_FOR_EXCEL) and cell.endswith('"') else cell


def _rows(text: str, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_SEPARATOR, strict=True)
    try:
        yield from ((reader.line_num, cells) for cells in reader if any(map(str.strip, cells)))
    except csv.Error as error:
        problems.add("a CSV file whose quotes are closed", str(error), where=f"line {reader.line_num}")


def _without_nameless(cells: pd.DataFrame, where: Names, problems: Problems) -> pd.DataFrame:
    """Drop the empty columns that a semicolon at the end of each line makes; refuse others without a name."""
    nameless = np.array([column == "" for column in cells.columns])
    expected = "a name for each column that holds something"
    for position in np.flatnonzero(nameless).tolist():
        filled = cells.iloc[:, position].loc[lambda column: column != ""].map(repr)
        problems.add_rows(expected, where[filled.index], filled, column=f"column {position + 1}")
    problems.raise_if_any()
    return cells.loc[:, ~nameless]
