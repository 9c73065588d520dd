"""The cells of official tables, read once more by other means than ingestion: csv, and plain look-ups.

A workbook is opened with the library that ingestion uses, for want of a second one that is fast enough; where
its codes and cells stand is found anew.
"""

import csv
import io
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from zipfile import BadZipFile

import pandas as pd
import python_calamine

from qpv_geo.errors import PublicationError
from qpv_geo.ingest.cell_text import decode
from qpv_geo.ingest.recognition import KEYS
from qpv_geo.settings import Settings
from qpv_geo.sources.archive import Member, read_tables_of
from qpv_geo.sources.file_kinds import kind_of
from qpv_geo.sources.raw import RawFile

MARKS = {
    "s": "secret",
    "c": "secret",
    "nd": "non_disponible",
    "ns": "non_significatif",
    "so": "sans_objet",
}
_SHEET = ", feuille "
_TOGETHER = re.compile(r"_QPV(24)?$", re.IGNORECASE)
_NOTE = re.compile(r"(?:\w+_)?NOTE(?:_\w+|\d\d)?", re.IGNORECASE)
_TITLE_ROWS = 30
_UNREADABLE = (OSError, ValueError, LookupError, TypeError, StopIteration, BadZipFile, PublicationError)
NO_INTERVAL = (math.nan, math.nan)

_Grid = list[list[str]]


_ByCode = tuple[list[str], dict[int, dict[str, list[str]]], set[int]]
"""The header of a table, its rows by code for each column of codes, and which of these repeat a code."""


@contextmanager
def rereading(raw: RawFile) -> Iterator[None]:
    """Name the raw file that cannot be read any more as it was, in a `PublicationError`."""
    try:
        yield
    except _UNREADABLE as error:
        raise PublicationError(
            f"{raw.label}: cannot be read again to compare ({type(error).__name__}: {error})"
        ) from error


class RawTables:
    """The tables of one raw file, as grids of text."""

    def __init__(self, raw: RawFile, settings: Settings) -> None:
        self.raw = raw
        self._settings = settings
        self._by_code: dict[str, _ByCode] = {}

    @cached_property
    def _members(self) -> dict[str, Member]:
        return {member.name: member for member in read_tables_of(self.raw, self._settings)}

    @cached_property
    def _sheets(self) -> dict[str, _Grid]:
        """Rows of each sheet from its row of codes on; sheets without one are left out."""
        sheets: dict[str, _Grid] = {}
        for file, member in self._members.items():
            if kind_of(member.data).name != "zip":
                continue
            book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(member.data))
            for sheet in book.sheet_names:
                cells = book.get_sheet_by_name(sheet).to_python(skip_empty_area=False)
                rows = [[_text(cell) for cell in row] for row in cells]
                start = next((n for n, row in enumerate(rows[:_TITLE_ROWS]) if _is_header(row)), None)
                if start is not None:
                    sheets[f"{file}{_SHEET}{sheet}"] = rows[start:]
        return sheets

    def rows(self, name: str) -> Iterator[list[str]]:
        """Yield the rows of a table by the name that layer ``statistiques`` gives it, header first.

        The cells of a CSV file are not stripped.
        """
        if name in self._sheets:
            return iter(self._sheets[name])
        if name in self._members:
            return self._rows(name)
        file, _, kind = name.rpartition(", ")
        return iter(_widened([_stripped(row) for row in self.rows(file)], kind, self.raw.source.vintage))

    def by_code(self, name: str) -> _ByCode:
        """Return the rows of a table by code, for each of its columns that may be the one of codes."""
        if name not in self._by_code:
            rows = self.rows(name)
            header = _stripped(next(rows))
            by_code: dict[int, dict[str, list[str]]] = {key: {} for key in _keys(header)}
            repeated = set()
            for row in rows:
                for key, rows_by_code in by_code.items():
                    code = _TOGETHER.sub("", row[key].strip())
                    if code in rows_by_code:
                        repeated.add(key)
                    rows_by_code[code] = row
            self._by_code[name] = header, by_code, repeated
        return self._by_code[name]

    def only_table(self) -> list[dict[str, str]]:
        """Return the rows of a source that is one CSV file, by its own column names."""
        if len(self._members) != 1:
            raise PublicationError(f"{self.raw.label}: {len(self._members)} tables to compare with, not one")
        header, *rows = map(_stripped, self._rows(next(iter(self._members))))
        return [dict(zip(header, row, strict=False)) for row in rows]

    @cached_property
    def words(self) -> Mapping[tuple[str, str], str]:
        """Words of the dictionaries, by variable in upper case and value."""
        words: dict[tuple[str, str], str] = {}
        files = (
            self._rows(name) for name, member in self._members.items() if kind_of(member.data).name != "zip"
        )
        for rows in (*files, *map(iter, self._sheets.values())):
            places = {column.strip().upper(): n for n, column in enumerate(next(rows, []))}
            if places.keys() >= {"COD_VAR", "COD_MOD", "LIB_MOD"}:
                variable, value, word = (places[c] for c in ("COD_VAR", "COD_MOD", "LIB_MOD"))
                for row in map(_stripped, rows):
                    if row[value]:
                        words.setdefault((row[variable].upper(), row[value]), row[word])
        return words

    def _rows(self, name: str) -> Iterator[list[str]]:
        text, _ = decode(self._members[name].data, self.raw.label)
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=";")
        yield from (row for row in rows if row)


