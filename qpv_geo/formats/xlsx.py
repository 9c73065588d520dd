"""One XLSX workbook with the attributes of every layer, typed, under French headings."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from io import BytesIO
from pathlib import Path

import pandas as pd
import xlsxwriter
from xlsxwriter.worksheet import Worksheet

from qpv_geo.errors import PublicationError
from qpv_geo.formats.base import Content
from qpv_geo.formats.essentials import TerritorySummary
from qpv_geo.formats.fields import Layer, LayerField
from qpv_geo.formats.figures import Figure, qpv_zones
from qpv_geo.formats.frames import Frames
from qpv_geo.formats.health import IRIS, OWN, TABLE, HealthFigure, health_of
from qpv_geo.formats.summaries import summaries_of
from qpv_geo.formats.xlsx_cells import (
    CellFormats,
    decimals_shown,
    finish_table,
    height_of,
    set_page,
    write_figure,
)
from qpv_geo.french import number
from qpv_geo.typography import typeset

# Limits of the format (ECMA-376, as Excel documents them).
_ROWS, _LETTERS = 1_048_576, 32_767
_NARROWEST, _WIDEST = 9, 60
_SEEN = 200
# Digits of a number that its column has room for.
_MOST = 12
READ_ME, FIELDS = "lisez-moi", "champs"
_READ_ME_WIDTHS, _FIELDS_WIDTHS = (24, 100, 8), (22, 34, 60, 12, 90)
_DISCLAIMER = (
    "Données jointes et transformées par qpv-geo : ce classeur n'engage pas les producteurs des sources, "
    "qui ne l'ont ni approuvé ni cautionné. Mentions à reproduire : feuille « sources »."
)
SYNTHESIS = "Synthèse"
_ZONE, _CODE, _VALUE, _RANK = 30, 11, 16, 8
_HEADING_HEIGHT = 45
_NOTE = (
    "Rang parmi les QPV de métropole qui ont une valeur (1 : la plus élevée). Intervalles de confiance, "
    "statuts et sources : feuille « statistiques »."
)

HEALTH = "Santé"
# Widths of the columns that name a measure, and of those of its values.
_MEASURE = {"Mesure": 60, "Rubrique": 22, "Maille": 27, "Unité": 34, "Millésime": 11}
_HEALTH_WIDTH, _HEALTH_HEADING_HEIGHT = 18, 30
_HEALTH_NOTES = (
    "Chaque ligne dit de quel territoire est sa valeur (maille). Ce qui n'est pas du quartier est plus bas.",
    "Une valeur absente porte son motif. Intervalles, rangs, sources et remarques : feuille « sante ».",
)
_OF_IRIS = "IRIS qui couvrent les quartiers : ces chiffres ne sont pas exactement les leurs"
_OF_OTHERS = "Communes, EPCI, département, France : ces chiffres ne sont pas ceux des quartiers"

_Key = tuple[str, str, str, str, str]
_Line = tuple[_Key, Sequence[str | HealthFigure | None]]


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
    for zone, figures in territory.compared.items():
        row += 1
        sheet.write_string(row, 0, zone.name, formats.plain(zone.name))
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
        write_figure(sheet, formats, (row, column), figure, total=total)
        if figure.present and figure.ranked:
            sheet.write_number(row, column + 1, figure.rank, formats.number(0))


def write_health(sheet: Worksheet, formats: CellFormats, content: Content) -> None:
    """Write the rows of ``sante``: those of QPV in a column each, then of IRIS, then of larger zones."""
    figures = health_of(content)
    every = [figure for code in figures for figure in figures[code]]
    names = {zone.code: zone.name for zone in qpv_zones(content.frames)}
    sheet.write_string(0, 0, typeset(f"{HEALTH} : {content.spec.territory.nom}"), formats.title)
    for row, note in enumerate(map(typeset, _HEALTH_NOTES), 1):
        sheet.write_string(row, 0, note)
    top = len(_HEALTH_NOTES) + 2
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
    finish_table(sheet, top, len(own), [*_MEASURE.values(), *[_HEALTH_WIDTH] * max(len(names), 2)])


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
    for column, heading in enumerate(map(typeset, (*_MEASURE, *headings))):
        # Some are names of QPV.
        form = formats.quoted_heading if formats.plain(heading) else formats.heading
        sheet.write_string(top, column, heading, form)
    sheet.set_row(top, _HEALTH_HEADING_HEIGHT)
    for row, (key, cells) in enumerate(lines, top + 1):
        for column, cell in enumerate((*key, *cells)):
            if isinstance(cell, HealthFigure):
                write_figure(sheet, formats, (row, column), cell)
            elif cell is not None:
                sheet.write_string(row, column, cell, formats.plain(cell))


def write_xlsx(folder: Path, content: Content) -> None:
    """Write a workbook: essential figures, health, what it is, one sheet per layer, the fields explained.

    Numbers, booleans and dates are typed; codes are texts, so that they keep their zeros; a missing value is
    an empty cell. Numbers have sixteen significant digits, one more than spreadsheets show. A text that a
    spreadsheet would run as a formula is a text cell with the property *quote prefix*: its value is
    unchanged, and it stays a text when somebody edits the cell. A layer that does not fit into a sheet is a
    `PublicationError`.
    """
    spec, frames, layers = content.spec, content.shared, content.layers
    _refuse_what_does_not_fit(frames, layers)
    path = folder / f"qpv_{spec.territory.id}.xlsx"
    # Everything is a text unless it is written as a number.
    options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    data = BytesIO()
    with xlsxwriter.Workbook(data, options) as workbook:
        midnight = datetime(spec.newest.year, spec.newest.month, spec.newest.day)  # noqa: DTZ001 - the format has no zones
        workbook.set_properties({"title": spec.title, "author": "qpv-geo", "created": midnight})
        formats = CellFormats(workbook)
        write_synthesis(workbook.add_worksheet(SYNTHESIS), formats, content)
        if TABLE in frames:
            write_health(workbook.add_worksheet(HEALTH), formats, content)
        texts = [spec.title, spec.origin, _DISCLAIMER]
        _write_read_me(workbook.add_worksheet(READ_ME), formats, frames, layers, texts)
        for name, frame in frames.items():
            _write_layer(workbook.add_worksheet(name), formats, frame, layers[name])
        _write_fields(workbook.add_worksheet(FIELDS), formats, [layers[name] for name in frames])
    path.write_bytes(data.getbuffer())


def _refuse_what_does_not_fit(frames: Frames, layers: Mapping[str, Layer]) -> None:
    problems = []
    for name, frame in frames.items():
        if len(frame) >= _ROWS:
            problems.append(
                f"layer {name} has {len(frame)} rows, a sheet holds {_ROWS - 1} below its heading"
            )
        for column, field in layers[name].fields.items():
            texts = frame[column].dropna() if field.type == "text" else ()
            if (longest := max(map(len, texts), default=0)) > _LETTERS:
                problems.append(f"layer {name}, field {column}: {longest} letters, a cell holds {_LETTERS}")
    if problems:
        raise PublicationError(
            "the layers do not fit into a workbook, leave out the format xlsx:\n- " + "\n- ".join(problems)
        )


def _write_layer(sheet: Worksheet, formats: CellFormats, frame: pd.DataFrame, layer: Layer) -> None:
    widths = []
    for column, (name, field) in enumerate(layer.fields.items()):
        sheet.write_string(0, column, field.heading, formats.heading)
        texts = _write_column(sheet, formats, column, frame[name], field)
        widest = max((len(text) for text in (*texts[:_SEEN], *field.heading.split())), default=0)
        widths.append(min(max(widest + 2, _NARROWEST), _WIDEST))
    headings = (field.heading for field in layer.fields.values())
    sheet.set_row(0, height_of(zip(headings, widths, strict=True)))
    finish_table(sheet, 0, len(frame), widths)


def _write_column(
    sheet: Worksheet, formats: CellFormats, column: int, values: pd.Series, field: LayerField
) -> list[str]:
    """Write the cells below a heading and return what they show, roughly, to give the column its width.

    Numbers of one unit have the decimals that the column needs; those of a column of many units their own.
    """
    shown = []
    present = values[values.notna()]
    decimals = decimals_shown(present.tolist()) if field.type == "real" and field.unit else None
    for row, value in zip((values.notna().to_numpy().nonzero()[0] + 1).tolist(), present, strict=True):
        if field.type == "text":
            sheet.write_string(row, column, value, formats.plain(value))
        elif field.type == "boolean":
            sheet.write_boolean(row, column, bool(value))
        elif moment := formats.moment.get(field.type):
            sheet.write_datetime(row, column, value.to_pydatetime().replace(tzinfo=None), moment)
        else:
            form = formats.number(decimals_shown([value]) if decimals is None else decimals)
            sheet.write_number(row, column, value, form)
        shown.append(f"{value:.{_MOST}g}" if field.type == "real" else str(value))
    return shown


def _write_read_me(
    sheet: Worksheet, formats: CellFormats, frames: Frames, layers: Mapping[str, Layer], lines: list[str]
) -> None:
    for row, line in enumerate(map(typeset, lines)):
        sheet.write_string(row, 0, line, None if row else formats.title)
    first = len(lines) + 1
    sheet.write_row(first, 0, ("Feuille", "Contenu", "Lignes"), formats.heading)
    for row, (name, frame) in enumerate(frames.items(), first + 1):
        sheet.write_url(row, 0, f"internal:'{name}'!A1", formats.link, string=name)
        text = f"{layers[name].title}. {layers[name].abstract}"
        sheet.write_string(row, 1, text, formats.text)
        sheet.set_row(row, height_of([(text, _READ_ME_WIDTHS[1])]))
        sheet.write_number(row, 2, len(frame), formats.text)
    for column, width in enumerate(_READ_ME_WIDTHS):
        sheet.set_column(column, column, width)
    set_page(sheet)


def _write_fields(sheet: Worksheet, formats: CellFormats, layers: list[Layer]) -> None:
    headings = ("Feuille", "Champ", "Titre", "Unité", "Description")
    rows = [
        (layer.name, name, field.alias, field.unit, field.description)
        for layer in layers
        for name, field in layer.fields.items()
    ]
    sheet.write_row(0, 0, headings, formats.heading)
    for row, texts in enumerate(rows, 1):
        for column, text in enumerate(texts):
            sheet.write_string(row, column, text, formats.text if column == len(headings) - 1 else None)
        sheet.set_row(row, height_of([(texts[-1], _FIELDS_WIDTHS[-1])]))
    finish_table(sheet, 0, len(rows), _FIELDS_WIDTHS)
