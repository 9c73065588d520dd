"""The sheet *Santé* of the workbook, to be read: QPV side by side, larger territories apart below."""

from collections.abc import Collection, Iterable, Sequence

from xlsxwriter.worksheet import Worksheet

from qpv_geo.formats.base import Content
from qpv_geo.formats.figures import qpv_zones
from qpv_geo.formats.health import IRIS, OWN, HealthFigure, health_of
from qpv_geo.formats.xlsx_cells import CellFormats, finish_table, write_figure
from qpv_geo.typography import typeset

HEALTH = "Santé"
_HEADINGS = ("Mesure", "Rubrique", "Maille", "Unité", "Millésime")
_WIDTHS = (60, 22, 27, 34, 11)
_WIDTH = 18
_HEADING_HEIGHT = 30
_NOTES = (
    "Chaque ligne dit de quel territoire est sa valeur (maille). Ce qui n'est pas du quartier est plus bas.",
    "Une valeur absente porte son motif. Intervalles, rangs, sources et remarques : feuille « sante ».",
)
_OF_IRIS = "IRIS qui couvrent les quartiers : ces chiffres ne sont pas exactement les leurs"
_OF_OTHERS = "Communes, EPCI, département, France : ces chiffres ne sont pas ceux des quartiers"

_Key = tuple[str, str, str, str, str]
_Line = tuple[_Key, Sequence[str | HealthFigure | None]]


def write_health(sheet: Worksheet, formats: CellFormats, content: Content) -> None:
    """Write the rows of ``sante``: those of QPV in a column each, then of IRIS, then of larger zones."""
    figures = health_of(content)
    every = [figure for code in figures for figure in figures[code]]
    names = {zone.code: zone.name for zone in qpv_zones(content.frames)}
    sheet.write_string(0, 0, typeset(f"{HEALTH} : {content.spec.territory.nom}"), formats.title)
    for row, note in enumerate(map(typeset, _NOTES), 1):
        sheet.write_string(row, 0, note)
    top = len(_NOTES) + 2
    own = _side_by_side(names, (one for one in every if one.own))
    _write_lines(sheet, formats, top, names.values(), own)
    row = top + len(own) + 2
    if of_iris := _side_by_side(names, (one for one in every if one.zone.kind == IRIS)):
        sheet.write_string(row, 0, typeset(_OF_IRIS), formats.total)
        _write_lines(sheet, formats, row + 1, (f"IRIS : {name}" for name in names.values()), of_iris)
        row += len(of_iris) + 3
    others = dict.fromkeys(one for one in every if one.zone.kind not in {OWN, IRIS})
    if others:
        sheet.write_string(row, 0, typeset(_OF_OTHERS), formats.total)
        lines: list[_Line] = [(_key_of(one), [one.zone.name, one]) for one in others]
        _write_lines(sheet, formats, row + 1, ("Territoire", "Valeur"), lines)
    finish_table(sheet, top, len(own), [*_WIDTHS, *[_WIDTH] * max(len(names), 2)])


def _side_by_side(codes: Collection[str], figures: Iterable[HealthFigure]) -> list[_Line]:
    """Return a line for each measure, with a column for each QPV."""
    lines: dict[_Key, dict[str, HealthFigure]] = {}
    for figure in figures:
        lines.setdefault(_key_of(figure), {})[figure.zone.code] = figure
    return [(key, [by_code.get(code) for code in codes]) for key, by_code in lines.items()]


def _key_of(figure: HealthFigure) -> _Key:
    return figure.label, figure.heading, figure.mesh_title, figure.unit, figure.vintage


def _write_lines(
    sheet: Worksheet, formats: CellFormats, top: int, headings: Iterable[str], lines: Iterable[_Line]
) -> None:
    for column, heading in enumerate(map(typeset, (*_HEADINGS, *headings))):
        # Some are names of QPV.
        form = formats.quoted_heading if formats.plain(heading) else formats.heading
        sheet.write_string(top, column, heading, form)
    sheet.set_row(top, _HEADING_HEIGHT)
    for row, (key, cells) in enumerate(lines, top + 1):
        for column, cell in enumerate((*key, *cells)):
            if isinstance(cell, HealthFigure):
                write_figure(sheet, formats, (row, column), cell)
            elif cell is not None:
                sheet.write_string(row, column, cell, formats.plain(cell))
