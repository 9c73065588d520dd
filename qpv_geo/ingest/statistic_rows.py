"""Rows of statistics, found by zone: one national file serves three hundred territories in turn."""

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from qpv_geo.ingest.distribution import CountedFile


class StatisticRows:
    """Statistics of every zone of the files that were read, columns of `Statistics.rows`.

    `national` are the files that cover the country, by source.
    """

    def __init__(self, frame: pd.DataFrame, national: Mapping[str, CountedFile] | None = None) -> None:
        # Arrow copies a column that is in pieces, one for each file, whenever rows of it are taken.
        texts = frame.loc[:, frame.dtypes == "str"]
        table = pa.Table.from_pandas(texts, preserve_index=False).combine_chunks()
        self.frame = frame.assign(**{name: pd.array(table[name], dtype="str") for name in table.column_names})
        self.national = national or {}

    @cached_property
    def _places(self) -> Mapping[str, Mapping[str, NDArray[np.intp]]]:
        """Positions of the rows, by kind of zone and code."""
        by_zone: dict[str, dict[str, NDArray[np.intp]]] = {}
        groups = self.frame.groupby(["zone", "code"], sort=False).indices
        for key, places in groups.items():
            zone, code = np.array(key, dtype=object).tolist()
            by_zone.setdefault(zone, {})[code] = np.asarray(places, dtype=np.intp)
        return by_zone

    @cached_property
    def qpv_by_source(self) -> Mapping[str, frozenset[str]]:
        """Codes of the QPV that each source has rows of."""
        of_qpv = self.frame[self.frame["zone"] == "qpv"]
        pairs = of_qpv[["source", "code"]].drop_duplicates()
        codes = pairs.groupby("source", sort=True)["code"]
        return {str(source): frozenset(found) for source, found in codes}

    @cached_property
    def qpv_measures(self) -> pd.DataFrame:
        """Return one row of zone ``qpv`` per source, indicator and vintage."""
        of_qpv = self.frame[self.frame["zone"] == "qpv"]
        return of_qpv.drop_duplicates(["source", "indicateur", "millesime"])

    def codes(self, zone: str) -> Collection[str]:
        """Return the codes of the zones of one kind."""
        return self._places.get(zone, {}).keys()

    def of(self, zone: str, codes: Iterable[str] | None = None) -> pd.DataFrame:
        """Return the rows of zones of one kind, in the order of the files; of all of them without codes."""
        places = self._places.get(zone, {})
        chosen = places.values() if codes is None else (places[code] for code in set(codes) & places.keys())
        found = list(chosen)
        return self.frame.iloc[np.sort(np.concatenate(found)) if found else []]
