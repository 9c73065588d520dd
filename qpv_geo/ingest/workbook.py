"""INSEE's older workbooks (``.xls``): title rows, a row of codes, a row of labels, then the data."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd
import xlrd

from qpv_geo.errors import SourceContentError
from qpv_geo.ingest.codes import CodeKind
from qpv_geo.ingest.contracts import Problems, refuse_doubled
from qpv_geo.ingest.text import refuse_page
from qpv_geo.ingest.text_table import TextTable
from qpv_geo.settings import Settings
from qpv_geo.sources.archive import read_member
from qpv_geo.sources.raw import RawFile, catalogue_entry

_FILE = r"(?i)(.*/)?.*\.xls"


def read_workbook(raw: RawFile, sheet: str, kind: CodeKind, settings: Settings) -> TextTable:
    """Read a sheet of an ``.xls`` workbook as text.

    Parameters
    ----------
    raw
        The workbook, bare or in an archive that holds no other.
    sheet
        Name of the sheet. The row of codes is the first that holds the key column.
    kind
        Of the codes in the key column: the row below the row of codes holds labels unless it has such a code.
    settings
        Limits of archives.

    Raises
    ------
    SourceContentError
        If the file is not a workbook.
    ContractError
        If there is no such sheet or no row with the key column, or a column is there twice.
    """
    member = read_member(raw, _FILE, settings)
    label = f"{raw.label}, sheet {sheet}"
    refuse_page(member.data, label)
    problems = Problems(label, raw.source)
    with _damage_explained(label):
        book = xlrd.open_workbook(file_contents=member.data, on_demand=True, logfile=io.StringIO())
    if sheet not in book.sheet_names():
        problems.add(f"a sheet named {sheet!r}", f"sheets {', '.join(map(repr, book.sheet_names()))}")
        problems.advise(f"if the sheet was renamed, change 'member' in {catalogue_entry(raw.source)}")
        problems.raise_if_any()
    with _damage_explained(label):
        grid = [[_text(cell) for cell in row] for row in book.sheet_by_name(sheet).get_rows()]
    return _table(grid, member.name, kind, problems)


@contextmanager
def _damage_explained(label: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # xlrd lets out whatever its parser stumbles over in a damaged file
        raise SourceContentError(
            f"{label}: expected an .xls workbook, found a file that is damaged or of another format "
            f"({error or type(error).__name__})"
        ) from error


def _text(cell: xlrd.sheet.Cell) -> str:
    """Return a cell as text; a whole number without decimals, any other as Python writes the same double."""
    if cell.ctype == xlrd.XL_CELL_NUMBER:
        return str(int(cell.value)) if cell.value.is_integer() else repr(cell.value)
    if cell.ctype == xlrd.XL_CELL_ERROR:
        return str(xlrd.error_text_from_code.get(cell.value, "#ERR"))
    return str(cell.value).strip()


def _table(grid: list[list[str]], name: str, kind: CodeKind, problems: Problems) -> TextTable:
    """Find the row of codes, and cut titles and labels from the data."""
    keys = {key.casefold() for key in problems.source.key}
    candidates = [n for n, row in enumerate(grid) if keys & {cell.casefold() for cell in row}]
    if not candidates:
        wanted = " or ".join(map(repr, problems.source.key))
        problems.add(f"a row of codes that holds {wanted}", f"none in {len(grid)} rows")
        problems.raise_if_any()
    header = candidates[0]
    used = [position for position, code in enumerate(grid[header]) if code]
    columns = [grid[header][position] for position in used]
    refuse_doubled(columns, problems)
    below = grid[header + 1] if header + 1 < len(grid) else []
    labelled = not any(re.fullmatch(kind.pattern, cell) for cell in below)
    first = header + 2 if labelled else header + 1
    data = [
        (f"row {number}", [row[position] for position in used])
        for number, row in enumerate(grid[first:], start=first + 1)
        if any(row)
    ]
    if not data:
        problems.add("at least one row under the labels", "none")
    problems.raise_if_any()
    labels = {grid[header][position].upper(): below[position] for position in used} if labelled else {}
    cells = pd.DataFrame([cells for _, cells in data], columns=columns, dtype="str")
    where = np.array([place for place, _ in data], dtype=object)
    return TextTable(name, problems.label, cells, where, labels=labels)
