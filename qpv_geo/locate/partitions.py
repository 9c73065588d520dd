"""`locate` for the partitions of a table that Dask or another engine reads and writes."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api.extensions import ExtensionArray

from qpv_geo.locate.locator import Locator


@dataclass(frozen=True)
class PartitionLocator:
    """Adds the answers to a DataFrame: ``ddf.map_partitions(PartitionLocator(locator, "lon", "lat"))``.

    It can be sent to another process.
    """

    locator: Locator
    x: str
    y: str
    """Columns of the coordinates, numbers."""
    precision: float | str | None = None
    """Metres, or the column that holds them."""

    def __call__(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the DataFrame with `locator.COLUMNS` added, texts as texts; its index may be anything."""
        x, y = frame[self.x].to_numpy(np.float64), frame[self.y].to_numpy(np.float64)
        precision = self.precision
        radius = frame[precision].to_numpy(np.float64) if isinstance(precision, str) else precision
        return frame.assign(**answer_columns(self.locator.table(self.locator.locate(x, y, radius))))


def answer_columns(table: pa.Table) -> dict[str, ExtensionArray]:
    """Return answers as columns of a DataFrame, typed: Dask asks an empty table for its types."""
    columns = {name: table[name].to_pandas() for name in table.column_names}
    return {
        name: (column.astype("str") if column.dtype == "category" else column).array
        for name, column in columns.items()
    }
