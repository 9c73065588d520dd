"""Workbooks: XLSX, ODS and older ones are read by calamine, and written as XLSX."""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import xlsxwriter
from python_calamine import CalamineError, CalamineWorkbook
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from qpv_geo.errors import ConfigurationError, ContractError
from qpv_geo.locate.coordinates import cell_text, cells_column
from qpv_geo.locate.csv_dialect import Dialect, find_header
from qpv_geo.locate.tables import HEAD_ROWS, Chunk, ChunkAnswer, PointTable

_ROWS = 1 << 16
_WIDEST = 40
_FORMATS = {
    dt.datetime: "dd/mm/yyyy hh:mm",
    dt.date: "dd/mm/yyyy",
    dt.time: "hh:mm",
    dt.timedelta: "[h]:mm:ss",
}

_Row = list[Any]


class SheetTable(PointTable):
    """A sheet of a workbook; without `sheet`, the only one with rows, or with the wanted columns."""

    def __init__(
        self,
        path: Path,
        sheet: str | None = None,
        dialect: Dialect | None = None,
        wanted: Collection[str] = (),
    ) -> None:
        super().__init__(path)
        self.suffix = ".xlsx"
        try:
            book = CalamineWorkbook.from_path(path)
            self._sheets: dict[str, list[_Row]] = {
                name: book.get_sheet_by_name(name).to_python(skip_empty_area=False)
                for name in book.sheet_names
            }
        except (CalamineError, OSError) as error:
            raise ContractError(
                f"{path}: not a workbook that can be read ({error}); save it as XLSX"
            ) from error
        self._sheet = self._choose(sheet, wanted)
        rows = self._sheets[self._sheet]
        given = (dialect or Dialect()).skip_rows
        self._header = _header(rows, wanted) if given is None else given
        if self._header >= len(rows):
            raise ContractError(
                f"{path}: sheet {self._sheet!r} is empty; expected a header with names of columns"
            )
        if self._header and given is None:
            self.notes.append(
                f"{path.name}: the header is row {self._header + 1}; --skip-rows says otherwise"
            )
        self.columns = _texts(rows[self._header])
        below = enumerate(rows[self._header + 1 :], self._header + 2)
        self._numbers = [number for number, row in below if _filled(row)]

    def head(self) -> Chunk:
        """Return the first rows."""
        return self._chunk(self._numbers[:HEAD_ROWS])

    def extend(self, target: Path, added: pa.Schema, answer: ChunkAnswer) -> None:
        """Write the workbook as values with columns added to the sheet."""
        answers: list[_Row] = []
        for start in range(0, len(self._numbers), _ROWS):
            table = answer(self._chunk(self._numbers[start : start + _ROWS]))
            answers += map(list, zip(*(column.to_pylist() for column in table.columns), strict=True))
        options = {"constant_memory": True, "strings_to_urls": False, "strings_to_formulas": False}
        with xlsxwriter.Workbook(target, options) as book:
            formats = {kind: book.add_format({"num_format": text}) for kind, text in _FORMATS.items()}
            bold = book.add_format({"bold": True})
            for name, rows in self._sheets.items():
                sheet = book.add_worksheet(name)
                if name == self._sheet:
                    extended = self._extended(rows, list(added.names), answers)
                    self._show_header(sheet, extended)
                    _write_rows(sheet, extended, formats, {self._header: bold})
                else:
                    _write_rows(sheet, rows, formats, {})

    def _show_header(self, sheet: Worksheet, rows: Sequence[_Row]) -> None:
        """Keep the header in sight, and give each column the width of its texts."""
        sheet.freeze_panes(self._header + 1, 0)
        shown = rows[self._header : self._header + HEAD_ROWS]
        for place in range(len(rows[self._header])):
            width = max(len(cell_text(row[place]) or "") for row in shown if place < len(row))
            sheet.set_column(place, place, min(width + 2, _WIDEST))

    def _extended(self, rows: list[_Row], names: list[str], answers: list[_Row]) -> list[_Row]:
        following = iter(answers)
        below = [[*row, *next(following)] if _filled(row) else row for row in rows[self._header + 1 :]]
        return [*rows[: self._header], [*rows[self._header], *names], *below]

    def _chunk(self, numbers: Sequence[int]) -> Chunk:
        names, rows = list(self.columns), [self._sheets[self._sheet][number - 1] for number in numbers]
        return Chunk(numbers, lambda name: cells_column([row[names.index(name)] for row in rows]))

    def _choose(self, sheet: str | None, wanted: Collection[str]) -> str:
        filled = [name for name, rows in self._sheets.items() if any(map(_filled, rows))]
        if sheet in self._sheets:
            return str(sheet)
        having = [name for name in filled if set(wanted) <= _names(self._sheets[name], wanted)]
        candidates = having or filled
        if sheet is not None or len(candidates) != 1:
            listed = ", ".join(filled) or "none with rows"
            raise ConfigurationError(f"{self.path.name}: name a sheet with --layer; it has: {listed}")
        if len(filled) > 1:
            self.notes.append(f"{self.path.name}: sheet {candidates[0]!r}; --layer says otherwise")
        return candidates[0]


def _write_rows(
    sheet: Worksheet, rows: Sequence[_Row], formats: Mapping[type, Format], styles: Mapping[int, Format]
) -> None:
    """Write cells with their types; `styles` are those of rows."""
    for number, row in enumerate(rows):
        for place, cell in enumerate(row):
            style = formats.get(type(cell), styles.get(number))
            if isinstance(cell, str):
                if cell:
                    sheet.write_string(number, place, cell, style)  # `write` takes some for formulas
            elif cell is not None:
                sheet.write(number, place, cell, style)


def _header(rows: Sequence[_Row], wanted: Collection[str]) -> int:
    return find_header(list(map(_texts, rows[:HEAD_ROWS])), wanted)


def _names(rows: Sequence[_Row], wanted: Collection[str]) -> set[str]:
    return set(_texts(rows[_header(rows, wanted)]))


def _texts(row: _Row) -> list[str]:
    return [(cell_text(cell) or "").strip() for cell in row]


def _filled(row: _Row) -> bool:
    return any(cell not in {None, ""} for cell in row)
