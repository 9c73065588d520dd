"""One XLSX workbook with the attributes of every layer, typed, under French headings."""

from collections.abc import Mapping
from datetime import datetime
from io import BytesIO
from pathlib import Path

import pandas as pd
import xlsxwriter
import xlsxwriter.utility
from xlsxwriter.format import Format
from xlsxwriter.workbook import Workbook
from xlsxwriter.worksheet import Worksheet

from qpv_geo.errors import PublicationError
from qpv_geo.formats.base import Content
from qpv_geo.formats.csv import neutralised
from qpv_geo.formats.fields import FieldType, Layer, LayerField
from qpv_geo.formats.frames import Frames

# Limits of the format (ECMA-376, as Excel documents them).
_ROWS, _LETTERS = 1_048_576, 32_767
_NARROWEST, _WIDEST = 9, 60
_SEEN = 200
READ_ME, FIELDS = "lisez-moi", "champs"
_DISCLAIMER = (
    "Données jointes et transformées par qpv-geo : ce classeur n'engage pas les producteurs des sources, "
    "qui ne l'ont ni approuvé ni cautionné. Mentions à reproduire : feuille « sources »."
)


def write_xlsx(folder: Path, content: Content) -> None:
    """Write a workbook: what it is, one sheet per layer, the fields explained.

    Numbers, booleans and dates are typed; codes are texts, so that they keep their zeros; a missing value is
    an empty cell. Numbers have sixteen significant digits, one more than spreadsheets show. A text that a
    spreadsheet would run as a formula is a text cell with the property *quote prefix*: its value is
    unchanged, and it stays a text when somebody edits the cell. A layer that does not fit into a sheet is a
    `PublicationError`.
    """
    spec, frames, layers = content.spec, content.frames, content.layers
    _refuse_what_does_not_fit(frames, layers)
    path = folder / f"qpv_{spec.territory.id}.xlsx"
    # Everything is a text unless it is written as a number.
    options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    data = BytesIO()
    with xlsxwriter.Workbook(data, options) as workbook:
        midnight = datetime(spec.newest.year, spec.newest.month, spec.newest.day)  # noqa: DTZ001 - the format has no zones
        workbook.set_properties({"title": spec.title, "author": "qpv-geo", "created": midnight})
        formats = _Formats(workbook)
        texts = [spec.title, spec.origin, _DISCLAIMER]
        _write_read_me(workbook.add_worksheet(READ_ME), formats, frames, layers, texts)
        for name, frame in frames.items():
            _write_layer(workbook.add_worksheet(name), formats, frame, layers[name])
        _write_fields(workbook.add_worksheet(FIELDS), formats, [layers[name] for name in frames])
    path.write_bytes(data.getbuffer())


# What a cell of a conformed layer may hold.
_Value = str | float | bool | pd.Timestamp


class _Formats:
    """The formats of cells, which a workbook declares once."""

    def __init__(self, workbook: Workbook) -> None:
        self.heading: Format = workbook.add_format(
            {"bold": True, "text_wrap": True, "valign": "top", "bottom": 1, "bg_color": "#E9EDF3"}
        )
        self.title: Format = workbook.add_format({"bold": True, "font_size": 14})
        self.quoted: Format = workbook.add_format({"quote_prefix": True})
        self.number: dict[FieldType, Format | None] = {
            "integer": workbook.add_format({"num_format": "#,##0"}),
            "real": workbook.add_format({"num_format": "#,##0.00"}),
            "date": workbook.add_format({"num_format": "dd/mm/yyyy"}),
            "datetime": workbook.add_format({"num_format": "dd/mm/yyyy hh:mm:ss"}),
        }


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


def _write_layer(sheet: Worksheet, formats: _Formats, frame: pd.DataFrame, layer: Layer) -> None:
    for column, (name, field) in enumerate(layer.fields.items()):
        heading = _heading(field)
        sheet.write_string(0, column, heading, formats.heading)
        texts = _write_column(sheet, formats, column, frame[name], field.type)
        widest = max((len(text) for text in (*texts[:_SEEN], *heading.split())), default=0)
        sheet.set_column(column, column, min(max(widest + 2, _NARROWEST), _WIDEST))
    _finish(sheet, len(frame), len(layer.fields))


def _heading(field: LayerField) -> str:
    return f"{field.alias} ({field.unit})" if field.unit else field.alias


def _write_column(
    sheet: Worksheet, formats: _Formats, column: int, values: pd.Series, kind: FieldType
) -> list[str]:
    """Write the cells below a heading and return what they show, roughly, to give the column its width."""
    shown = []
    for row, (value, missing) in enumerate(zip(values, values.isna(), strict=True), 1):
        if not missing:
            _write_cell(sheet, formats, (row, column), value, kind)
            shown.append(str(value))
    return shown


def _write_cell(
    sheet: Worksheet, formats: _Formats, cell: tuple[int, int], value: _Value, kind: FieldType
) -> None:
    if isinstance(value, str):
        sheet.write_string(*cell, value, formats.quoted if neutralised(value) != value else None)
    elif kind == "boolean":
        sheet.write_boolean(*cell, bool(value))
    elif isinstance(value, pd.Timestamp):
        sheet.write_datetime(*cell, value.to_pydatetime().replace(tzinfo=None), formats.number[kind])
    else:
        sheet.write_number(*cell, value, formats.number[kind])


def _finish(sheet: Worksheet, rows: int, columns: int) -> None:
    """Keep the heading in sight, offer filters, and do not mark codes as numbers written as texts."""
    sheet.freeze_panes(1, 1)
    sheet.autofilter(0, 0, rows, columns - 1)
    sheet.ignore_errors(
        {"number_stored_as_text": f"A1:{xlsxwriter.utility.xl_rowcol_to_cell(rows, columns - 1)}"}
    )


def _write_read_me(
    sheet: Worksheet, formats: _Formats, frames: Frames, layers: Mapping[str, Layer], lines: list[str]
) -> None:
    for row, line in enumerate(lines):
        sheet.write_string(row, 0, line, None if row else formats.title)
    first = len(lines) + 1
    for column, heading in enumerate(("Feuille", "Contenu", "Lignes")):
        sheet.write_string(first, column, heading, formats.heading)
    for row, (name, frame) in enumerate(frames.items(), first + 1):
        sheet.write_url(row, 0, f"internal:'{name}'!A1", string=name)
        sheet.write_string(row, 1, f"{layers[name].title}. {layers[name].abstract}")
        sheet.write_number(row, 2, len(frame))
    sheet.set_column(0, 0, 24)
    sheet.set_column(1, 1, 100)


def _write_fields(sheet: Worksheet, formats: _Formats, layers: list[Layer]) -> None:
    headings = ("Feuille", "Champ", "Titre", "Unité", "Description")
    rows = [
        (layer.name, name, field.alias, field.unit, field.description)
        for layer in layers
        for name, field in layer.fields.items()
    ]
    for column, heading in enumerate(headings):
        sheet.write_string(0, column, heading, formats.heading)
        sheet.set_column(column, column, (22, 34, 60, 12, 90)[column])
    for row, texts in enumerate(rows, 1):
        for column, text in enumerate(texts):
            sheet.write_string(row, column, text)
    _finish(sheet, len(rows), len(headings))
