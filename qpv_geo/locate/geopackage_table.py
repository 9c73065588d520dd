"""GeoPackage: the file is copied, and its layer gets more columns by sqlite3."""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from qpv_geo.audit.geopackage import connect, parse_blob
from qpv_geo.errors import ConfigurationError, ContractError
from qpv_geo.locate.coordinates import Geometries, cells_column, read_wkb
from qpv_geo.locate.tables import HEAD_ROWS, Chunk, ChunkAnswer, PointTable

_ROWS = 1 << 17
_ANY = {"GEOMETRY", "GEOMETRYCOLLECTION"}
_BESIDE = ("-wal", "-journal")
"""Files beside a database that hold what was written to it last."""
_ATTEMPTS = 5
_BEFORE_ALL = -(2**63)
"""Below the key of any row."""


class GeoPackageTable(PointTable):
    """A layer or a table of a GeoPackage; without `layer`, its only one."""

    def __init__(self, path: Path, layer: str | None = None, wanted: Sequence[str] = ()) -> None:
        """Open the layer; the chunks of which `extend` asks have the `wanted` columns."""
        super().__init__(path)
        self._wanted = wanted
        try:
            with _reading(path) as database:
                self._layer = _layer(database, path, layer)
                self._geometry, self.geometry_crs, self.kind = _geometry(database, self._layer)
                self._key, names = _columns(database, self._layer)
                self.columns = [name for name in names if name not in {self._key, self._geometry}]
        except sqlite3.Error as error:
            raise ContractError(f"{path}: not a GeoPackage that can be read ({error})") from error
        if not self._key:
            raise ConfigurationError(
                f"{path.name}: {self._layer!r} is a view or has no key; save it as a table"
            )

    def head(self) -> Chunk:
        """Return the first rows."""
        with _reading(self.path) as database:
            for _, chunk in self._chunks(database, self.columns, HEAD_ROWS):
                return chunk
        return Chunk((), lambda _: pa.nulls(0))

    def extend(self, target: Path, added: pa.Schema, answer: ChunkAnswer) -> None:
        """Write the file with columns added to the layer; all else is copied."""
        _copy(self.path, target)
        with closing(sqlite3.connect(target)) as database:
            database.execute("PRAGMA journal_mode = DELETE")  # takes in what stands in the copied WAL
            database.execute("PRAGMA journal_mode = OFF")  # the copy is thrown away if anything fails
            triggers = database.execute(
                "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY rowid"
            ).fetchall()
            for name, _ in triggers:
                database.execute(f"DROP TRIGGER {_name(name)}")
            for field in added:
                kind = "REAL" if pa.types.is_floating(field.type) else "TEXT"
                database.execute(f"ALTER TABLE {_name(self._layer)} ADD COLUMN {_name(field.name)} {kind}")
            settings = ", ".join(f"{_name(name)} = ?" for name in added.names)
            update = f"UPDATE {_name(self._layer)} SET {settings} WHERE {_name(self._key)} = ?"  # noqa: S608 - quoted names
            for keys, chunk in self._chunks(database, self._wanted, _ROWS):
                table = answer(chunk)
                columns = [table[name].to_pylist() for name in added.names]
                database.executemany(update, zip(*columns, keys, strict=True))
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
            database.execute(
                "UPDATE gpkg_contents SET last_change = ? WHERE table_name = ?", (now, self._layer)
            )
            for _, definition in triggers:
                database.execute(definition)
            database.commit()

    def _chunks(
        self, database: sqlite3.Connection, wanted: Sequence[str], size: int
    ) -> Iterator[tuple[Sequence[int], Chunk]]:
        names = [self._key, *wanted, *([self._geometry] if self._geometry else [])]
        key = _name(self._key)
        query = (
            f"SELECT {', '.join(map(_name, names))} FROM {_name(self._layer)}"  # noqa: S608 - quoted names
            f" WHERE {key} > ? ORDER BY {key} LIMIT {size}"
        )
        first_row, last = 1, _BEFORE_ALL
        while rows := database.execute(query, (last,)).fetchall():
            cells = dict(zip(names, zip(*rows, strict=True), strict=True))
            yield cells[self._key], self._chunk(cells, range(first_row, first_row + len(rows)))
            first_row, last = first_row + len(rows), cells[self._key][-1]

    def _chunk(self, cells: Mapping[str, Sequence[Any]], numbers: range) -> Chunk:
        return Chunk(numbers, lambda name: cells_column(cells[name]), lambda: _points(cells[self._geometry]))


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database as it is now; nothing is created or changed beside it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = path
        if any(_beside(path, suffix).exists() for suffix in _BESIDE):
            copy = Path(folder) / path.name
            _copy(path, copy)
        with closing(connect(path) if copy == path else sqlite3.connect(copy)) as database:
            yield database


def _copy(path: Path, target: Path) -> None:
    """Copy a database with the files beside it, at a moment when nobody writes to them."""
    files = [(path, target), *((_beside(path, suffix), _beside(target, suffix)) for suffix in _BESIDE)]
    for _ in range(_ATTEMPTS):
        before = [_state(file) for file, _ in files]
        for file, copy in files:
            if file.exists():
                shutil.copyfile(file, copy)
            else:
                copy.unlink(missing_ok=True)
        if before == [_state(file) for file, _ in files]:
            return
    raise ContractError(f"{path}: another program is writing to it; run again once it has finished")


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _state(path: Path) -> tuple[int, int] | None:
    if not path.exists():
        return None
    status = path.stat()
    return status.st_mtime_ns, status.st_size


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


def _columns(database: sqlite3.Connection, layer: str) -> tuple[str, list[str]]:
    """Return the key, empty if it is not one column, and all columns."""
    info = database.execute(f"PRAGMA table_info({_name(layer)})").fetchall()
    # The columns of a key of several are not unique each.
    keys = [(name, kind.upper()) for _, name, kind, _, _, place in info if place]
    return keys[0][0] if len(keys) == 1 and keys[0][1] == "INTEGER" else "", [row[1] for row in info]


def _geometry(database: sqlite3.Connection, layer: str) -> tuple[str, object | None, str | None]:
    """Return the geometry column, empty if there is none, its CRS, None if undefined, and its type."""
    row = database.execute(
        "SELECT column_name, organization, organization_coordsys_id, definition, geometry_type_name"
        " FROM gpkg_geometry_columns LEFT JOIN gpkg_spatial_ref_sys USING (srs_id) WHERE table_name = ?",
        (layer,),
    ).fetchone()
    if row is None:
        return "", None, None
    name, organization, code, definition, kind = row
    kind = "" if kind.upper() in _ANY else kind
    if definition in {None, "undefined"}:
        return name, None, kind
    return name, f"EPSG:{code}" if organization.upper() == "EPSG" else definition, kind


def _points(blobs: Sequence[bytes | None]) -> Geometries:
    def wkb(blob: bytes | None) -> bytes | None:
        try:
            return None if blob is None else parse_blob(blob).wkb
        except ValueError:
            return None

    return read_wkb(pa.array([wkb(blob) for blob in blobs], pa.large_binary()))
