"""One column of a table of statistics as values, each with its status."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from qpv_geo.ingest.contracts import Problems, shown
from qpv_geo.ingest.registry import Indicator
from qpv_geo.ingest.text_table import MARKS, TextTable, parse_values
from qpv_geo.statuses import OK

_NUMBER = f"a number with a decimal comma, or one of the marks {', '.join(MARKS)}, or nothing"


@dataclass
class Measure:
    """A measuring column; its arrays hold one cell per row of the table.

    Attributes
    ----------
    column
        As the producer spells it.
    indicator
        None if the registry does not know the column.
    texts
        The cells, stripped.
    value, status
        See `text_table.Values`.
    remark
        What the producer says of the cell, or None.
    low, high
        Bounds of the confidence interval, NaN where there is none.
    interval_file
        Where the intervals stand, as layer ``statistiques`` names it.
    """

    column: str
    indicator: Indicator | None
    texts: NDArray[np.object_]
    value: NDArray[np.float64]
    status: NDArray[np.object_]
    remark: NDArray[np.object_] = field(init=False)
    low: NDArray[np.float64] = field(init=False)
    high: NDArray[np.float64] = field(init=False)
    interval_file: str | None = None

    def __post_init__(self) -> None:
        """Begin without remarks and intervals."""
        self.remark = np.full(len(self.texts), None, dtype=object)
        self.low, self.high = np.full((2, len(self.texts)), np.nan)

    @property
    def name(self) -> str:
        """What tells it from other measures of the same zones: its indicator, or its column."""
        return self.indicator.id if self.indicator else self.column.upper()


def read_measure(
    table: TextTable, column: str, indicator: Indicator | None, blank: str, problems: Problems
) -> Measure | None:
    """Read a column; None if the registry does not know it and it holds text without one number.

    Cells that are neither numbers nor marks, and values out of the indicator's bounds, go to the problems.
    `blank` is the status of an empty cell in this source.
    """
    texts = table.cells[column].to_numpy(dtype=object)
    parsed = parse_values(texts, blank)
    wrong = np.array([status is None for status in parsed.status.tolist()])
    if wrong.any():
        if indicator is None and not (parsed.status == OK).any():
            return None
        found = [shown(text) for text in texts[wrong]]
        problems.add_rows(_NUMBER, table.where[wrong], found, column=column)
    if indicator is not None:
        _check_bounds(table, column, indicator, parsed.value, problems)
    return Measure(column, indicator, texts, parsed.value, parsed.status)


def _check_bounds(
    table: TextTable, column: str, indicator: Indicator, values: NDArray[np.float64], problems: Problems
) -> None:
    unit = f" {indicator.unit}".rstrip()
    rules = [
        (values < indicator.minimum, f"at least {indicator.minimum:g}{unit}"),
        (values > indicator.maximum, f"at most {indicator.maximum:g}{unit}"),
    ]
    if indicator.whole:
        rules.append((np.isfinite(values) & (values % 1 != 0), f"a whole number of {indicator.unit}"))
    for broken, expected in rules:
        if broken.any():
            found = [shown(text) for text in table.cells[column].to_numpy()[broken]]
            problems.add_rows(expected, table.where[broken], found, column=column)
