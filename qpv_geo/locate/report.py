"""The report of a file that was located, in French: rows by QPV, at least and at most, and streets."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import xlsxwriter
from xlsxwriter.worksheet import Worksheet

from qpv_geo.errors import ConfigurationError
from qpv_geo.formats.xlsx_cells import CellFormats, finish_table, height_of, set_page
from qpv_geo.french import counted, number, percentage
from qpv_geo.locate.answers import Answer, Located
from qpv_geo.locate.coordinates import Geometries
from qpv_geo.locate.edges import FloatArray
from qpv_geo.locate.guesses import names_of, spelled
from qpv_geo.locate.locator import Locator
from qpv_geo.templates import render, secured
from qpv_geo.typography import typeset

if TYPE_CHECKING:
    from qpv_geo.locate.files import LocateSummary

SUFFIXES = {".xlsx", ".html"}
_ORDER = ("oui", "à cheval", "incertain", "non", "illisible")
_QPV = {
    "Code": 13,
    "QPV": 34,
    "Certaines": 11,
    "À cheval": 11,
    "Incertaines": 12,
    "Au moins": 11,
    "Au plus": 11,
    "Part au moins": 14,
    "Part au plus": 14,
}
_STREETS = {
    "Commune": 22,
    "Rue": 40,
    "Numéros en QPV": 26,
    "Au moins": 11,
    "Au plus": 11,
    "Numéros du fichier": 12,
}
"""Headings of the tables and, in a workbook, the widths of their columns."""
_NOTE_WIDTH = 110

Row = Sequence[Any]
"""Texts, counts, and shares as floats."""
_Table = tuple[str, str, Mapping[str, int], Sequence[Row]]
"""Its titles on a page and in a workbook, headings, rows."""


_SURE = 2

STREET = ("commune", "street", "number", "suffix")
"""The columns of an address, see ``columns.toml``."""


class Span(NamedTuple):
    """How many there are, at least and at most."""

    least: int
    most: int


def street_columns(columns: Sequence[str]) -> dict[str, str]:
    """Return the columns of a file that hold streets and their numbers; none unless both are there."""
    known = {spelled(name): name for name in reversed(columns)}
    found = {part: known[each] for part in STREET for each in reversed(names_of(part)) if each in known}
    return found if {"street", "number"} <= set(found) else {}


class Tally:
    """Counts while a file is located."""

    def __init__(self, locator: Locator, columns: Mapping[str, str]) -> None:
        self._locator = locator
        self._columns = columns
        self._counts = np.zeros((3, len(locator.codes)), np.int64)
        self._sure, self._across, self._possible = self._counts
        self.unplaced = 0
        """Uncertain rows of which nobody knows in which QPV they may be."""
        self._numbers: list[pd.DataFrame] = []

    def add(
        self,
        column: Callable[[str], pa.Array],
        geometries: Geometries,
        precision: FloatArray | None,
        answers: tuple[Located, pa.Table],
    ) -> None:
        """Count the rows of a chunk, whose answers are those of `Locator.locate_geometries`."""
        located, table = answers
        for counts, answer in ((self._sure, Answer.OUI), (self._across, Answer.A_CHEVAL)):
            qpv = located.qpv[(located.en_qpv == answer) & (located.qpv >= 0)]
            np.add(counts, np.bincount(qpv, minlength=len(counts)), out=counts)
        unsure = located.en_qpv == Answer.INCERTAIN
        self.unplaced += int(unsure.sum())
        radius = np.zeros(len(unsure)) if precision is None else precision
        for locator, first, geography in self._locators():
            rows = np.flatnonzero(unsure & np.isfinite(radius))
            if "geographie_qpv" in table.column_names:
                rows = rows[np.array(table["geographie_qpv"].to_pylist(), object)[rows] == geography]
            row, qpv = locator.within_reach(geometries.take(rows), radius[rows])
            counts = np.bincount(qpv, minlength=len(locator.codes))
            self._possible[first : first + len(counts)] += counts
            self.unplaced -= len(np.unique(row))
        if self._columns:
            self._numbers.append(_numbers(column, self._columns, located))

    def _locators(self) -> Iterator[tuple[Locator, int, str]]:
        """Yield the locator of each geography, and the position of its first QPV among all."""
        yield self._locator, 0, "QPV 2024"
        if (former := self._locator.former) is not None:
            yield former, len(self._locator.codes) - len(former.codes), "QPV 2015"

    @property
    def qpv(self) -> list[list[Any]]:
        """The QPV that have rows, or may have, by code.

        Of each: code, name, the rows that are certain, across its limit, uncertain, at least and at most.
        """
        counts = [*self._counts, self._sure, self._counts.sum(axis=0)]
        columns = self._locator.codes, self._locator.labels, *(column.tolist() for column in counts)
        return sorted(list(row) for row in zip(*columns, strict=True) if row[-1])

    @property
    def streets(self) -> list[Row]:
        """The streets that have numbers in a QPV, or may have, by commune and name.

        Of each: commune, name, how many numbers of how many are in a QPV, at least and at most, of how many.
        """
        if not self._numbers:
            return []
        # A number that stands in several chunks is one.
        numbers = pd.concat(self._numbers).groupby(list(STREET), as_index=False)["state"].max()
        states = numbers.assign(least=numbers["state"] == _SURE, most=numbers["state"] > 0, size=1)
        found = states.groupby(["commune", "street"], as_index=False)[["least", "most", "size"]].sum()
        found = found[found["most"] > 0]
        spans = map(Span, found["least"], found["most"])
        found.insert(2, "text", list(map(numbers_of, spans, found["size"])))
        rows: list[Row] = found.to_numpy(object).tolist()
        return rows


def _numbers(column: Callable[[str], pa.Array], columns: Mapping[str, str], located: Located) -> pd.DataFrame:
    """Return the numbers of streets in a chunk, and whether they are in a QPV: `_SURE`, perhaps (1), not."""
    state = np.select(
        [located.en_qpv == Answer.OUI, np.isin(located.en_qpv, (Answer.INCERTAIN, Answer.A_CHEVAL))],
        [_SURE, 1],
    )
    texts = {
        part: [(cell or "").strip() for cell in column(columns[part]).cast(pa.string()).to_pylist()]
        if part in columns
        else ""
        for part in STREET
    }
    frame = pd.DataFrame({"state": state, **texts})
    readable = located.en_qpv != Answer.ILLISIBLE
    named = (frame["street"] != "") & (frame["number"] != "")
    states: pd.DataFrame = frame[readable & named].groupby(list(STREET), as_index=False)["state"].max()
    return states


def check_report(path: Path, *, force: bool) -> None:
    """Refuse a report of another kind, and one that exists."""
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigurationError(f"--report {path.name}: its name ends with .xlsx or .html")
    if path.exists() and not force:
        raise ConfigurationError(f"{path} exists: give --force to replace it, or another --report")


def write_report(path: Path, summary: "LocateSummary", tally: Tally, name: str, territory: str) -> None:
    """Write the report of a file as a workbook or as a page, by the suffix of its name."""
    answers = summary.answers
    readable = summary.rows - answers["illisible"]
    across = answers.get("à cheval", 0)
    total = Span(answers["oui"], answers["oui"] + across + answers["incertain"])
    lines = [
        ("Fichier", name),
        ("Publication", f"{summary.release}, {territory}"),
        ("En QPV", f"{span(total)} sur {counted(readable, 'ligne lisible')} ({shares(total, readable)})"),
        *((word.capitalize(), counted(answers[word], "ligne")) for word in _ORDER if word in answers),
    ]
    notes = [
        "Au moins : les seules lignes certaines. Au plus : aussi les lignes incertaines et celles à cheval.",
        "Les parts sont celles des lignes lisibles.",
    ]
    if answers["incertain"]:
        notes.append(
            "Une ligne incertaine est comptée, au plus, dans chaque QPV à portée de sa précision : la somme"
            " des « au plus » peut dépasser le total."
        )
    if tally.unplaced:
        notes.append(
            f"Dans le seul total : {counted(tally.unplaced, 'ligne incertaine')}, de précision inconnue, ou"
            " là où la publication ne connaît pas les QPV, à cet endroit ou à cette date."
        )
    qpv = [[*row, *_parts(Span(*row[-2:]), readable)] for row in tally.qpv]
    page: dict[str, Any] = {
        "title": "Lignes en quartier prioritaire",
        "lines": lines,
        "notes": list(map(typeset, notes)),
        "tables": [("Par QPV", "QPV", _QPV, qpv), ("Par rue", "Rues", _STREETS, tally.streets)],
    }
    if path.suffix.lower() == ".html":
        path.write_text(secured(render("qpv_geo.locate", "compte.html", **page)), encoding="utf-8")
    else:
        _write_workbook(path, **page)


def span(of: Span) -> str:
    """Write a span: ``12``, or ``12 à 14``."""
    return number(of.least) if of.least == of.most else f"{number(of.least)} à {number(of.most)}"


def shares(of: Span, rows: int) -> str:
    """Write the shares of a span in so many rows: ``3,2 %``, or ``3,2 % à 4 %``; empty if there are none."""
    low, high = (percentage(part) for part in _parts(of, rows)) if rows else ("", "")
    return low if low == high else f"{low} à {high}"


def numbers_of(in_qpv: Span, size: int) -> str:
    """Write how many numbers of a street are in a QPV: ``12 numéros sur 40``."""
    return f"{span(in_qpv)} {'numéro' if in_qpv.most <= 1 else 'numéros'} sur {number(size)}"


def _write_workbook(
    path: Path, title: str, lines: Sequence[tuple[str, str]], notes: Sequence[str], tables: Sequence[_Table]
) -> None:
    options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(path, options) as book:
        formats = CellFormats(book)
        sheet = book.add_worksheet("Synthèse")
        sheet.write_string(0, 0, title, formats.title)
        for row, (word, text) in enumerate(lines, 2):
            sheet.write_string(row, 0, word)
            sheet.write_string(row, 1, text, formats.plain(text))
        for row, note in enumerate(notes, len(lines) + 3):
            sheet.write_string(row, 1, note, formats.text)
            sheet.set_row(row, height_of([(note, _NOTE_WIDTH)]))
        sheet.set_column(0, 0, 14)
        sheet.set_column(1, 1, _NOTE_WIDTH)
        set_page(sheet)
        for _, name, heading, rows in tables:
            if rows or name == "QPV":
                sheet = book.add_worksheet(name)
                sheet.write_row(0, 0, heading, formats.heading)
                for row, cells in enumerate(rows, 1):
                    _write_row(sheet, formats, row, cells)
                finish_table(sheet, 0, len(rows), [*heading.values()])


def _write_row(sheet: Worksheet, formats: CellFormats, row: int, cells: Row) -> None:
    for column, cell in enumerate(cells):
        if isinstance(cell, str):
            sheet.write_string(row, column, cell, formats.plain(cell))
        else:
            share = isinstance(cell, float)
            sheet.write_number(row, column, cell, formats.number(1 if share else 0, "%" if share else ""))


def _parts(of: Span, rows: int) -> tuple[float, float]:
    return of.least * 100 / rows, of.most * 100 / rows
