"""Numbers and geometries from a column, however the file writes them."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from qpv_geo.errors import ConfigurationError
from qpv_geo.locate.edges import FloatArray, GeometryArray, IntArray

_POINT, _MULTIPOINT = 0, 4
_NUMBER = r"[+-]?\d+(?:[.,]\d+)?"
_TWO_NUMBERS = rf"^\s*[\[(]?\s*(?P<a>{_NUMBER})\s*[,;\s]\s*(?P<b>{_NUMBER})\s*[\])]?\s*$"
# Little-endian WKB of a point without Z: this beginning, then x and y.
_WKB_POINT = np.frombuffer(b"\x01\x01\x00\x00\x00", np.uint8)
_WKB_POINT_SIZE = 21


def to_floats(column: pa.Array, name: str, decimal: str | None = None) -> FloatArray:
    """Return a column as numbers, NaN where a cell is empty or not a number.

    A text may have a decimal comma, and spaces around it or between thousands. With a given `decimal` sign,
    the other is between thousands. A column of neither numbers
    nor text is a `ConfigurationError`.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        numbers: FloatArray = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return numbers
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        texts = column.cast(pa.large_string())
        if decimal:
            texts = pc.replace_substring(texts, "." if decimal == "," else ",", "")
        texts = pc.replace_substring(texts, ",", ".")
        texts = pc.replace_substring_regex(texts, r"[\s\x{00A0}\x{202F}]+", "")
        cells = pd.Series(texts.to_numpy(zero_copy_only=False), dtype=object)
        return pd.to_numeric(cells, errors="coerce").to_numpy(np.float64)
    raise ConfigurationError(f"column {name!r} holds {kind}; expected numbers, or text that reads as numbers")


def cells_column(cells: Sequence[object]) -> pa.Array:
    """Return cells of SQLite or of a sheet as a column; as text if they are of several types."""
    kinds = {type(cell) for cell in cells if cell is not None and cell != ""}
    if kinds <= {int, float}:
        numbers = np.array([np.nan if cell in {None, ""} else cell for cell in cells], np.float64)
        return pa.array(numbers, from_pandas=True)
    return pa.array([None if isinstance(cell, bytes) else cell_text(cell) for cell in cells], pa.string())


def cell_text(cell: object) -> str | None:
    """Return a cell of a sheet as text; None for none."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))  # a postal code that a sheet took for a number
    return None if cell is None else str(cell)


class Geometries(NamedTuple):
    """The geometries of consecutive rows."""

    x: FloatArray
    y: FloatArray
    """Coordinates of the points, NaN where there is none; of polygons and lines the first vertex."""
    shapes: GeometryArray | None = None
    """Those that are not points, None elsewhere; None if all are points."""

    def take(self, rows: IntArray) -> "Geometries":
        """Return those of some rows."""
        return Geometries(self.x[rows], self.y[rows], None if self.shapes is None else self.shapes[rows])


def read_wkb(column: pa.Array) -> Geometries:
    """Read a column of WKB; what is empty or unreadable has NaN coordinates."""
    column = column.cast(pa.large_binary())
    if (points := _plain_points(column)) is not None:
        return Geometries(*points)
    return split_geometries(shapely.from_wkb(column.to_numpy(zero_copy_only=False), on_invalid="ignore"))


def split_text(column: pa.Array, *, x_first: bool) -> Geometries:
    """Read a column of texts: two numbers, WKT, GeoJSON, or an object with ``lon`` and ``lat``.

    `x_first` is the order of two numbers.
    """
    texts = column.cast(pa.large_string())
    parts = pc.extract_regex(texts, _TWO_NUMBERS)
    first, second = (to_floats(pc.struct_field(parts, name), name).copy() for name in "ab")
    x, y = (first, second) if x_first else (second, first)
    left = np.flatnonzero(pc.is_null(parts).to_numpy(zero_copy_only=False))
    if not len(left):
        return Geometries(x, y)
    written = [(text or "").strip() for text in texts.take(pa.array(left)).to_pylist()]
    shapes = np.array([_geometry(text) for text in written], object)
    there = split_geometries(shapes)
    x[left], y[left] = there.x, there.y
    if there.shapes is None:
        return Geometries(x, y)
    others = np.full(len(x), None, object)
    others[left] = there.shapes
    return Geometries(x, y, others)


def _geometry(text: str) -> shapely.Geometry | None:
    """Return the geometry of a text, None if it is none."""
    if text.startswith("{"):
        numbers = [re.search(rf'"{name}"\s*:\s*"?(-?[\d.]+)', text) for name in ("lon", "lat")]
        if numbers[0] and numbers[1]:
            return shapely.Point(float(numbers[0][1]), float(numbers[1][1]))
        return shapely.from_geojson(text, on_invalid="ignore")
    return shapely.from_wkt(re.sub(r"^SRID=\d+;", "", text), on_invalid="ignore")


def split_geometries(geometries: GeometryArray) -> Geometries:
    """Take points and other geometries apart; a multipoint of one point is a point."""
    kinds = shapely.get_type_id(geometries)
    single = (kinds == _MULTIPOINT) & (shapely.get_num_geometries(geometries) == 1)
    geometries[single] = shapely.get_geometry(geometries[single], 0)
    geometries[shapely.is_empty(geometries)] = None
    x, y = np.full((2, len(geometries)), np.nan)
    coordinates, owner = shapely.get_coordinates(geometries, return_index=True)
    rows, first = np.unique(owner, return_index=True)
    x[rows], y[rows] = coordinates[first].T
    others = ~single & (kinds != _POINT) & ~shapely.is_missing(geometries)
    geometries[~others] = None
    return Geometries(x, y, geometries if others.any() else None)


def _plain_points(column: pa.Array) -> tuple[FloatArray, FloatArray] | None:
    """Read points without building geometries; None unless all are little-endian and without Z."""
    if column.null_count or not len(column):
        return None
    _, places, data = column.buffers()
    offsets = np.frombuffer(places, np.int64)[column.offset : column.offset + len(column) + 1]
    if not (np.diff(offsets) == _WKB_POINT_SIZE).all():
        return None
    rows = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]].reshape(-1, _WKB_POINT_SIZE)
    if not (rows[:, : len(_WKB_POINT)] == _WKB_POINT).all():
        return None
    numbers = rows[:, len(_WKB_POINT) :].copy().view("<f8")
    return numbers[:, 0].copy(), numbers[:, 1].copy()
