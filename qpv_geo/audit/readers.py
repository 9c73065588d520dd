"""Reading a release back without what wrote it, GDAL and orjson: sqlite3 and WKB, json, csv.

What a library wrote is not proved right by the same library reading it.
"""

import csv
import io
import json
import sqlite3
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import shapely

from qpv_geo.audit.shapes import polygons_of
from qpv_geo.errors import PublicationError
from qpv_geo.formats.csv import DECIMAL, FALSE, SEPARATOR, TRUE, restored
from qpv_geo.formats.fields import GEOMETRY_COLUMN, FieldType, Layer, LayerField
from qpv_geo.parallel import collector_held_off

# Size in bytes of the envelope in a GeoPackage geometry, by its code in the flags (OGC 12-128r17, 2.1.3).
_ENVELOPE_SIZES = {0: 0, 1: 32, 2: 48, 3: 48, 4: 64}
_HEADER_SIZE = 8

# How the cells of a file become values, by declared type. Strict: 1 is not 1.0, and 1 is not true.
_Types = Mapping[FieldType, Callable[[Any], Any]]


@dataclass(frozen=True)
class Reading:
    """A layer as one file holds it.

    Attributes
    ----------
    path
        The file.
    attributes
        Declared fields, with the pandas types of `frames.conform`.
    geometry
        Shapely geometries (None where there is none), or None for a table or a CSV.
    epsg
        Their CRS.
    """

    path: Path
    attributes: pd.DataFrame
    geometry: np.ndarray | None = None
    epsg: int | None = None


@dataclass(frozen=True)
class Blob:
    """A GeoPackage geometry taken apart (OGC 12-128r17, 2.1.3).

    Attributes
    ----------
    magic, version
        ``GP`` and 0.
    srs_id
        Its CRS.
    empty
        Whether the flags say that the geometry is empty.
    envelope
        minx, maxx, miny, maxy; empty if there is none.
    wkb
        The rest.
    """

    magic: bytes
    version: int
    srs_id: int
    empty: bool
    envelope: tuple[float, ...]
    wkb: bytes


def parse_blob(blob: bytes) -> Blob:
    """Take a GeoPackage geometry apart.

    Raises
    ------
    ValueError
        If it is shorter than its header or the code of its envelope is not defined.
    """
    if len(blob) < _HEADER_SIZE:
        raise ValueError("shorter than its header")
    flags = blob[3]
    order = "<" if flags & 1 else ">"
    size = _ENVELOPE_SIZES.get(flags >> 1 & 7)
    if size is None or len(blob) < _HEADER_SIZE + size:
        raise ValueError("its envelope is not one that GeoPackage defines")
    (srs_id,) = struct.unpack_from(f"{order}i", blob, 4)
    envelope = struct.unpack_from(f"{order}{size // 8}d", blob, _HEADER_SIZE)
    return Blob(blob[:2], blob[2], srs_id, bool(flags & 16), envelope, blob[_HEADER_SIZE + size :])


def read_geopackage(path: Path, layers: Iterable[Layer]) -> dict[str, Reading]:
    """Read layers of a GeoPackage with sqlite3.

    Raises
    ------
    PublicationError
        If one cannot be read as declared.
    """
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        return {layer.name: _wrap(partial(_read_table, database), path, layer) for layer in layers}


def read_geojson(path: Path, layer: Layer) -> Reading:
    """Read a layer of a GeoJSON file with json.

    Raises
    ------
    PublicationError
        If it cannot be read as declared.
    """
    return _wrap(_read_features, path, layer)


def read_csv(path: Path, layer: Layer) -> Reading:
    """Read a layer's attributes from a CSV file with csv, as `tabular.write_csv` writes them.

    Raises
    ------
    PublicationError
        If it cannot be read as declared.
    """
    return _wrap(_read_cells, path, layer)


def _wrap(read: Callable[[Path, Layer], Reading], path: Path, layer: Layer) -> Reading:
    try:
        return read(path, layer)
    except (OSError, sqlite3.Error, ValueError, KeyError, TypeError, shapely.errors.ShapelyError) as error:
        raise PublicationError(
            f"{path.name}, layer {layer.name}: cannot be read back as declared "
            f"({type(error).__name__}: {error})"
        ) from error


