"""Rules of OGC GeoPackage 1.3 (OGC 12-128r17), and what QGIS on a network drive asks for.

Numbers are those of the standard's requirements.
"""

import re
import sqlite3
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import shapely

from qpv_geo.audit.geopackage import STYLES, Blob, connect, parse_blob
from qpv_geo.audit.rules.base import CheckedFile, listed
from qpv_geo.audit.shapes import Geometries
from qpv_geo.formats.fields import load_layers
from qpv_geo.parallel import in_threads
from qpv_geo.sources.file_kinds import kind_of

_SNAKE = re.compile(r"[a-z][a-z0-9_]*")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_COLUMN_TYPES = re.compile(
    r"BOOLEAN|TINYINT|SMALLINT|MEDIUMINT|INT|INTEGER|FLOAT|DOUBLE|REAL|TEXT(\(\d+\))?|BLOB(\(\d+\))?|DATE|DATETIME"
)
_EXTENSIONS = {"gpkg_rtree_index", "gpkg_schema", "gpkg_metadata", "gpkg_crs_wkt"}
_GEOMETRY_TYPES: dict[str, int | None] = {"GEOMETRY": None} | {
    kind.name: kind.value
    for kind in shapely.GeometryType
    if kind not in {shapely.GeometryType.MISSING, shapely.GeometryType.LINEARRING}
}
# Envelopes of the R-tree are single precision, rounded outwards: relative to the size of coordinates.
_SINGLE = 2.0**-22
# SQLite's and GeoPackage's own tables, the R-trees' shadows, and GDAL's count of features.
_SYSTEM = re.compile(r"(gpkg_|sqlite_|rtree_|layer_styles$)")


