"""Rules of OGC GeoPackage 1.3 (OGC 12-128r17), and what QGIS on a network drive asks for.

Numbers are those of the standard's requirements. What one query can tell is declared in ``geopackage.toml``.
"""

import re
import sqlite3
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from xml.parsers import expat

import numpy as np
import shapely

from qpv_geo.audit.geopackage import Blob, connect, parse_blob
from qpv_geo.audit.rules.base import CheckedFile, Rule, listed
from qpv_geo.audit.shapes import Geometries
from qpv_geo.formats.fields import load_layers
from qpv_geo.frozen import Frozen
from qpv_geo.parallel import in_threads
from qpv_geo.sources.file_kinds import kind_of
from qpv_geo.toml_file import read_declarations

# Envelopes of the R-tree are single precision, rounded outwards: relative to the size of coordinates.
_SINGLE = 2.0**-22


class GeoPackage(CheckedFile):
    """A GeoPackage opened for checking."""

    pattern = "*.gpkg"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.database = connect(path)
        self.database.row_factory = sqlite3.Row
        self.database.create_function(
            "regexp", 2, lambda pattern, text: bool(re.fullmatch(pattern, str(text)))
        )
        self.database.create_function("is_xml", 1, _is_xml)

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def rows(self, query: str) -> list[sqlite3.Row]:
        """Return the rows of a query."""
        return self.database.execute(query).fetchall()

    @cached_property
    def tables(self) -> set[str]:
        """Names of tables, views and indexes."""
        return {name for (name,) in self.rows("SELECT name FROM sqlite_master")}

    @cached_property
    def spatial(self) -> list[sqlite3.Row]:
        """Rows of ``gpkg_geometry_columns`` whose table and column exist."""
        return self.rows(
            "SELECT g.* FROM gpkg_geometry_columns AS g JOIN pragma_table_info(g.table_name) AS c "
            "ON c.name = g.column_name ORDER BY g.rowid"
        )

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


def _is_xml(text: object) -> bool:
    """Tell whether a text is well-formed XML without entities of its own, which may grow without end."""
    parser = expat.ParserCreate()
    parser.EntityDeclHandler = _refuse_entity
    try:
        parser.Parse(str(text), True)  # noqa: FBT003 - it takes no name
    except (expat.ExpatError, ValueError):
        return False
    return True


def _refuse_entity(*declared: object) -> None:
    raise ValueError(f"an entity is declared: {declared[0]}")


class _Query(Frozen):
    """A rule that a query tells."""

    text: str
    query: str
    tables: Mapping[str, str] = {}

    def problems(self, package: GeoPackage) -> Iterator[str]:
        """Yield each problem that the query returns, with what has it."""
        lacking = [table for table in self.tables if table not in package.tables]
        if lacking:
            yield from (f"no table {table}: {self.tables[table]}" for table in lacking)
            return
        found: dict[str, list[object]] = {}
        for problem, what in package.rows(self.query):
            found.setdefault(problem, []).append(what)
        for problem, names in found.items():
            yield from listed(problem, names)


with read_declarations(Path(__file__).with_suffix(".toml"), "the rules are not valid") as _entries:
    for _code, _entry in _entries.items():
        _declared = _Query(**_entry)
        GeoPackage.rules.append(Rule(_code, _declared.text, _declared.problems, slow=False))


@GeoPackage.rule("GPKG01")
def application_id(package: GeoPackage) -> Iterator[str]:
    """The file is a SQLite 3 database whose application_id is "GPKG" (requirements 1 and 2)."""
    with package.path.open("rb") as stream:
        header = stream.read(100)
    if kind_of(header).name != "sqlite":
        yield "it does not begin as a SQLite 3 database"
    elif header[68:72] != b"GPKG":
        yield f"its application_id is {header[68:72]!r}, not b'GPKG'"


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


@GeoPackage.rule("GPKG14")
def geometry_blobs(package: GeoPackage) -> Iterator[str]:
    """Each geometry is a GeoPackage binary with the CRS, type and envelope that it should have.

    Requirements 19, 20, 32 and 33: "GP", version 0, the srs_id of its column, WKB of its column's type; an
    envelope, if any, is that of the geometry.
    """
    for row in package.spatial:
        table = row["table_name"]
        rowids, blobs, shapes = package.geometries[table]
        wanted = getattr(shapely.GeometryType, row["geometry_type_name"], None)
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
    extents = {row["table_name"]: row for row in package.rows("SELECT * FROM gpkg_contents")}
    for table, (_, _, shapes) in package.geometries.items():
        if not len(shapes):
            continue
        stated = [extents[table][side] for side in ("min_x", "min_y", "max_x", "max_y")]
        actual = shapely.total_bounds(shapes).tolist()
        # GDAL writes it as a text: the last binary digit may differ.
        if None in stated or not np.allclose(stated, actual, rtol=1e-14, atol=0):
            yield f"{table}: {stated} stated, {actual} found"


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
