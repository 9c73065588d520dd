"""Writing conformed layers with GDAL, and fixing its clock."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pyogrio.raw
import shapely

from qpv_geo.formats.base import Content
from qpv_geo.formats.fields import Layer

# GDAL's code for UTC in a column of time zones.
_UTC = 100


def write_flatgeobuf(folder: Path, content: Content) -> None:
    """Write ``<folder>/flatgeobuf/<layer>.fgb`` for each spatial layer, with its spatial index.

    The index puts features in the order of a Hilbert curve: rows are not in the order of the layer. A layer
    with a missing geometry has no index, which the format does not allow it.
    """
    spec, folder = content.spec, folder / "flatgeobuf"
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in content.shared.items():
        if not isinstance(frame, gpd.GeoDataFrame):
            continue
        layer = content.layers[name]
        write_layer(
            folder / f"{name}.fgb",
            frame,
            layer,
            driver="FlatGeobuf",
            crs=f"EPSG:{spec.territory.published_epsg}",
            layer_options={
                "SPATIAL_INDEX": "NO" if frame.geometry.isna().any() else "YES",
                "TITLE": layer.title,
                "DESCRIPTION": f"{layer.abstract} {spec.origin}",
            },
        )


@contextmanager
def gdal_options(**options: str) -> Iterator[None]:
    """Set GDAL's configuration options, which belong to the process: nothing else may write meanwhile."""
    before = {name: pyogrio.get_gdal_config_option(name) for name in options}
    pyogrio.set_gdal_config_options(options)
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options(before)


def write_layer(
    path: Path,
    frame: pd.DataFrame,
    layer: Layer,
    *,
    driver: str,
    crs: str | None,
    layer_options: Mapping[str, str],
    dataset_options: Mapping[str, str] | None = None,
    append: bool = False,
) -> None:
    """Write one conformed layer, typed as declared even where it is empty or a column holds nothing.

    By pyogrio's plain path: with masks it keeps integers and booleans nullable and, given ``datetime64[D]``,
    dates as dates. Its Arrow path gives other bytes: never mix the two. Without `crs`, none is written;
    `append` adds the layer to a file that exists.
    """
    spatial = isinstance(frame, gpd.GeoDataFrame)
    instants = [name for name, field in layer.fields.items() if field.type == "datetime"]
    # A plain table: a GeoDataFrame looks for geometries at each column that it gives.
    table = pd.DataFrame(frame)
    columns = {name: _as_array(table[name], layer.fields[name].type) for name in layer.fields}
    with warnings.catch_warnings():
        # No CRS was passed on purpose.
        warnings.filterwarnings("ignore", message="'crs' was not provided", category=UserWarning)
        pyogrio.raw.write(
            path,
            shapely.to_wkb(frame.geometry.to_numpy()) if spatial else None,
            [values for values, _ in columns.values()],
            list(columns),
            field_mask=[mask for _, mask in columns.values()],
            layer=layer.name,
            driver=driver,
            geometry_type=layer.geometry if spatial else None,
            crs=crs if spatial else None,
            append=append,
            dataset_options=dataset_options,
            layer_options=layer_options,
            gdal_tz_offsets={name: np.full(len(frame), _UTC) for name in instants},
        )


def _as_array(column: pd.Series, kind: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return a column as pyogrio wants it, and the mask of its missing values where the type has none."""
    if kind == "integer":
        return column.fillna(0).to_numpy(dtype="int64"), column.isna().to_numpy()
    if kind == "boolean":
        return column.fillna(value=False).to_numpy(dtype=bool), column.isna().to_numpy()
    if kind == "real":
        values = column.to_numpy(dtype="float64")
        return values, np.isnan(values)
    if kind == "date":
        return column.to_numpy(dtype="datetime64[D]"), None
    if kind == "datetime":
        return column.dt.tz_localize(None).to_numpy(dtype="datetime64[ms]"), None
    return column.to_numpy(dtype=object), None
