"""How the cells of a workbook look: number formats by unit, headings, and sheets that print well."""

from collections.abc import Iterable, Sequence
from math import ceil

import xlsxwriter.utility
from xlsxwriter.format import Format
from xlsxwriter.workbook import Workbook
from xlsxwriter.worksheet import Worksheet

from qpv_geo.formats.csv import neutralised
from qpv_geo.formats.fields import FieldType
from qpv_geo.formats.figures import ZoneValue
from qpv_geo.french import THIN
from qpv_geo.statuses import ESTIMATE, STATUSES

_MOST_DECIMALS = 2
_A4 = 9
# Height of a line of text in points.
_LINE, _LINES_AT_MOST = 15, 6
# Width of the columns, in letters, that stay legible side by side on a landscape page.
_LETTERS_OF_PAGE = 165
_SIGNS = {"%", "€"}


class CellFormats:
    """The formats of cells, each of which a workbook declares once."""

    def __init__(self, workbook: Workbook) -> None:
        self._workbook = workbook
        self._numbers: dict[tuple[str, bool], Format] = {}
        heading = {"bold": True, "text_wrap": True, "valign": "top", "bottom": 1, "bg_color": "#E9EDF3"}
        self.heading: Format = workbook.add_format(heading)
        self.quoted_heading: Format = workbook.add_format(heading | {"quote_prefix": True})
        self.title: Format = workbook.add_format({"bold": True, "font_size": 14})
        self.total: Format = workbook.add_format({"bold": True, "top": 1})
        self.text: Format = workbook.add_format({"text_wrap": True, "valign": "top"})
        self.link: Format = workbook.add_format({"font_color": "#0563C1", "underline": 1, "valign": "top"})
        self.absent: Format = workbook.add_format({"italic": True, "font_color": "#595959", "align": "right"})
        self.quoted: Format = workbook.add_format({"quote_prefix": True})
        self.moment: dict[FieldType, Format] = {
            "date": workbook.add_format({"num_format": "dd/mm/yyyy"}),
            "datetime": workbook.add_format({"num_format": "dd/mm/yyyy hh:mm:ss"}),
        }

    def plain(self, text: str) -> Format | None:
        """Return the format of a text of others: one that looks like a formula is marked as text."""
        return self.quoted if neutralised(text) != text else None

    def number(self, decimals: int, unit: str = "", *, total: bool = False, estimate: bool = False) -> Format:
        """Return the format of numbers with so many decimals, with the unit if that is a sign.

        An estimate is called one in its cell, which stays a number.
        """
        code = "#,##0" + (f".{'0' * decimals}" if decimals else "")
        if unit in _SIGNS:
            code += f'"{THIN}{unit}"'
        if estimate:
            code += f'" ({STATUSES[ESTIMATE].words})"'
        if (code, total) not in self._numbers:
            look = {"num_format": code} | ({"bold": True, "top": 1} if total else {})
            self._numbers[code, total] = self._workbook.add_format(look)
        return self._numbers[code, total]


def write_figure(
    sheet: Worksheet, formats: CellFormats, cell: tuple[int, int], figure: ZoneValue, *, total: bool = False
) -> None:
    """Write a value as a number with its unit, or the words of its status."""
    if figure.present:
        estimate = figure.status == ESTIMATE
        form = formats.number(figure.decimals, figure.unit, total=total, estimate=estimate)
        sheet.write_number(*cell, figure.value, form)
    else:
        sheet.write_string(*cell, figure.short, formats.absent)


def height_of(texts: Iterable[tuple[str, float]]) -> float:
    """Return the height of a row, in points, that shows wrapped texts in columns of given widths."""
    return _LINE * min(max(ceil(len(text) / max(width - 2, 1)) for text, width in texts), _LINES_AT_MOST)


def decimals_shown(values: Sequence[float]) -> int:
    """Return how many decimals numbers need to be seen whole, two at most: 3194 needs none."""
    fewer = (n for n in range(_MOST_DECIMALS) if all(round(value, n) == value for value in values))
    return next(fewer, _MOST_DECIMALS)


def finish_table(sheet: Worksheet, top: int, rows: int, widths: Sequence[float]) -> None:
    """Give a table, whose heading is row `top`, its widths, frozen heading, filters and print set-up.

    On paper the sheet is landscape and as many pages wide as its columns need; each page has the heading, the
    first column and a number. Codes are not marked as numbers written as texts.
    """
    last = len(widths) - 1
    for column, width in enumerate(widths):
        sheet.set_column(column, column, width)
    sheet.freeze_panes(top + 1, 1)
    sheet.autofilter(top, 0, top + rows, last)
    sheet.ignore_errors(
        {"number_stored_as_text": f"A1:{xlsxwriter.utility.xl_rowcol_to_cell(top + rows, last)}"}
    )
    sheet.repeat_rows(top)
    sheet.repeat_columns(0)
    set_page(sheet, ceil(sum(widths) / _LETTERS_OF_PAGE))


def set_page(sheet: Worksheet, wide: int = 1) -> None:
    """Print a sheet on landscape A4, so many pages wide, with its name and the page number below."""
    sheet.set_landscape()
    sheet.set_paper(_A4)
    sheet.set_margins(left=0.4, right=0.4, top=0.5, bottom=0.6)
    sheet.fit_to_pages(wide, 0)
    sheet.set_footer("&L&8&A&R&8Page &P sur &N")
