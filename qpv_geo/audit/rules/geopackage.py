"""Rules of OGC GeoPackage 1.3 (OGC 12-128r17), and what QGIS on a network drive asks for.

Numbers are those of the standard's requirements.
"""

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from qpv_geo.audit.geopackage import STYLES, Blob, connect, parse_blob
from qpv_geo.audit.rules.base import CheckedFile, named, rule
from qpv_geo.sources.file_kinds import kind_of

_SNAKE = re.compile(r"[a-z][a-z0-9_]*")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_COLUMN_TYPES = re.compile(
    r"BOOLEAN|TINYINT|SMALLINT|MEDIUMINT|INT|INTEGER|FLOAT|DOUBLE|REAL|TEXT(\(\d+\))?|BLOB(\(\d+\))?|DATE|DATETIME"
)
_EXTENSIONS = {"gpkg_rtree_index", "gpkg_schema", "gpkg_metadata", "gpkg_crs_wkt"}
# SQLite's and GeoPackage's own tables, the R-trees' shadows, and GDAL's count of features.
_SYSTEM = re.compile(r"(gpkg_|sqlite_|rtree_|layer_styles$)")


class GeoPackage(CheckedFile):
    """A GeoPackage opened for checking."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.database = connect(path)

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def rows(self, query: str, *parameters: str) -> list[dict[str, Any]]:
        """Return the rows of a query as dictionaries."""
        cursor = self.database.execute(query, parameters)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def columns(self, table: str) -> list[dict[str, Any]]:
        """Return what SQLite knows of the columns of a table."""
        return self.rows("SELECT * FROM pragma_table_info(?)", table)

    @cached_property
    def tables(self) -> set[str]:
        """Names of tables and views."""
        return {
            row["name"] for row in self.rows("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
        }

    @cached_property
    def contents(self) -> list[dict[str, Any]]:
        """Rows of ``gpkg_contents``."""
        return self.rows("SELECT * FROM gpkg_contents ORDER BY rowid")

    @cached_property
    def spatial(self) -> list[dict[str, Any]]:
        """Rows of ``gpkg_geometry_columns`` whose table and column exist."""
        return [
            row
            for row in self.rows("SELECT * FROM gpkg_geometry_columns ORDER BY rowid")
            if row["column_name"] in {column["name"] for column in self.columns(row["table_name"])}
        ]

    @cached_property
    def geometries(self) -> dict[str, tuple[list[int], list[Blob]]]:
        """Row ids and geometries by spatial table, where there is a geometry."""
        geometries = {}
        for row in self.spatial:
            table, column = row["table_name"], row["column_name"]
            query = f'SELECT rowid, "{column}" FROM "{table}" WHERE "{column}" IS NOT NULL ORDER BY rowid'  # noqa: S608 - a table of the file
            pairs = self.database.execute(query).fetchall()
            geometries[table] = ([rowid for rowid, _ in pairs], [parse_blob(blob) for _, blob in pairs])
        return geometries

    @cached_property
    def shapes(self) -> dict[str, np.ndarray]:
        """Shapely geometries by spatial table, in the order of `geometries`."""
        return {
            table: shapely.from_wkb(np.array([blob.wkb for blob in blobs], dtype=object))
            for table, (_, blobs) in self.geometries.items()
        }


@rule("GPKG01")
def application_id(package: GeoPackage) -> Iterator[str]:
    """The file is a SQLite 3 database whose application_id is "GPKG" (requirements 1 and 2)."""
    with package.path.open("rb") as stream:
        header = stream.read(100)
    if kind_of(header).name != "sqlite":
        yield "it does not begin as a SQLite 3 database"
    elif header[68:72] != b"GPKG":
        yield f"its application_id is {header[68:72]!r}, not b'GPKG'"


@rule("GPKG02")
def version(package: GeoPackage) -> Iterator[str]:
    """The user_version is 10300: GeoPackage 1.3, the newest that QGIS 3.22 opens without a warning."""
    (version,) = package.database.execute("PRAGMA user_version").fetchone()
    if version != 10300:  # noqa: PLR2004 - the rule's own number
        yield f"its user_version is {version}"


@rule("GPKG03")
def integrity(package: GeoPackage) -> Iterator[str]:
    """SQLite's integrity_check finds nothing (requirement 6)."""
    for (message,) in package.database.execute("PRAGMA integrity_check"):
        if message != "ok":
            yield message


@rule("GPKG04")
def foreign_keys(package: GeoPackage) -> Iterator[str]:
    """SQLite's foreign_key_check finds nothing (requirement 7)."""
    for table, rowid, parent, _ in package.database.execute("PRAGMA foreign_key_check"):
        yield f"row {rowid} of {table} refers to a row of {parent} that is not there"


@rule("GPKG05")
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


