"""Bytes in either encoding of French publishers, and cells, as clean text that every format can hold."""

import codecs
from collections.abc import Sequence

import numpy as np
import pandas as pd

from qpv_geo.characters import forbidden_character, is_binary, printable
from qpv_geo.checks import Check, check_none
from qpv_geo.errors import SourceContentError
from qpv_geo.french import capitalised
from qpv_geo.ingest.contracts import Names, Problems, shown
from qpv_geo.sources.file_kinds import kind_of

_EXPECTED = "text without control characters, which XML cannot hold"

# A boolean is a number as well.
_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "a boolean"),
    ((int, float, np.number), "a number"),
    (dict, "an object"),
    (list, "a list"),
)

# How the official exports write that there is nothing.
_NOTHING = ("", "NA")


def decode(data: bytes, label: str) -> tuple[str, str]:
    """Return the text of a file, without byte-order mark, and the name of its encoding.

    UTF-8 is the rule; what is not UTF-8 is Windows-1252, as INSEE's older files are. In Windows-1252 a French
    accented letter is one byte that UTF-8 only allows in pairs, so that one is not taken for the other.
    Raises `SourceContentError` if the file is empty, a web page, or not text in either encoding.
    """
    refuse_page(data, label)
    kind = kind_of(data)
    if kind.name not in {"text", "json"} or is_binary(data):
        found = "binary data" if kind.name in {"text", "json"} else kind.description
        raise SourceContentError(f"{label}: expected text in UTF-8 or Windows-1252, found {found}")
    try:
        return data.decode("utf-8-sig"), "UTF-8"
    except UnicodeDecodeError:
        pass
    try:
        return data.decode("cp1252"), "Windows-1252"
    except UnicodeDecodeError as error:
        raise SourceContentError(
            f"{label}: expected text in UTF-8 or Windows-1252, found byte "
            f"{error.object[error.start]:#04x} at position {error.start}, which neither has"
        ) from error


def refuse_page(data: bytes, label: str) -> None:
    """Raise `SourceContentError` if the bytes are empty or a web page: no data file begins with ``<``."""
    kind = kind_of(data).name
    if kind == "empty":
        raise SourceContentError(f"{label}: the file is empty")
    if kind == "markup":
        beginning = data[:1024].removeprefix(codecs.BOM_UTF8).lstrip()[:40].decode("utf-8", "replace")
        raise SourceContentError(
            f"{label}: expected a data file, found a web page or an error document ({beginning!r}…). "
            "The site may be down or the file may have moved: open its address in a browser"
        )


def report_reading(remarks: Sequence[str], found: str, subject: str) -> Check:
    """Return the check on how a file was read: what was in it, and what was unusual."""
    message = sentence(remarks) or "Fichier lu sans remarque."
    return check_none("lecture_du_fichier", subject, remarks, message, counts=("", found))


def sentence(remarks: Sequence[str]) -> str:
    """Join remarks into a French sentence, empty without remarks."""
    text = " ; ".join(remarks)
    return text and f"{capitalised(text)}."


def clean_text(values: pd.Series) -> pd.Series:
    """Return values as stripped text (objects, `str` or None), None where there is nothing.

    Whole floats lose their decimal point (``25056.0`` is the code 25056): an export that met a missing code
    stores the whole column as floats. Zeros that such a column lost are not put back: a contract finds them.
    """
    missing = values.isna().to_numpy()
    if pd.api.types.is_float_dtype(values.dtype):
        numbers = values.to_numpy(dtype="float64", na_value=np.nan)
        whole = np.isfinite(numbers) & (numbers == np.floor(numbers)) & (np.abs(numbers) < 2**53)
        text = values.astype(object)
        text[whole] = numbers[whole].astype("int64")
        text = text.astype("str")
    else:
        text = values.astype("str")
    text = text.str.strip()
    return text.astype(object).where(~(missing | text.isin(_NOTHING).to_numpy()), None)


def decimal_numbers(text: pd.Series) -> pd.Series:
    """Return texts, with a decimal comma or point, as numbers; NaN for what is not a finite one."""
    numbers = pd.to_numeric(text.str.replace(",", ".", regex=False), errors="coerce").astype("float64")
    return numbers.where(np.isfinite(numbers))


def check_characters(
    values: Sequence[object] | pd.Series, where: Names, problems: Problems, column: str = ""
) -> None:
    """Add a problem for each text that XML cannot hold; what is not text is passed over.

    Call it before anything else touches the cells: Arrow's strings refuse a lone surrogate.
    """
    # One search over all cells costs a hundredth of one search in each.
    if not forbidden_character("".join(value for value in values if isinstance(value, str))):
        return
    for place, value in zip(where, values, strict=True):
        if isinstance(value, str) and (found := forbidden_character(value)):
            problems.add(_EXPECTED, f"{shown(value)} ({found})", column=column, where=place)


def check_cells(cells: pd.DataFrame, where: Names, problems: Problems) -> None:
    """Add a problem for each cell of a table, and each name of a column, that XML cannot hold."""
    columns = [str(column) for column in cells.columns]
    check_characters(columns, np.full(len(columns), "the header", dtype=object), problems)
    for position, column in enumerate(columns):
        check_characters(cells.iloc[:, position], where, problems, printable(column))


def check_labels(values: Sequence[object] | pd.Series, where: Names, problems: Problems, column: str) -> None:
    """Add a problem for each label that is not text; a missing one is left to its contract.

    The values must be as the file has them: a reader that gives a column one type hides a number among texts.
    """
    for place, value in zip(where, values, strict=True):
        if not isinstance(value, str) and (isinstance(value, dict | list) or not pd.isna(value)):
            kind = next((words for types, words in _KINDS if isinstance(value, types)), "not text")
            problems.add("text", f"{shown(str(value))}, {kind}", column=column, where=place)
