"""Rules of OGC GeoPackage 1.3 about geometries: columns, binaries, validity, extents, spatial indexes."""

from collections.abc import Iterator, Sequence
from itertools import compress

import numpy as np
import shapely

from qpv_geo.audit.geopackage import Blob
from qpv_geo.audit.rules.base import named, rule
from qpv_geo.audit.rules.geopackage import GeoPackage
from qpv_geo.formats.fields import load_layers
from qpv_geo.parallel import in_threads

_GEOMETRY_TYPES: dict[str, int | None] = {"GEOMETRY": None} | {
    kind.name: kind.value
    for kind in shapely.GeometryType
    if kind not in {shapely.GeometryType.MISSING, shapely.GeometryType.LINEARRING}
}
# Envelopes of the R-tree are single precision, rounded outwards: relative to the size of coordinates.
_SINGLE = 2.0**-22


@rule("GPKG10")
def geometry_columns(package: GeoPackage) -> Iterator[str]:
    """Each feature table has one geometry column, registered with the type and the CRS of its contents.

    Requirements 22 to 28: the column exists, its type is one of GeoPackage's, it prohibits z and m.
    """
    features = {row["table_name"]: row for row in package.contents if row["data_type"] == "features"}
    rows = package.rows("SELECT * FROM gpkg_geometry_columns")
    registered = [row["table_name"] for row in rows]
    if sorted(registered) != sorted(features):
        yield f"geometries of {named(sorted(registered))}; feature tables {named(sorted(features))}"
    for row in rows:
        table = row["table_name"]
        declared = {column["name"]: column["type"] for column in package.columns(table)}
        if declared.get(row["column_name"]) != row["geometry_type_name"]:
            yield f"{table}: column {row['column_name']} is not of type {row['geometry_type_name']}"
        if row["geometry_type_name"] not in _GEOMETRY_TYPES or row["z"] or row["m"]:
            yield f"{table}: type {row['geometry_type_name']!r}, z {row['z']}, m {row['m']}"
        if table in features and features[table]["srs_id"] != row["srs_id"]:
            yield f"{table}: srs_id {row['srs_id']} here, {features[table]['srs_id']} in gpkg_contents"


@rule("GPKG14")
def geometry_blobs(package: GeoPackage) -> Iterator[str]:
    """Each geometry is a GeoPackage binary with the CRS, type and envelope that it should have.

    Requirements 19, 20, 32 and 33: "GP", version 0, the srs_id of its column, WKB of its column's type; an
    envelope, if any, is that of the geometry.
    """
    for row in package.spatial:
        table = row["table_name"]
        rowids, blobs = package.geometries[table]
        shapes = package.shapes[table]
        wanted = _GEOMETRY_TYPES.get(row["geometry_type_name"])
        empty = np.array([blob.empty for blob in blobs], dtype=bool)
        wrong: dict[str, Sequence[bool] | np.ndarray] = {
            "header": [(blob.magic, blob.version) != (b"GP", 0) for blob in blobs],
            "srs_id": [blob.srs_id != row["srs_id"] for blob in blobs],
            "type": [wanted not in (None, kind) for kind in shapely.get_type_id(shapes)],
            "dimension": shapely.has_z(shapes),
            "envelope": [not _is_envelope(*pair) for pair in zip(blobs, shapely.bounds(shapes), strict=True)],
            "empty flag": empty != shapely.is_empty(shapes),
        }
        for what, mask in wrong.items():
            if rows := list(compress(rowids, np.asarray(mask, dtype=bool))):
                yield f"{table}: wrong {what} in rows {named(rows)}"


def _is_envelope(blob: Blob, bounds: np.ndarray) -> bool:
    west, south, east, north = bounds
    return not blob.envelope or blob.envelope[:4] == (west, east, south, north)


@rule("GPKG15")
def valid(package: GeoPackage) -> Iterator[str]:
    """Geometries are valid in the sense of OGC Simple Features, none is empty.

    None is missing either, except in a layer that is declared so.
    """
    for row in package.spatial:
        table = row["table_name"]
        rowids, _ = package.geometries[table]
        shapes = package.shapes[table]
        bad = ~in_threads(shapely.is_valid, shapes) | shapely.is_empty(shapes)
        if bad.any():
            yield f"{table}: not valid or empty in rows {named(compress(rowids, bad))}"
        (count,) = package.database.execute(f'SELECT count(*) FROM "{table}"').fetchone()  # noqa: S608 - a table of the file
        declared = load_layers().get(table)
        if count != len(rowids) and not (declared and declared.geometry_optional):
            yield f"{table}: {count - len(rowids)} rows without geometry"


@rule("GPKG16")
def extent(package: GeoPackage) -> Iterator[str]:
    """The extent of each layer in gpkg_contents is that of its geometries.

    It is informative there; here it holds to the last digit.
    """
    for row in package.contents:
        shapes = package.shapes.get(row["table_name"])
        if shapes is None or not len(shapes):
            continue
        stated = [row[side] for side in ("min_x", "min_y", "max_x", "max_y")]
        actual = shapely.total_bounds(shapes).tolist()
        # GDAL writes it as a text: the last binary digit may differ.
        if None in stated or not np.allclose(stated, actual, rtol=1e-14, atol=0):
            yield f"{row['table_name']}: {stated} stated, {actual} found"


@rule("GPKG17")
def spatial_index(package: GeoPackage) -> Iterator[str]:
    """Each layer has its R-tree, registered, with each geometry's envelope (annex F.3)."""
    registered = {
        (row["table_name"], row["column_name"])
        for row in package.rows("SELECT * FROM gpkg_extensions WHERE extension_name = 'gpkg_rtree_index'")
    }
    for row in package.spatial:
        table, column = row["table_name"], row["column_name"]
        index = f"rtree_{table}_{column}"
        if (table, column) not in registered or index not in package.tables:
            yield f"{table}: no spatial index, or not registered"
            continue
        rowids, _ = package.geometries[table]
        entries = package.database.execute(
            f'SELECT id, minx, miny, maxx, maxy FROM "{index}" ORDER BY id'  # noqa: S608 - a table of the file
        ).fetchall()
        if [entry[0] for entry in entries] != rowids:
            yield f"{table}: {len(entries)} entries of the index for {len(rowids)} geometries"
        elif entries:
            bounds = shapely.bounds(package.shapes[table])
            gaps = np.abs(np.array(entries)[:, 1:] - bounds)
            off = np.any(gaps > _SINGLE * np.abs(bounds) + _SINGLE, axis=1)
            if off.any():
                yield f"{table}: the index has another envelope for rows {named(compress(rowids, off))}"
