"""First sheet of the workbook: the essential figures of each QPV, of all of them, and of the zones around."""

from collections.abc import Iterable

from xlsxwriter.worksheet import Worksheet

from qpv_geo.formats.base import Content
from qpv_geo.formats.essentials import Essential, TerritorySummary
from qpv_geo.formats.figures import Figure
from qpv_geo.formats.summaries import summaries_of
from qpv_geo.formats.xlsx_cells import CellFormats, finish_table
from qpv_geo.french import number
from qpv_geo.typography import typeset

SYNTHESIS = "Synthèse"
_ZONE, _CODE, _VALUE, _RANK = 30, 11, 16, 8
_HEADING_HEIGHT = 45
_NOTE = (
    "Rang parmi les QPV de métropole qui ont une valeur (1 : la plus élevée). Intervalles de confiance, "
    "statuts et sources : feuille « statistiques »."
)


def write_synthesis(sheet: Worksheet, formats: CellFormats, content: Content) -> None:
    """Write the essential figures, a zone per row; of a QPV, also its rank in metropolitan France."""
    summaries = summaries_of(content)
    territory = summaries.territory
    sheet.write_string(0, 0, typeset(content.spec.title), formats.title)
    lines = [*territory.sentences, _NOTE]
    for row, line in enumerate(map(typeset, lines), 1):
        sheet.write_string(row, 0, line, formats.plain(line))
    row = top = len(lines) + 2
    _write_headings(sheet, formats, top, territory)
    for row, summary in enumerate(summaries.qpv.values(), top + 1):
        sheet.write_string(row, 0, summary.zone.name, formats.plain(summary.zone.name))
        sheet.write_string(row, 1, summary.zone.code)
        _write_figures(sheet, formats, row, (essential.figure for essential in summary.essentials))
    rows = row - top
    row += 1
    sheet.write_string(row, 0, "Ensemble des QPV du territoire", formats.total)
    sheet.write_blank(row, 1, None, formats.total)
    _write_figures(sheet, formats, row, (each.figure for each in territory.essentials), total=True)
    for name, figures in _comparisons(territory.essentials):
        row += 1
        sheet.write_string(row, 0, name, formats.plain(name))
        _write_figures(sheet, formats, row, figures)
    finish_table(sheet, top, rows, [_ZONE, _CODE, *[_VALUE, _RANK] * len(territory.essentials)])


def _write_headings(sheet: Worksheet, formats: CellFormats, top: int, territory: TerritorySummary) -> None:
    headings = ["Quartier", "Code"]
    for place, essential in enumerate(territory.essentials):
        ranked = (one for summary in territory.qpv if (one := summary.essentials[place]).is_ranked)
        among = next((f" sur {number(one.figure.among)}" for one in ranked), "")
        headings += [f"{essential.plan.title} ({essential.figure.vintage})", f"Rang{among}"]
    sheet.write_row(top, 0, map(typeset, headings), formats.heading)
    sheet.set_row(top, _HEADING_HEIGHT)


def _write_figures(
    sheet: Worksheet, formats: CellFormats, row: int, figures: Iterable[Figure | None], *, total: bool = False
) -> None:
    for place, figure in enumerate(figures):
        column = 2 + 2 * place
        if total:
            sheet.write_blank(row, column + 1, None, formats.total)
        if figure is None:
            continue
        if not figure.present:
            sheet.write_string(row, column, figure.text, formats.absent)
            continue
        form = formats.number(figure.decimals, figure.indicator.unit, total=total)
        sheet.write_number(row, column, figure.value, form)
        if figure.ranked:
            sheet.write_number(row, column + 1, figure.rank, formats.number(0))


def _comparisons(essentials: Iterable[Essential]) -> Iterable[tuple[str, list[Figure | None]]]:
    """Return the zones that the QPV taken together are compared with, and the figures that each has."""
    zones = {beside.zone.code: beside.zone for essential in essentials for beside in essential.comparisons}
    for code, zone in zones.items():
        sides = [[b.other for b in essential.comparisons if b.zone.code == code] for essential in essentials]
        yield zone.name, [next(iter(others), None) for others in sides]
