"""INSEE's XLSX workbooks: in each sheet, title rows, a row of labels, the row of codes, then the data."""

import io
import re
import zipfile
from collections.abc import Sequence

import numpy as np
import pandas as pd
import python_calamine

from qpv_geo.characters import forbidden_character
from qpv_geo.errors import SourceContentError
from qpv_geo.ingest.cell_text import check_cells
from qpv_geo.ingest.contracts import Problems, refuse_doubled
from qpv_geo.ingest.recognition import known_keys
from qpv_geo.ingest.text_table import DICTIONARY, TextTable
from qpv_geo.sources.archive import Member
from qpv_geo.sources.catalogue import Source
from qpv_geo.sources.raw import RawFile, unreadable

# The row of codes stands below a few rows of titles.
_TITLE_ROWS = 30
_ERROR = re.compile(rb'<c r="([A-Z]+[0-9]+)"[^>]* t="e"')
_SHOWN = 5
Grid = Sequence[Sequence[object]]
"""The rows of a sheet, from its first."""


def read_sheets(raw: RawFile, member: Member) -> list[TextTable]:
    """Read every sheet that holds a table, or the dictionary of the others, as text.

    Tables are named ``<workbook>, feuille <sheet>``. Sheets without a row of codes (documentation) are left
    out, and so are the empty rows and columns that pad a sheet. Raises `SourceContentError` if the file is
    not a workbook, has cells in error, or no sheet holds a row of codes, and `ContractError` if a code is
    there twice in a row of codes.
    """
    label = raw.label_of(member.name)
    grids = read_grids(raw, member)
    names = {sheet: (f"{member.name}, feuille {sheet}", f"{label}, sheet {sheet}") for sheet in grids}
    read = (_table(*names[sheet], raw, grid) for sheet, grid in grids.items())
    tables = [table for table in read if table]
    if not tables:
        listed = ", ".join(map(repr, grids))
        raise SourceContentError(
            f"{label}: no sheet holds a row of codes with a known key (sheets: {listed})"
        )
    return tables


def read_grids(raw: RawFile, member: Member) -> dict[str, Grid]:
    """Return the cells of every sheet, empty rows and columns included.

    Raises `SourceContentError` if the file is not a workbook or has cells in error.
    """
    label = raw.label_of(member.name)
    try:
        book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(member.data))
        # Kept whole, so that rows have the numbers that a spreadsheet shows.
        grids: dict[str, Grid] = {
            name: book.get_sheet_by_name(name).to_python(skip_empty_area=False) for name in book.sheet_names
        }
        in_error = _cells_in_error(member.data)
    # A damaged workbook ends in whatever error the parser met, a panic included.
    except BaseException as error:
        if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
            raise
        found = f"found a file that is damaged or of another format ({str(error) or type(error).__name__})"
        raise unreadable(raw, f"{label}: expected an XLSX workbook, {found}") from error
    if in_error:
        raise SourceContentError(
            f"{label}: expected values, found cells in error (#N/A, #DIV/0! or the like): {in_error}"
        )
    return grids


def _cells_in_error(data: bytes) -> str:
    """Name the cells in error: the parser gives them as blanks, and a blank has a meaning."""
    with zipfile.ZipFile(io.BytesIO(data)) as book:
        sheets = [name for name in book.namelist() if name.startswith("xl/worksheets/sheet")]
        # There are hardly ever any: looking for a few bytes first takes a tenth of the time.
        suspects = [name for name in sheets if b't="e"' in book.read(name)]
        cells = [(cell.decode(), name) for name in suspects for cell in _ERROR.findall(book.read(name))]
    named = [f"{cell} of {sheet}" for cell, sheet in cells[:_SHOWN]]
    return ", ".join(named) + (f" and {len(cells) - _SHOWN} more" if len(cells) > _SHOWN else "")


def _table(name: str, label: str, raw: RawFile, grid: Grid) -> TextTable | None:
    """Cut titles and labels from the data; None for a sheet without a row of codes."""
    head = [[cell_text(cell) for cell in row] for row in grid[:_TITLE_ROWS]]
    header = next((n for n, row in enumerate(head) if _is_row_of_codes(row, raw.source)), None)
    if header is None:
        return None
    used = [position for position, code in enumerate(head[header]) if code]
    columns = [head[header][position] for position in used]
    problems = Problems(label, raw.source)
    refuse_doubled(columns, problems)
    data = [
        (f"row {number}", cells)
        for number, row in enumerate(grid[header + 1 :], start=header + 2)
        if any(cells := [cell_text(row[position]) for position in used])
    ]
    if not data:
        problems.add("at least one row under the row of codes", "none")
    problems.raise_if_any()
    above = head[header - 1] if header else []
    labels = {
        head[header][position].upper(): above[position] for position in used if above and above[position]
    }
    frame = pd.DataFrame([cells for _, cells in data], columns=columns, dtype=object)
    where = np.array([place for place, _ in data], dtype=object)
    # A character reference (``&#7;``) may stand for what XML cannot hold, and the parser lets it through.
    if forbidden_character("".join(cell for _, cells in data for cell in cells)):
        check_cells(frame, where, problems)
        problems.raise_if_any()
    return TextTable(name, label, frame, where, labels=labels)


def _is_row_of_codes(row: Sequence[str], source: Source) -> bool:
    """Tell the row of codes from titles, which fill one cell, and from labels, which are phrases."""
    filled = [cell for cell in row if cell]
    is_dictionary = {cell.upper() for cell in filled} >= DICTIONARY
    return len(filled) > 1 and (is_dictionary or bool(known_keys(filled, source)))


def cell_text(cell: object) -> str:
    """Return a cell as text; a whole number without decimals, any other as Python writes the same double."""
    if isinstance(cell, str):
        return cell.strip()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)