class GeoPackage(CheckedFile):
    """A GeoPackage opened for checking."""

    pattern = "*.gpkg"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.database = connect(path)
        self.database.row_factory = sqlite3.Row

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def rows(self, query: str, *parameters: str) -> list[sqlite3.Row]:
        """Return the rows of a query."""
        return self.database.execute(query, parameters).fetchall()

    def columns(self, table: str) -> dict[str, sqlite3.Row]:
        """Return what SQLite knows of the columns of a table, by their names."""
        return {row["name"]: row for row in self.rows("SELECT * FROM pragma_table_info(?)", table)}

    @cached_property
    def tables(self) -> set[str]:
        """Names of tables and views."""
        return {
            name for (name,) in self.rows("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
        }

    @cached_property
    def contents(self) -> list[sqlite3.Row]:
        """Rows of ``gpkg_contents``."""
        return self.rows("SELECT * FROM gpkg_contents ORDER BY rowid")

    @cached_property
    def spatial(self) -> list[sqlite3.Row]:
        """Rows of ``gpkg_geometry_columns`` whose table and column exist."""
        return [
            row
            for row in self.rows("SELECT * FROM gpkg_geometry_columns ORDER BY rowid")
            if row["column_name"] in self.columns(row["table_name"])
        ]

    @cached_property
    def geometries(self) -> dict[str, tuple[np.ndarray, list[Blob], Geometries]]:
        """Row ids and geometries by spatial table, where there is a geometry."""
        geometries = {}
        for row in self.spatial:
            table, column = row["table_name"], row["column_name"]
            pairs = self.rows(
                f'SELECT rowid, "{column}" FROM "{table}" WHERE "{column}" IS NOT NULL ORDER BY rowid'  # noqa: S608 - a table of the file
            )
            blobs = [parse_blob(blob) for _, blob in pairs]
            shapes = shapely.from_wkb(np.array([blob.wkb for blob in blobs], dtype=object))
            geometries[table] = np.array([rowid for rowid, _ in pairs], dtype=int), blobs, shapes
        return geometries


@GeoPackage.rule("GPKG01")
def application_id(package: GeoPackage) -> Iterator[str]:
    """The file is a SQLite 3 database whose application_id is "GPKG" (requirements 1 and 2)."""
    with package.path.open("rb") as stream:
        header = stream.read(100)
    if kind_of(header).name != "sqlite":
        yield "it does not begin as a SQLite 3 database"
    elif header[68:72] != b"GPKG":
        yield f"its application_id is {header[68:72]!r}, not b'GPKG'"


@GeoPackage.rule("GPKG02")
def version(package: GeoPackage) -> Iterator[str]:
    """The user_version is 10300: GeoPackage 1.3, the newest that QGIS 3.22 opens without a warning."""
    (version,) = package.database.execute("PRAGMA user_version").fetchone()
    if version != 10300:  # noqa: PLR2004 - the rule's own number
        yield f"its user_version is {version}"


@GeoPackage.rule("GPKG03")
def integrity(package: GeoPackage) -> Iterator[str]:
    """SQLite's integrity_check finds nothing (requirement 6)."""
    for (message,) in package.database.execute("PRAGMA integrity_check"):
        if message != "ok":
            yield message


@GeoPackage.rule("GPKG04")
def foreign_keys(package: GeoPackage) -> Iterator[str]:
    """SQLite's foreign_key_check finds nothing (requirement 7)."""
    for table, rowid, parent, _ in package.database.execute("PRAGMA foreign_key_check"):
        yield f"row {rowid} of {table} refers to a row of {parent} that is not there"


@GeoPackage.rule("GPKG05")
def no_journal(package: GeoPackage) -> Iterator[str]:
    """The journal mode is not WAL and no -wal, -shm or -journal lies beside the file.

    WAL freezes QGIS on network drives, and a file with a journal beside it is not the whole database.
    """
    with package.path.open("rb") as stream:
        header = stream.read(20)
    if header[18:20] != b"\x01\x01":
        yield "its journal mode is WAL"
    for suffix in ("-wal", "-shm", "-journal"):
        if package.path.with_name(package.path.name + suffix).exists():
            yield f"{package.path.name}{suffix} lies beside it"


@GeoPackage.rule("GPKG06")
def required_tables(package: GeoPackage) -> Iterator[str]:
    """The tables that GeoPackage requires are there, and that of extensions."""
    required = {"gpkg_spatial_ref_sys", "gpkg_contents", "gpkg_geometry_columns", "gpkg_extensions"}
    yield from listed("missing:", sorted(required - package.tables))


@GeoPackage.rule("GPKG07")
def contents(package: GeoPackage) -> Iterator[str]:
    """Each table of data is registered in gpkg_contents, and each registered one exists (requirement 14)."""
    registered = {row["table_name"] for row in package.contents}
    data = {table for table in package.tables if not _SYSTEM.match(table)}
    yield from listed("tables not registered:", sorted(data - registered))
    yield from listed("registered without a table:", sorted(registered - package.tables))


@GeoPackage.rule("GPKG08")
def described(package: GeoPackage) -> Iterator[str]:
    """Each registered table is ``features`` or ``attributes``, with a title, a description and an instant.

    Data types: requirement 17; last_change in ISO 8601 with milliseconds and Z: requirement 15.
    """
    for row in package.contents:
        table = row["table_name"]
        if row["data_type"] not in {"features", "attributes"}:
            yield f"{table}: data_type {row['data_type']!r}"
        if not row["identifier"] or not row["description"]:
            yield f"{table}: no title or no description"
        if not _INSTANT.fullmatch(str(row["last_change"])):
            yield f"{table}: last_change {row['last_change']!r}"


@GeoPackage.rule("GPKG09")
def reference_systems(package: GeoPackage) -> Iterator[str]:
    """The required reference systems (-1, 0, 4326) are defined, and the layers' (requirements 11, 12)."""
    defined = {srs_id for (srs_id,) in package.rows("SELECT srs_id FROM gpkg_spatial_ref_sys")}
    used = {srs_id for (srs_id,) in package.rows("SELECT srs_id FROM gpkg_geometry_columns")}
    yield from listed("not defined, though required:", sorted({-1, 0, 4326} - defined))
    yield from listed("not defined, though used:", sorted(used - defined))


@GeoPackage.rule("GPKG10")
def geometry_columns(package: GeoPackage) -> Iterator[str]:
    """Each feature table has one geometry column, registered with the type and the CRS of its contents.

    Requirements 22 to 28: the column exists, its type is one of GeoPackage's, it prohibits z and m.
    """
    features = {row["table_name"]: row for row in package.contents if row["data_type"] == "features"}
    rows = package.rows("SELECT * FROM gpkg_geometry_columns")
    registered = [row["table_name"] for row in rows]
    if sorted(registered) != sorted(features):
        yield f"geometries of {sorted(registered)}; feature tables {sorted(features)}"
    for row in rows:
        table = row["table_name"]
        column = package.columns(table).get(row["column_name"])
        if not column or column["type"] != row["geometry_type_name"]:
            yield f"{table}: column {row['column_name']} is not of type {row['geometry_type_name']}"
        if row["geometry_type_name"] not in _GEOMETRY_TYPES or row["z"] or row["m"]:
            yield f"{table}: type {row['geometry_type_name']!r}, z {row['z']}, m {row['m']}"
        if table in features and features[table]["srs_id"] != row["srs_id"]:
            yield f"{table}: srs_id {row['srs_id']} here, {features[table]['srs_id']} in gpkg_contents"


@GeoPackage.rule("GPKG11")
def primary_keys(package: GeoPackage) -> Iterator[str]:
    """Each table has an integer primary key (requirement 29, and for attributes)."""
    for row in package.contents:
        keys = [column for column in package.columns(row["table_name"]).values() if column["pk"]]
        if [column["type"] for column in keys] != ["INTEGER"]:
            yield f"{row['table_name']}: primary key {[column['name'] for column in keys]}"


@GeoPackage.rule("GPKG12")
def column_types(package: GeoPackage) -> Iterator[str]:
    """Each column has a type that GeoPackage defines (requirement 5)."""
    geometry = {(row["table_name"], row["column_name"]) for row in package.spatial}
    for row in package.contents:
        for name, column in package.columns(row["table_name"]).items():
            known = _COLUMN_TYPES.fullmatch(column["type"])
            if not known and (row["table_name"], name) not in geometry:
                yield f"{row['table_name']}.{name}: type {column['type']!r}"


@GeoPackage.rule("GPKG13")
def names(package: GeoPackage) -> Iterator[str]:
    """Tables and columns have names in lower snake case, which every system takes without quotes.

    But those of QGIS's own table of styles.
    """
    for row in package.contents:
        if row["table_name"] != STYLES:
            names = [row["table_name"], *package.columns(row["table_name"])]
            yield from listed(f"{row['table_name']}:", [name for name in names if not _SNAKE.fullmatch(name)])


@GeoPackage.rule("GPKG14")
def geometry_blobs(package: GeoPackage) -> Iterator[str]:
    """Each geometry is a GeoPackage binary with the CRS, type and envelope that it should have.

    Requirements 19, 20, 32 and 33: "GP", version 0, the srs_id of its column, WKB of its column's type; an
    envelope, if any, is that of the geometry.
    """
    for row in package.spatial:
        table = row["table_name"]
        rowids, blobs, shapes = package.geometries[table]
        wanted = _GEOMETRY_TYPES.get(row["geometry_type_name"])
        wrong = {
            "header": [(blob.magic, blob.version) != (b"GP", 0) for blob in blobs],
            "srs_id": [blob.srs_id != row["srs_id"] for blob in blobs],
            "type": [wanted not in (None, kind) for kind in shapely.get_type_id(shapes)],
            "dimension": shapely.has_z(shapes),
            "envelope": [not _is_envelope(*pair) for pair in zip(blobs, shapely.bounds(shapes), strict=True)],
            "empty flag": [blob.empty for blob in blobs] != shapely.is_empty(shapes),
        }
        for what, mask in wrong.items():
            yield from listed(f"{table}: wrong {what} in rows", rowids[np.asarray(mask, dtype=bool)])


def _is_envelope(blob: Blob, bounds: np.ndarray) -> bool:
    west, south, east, north = bounds
    return not blob.envelope or blob.envelope[:4] == (west, east, south, north)


@GeoPackage.rule("GPKG15")
def valid(package: GeoPackage) -> Iterator[str]:
    """Geometries are valid in the sense of OGC Simple Features, none is empty.

    None is missing either, except in a layer that is declared so.
    """
    for row in package.spatial:
        table = row["table_name"]
        rowids, _, shapes = package.geometries[table]
        bad = ~in_threads(shapely.is_valid, shapes) | shapely.is_empty(shapes)
        yield from listed(f"{table}: not valid or empty in rows", rowids[bad])
        (count,) = package.database.execute(f'SELECT count(*) FROM "{table}"').fetchone()  # noqa: S608 - a table of the file
        declared = load_layers().get(table)
        if count != len(rowids) and not (declared and declared.geometry_optional):
            yield f"{table}: {count - len(rowids)} rows without geometry"


@GeoPackage.rule("GPKG16")
def extent(package: GeoPackage) -> Iterator[str]:
    """The extent of each layer in gpkg_contents is that of its geometries.

    It is informative there; here it holds to the last digit.
    """
    for row in package.contents:
        _, _, shapes = package.geometries.get(row["table_name"], (None, None, []))
        stated = [row[side] for side in ("min_x", "min_y", "max_x", "max_y")]
        actual = shapely.total_bounds(shapes).tolist()
        # GDAL writes it as a text: the last binary digit may differ.
        if len(shapes) and (None in stated or not np.allclose(stated, actual, rtol=1e-14, atol=0)):
            yield f"{row['table_name']}: {stated} stated, {actual} found"


@GeoPackage.rule("GPKG17")
def spatial_index(package: GeoPackage) -> Iterator[str]:
    """Each layer has its R-tree, registered, with each geometry's envelope (annex F.3)."""
    query = "SELECT table_name, column_name FROM gpkg_extensions WHERE extension_name = 'gpkg_rtree_index'"
    registered = set(map(tuple, package.rows(query)))
    for row in package.spatial:
        table, column = row["table_name"], row["column_name"]
        index = f"rtree_{table}_{column}"
        if (table, column) not in registered or index not in package.tables:
            yield f"{table}: no spatial index, or not registered"
            continue
        rowids, _, shapes = package.geometries[table]
        query = f'SELECT id, minx, miny, maxx, maxy FROM "{index}" ORDER BY id'  # noqa: S608 - a table of the file
        entries = [tuple(entry) for entry in package.rows(query)]
        if [entry[0] for entry in entries] != rowids.tolist():
            yield f"{table}: {len(entries)} entries of the index for {len(rowids)} geometries"
        elif entries:
            bounds = shapely.bounds(shapes)
            gaps = np.abs(np.array(entries)[:, 1:] - bounds)
            off = np.any(gaps > _SINGLE * np.abs(bounds) + _SINGLE, axis=1)
            yield from listed(f"{table}: the index has another envelope for rows", rowids[off])


@GeoPackage.rule("GPKG18")
def extensions(package: GeoPackage) -> Iterator[str]:
    """Registered extensions are the standard's, on tables and columns that exist."""
    for row in package.rows("SELECT * FROM gpkg_extensions"):
        table, column = row["table_name"], row["column_name"]
        if row["extension_name"] not in _EXTENSIONS:
            yield f"extension {row['extension_name']!r} is not one of {', '.join(sorted(_EXTENSIONS))}"
        if table is not None and table not in package.tables:
            yield f"{row['extension_name']}: table {table} is not there"
        elif column is not None and column not in package.columns(table):
            yield f"{row['extension_name']}: column {table}.{column} is not there"


@GeoPackage.rule("GPKG19")
def data_columns(package: GeoPackage) -> Iterator[str]:
    """Each field has an alias in gpkg_data_columns, and no other column has one (Schema extension)."""
    if "gpkg_data_columns" not in package.tables:
        yield "no table gpkg_data_columns: QGIS shows no alias"
        return
    geometry = {(row["table_name"], row["column_name"]) for row in package.spatial}
    fields = {
        (row["table_name"], name)
        for row in package.contents
        if row["table_name"] != STYLES
        for name, column in package.columns(row["table_name"]).items()
        if not column["pk"]
    } - geometry
    rows = package.rows("SELECT table_name, column_name, name FROM gpkg_data_columns")
    described = {(table, column) for table, column, name in rows if name}
    yield from listed("no alias for", map(".".join, sorted(fields - described)))
    yield from listed("alias for what is not a field:", map(".".join, sorted(described - fields)))