def _read_table(database: sqlite3.Connection, path: Path, layer: Layer) -> Reading:
    spatial = layer.geometry is not None
    names = [*layer.fields, *([GEOMETRY_COLUMN] if spatial else [])]
    columns = ", ".join(f'"{name}"' for name in names)
    rows = database.execute(f'SELECT {columns} FROM "{layer.name}" ORDER BY rowid').fetchall()  # noqa: S608 - declared names
    cells = dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(names, ())
    attributes = _typed(cells, layer.fields, _FROM_SQLITE)
    if not spatial:
        return Reading(path, attributes)
    blobs = [None if blob is None else parse_blob(blob) for blob in cells[GEOMETRY_COLUMN]]
    geometry = shapely.from_wkb(np.array([blob and blob.wkb for blob in blobs], dtype=object))
    (epsg,) = database.execute(
        "SELECT organization_coordsys_id FROM gpkg_geometry_columns JOIN gpkg_spatial_ref_sys USING (srs_id) "
        "WHERE table_name = ?",
        (layer.name,),
    ).fetchone()
    return Reading(path, attributes, geometry, epsg)


def _read_features(path: Path, layer: Layer) -> Reading:
    with collector_held_off():
        features = json.loads(path.read_bytes())["features"]
    cells = {name: [feature["properties"][name] for feature in features] for name in layer.fields}
    geometry = polygons_of([feature["geometry"] for feature in features])
    return Reading(path, _typed(cells, layer.fields, _FROM_JSON), geometry, 4326)


def _read_cells(path: Path, layer: Layer) -> Reading:
    text = path.read_bytes().decode("utf-8-sig")
    header, *rows = csv.reader(io.StringIO(text, newline=""), delimiter=SEPARATOR, strict=True)
    if header != list(layer.fields):
        raise ValueError(f"its header is {header}")
    columns = zip(*rows, strict=True) if rows else [()] * len(header)
    cells = {name: [cell or None for cell in column] for name, column in zip(header, columns, strict=True)}
    return Reading(path, _typed(cells, layer.fields, _FROM_CSV))


def _typed(
    cells: Mapping[str, Sequence[Any]], fields: Mapping[str, LayerField], convert: _Types
) -> pd.DataFrame:
    columns = {}
    index = pd.RangeIndex(max(map(len, cells.values()), default=0))
    for name, field in fields.items():
        to_value = convert[field.type]
        values = [None if cell is None else to_value(cell) for cell in cells[name]]
        array = _column(values, field.type)
        # A table would turn an array of texts into its own type of text.
        columns[name] = pd.Series(array, index=index, dtype=array.dtype, copy=False)
    return pd.DataFrame(columns, index=index, copy=False)


def _column(values: list[Any], kind: FieldType) -> pd.api.extensions.ExtensionArray | np.ndarray:
    if kind == "date":
        return np.array(values, dtype="datetime64[s]")
    if kind == "datetime":
        return pd.DatetimeIndex(pd.to_datetime(values, format="ISO8601", utc=True)).as_unit("ms").array
    if kind == "integer":
        return pd.array(values, dtype="Int64")
    if kind == "boolean":
        return pd.array(values, dtype="boolean")
    if kind == "real":
        return np.array(values, dtype="float64")
    texts = np.empty(len(values), dtype=object)
    texts[:] = values
    return texts


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _day(value: object) -> str:
    """Check a day: numpy would take a year alone for its first day."""
    date.fromisoformat(_text(value))
    return _text(value)


def _integer(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is not a whole number")
    return value


def _real(value: object) -> float:
    if type(value) is not float:
        raise TypeError(f"{value!r} is not a real number")
    return value


def _number(value: object) -> float:
    return float(value) if type(value) is int else _real(value)


def _boolean(value: object) -> bool:
    if type(value) is not bool:
        raise TypeError(f"{value!r} is not a truth value")
    return value


def _from_bit(value: object) -> bool:
    return {0: False, 1: True}[_integer(value)]


def _from_word(cell: str) -> bool:
    return {FALSE: False, TRUE: True}[cell]


def _from_decimal(cell: str) -> float:
    return float(cell.replace(DECIMAL, "."))


_FROM_SQLITE: _Types = {
    "text": _text,
    "integer": _integer,
    "real": _real,
    "boolean": _from_bit,
    "date": _day,
    "datetime": _text,
}
_FROM_JSON: _Types = {**_FROM_SQLITE, "real": _number, "boolean": _boolean}
_FROM_CSV: _Types = {
    "text": restored,
    "integer": int,
    "real": _from_decimal,
    "boolean": _from_word,
    "date": _day,
    "datetime": str,
}
