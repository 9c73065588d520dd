"""What GDAL writes: the GeoPackage of a release, with French titles, aliases and units inside; FlatGeobuf."""

import re
import sqlite3
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pyogrio.raw
import shapely

from qpv_geo.formats.base import Content
from qpv_geo.formats.fields import FID_COLUMN, GEOMETRY_COLUMN, Layer

# GDAL's code for UTC in a column of time zones.
_UTC = 100
# OGC 12-128r17 (GeoPackage 1.3), annex F.9, the Schema extension: column names and descriptions.
_SCHEMA_EXTENSION = Path(__file__).with_name("gpkg_schema.sql").read_text(encoding="utf-8")


def geopackage_name(territory_id: str) -> str:
    """Return the file name of a territory's GeoPackage."""
    return f"qpv_{territory_id}.gpkg"


def write_geopackage(folder: Path, content: Content) -> None:
    """Write all layers into a new GeoPackage 1.3 whose bytes depend on nothing but the content.

    Version 1.3 because QGIS 3.22 warns about 1.4. Not in journal mode WAL: a ``-wal`` beside the file would
    freeze QGIS on network drives. The journal stays in memory, and nothing is synchronised to the disk here:
    the release does it once, and what was not finished is thrown away.
    """
    spec, layers = content.spec, content.layers
    path = folder / geopackage_name(spec.territory.id)
    clock = {"OGR_CURRENT_DATE": spec.moment}
    sqlite = {"OGR_SQLITE_JOURNAL": "MEMORY", "OGR_SQLITE_SYNCHRONOUS": "OFF"}
    with gdal_options(**clock, **sqlite):
        for number, (name, frame) in enumerate(content.frames.items()):
            layer = layers[name]
            about = f"{layer.abstract} {spec.origin}"
            options = {"FID": FID_COLUMN, "IDENTIFIER": layer.title, "DESCRIPTION": about}
            if isinstance(frame, gpd.GeoDataFrame):
                options |= {"GEOMETRY_NAME": GEOMETRY_COLUMN, "SPATIAL_INDEX": "YES"}
            write_layer(
                path,
                frame,
                layer,
                driver="GPKG",
                crs=f"EPSG:{spec.territory.published_epsg}",
                dataset_options=None if number else {"VERSION": "1.3"},
                layer_options=options,
                append=number > 0,
            )
    _describe_columns(path, [layers[name] for name in content.frames])


def _describe_columns(path: Path, layers: list[Layer]) -> None:
    """Write aliases, descriptions and units into ``gpkg_data_columns``, which QGIS and GDAL read.

    GDAL takes the alias of a field from ``name``, other readers show ``title``: both hold it.
    """
    rows = [
        (layer.name, name, field.alias, field.alias, field.comment or None)
        for layer in layers
        for name, field in layer.fields.items()
    ]
    with extended(path, _SCHEMA_EXTENSION, "gpkg_schema") as database:
        database.executemany("INSERT INTO gpkg_data_columns VALUES (?, ?, ?, ?, ?, NULL, NULL)", rows)


@contextmanager
def extended(path: Path, tables: str, extension: str) -> Iterator[sqlite3.Connection]:
    """Create the tables of an extension of the standard in a GeoPackage, register them, and yield it."""
    definition = f"http://www.geopackage.org/spec130/#extension_{extension.removeprefix('gpkg_')}"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA synchronous = OFF")
        database.executescript("BEGIN;" + tables)
        yield database
        database.executemany(
            "INSERT INTO gpkg_extensions VALUES (?, NULL, ?, ?, 'read-write')",
            [(name, extension, definition) for name in re.findall(r"CREATE TABLE (\w+)", tables)],
        )
        database.commit()


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
