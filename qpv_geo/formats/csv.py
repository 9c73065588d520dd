"""CSV as French spreadsheets expect it, that every other reader understands through ``datapackage.json``."""

import csv
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd

from qpv_geo.formats.base import Content
from qpv_geo.formats.fields import FieldType
from qpv_geo.formats.frames import plain_values

SEPARATOR = ";"
DECIMAL = ","
TRUE, FALSE = "VRAI", "FAUX"
LINE_END = "\r\n"
# What a spreadsheet would run as a formula: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")


def write_csv(folder: Path, content: Content) -> None:
    r"""Write each layer's attributes to ``<folder>/csv/<layer>.csv``.

    UTF-8 with a byte order mark (without it Excel reads accents wrong), ``;``, decimal comma, ``VRAI`` and
    ``FAUX``, ISO 8601 dates, empty cells for missing values, ``\r\n`` (RFC 4180). Numbers are the shortest
    decimals that read back as the same number. A text that a spreadsheet would run as a formula (it begins
    with ``=``, ``+``, ``-``, ``@``, a tab or a line break, after any number of apostrophes) gets one more
    apostrophe in front, which `restored` takes away.
    """
    folder /= "csv"
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in content.shared.items():
        fields, table = content.layers[name].fields, pd.DataFrame(frame)
        columns = [format_cells(table[column], field.type) for column, field in fields.items()]
        with (folder / f"{name}.csv").open("w", encoding="utf-8-sig", newline="") as stream:
            write_rows(stream, fields, zip(*columns, strict=True))


def write_rows(stream: TextIO, heading: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Write rows of texts below their heading."""
    writer = csv.writer(stream, delimiter=SEPARATOR, lineterminator=LINE_END)
    writer.writerow(heading)
    writer.writerows(rows)


def format_cells(column: pd.Series, kind: FieldType) -> list[str]:
    """Return a column of a conformed layer as the texts of its cells; a missing value is an empty one."""
    values = plain_values(column)
    if kind == "real":
        return ["" if value is None else _decimal(value) for value in values]
    # Other columns of long tables repeat few values.
    texts = {value: _TEXTS[kind](value) for value in set(values) - {None}} | {None: ""}
    return [texts[value] for value in values]


def neutralised(text: str) -> str:
    """Put an apostrophe before what a spreadsheet would take for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def restored(text: str) -> str:
    """Undo `neutralised`."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def _decimal(value: float) -> str:
    """Return the shortest text that reads back as the same number, without exponent or trailing zeros."""
    text = repr(value)
    if "e" in text:
        text = np.format_float_positional(value, trim="-")
    return text.removesuffix(".0").replace(".", DECIMAL)


_TEXTS: dict[FieldType, Callable[[Any], str]] = {
    "text": neutralised,
    "integer": str,
    "boolean": {True: TRUE, False: FALSE}.__getitem__,
    "date": "{:%Y-%m-%d}".format,
    "datetime": "{:%Y-%m-%dT%H:%M:%SZ}".format,
}
