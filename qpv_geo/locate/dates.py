"""Which QPV were in force at a date: those of 2015 or of 2024, by the part of France that a point is in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from qpv_geo.locate.edges import BoolArray, FloatArray, IntArray
from qpv_geo.locate.places import Place

DateArray = npt.NDArray[np.datetime64]

_TEXTS = pa.dictionary(pa.int8(), pa.string())
DATED = pa.schema([("geographie_qpv", _TEXTS), ("motif_geographie", _TEXTS)])
"""The columns added where rows have a date: the geography that answers, or why none does."""

_ISO, _FRENCH = (
    r"^\s*(?P<y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})",
    r"^\s*(?P<d>\d{1,2})/(?P<m>\d{1,2})/(?P<y>\d{4})",
)
_END = r"(?:[T ].*)?$"


class Period(NamedTuple):
    """A row of table ``geographies``."""

    part: str
    name: str
    layer: str | None
    """Layer of the release that has it; None if none does."""
    start: np.datetime64
    end: np.datetime64
    """First and last day; `end` is NaT while it is in force."""


@dataclass(frozen=True)
class History:
    """The geographies of a release."""

    geographies: tuple[Period, ...]

    @classmethod
    def of_table(cls, rows: pd.DataFrame, without: str = "") -> "History":
        """Return the geographies of the release's table; it cannot answer by layer `without`."""
        days = [np.array(rows[name].tolist(), "datetime64[D]") for name in ("debut", "fin")]
        layers = [None if layer == without else layer for layer in rows["couche"]]
        return cls(tuple(map(Period, rows["partie"], rows["geographie"], layers, *days)))

    def choose(self, places: Sequence[Place], x: FloatArray, y: FloatArray, dates: DateArray) -> IntArray:
        """Return the position of the geography in force for each point, -1 where there is none."""
        chosen = np.full(len(x), -1)
        for place in places:
            here = place.holds(x, y)
            for number, each in enumerate(self.geographies):
                if each.part == place.zone.name:
                    after = dates >= each.start
                    chosen[here & after & (np.isnat(each.end) | (dates <= each.end))] = number
        return chosen

    def table(self, chosen: IntArray, dates: DateArray, unreadable: BoolArray) -> pa.Table:
        """Return the columns `DATED`, both empty for points that cannot be read."""
        names = [each.name if each.layer else None for each in self.geographies]
        reasons = [
            None if each.layer else f"{each.name} : absente de la publication" for each in self.geographies
        ]
        unknown = np.where(np.isnat(dates), len(names), len(names) + 1)
        places = np.where(chosen < 0, unknown, chosen)
        rows = pa.array(places, mask=unreadable)
        columns = [
            pa.array([*names, None, None], pa.string()),
            pa.array([*reasons, "date absente ou illisible", "aucune géographie à cette date"], pa.string()),
        ]
        return pa.table([column.take(rows).cast(_TEXTS) for column in columns], schema=DATED)

    def rows_of(self, chosen: IntArray, layer: str | None) -> IntArray:
        """Return the rows that a layer answers for; without one, those that none does."""
        layers = np.array([each.layer or "" for each in self.geographies] + [""])
        return np.flatnonzero(layers[chosen] == (layer or ""))


def to_dates(column: pa.Array | pa.ChunkedArray) -> DateArray:
    """Return a column as days, NaT where a cell is empty or not a date.

    Texts are ``2022-06-30`` or ``30/06/2022``, with a time behind or not.
    """
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_timestamp(kind) and kind.tz:
        column = pc.local_timestamp(column)
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        days = pc.cast(column, pa.timestamp("s"), safe=False).to_numpy(zero_copy_only=False)
        return np.asarray(days, "datetime64[D]")
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return np.full(len(column), np.datetime64("NaT"), "datetime64[D]")
    texts = pd.Series(column.cast(pa.string()).to_numpy(zero_copy_only=False), dtype=object).astype("str")
    parts = texts.str.extract(_ISO + _END).fillna(texts.str.extract(_FRENCH + _END))
    parts = parts.rename(columns={"y": "year", "m": "month", "d": "day"})
    days = pd.to_datetime(parts.apply(pd.to_numeric), errors="coerce")
    return np.asarray(days, "datetime64[D]")