@rule("GPKG06")
def required_tables(package: GeoPackage) -> Iterator[str]:
    """The tables that GeoPackage requires are there, and that of extensions."""
    required = {"gpkg_spatial_ref_sys", "gpkg_contents", "gpkg_geometry_columns", "gpkg_extensions"}
    if missing := sorted(required - package.tables):
        yield f"missing: {', '.join(missing)}"


@rule("GPKG07")
def contents(package: GeoPackage) -> Iterator[str]:
    """Each table of data is registered in gpkg_contents, and each registered one exists (requirement 14)."""
    registered = {row["table_name"] for row in package.contents}
    data = {table for table in package.tables if not _SYSTEM.match(table)}
    if unknown := sorted(data - registered):
        yield f"tables not registered: {', '.join(unknown)}"
    if missing := sorted(registered - package.tables):
        yield f"registered without a table: {', '.join(missing)}"


@rule("GPKG08")
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


@rule("GPKG09")
def reference_systems(package: GeoPackage) -> Iterator[str]:
    """The required reference systems (-1, 0, 4326) are defined, and the layers' (requirements 11, 12)."""
    defined = {row["srs_id"] for row in package.rows("SELECT srs_id FROM gpkg_spatial_ref_sys")}
    used = {row["srs_id"] for row in package.rows("SELECT srs_id FROM gpkg_geometry_columns")}
    if missing := sorted({-1, 0, 4326} - defined):
        yield f"not defined, though required: {', '.join(map(str, missing))}"
    if missing := sorted(used - defined):
        yield f"not defined, though used: {', '.join(map(str, missing))}"


@rule("GPKG11")
def primary_keys(package: GeoPackage) -> Iterator[str]:
    """Each table has an integer primary key (requirement 29, and for attributes)."""
    for row in package.contents:
        keys = [column for column in package.columns(row["table_name"]) if column["pk"]]
        if [column["type"] for column in keys] != ["INTEGER"]:
            yield f"{row['table_name']}: primary key {[column['name'] for column in keys]}"


@rule("GPKG12")
def column_types(package: GeoPackage) -> Iterator[str]:
    """Each column has a type that GeoPackage defines (requirement 5)."""
    geometry = {(row["table_name"], row["column_name"]) for row in package.spatial}
    for row in package.contents:
        for column in package.columns(row["table_name"]):
            known = _COLUMN_TYPES.fullmatch(column["type"])
            if not known and (row["table_name"], column["name"]) not in geometry:
                yield f"{row['table_name']}.{column['name']}: type {column['type']!r}"


@rule("GPKG13")
def names(package: GeoPackage) -> Iterator[str]:
    """Tables and columns have names in lower snake case, which every system takes without quotes.

    But those of QGIS's own table of styles.
    """
    for row in package.contents:
        if row["table_name"] == STYLES:
            continue
        names = [row["table_name"], *(column["name"] for column in package.columns(row["table_name"]))]
        if bad := [name for name in names if not _SNAKE.fullmatch(name)]:
            yield f"{row['table_name']}: {named(bad)}"


@rule("GPKG18")
def extensions(package: GeoPackage) -> Iterator[str]:
    """Registered extensions are the standard's, on tables and columns that exist."""
    for row in package.rows("SELECT * FROM gpkg_extensions"):
        table, column = row["table_name"], row["column_name"]
        if row["extension_name"] not in _EXTENSIONS:
            yield f"extension {row['extension_name']!r} is not one of {', '.join(sorted(_EXTENSIONS))}"
        if table is not None and table not in package.tables:
            yield f"{row['extension_name']}: table {table} is not there"
        elif column is not None and column not in {entry["name"] for entry in package.columns(table)}:
            yield f"{row['extension_name']}: column {table}.{column} is not there"


@rule("GPKG19")
def data_columns(package: GeoPackage) -> Iterator[str]:
    """Each field has an alias in gpkg_data_columns, and no other column has one (Schema extension)."""
    if "gpkg_data_columns" not in package.tables:
        yield "no table gpkg_data_columns: QGIS shows no alias"
        return
    geometry = {(row["table_name"], row["column_name"]) for row in package.spatial}
    fields = {
        (row["table_name"], column["name"])
        for row in package.contents
        if row["table_name"] != STYLES
        for column in package.columns(row["table_name"])
        if not column["pk"]
    } - geometry
    rows = package.rows("SELECT table_name, column_name, name FROM gpkg_data_columns")
    described = {(row["table_name"], row["column_name"]) for row in rows if row["name"]}
    if missing := sorted(fields - described):
        yield f"no alias for {named('.'.join(field) for field in missing)}"
    if strangers := sorted(described - fields):
        yield f"alias for what is not a field: {named('.'.join(field) for field in strangers)}"
