"""GeoPackage: the file is copied with sqlite3, and its layer gets more columns."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from qpv_geo.audit.geopackage import parse_blob
from qpv_geo.errors import ConfigurationError, ContractError
from qpv_geo.locate.coordinates import wkb_points
from qpv_geo.locate.edges import FloatArray
from qpv_geo.locate.tables import Chunk, ChunkAnswer

_ROWS = 1 << 17
# The triggers of a spatial index call these when a geometry changes, which never happens here.
_SPATIAL_FUNCTIONS = ("ST_IsEmpty", "ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY")


class GeoPackageTable:
    """A layer or a table of a GeoPackage; without `layer`, its only one."""

    def __init__(self, path: Path, layer: str | None = None) -> None:
        self.path = path
        try:
            with closing(_connect(path)) as database:
                self._layer = _layer(database, path, layer)
                self._key, self.columns, self._geometry = _columns(database, self._layer)
                self.geometry_crs = _crs(database, self._layer) if self._geometry else None
        except sqlite3.Error as error:
            raise ContractError(f"{path}: not a GeoPackage that can be read ({error})") from error
        if not self._key:
            raise ConfigurationError(
                f"{path.name}: {self._layer!r} is a view or has no key; save it as a table"
            )

    @property
    def has_geometry(self) -> bool:
        """Whether the table is a layer."""
        return bool(self._geometry)

    def extend(
        self, target: Path, wanted: Sequence[str], added: pa.Schema, answer: ChunkAnswer, *, geometry: bool
    ) -> None:
        """Write the file with columns added to the layer, see `Table.extend`; all else is copied."""
        with closing(_connect(self.path)) as source, closing(sqlite3.connect(target)) as database:
            source.backup(database)
            database.execute("PRAGMA journal_mode = OFF")  # the copy is thrown away if anything fails
            for function in _SPATIAL_FUNCTIONS:
                database.create_function(function, 1, _never)
            for field in added:
                kind = "REAL" if pa.types.is_floating(field.type) else "TEXT"
                database.execute(f"ALTER TABLE {_name(self._layer)} ADD COLUMN {_name(field.name)} {kind}")
            settings = ", ".join(f"{_name(name)} = ?" for name in added.names)
            update = f"UPDATE {_name(self._layer)} SET {settings} WHERE {_name(self._key)} = ?"  # noqa: S608 - quoted names
            for keys, chunk in self._chunks(source, wanted, geometry=geometry):
                table = answer(chunk)
                columns = [table[name].to_pylist() for name in added.names]
                database.executemany(update, zip(*columns, keys, strict=True))
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
            database.execute(
                "UPDATE gpkg_contents SET last_change = ? WHERE table_name = ?", (now, self._layer)
            )
            database.commit()

    def _chunks(
        self, source: sqlite3.Connection, wanted: Sequence[str], *, geometry: bool
    ) -> Iterator[tuple[Sequence[int], Chunk]]:
        names = [self._key, *wanted, *([self._geometry] if geometry else [])]
        query = f"SELECT {', '.join(map(_name, names))} FROM {_name(self._layer)} ORDER BY {_name(self._key)}"  # noqa: S608 - quoted names
        cursor = source.execute(query)
        first_row = 1
        while rows := cursor.fetchmany(_ROWS):
            columns = list(zip(*rows, strict=True))
            points = _points(columns.pop(), first_row, self.path.name) if geometry else None
            cells = {name: _array(column) for name, column in zip(wanted, columns[1:], strict=True)}
            yield columns[0], Chunk(first_row, len(rows), cells, points)
            first_row += len(rows)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def _never(_: object) -> None:
    raise AssertionError("no geometry is changed")


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _layer(database: sqlite3.Connection, path: Path, wanted: str | None) -> str:
    contents = database.execute("SELECT table_name, data_type FROM gpkg_contents").fetchall()
    tables = [name for name, kind in contents if kind in {"features", "attributes"}]
    layers = [name for name, kind in contents if kind == "features"]
    if wanted is not None:
        if wanted not in tables:
            raise ConfigurationError(f"{path.name} has no layer {wanted!r}; it has: {', '.join(tables)}")
        return wanted
    candidates = layers or tables
    if len(candidates) != 1:
        listed = ", ".join(candidates) or "none"
        raise ConfigurationError(f"{path.name}: name the layer of the points with --layer; it has: {listed}")
    return str(candidates[0])


def _columns(database: sqlite3.Connection, layer: str) -> tuple[str, list[str], str]:
    """Return the key of one column, the other columns and the geometry column; empty where there is none."""
    info = database.execute(f"PRAGMA table_info({_name(layer)})").fetchall()
    # The columns of a key of several are not unique each.
    keys = [(name, kind.upper()) for _, name, kind, _, _, place in info if place]
    key = keys[0][0] if len(keys) == 1 and keys[0][1] == "INTEGER" else ""
    row = database.execute(
        "SELECT column_name FROM gpkg_geometry_columns WHERE table_name = ?", (layer,)
    ).fetchone()
    geometry = row[0] if row else ""
    return key, [name for _, name, *_ in info if name not in {key, geometry}], geometry


def _crs(database: sqlite3.Connection, layer: str) -> object | None:
    row = database.execute(
        "SELECT organization, organization_coordsys_id, definition FROM gpkg_geometry_columns"
        " JOIN gpkg_spatial_ref_sys USING (srs_id) WHERE table_name = ?",
        (layer,),
    ).fetchone()
    if row is None or row[2] == "undefined":
        return None
    organization, code, definition = row
    return f"EPSG:{code}" if organization.upper() == "EPSG" else definition


def _points(blobs: Sequence[bytes | None], first_row: int, name: str) -> tuple[FloatArray, FloatArray]:
    def wkb(place: int, blob: bytes | None) -> bytes | None:
        try:
            return None if blob is None else parse_blob(blob).wkb
        except ValueError as error:
            raise ContractError(
                f"{name}: row {first_row + place}: geometry cannot be read: {error}"
            ) from error

    column = pa.array([wkb(place, blob) for place, blob in enumerate(blobs)], pa.large_binary())
    return wkb_points(column, first_row, name)


def _array(cells: Sequence[object]) -> pa.Array:
    """Return a column; as text if its cells are of several types, as SQLite allows."""
    kinds = {type(cell) for cell in cells if cell is not None}
    if kinds <= {int, float}:
        numbers = np.array([np.nan if cell is None else cell for cell in cells], np.float64)
        return pa.array(numbers, from_pandas=True)
    return pa.array(
        [None if cell is None or isinstance(cell, bytes) else str(cell) for cell in cells], pa.string()
    )
