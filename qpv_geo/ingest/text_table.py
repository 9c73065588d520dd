"""A table of text: what a CSV file and an old workbook have in common, and how its cells become values."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qpv_geo.ingest.contracts import Names

# How INSEE marks that there is no value, and the status that says why. An empty cell says no more.
MARKS = {"s": "secret", "nd": "non_disponible", "ns": "non_significatif", "": "non_disponible"}

_NUMBER = r"[+-]?[0-9]+(?:[.,][0-9]+)?"


@dataclass(frozen=True)
class TextTable:
    """A table as its producer wrote it.

    Attributes
    ----------
    name
        File, or member of the archive.
    label
        How errors name it.
    cells
        Stripped text, one column per column of the file, indexed from 0.
    where
        Name of each row (``line 12``).
    labels
        The producer's label of each column, by column in upper case.
    categories
        Columns, in upper case, that the producer's dictionary lists the values of: they classify, they do not
        measure.
    remarks
        In French: what was unusual.
    """

    name: str
    label: str
    cells: pd.DataFrame
    where: Names
    labels: dict[str, str] = field(default_factory=dict)
    categories: frozenset[str] = frozenset()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Values:
    """Cells as values.

    Attributes
    ----------
    value
        NaN where the cell holds none.
    status
        ``ok``, ``secret``, ``non_disponible`` or ``non_significatif``; None where the cell is wrong.
    wrong
        Cells that are neither a number nor a mark.
    """

    value: NDArray[np.float64]
    status: NDArray[np.object_]
    wrong: NDArray[np.bool_]


def parse_values(cells: pd.Series) -> Values:
    """Turn text cells into values with a status.

    Parameters
    ----------
    cells
        Stripped text. A number has a decimal comma (or a point) and neither spaces nor an exponent; the value
        is the double nearest to the decimal number that is written.
    """
    number = cells.str.fullmatch(_NUMBER).to_numpy(dtype=bool)
    value = np.full(len(cells), np.nan)
    value[number] = cells[number].str.replace(",", ".").to_numpy(dtype=object).astype("float64")
    status = np.full(len(cells), None, dtype=object)
    status[number] = "ok"
    marked = cells[~number].str.lower().map(MARKS)
    status[~number] = marked.astype(object).where(marked.notna(), None)
    return Values(value, status, pd.isna(status))