@dataclass(frozen=True)
class OriginalCells:
    """The cells of an official table, as text, by code; `columns` are their positions.

    `words` are those of the producer's dictionaries (see `RawTables.words`).
    """

    raw: RawFile
    columns: Mapping[str, int]
    rows: Mapping[str, list[str]]
    words: Mapping[tuple[str, str], str]

    def cell(self, code: str, column: str) -> str | None:
        """Return a cell, or None if the file has no such row or column."""
        row, position = self.rows.get(code), self.columns.get(column)
        return None if row is None or position is None else row[position]

    def meaning(self, code: str, column: str) -> tuple[float, str, str | None]:
        """Return what a cell says: value (NaN without), status, and the producer's remark or None."""
        text = self.cell(code, column) or ""
        remark = self._remark(code, column)
        if not text:
            if code not in self.rows:
                return math.nan, "non_disponible", None
            by_secrecy = remark is not None and re.search(r"\bsecret\b", remark, re.IGNORECASE)
            return math.nan, "secret" if by_secrecy else self.raw.source.blank, remark
        if text.lower() in MARKS:
            return math.nan, MARKS[text.lower()], remark
        try:
            return float("".join(text.split()).replace(",", ".")), "ok", remark
        except ValueError as error:
            raise PublicationError(f"raw cell {text!r} is neither a number nor a known mark") from error

    def interval(self, code: str, column: str) -> tuple[float, float]:
        """Return the bounds that a cell gives, NaN for none; the last word of a column may be the name."""
        name = column if column in self.columns else self._last_words.get(column.upper(), column)
        low, _, high = (self.cell(code, name) or "").strip("[]").partition("/")
        if not high or "Inf" in low:
            return NO_INTERVAL
        return float(low.replace(",", ".")), float(high.replace(",", "."))

    @cached_property
    def _last_words(self) -> dict[str, str]:
        """The first column with each last word."""
        return {re.split(r"\W", name)[-1].upper(): name for name in [*self.columns][::-1]}

    def _remark(self, code: str, column: str) -> str | None:
        """Return what the note of a column says of a row."""
        note = self._notes.get(column)
        value = (self.cell(code, note) if note else None) or ""
        if note is None or value.lower() in {"", "0", *MARKS}:
            return None
        variables = {variable for variable, _ in self.words if _NOTE.match(variable)}
        if note.upper() in variables:
            variables = {note.upper()}
        words = self.words.get((min(variables), value)) if len(variables) == 1 else None
        return f"{note} = {value} : {words or 'motif que le dictionnaire du producteur ne donne pas'}"

    @cached_property
    def _notes(self) -> dict[str, str | None]:
        """The column of notes about each column: the only one, or the next one to the right."""
        notes = [(place, name) for name, place in self.columns.items() if _NOTE.fullmatch(name)]
        return {
            column: next((name for at, name in notes if len(notes) == 1 or at > place), None)
            for column, place in self.columns.items()
        }


def read_cells(tables: RawTables, member: str, codes: Collection[str]) -> OriginalCells:
    """Read a table again, by the name that layer ``statistiques`` gives it.

    Only the rows of `codes` are kept: a national file by IRIS has fifty thousand others. Raises
    `PublicationError` if the file cannot be read any more, or none of its columns holds these codes.
    """
    with rereading(tables.raw):
        header, by_code, repeated = tables.by_code(member)
        kept = {key: [code for code in codes if code in rows] for key, rows in by_code.items()}
        # Other columns name zones as well: 03 is the region of some QPV and the department of others.
        order = list(KEYS)
        best = min(kept, key=lambda key: (key in repeated, not kept[key], order.index(header[key].lower())))
    rows = {code: _stripped(by_code[best][code]) for code in kept[best]}
    return OriginalCells(tables.raw, {name: place for place, name in enumerate(header)}, rows, tables.words)


def _stripped(row: list[str]) -> list[str]:
    return list(map(str.strip, row))


def _keys(row: Iterable[str]) -> list[int]:
    return [place for place, name in enumerate(row) if name.lower() in KEYS]


def _is_header(row: list[str]) -> bool:
    filled = {cell.upper() for cell in row if cell}
    return len(filled) > 1 and (bool(_keys(row)) or {"COD_VAR", "LIB_VAR"} <= filled)


def _text(cell: object) -> str:
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell).strip()


def _widened(grid: _Grid, kind: str, vintage: str) -> _Grid:
    """Turn the rows of a kind of zone of a table in long form into a header and a row per zone."""
    header, *rows = grid
    table = pd.DataFrame(rows, columns=[column.upper() for column in header])
    (measure,) = (
        name for name in map(str, table) if name.endswith("_MEASURE") and not name.startswith("UNIT_")
    )
    table = table[table["GEO_OBJECT"] == kind]
    if "TIME_PERIOD" in table:
        table = table[table["TIME_PERIOD"] == vintage]
    if "CONF_STATUS" in table:
        table = table.assign(OBS_VALUE=table["OBS_VALUE"].mask(table["CONF_STATUS"].str.upper() == "C", "c"))
    cells = table.pivot_table("OBS_VALUE", "GEO", measure, aggfunc="last", fill_value="")
    return [["GEO", *cells], *([code, *row] for code, *row in cells.itertuples(name=None))]
