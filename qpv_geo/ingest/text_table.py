"""A table of text: what a CSV file and a sheet have in common, and how cells become values."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qpv_geo.ingest.contracts import Names
from qpv_geo.statuses import NOT_APPLICABLE, NOT_AVAILABLE, NOT_SIGNIFICANT, OK, SECRET

MARKS = {
    "s": SECRET,
    "c": SECRET,
    "nd": NOT_AVAILABLE,
    "ns": NOT_SIGNIFICANT,
    "so": NOT_APPLICABLE,
}
"""How INSEE marks that there is no value, whatever the case, and the status that says why."""

DICTIONARY = frozenset({"COD_VAR", "LIB_VAR"})
"""Columns of a producer's dictionary, in upper case."""

# Digits may be grouped by spaces, as spreadsheets export them; a separator of thousands is never guessed.
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,3}(?:[ \u00a0\u202f][0-9]{3})+|[0-9]+)(?:[.,][0-9]+)?")
_SPACES = str.maketrans({" ": None, "\u00a0": None, "\u202f": None, ",": "."})
_BOUNDS = re.compile(r"\[\s*([+-]?[0-9]+(?:[.,][0-9]+)?)\s*/\s*([+-]?[0-9]+(?:[.,][0-9]+)?)\s*\]")
_UNBOUNDED = re.compile(r"|\[[+-]?Inf/[+-]?Inf\]|non estim[ée]", re.IGNORECASE)


@dataclass(frozen=True)
class TextTable:
    """A table as its producer wrote it: stripped text, one column per column of the file, indexed from 0."""

    name: str
    label: str
    """File, member of the archive, or workbook and sheet; how errors name it."""
    cells: pd.DataFrame
    where: Names
    """Name of each row (``line 12``)."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """The producer's label of each column, by column in upper case."""
    remarks: tuple[str, ...] = ()
    """In French: what was unusual."""

    @property
    def is_dictionary(self) -> bool:
        """Whether it describes the columns of other tables."""
        return {str(column).upper() for column in self.cells.columns} >= DICTIONARY


@dataclass(frozen=True)
class Dictionary:
    """What dictionaries say of each variable (in upper case): its label, and those of its values."""

    labels: Mapping[str, str] = field(default_factory=dict)
    modalities: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def read_dictionaries(tables: list[TextTable]) -> Dictionary:
    """Gather what dictionaries say; the first label of a variable counts."""
    labels: dict[str, str] = {}
    modalities: dict[str, dict[str, str]] = {}
    for table in tables:
        cells = table.cells.rename(columns=str.upper)
        blank = [""] * len(cells)
        columns = (cells[name].tolist() if name in cells else blank for name in _DICTIONARY_COLUMNS)
        for variable, label, value, meaning in zip(*columns, strict=True):
            labels.setdefault(variable.upper(), label)
            if value:
                modalities.setdefault(variable.upper(), {}).setdefault(value, meaning)
    return Dictionary(labels, modalities)


_DICTIONARY_COLUMNS = ("COD_VAR", "LIB_VAR", "COD_MOD", "LIB_MOD")


def parse_values(
    cells: NDArray[np.object_], blank: str = NOT_AVAILABLE
) -> tuple[NDArray[np.float64], NDArray[np.object_]]:
    """Turn stripped text cells into values (NaN without) and statuses (None for a wrong cell).

    A number has a decimal comma or point, its thousands may be grouped by spaces, and it has no exponent; the
    value is the double nearest to the decimal number that is written. `blank` is what an empty cell means in
    this source.
    """
    # Many rates are equal.
    codes, texts = pd.factorize(cells)
    values = np.full(len(texts), np.nan)
    statuses = np.full(len(texts), None, dtype=object)
    marks = MARKS | {"": blank}
    for n, text in enumerate(texts):
        if _NUMBER.fullmatch(text):
            values[n], statuses[n] = float(text.translate(_SPACES)), OK
        else:
            statuses[n] = marks.get(text.lower())
    return values[codes], statuses[codes]


def parse_intervals(
    cells: NDArray[np.object_],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Turn stripped cells ``[24,0/28,4]`` into lower and upper bounds; tell which are wrong.

    A bound is NaN where the cell gives none: it is empty, infinite, or says ``non estimé``. Wrong is what is
    not an interval, or has its bounds in the wrong order.
    """
    codes, texts = pd.factorize(cells)
    low, high = np.full(len(texts), np.nan), np.full(len(texts), np.nan)
    wrong = np.zeros(len(texts), dtype=bool)
    for n, text in enumerate(texts):
        if found := _BOUNDS.fullmatch(text):
            low[n], high[n] = (float(bound.replace(",", ".")) for bound in found.groups())
            wrong[n] = low[n] > high[n]
        else:
            wrong[n] = not _UNBOUNDED.fullmatch(text)
    return low[codes], high[codes], wrong[codes]
