"""The sheet *Santé* of the workbook, to be read: QPV side by side, larger territories apart below."""

from collections.abc import Iterable, Mapping, Sequence

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


def write_health(sheet: Worksheet, formats: CellFormats, content: Content) -> None:
    """Write the rows of ``sante``: those of QPV in a column each, then of IRIS, then of larger zones."""
    figures = health_of(content)
    every = [figure for code in figures for figure in figures[code]]
    names = {zone.code: zone.name for zone in qpv_zones(content.frames)}
    sheet.write_string(0, 0, typeset(f"{HEALTH} : {content.spec.territory.nom}"), formats.title)
    for row, note in enumerate(map(typeset, _NOTES), 1):
        sheet.write_string(row, 0, note)
    top = len(_NOTES) + 2
    rows = _write_side_by_side(sheet, formats, top, names, [one for one in every if one.own])
    row = top + rows + 2
    of_iris = [one for one in every if one.zone.kind == IRIS]
    if of_iris:
        sheet.write_string(row, 0, typeset(_OF_IRIS), formats.total)
        headed = {code: f"IRIS : {name}" for code, name in names.items()}
        row += _write_side_by_side(sheet, formats, row + 1, headed, of_iris) + 3
    others = dict.fromkeys(one for one in every if one.zone.kind not in {OWN, IRIS})
    if others:
        sheet.write_string(row, 0, typeset(_OF_OTHERS), formats.total)
        _write_by_zone(sheet, formats, row + 1, list(others))
    finish_table(sheet, top, rows, [*_WIDTHS, *[_WIDTH] * max(len(names), 2)])


def _write_side_by_side(
    sheet: Worksheet,
    formats: CellFormats,
    top: int,
    names: Mapping[str, str],
    figures: Iterable[HealthFigure],
) -> int:
    """Write a line for each measure, a column for each QPV; return how many lines there are."""
    lines: dict[_Key, dict[str, HealthFigure]] = {}
    for figure in figures:
        lines.setdefault(_key_of(figure), {})[figure.zone.code] = figure
    _write_headings(sheet, formats, top, [*_HEADINGS, *names.values()])
    for row, (key, by_code) in enumerate(lines.items(), top + 1):
        _write_key(sheet, formats, row, key)
        for column, code in enumerate(names, len(_HEADINGS)):
            if code in by_code:
                write_figure(sheet, formats, (row, column), by_code[code])
    return len(lines)


def _write_by_zone(sheet: Worksheet, formats: CellFormats, top: int, figures: Sequence[HealthFigure]) -> None:
    """Write a line for each measure and zone, which is named."""
    _write_headings(sheet, formats, top, [*_HEADINGS, "Territoire", "Valeur"])
    for row, figure in enumerate(figures, top + 1):
        _write_key(sheet, formats, row, _key_of(figure))
        sheet.write_string(row, len(_HEADINGS), figure.zone.name, formats.plain(figure.zone.name))
        write_figure(sheet, formats, (row, len(_HEADINGS) + 1), figure)


def _key_of(figure: HealthFigure) -> _Key:
    return figure.label, figure.heading, figure.mesh_title, figure.unit, figure.vintage


def _write_headings(sheet: Worksheet, formats: CellFormats, top: int, headings: Iterable[str]) -> None:
    for column, heading in enumerate(map(typeset, headings)):
        # Some are names of QPV.
        form = formats.quoted_heading if formats.plain(heading) else formats.heading
        sheet.write_string(top, column, heading, form)
    sheet.set_row(top, _HEADING_HEIGHT)


def _write_key(sheet: Worksheet, formats: CellFormats, row: int, key: _Key) -> None:
    for column, text in enumerate(key):
        sheet.write_string(row, column, text, formats.plain(text))
