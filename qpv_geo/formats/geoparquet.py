"""One Parquet file per layer: GeoParquet 1.1 with a covering of bounding boxes where there is a geometry."""

from pathlib import Path

import geopandas as gpd
import pandas as pd
import pyarrow as pa

from qpv_geo.formats.base import Content
from qpv_geo.formats.fields import FieldType

SCHEMA_VERSION = "1.1.0"
# Arrow's type by declared type: a column that holds nothing keeps it too.
_TYPES: dict[FieldType, pa.DataType] = {
    "text": pa.string(),
    "integer": pa.int64(),
    "real": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "datetime": pa.timestamp("ms", tz="UTC"),
}


def write_geoparquet(folder: Path, content: Content) -> None:
    """Write ``<folder>/geoparquet/<layer>.parquet`` for each layer, typed as declared.

    Spatial layers follow GeoParquet 1.1: WKB, the projected CRS of the GeoPackage as PROJJSON, and a column
    ``bbox`` that lets readers skip what they do not need. Tables are plain Parquet.
    """
    folder /= "geoparquet"
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in content.shared.items():
        path, fields = folder / f"{name}.parquet", content.layers[name].fields
        kinds = {column: pd.ArrowDtype(_TYPES[field.type]) for column, field in fields.items()}
        table = frame.astype(kinds)
        if isinstance(table, gpd.GeoDataFrame):
            table.to_parquet(path, index=False, schema_version=SCHEMA_VERSION, write_covering_bbox=True)
        else:
            table.to_parquet(path, index=False)
