"""Counts of a report: the rows in each QPV, at least and at most, and the numbers of each street."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from qpv_geo.locate.answers import Answer, Located
from qpv_geo.locate.coordinates import Geometries
from qpv_geo.locate.edges import FloatArray
from qpv_geo.locate.guesses import names_of, spelled
from qpv_geo.locate.locator import Locator

_SURE = 2

STREET = ("commune", "street", "number", "suffix")
"""The columns of an address, see ``columns.toml``."""


class Span(NamedTuple):
    """How many there are, at least and at most."""

    least: int
    most: int


class QpvCount(NamedTuple):
    """The rows of one QPV."""

    code: str
    name: str
    sure: int
    across: int
    """Polygons and lines across its limit."""
    possible: int
    """Uncertain rows that may be in it."""

    @property
    def span(self) -> Span:
        """How many rows are in it."""
        return Span(self.sure, self.sure + self.across + self.possible)


class StreetCount(NamedTuple):
    """The numbers of one street."""

    commune: str
    name: str
    span: Span
    numbers: int


def street_columns(columns: Sequence[str]) -> dict[str, str]:
    """Return the columns of a file that hold streets and their numbers; none unless both are there."""
    known = {spelled(name): name for name in reversed(columns)}
    found = {part: known[each] for part in STREET for each in reversed(names_of(part)) if each in known}
    return found if {"street", "number"} <= set(found) else {}


class Tally:
    """Counts while a file is located."""

    def __init__(self, locator: Locator, columns: Mapping[str, str]) -> None:
        self._locator = locator
        self._columns = columns
        self._sure, self._across, self._possible = np.zeros((3, len(locator.codes)), np.int64)
        self.unplaced = 0
        """Uncertain rows of which nobody knows in which QPV they may be."""
        self._numbers: list[pd.DataFrame] = []

    def add(
        self,
        column: Callable[[str], pa.Array],
        geometries: Geometries,
        precision: FloatArray | None,
        answers: tuple[Located, pa.Table],
    ) -> None:
        """Count the rows of a chunk, whose answers are those of `Locator.locate_geometries`."""
        located, table = answers
        for counts, answer in ((self._sure, Answer.OUI), (self._across, Answer.A_CHEVAL)):
            qpv = located.qpv[(located.en_qpv == answer) & (located.qpv >= 0)]
            np.add(counts, np.bincount(qpv, minlength=len(counts)), out=counts)
        unsure = located.en_qpv == Answer.INCERTAIN
        self.unplaced += int(unsure.sum())
        radius = np.zeros(len(unsure)) if precision is None else precision
        for locator, first, geography in self._locators():
            rows = np.flatnonzero(unsure & np.isfinite(radius))
            if "geographie_qpv" in table.column_names:
                rows = rows[np.array(table["geographie_qpv"].to_pylist(), object)[rows] == geography]
            row, qpv = locator.within_reach(geometries.take(rows), radius[rows])
            counts = np.bincount(qpv, minlength=len(locator.codes))
            self._possible[first : first + len(counts)] += counts
            self.unplaced -= len(np.unique(row))
        if self._columns:
            self._numbers.append(_numbers(column, self._columns, located))

    def _locators(self) -> Iterator[tuple[Locator, int, str]]:
        """Yield the locator of each geography, and the position of its first QPV among all."""
        yield self._locator, 0, "QPV 2024"
        if (former := self._locator.former) is not None:
            yield former, len(self._locator.codes) - len(former.codes), "QPV 2015"

    @property
    def qpv(self) -> list[QpvCount]:
        """The QPV that have rows, or may have, by code."""
        counts = zip(
            self._locator.codes,
            self._locator.labels,
            *(values.tolist() for values in (self._sure, self._across, self._possible)),
            strict=True,
        )
        return sorted(count for count in map(QpvCount._make, counts) if count.span.most)

    @property
    def streets(self) -> list[StreetCount]:
        """The streets that have numbers in a QPV, or may have, by commune and name."""
        if not self._numbers:
            return []
        # A number that stands in several chunks is one.
        numbers = pd.concat(self._numbers).groupby(list(STREET), as_index=False)["state"].max()
        states = numbers.assign(least=numbers["state"] == _SURE, most=numbers["state"] > 0, size=1)
        found = states.groupby(["commune", "street"], as_index=False)[["least", "most", "size"]].sum()
        rows = found[found["most"] > 0].itertuples(index=False)
        return [StreetCount(row.commune, row.street, Span(row.least, row.most), row.size) for row in rows]


def _numbers(column: Callable[[str], pa.Array], columns: Mapping[str, str], located: Located) -> pd.DataFrame:
    """Return the numbers of streets in a chunk, and whether they are in a QPV: `_SURE`, perhaps (1), not."""
    state = np.select(
        [located.en_qpv == Answer.OUI, np.isin(located.en_qpv, (Answer.INCERTAIN, Answer.A_CHEVAL))],
        [_SURE, 1],
    )
    texts = {
        part: [(cell or "").strip() for cell in column(columns[part]).cast(pa.string()).to_pylist()]
        if part in columns
        else ""
        for part in STREET
    }
    frame = pd.DataFrame({"state": state, **texts})
    readable = located.en_qpv != Answer.ILLISIBLE
    named = (frame["street"] != "") & (frame["number"] != "")
    states: pd.DataFrame = frame[readable & named].groupby(list(STREET), as_index=False)["state"].max()
    return states
