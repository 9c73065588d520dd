"""Confidence intervals: from the table that holds them to their estimates."""

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

from qpv_geo.ingest.contracts import Problems, shown
from qpv_geo.ingest.measures import Measure
from qpv_geo.ingest.recognition import ZoneTable
from qpv_geo.ingest.text_table import parse_intervals
from qpv_geo.sources.catalogue import Source

_LAST_WORD = re.compile(r"\w+$")


def add_intervals(
    table: ZoneTable,
    estimates: ZoneTable,
    measures: list[Measure],
    faults: dict[str, Problems],
    source: Source,
) -> list[str]:
    """Give each measure the bounds of its intervals, even where the estimate itself is withheld.

    Parameters
    ----------
    table, estimates
        The intervals, and the table of the estimates about the same kind of zone.
    measures
        Those of `estimates`; one whose interval cannot be read, or does not hold its estimate, leaves them.
    faults
        Receives what is wrong with such a measure, by column.

    Returns
    -------
    list of str
        Remarks in French.
    """
    rows = pd.Index(table.codes).get_indexer(pd.Index(estimates.codes))
    there = rows >= 0
    columns = {str(column).upper(): str(column) for column in table.text.cells.columns}
    remarks = []
    for measure in list(measures):
        column = columns.get(measure.column.upper()) or _ending_with(measure.column, columns.values())
        if column is None:
            continue
        if column.upper() != measure.column.upper():
            remarks.append(f"colonne {column!r} de {table.text.name} lue comme celle de {measure.column}")
        low, high, wrong = parse_intervals(table.text.cells[column].to_numpy(dtype=object))
        problems = Problems(table.text.label, source)
        found = [shown(text) for text in table.text.cells[column].to_numpy()[wrong]]
        problems.add_rows("an interval such as [24,0/28,4]", table.text.where[wrong], found, column=column)
        measure.low[there], measure.high[there] = low[rows[there]], high[rows[there]]
        measure.interval_file = table.text.name
        _check_inside(measure, estimates, problems)
        if problems:
            faults[measure.column] = problems
            measures.remove(measure)
    return remarks


def _check_inside(measure: Measure, estimates: ZoneTable, problems: Problems) -> None:
    with np.errstate(invalid="ignore"):
        outside = np.flatnonzero((measure.value < measure.low) | (measure.value > measure.high))
    problems.add_rows(
        "an estimate inside its interval",
        estimates.text.where[outside],
        [f"{measure.texts[n]!r} outside [{measure.low[n]:g}/{measure.high[n]:g}]" for n in outside],
        column=measure.column,
    )


def _ending_with(name: str, columns: Iterable[str]) -> str | None:
    """Return the column whose last word is a name: INSEE put the label before one code by mistake."""
    found = (column for column in columns if (word := _LAST_WORD.search(column)) and word[0] == name)
    return next(found, None)
