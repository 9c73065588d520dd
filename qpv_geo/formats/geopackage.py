"""The GeoPackage of a release: every layer and table, with French titles, aliases and units inside."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import geopandas as gpd

from qpv_geo.formats.base import Content
from qpv_geo.formats.fields import FID_COLUMN, GEOMETRY_COLUMN, Layer
from qpv_geo.formats.ogr import gdal_options, write_layer

# OGC 12-128r17 (GeoPackage 1.3), annex F.9, the Schema extension: column names and descriptions.
_SCHEMA_EXTENSION = Path(__file__).with_name("gpkg_schema.sql").read_text(encoding="utf-8")


def geopackage_name(territory_id: str) -> str:
    """Return the file name of a territory's GeoPackage."""
    return f"qpv_{territory_id}.gpkg"


def write_geopackage(folder: Path, content: Content) -> None:
    """Write all layers into a new GeoPackage 1.3 whose bytes depend on nothing but the content.

    Version 1.3 because QGIS 3.22 warns about 1.4. Journal mode DELETE and no ``-wal`` beside the file, which
    would freeze QGIS on network drives. Nothing is synchronised to the disk here: the release does it once.
    """
    spec, layers = content.spec, content.layers
    path = folder / geopackage_name(spec.territory.id)
    clock = {"OGR_CURRENT_DATE": spec.moment}
    sqlite = {"OGR_SQLITE_JOURNAL": "DELETE", "OGR_SQLITE_SYNCHRONOUS": "OFF"}
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
