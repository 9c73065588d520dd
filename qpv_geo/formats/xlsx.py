"""One XLSX workbook with the attributes of every layer, typed, under French headings."""

from collections.abc import Mapping
from datetime import datetime
from io import BytesIO
from pathlib import Path

import pandas as pd
import xlsxwriter
from xlsxwriter.worksheet import Worksheet

from qpv_geo.errors import PublicationError
from qpv_geo.formats.base import Content
from qpv_geo.formats.fields import FieldType, Layer, LayerField
from qpv_geo.formats.frames import Frames
from qpv_geo.formats.xlsx_cells import CellFormats, decimals_shown, finish_table, height_of, set_page
from qpv_geo.formats.xlsx_synthesis import SYNTHESIS, write_synthesis
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


def write_xlsx(folder: Path, content: Content) -> None:
    """Write a workbook: the essential figures, what it is, one sheet per layer, the fields explained.

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
        texts = [spec.title, spec.origin, _DISCLAIMER]
        _write_read_me(workbook.add_worksheet(READ_ME), formats, frames, layers, texts)
        for name, frame in frames.items():
            _write_layer(workbook.add_worksheet(name), formats, frame, layers[name])
        _write_fields(workbook.add_worksheet(FIELDS), formats, [layers[name] for name in frames])
    path.write_bytes(data.getbuffer())


# What a cell of a conformed layer may hold.
_Value = str | float | bool | pd.Timestamp


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
        _write_cell(sheet, formats, (row, column), value, (field.type, decimals))
        shown.append(f"{value:.{_MOST}g}" if field.type == "real" else str(value))
    return shown


def _write_cell(
    sheet: Worksheet,
    formats: CellFormats,
    cell: tuple[int, int],
    value: _Value,
    form: tuple[FieldType, int | None],
) -> None:
    kind, decimals = form
    if isinstance(value, str):
        sheet.write_string(*cell, value, formats.plain(value))
    elif kind == "boolean":
        sheet.write_boolean(*cell, bool(value))
    elif isinstance(value, pd.Timestamp):
        sheet.write_datetime(*cell, value.to_pydatetime().replace(tzinfo=None), formats.moment[kind])
    else:
        shown = decimals_shown([value]) if decimals is None else decimals
        sheet.write_number(*cell, value, formats.number(shown))


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
