"""The report of a file that was located, in French: counts and shares by QPV, at least and at most."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import xlsxwriter
from xlsxwriter.worksheet import Worksheet

from qpv_geo.errors import ConfigurationError
from qpv_geo.formats.xlsx_cells import CellFormats, finish_table, height_of, set_page
from qpv_geo.french import counted, number, percentage
from qpv_geo.locate.tally import Span, StreetCount, Tally
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

Row = Sequence[str | int | float]


class LocateReport(NamedTuple):
    """What a report says."""

    title: str
    lines: Sequence[tuple[str, str]]
    """A word and what it is, one under the other."""
    notes: Sequence[str]
    qpv: Sequence[Row]
    streets: Sequence[Row]


def check_report(path: Path, *, force: bool) -> None:
    """Refuse a report of another kind, and one that exists."""
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigurationError(f"--report {path.name}: its name ends with .xlsx or .html")
    if path.exists() and not force:
        raise ConfigurationError(f"{path} exists: give --force to replace it, or another --report")


def report_of(summary: "LocateSummary", tally: Tally, name: str, territory: str) -> LocateReport:
    """Return the report of a file."""
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
    qpv: list[Row] = [[*each, *each.span, *_parts(each.span, readable)] for each in tally.qpv]
    streets: list[Row] = [
        [each.commune, each.name, numbers(each), *each.span, each.numbers] for each in tally.streets
    ]
    return LocateReport("Lignes en quartier prioritaire", lines, tuple(map(typeset, notes)), qpv, streets)


def span(of: Span) -> str:
    """Write a span: ``12``, or ``12 à 14``."""
    return number(of.least) if of.least == of.most else f"{number(of.least)} à {number(of.most)}"


def shares(of: Span, rows: int) -> str:
    """Write the shares of a span in so many rows: ``3,2 %``, or ``3,2 % à 4 %``; empty if there are none."""
    low, high = (percentage(part) for part in _parts(of, rows)) if rows else ("", "")
    return low if low == high else f"{low} à {high}"


def numbers(street: StreetCount) -> str:
    """Write how many numbers of a street are in a QPV: ``12 numéros sur 40``."""
    plural = "numéro" if street.span.most <= 1 else "numéros"
    return f"{span(street.span)} {plural} sur {number(street.numbers)}"


def write_report(path: Path, report: LocateReport) -> None:
    """Write a report as a workbook or as a page, by the suffix of its name."""
    if path.suffix.lower() == ".html":
        tables = [("Par QPV", _QPV, report.qpv), ("Par rue", _STREETS, report.streets)]
        page = render("qpv_geo.locate", "compte.html", report=report, tables=tables)
        path.write_text(secured(page), encoding="utf-8")
        return
    options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(path, options) as book:
        formats = CellFormats(book)
        sheet = book.add_worksheet("Synthèse")
        sheet.write_string(0, 0, report.title, formats.title)
        for row, (word, text) in enumerate(report.lines, 2):
            sheet.write_string(row, 0, word)
            sheet.write_string(row, 1, text, formats.plain(text))
        for row, note in enumerate(report.notes, len(report.lines) + 3):
            sheet.write_string(row, 1, note, formats.text)
            sheet.set_row(row, height_of([(note, _NOTE_WIDTH)]))
        sheet.set_column(0, 0, 14)
        sheet.set_column(1, 1, _NOTE_WIDTH)
        set_page(sheet)
        for name, heading, rows in (("QPV", _QPV, report.qpv), ("Rues", _STREETS, report.streets)):
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
