"""Numbers and points from a column, however the file writes them."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from qpv_geo.errors import ConfigurationError, ContractError
from qpv_geo.locate.edges import FloatArray

_POINT, _MULTIPOINT = 0, 4
# Little-endian WKB of a point without Z: this beginning, then x and y.
_WKB_POINT = np.frombuffer(b"\x01\x01\x00\x00\x00", np.uint8)
_WKB_POINT_SIZE = 21


def to_floats(column: pa.Array, name: str) -> FloatArray:
    """Return a column as numbers, NaN where a cell is empty or not a number.

    A text may have a decimal comma, and spaces around it or between thousands. A column of neither numbers
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
        texts = pc.replace_substring(column.cast(pa.large_string()), ",", ".")
        texts = pc.replace_substring_regex(texts, r"[\s\x{00A0}\x{202F}]+", "")
        cells = pd.Series(texts.to_numpy(zero_copy_only=False), dtype=object)
        return pd.to_numeric(cells, errors="coerce").to_numpy(np.float64)
    raise ConfigurationError(f"column {name!r} holds {kind}; expected numbers, or text that reads as numbers")


def wkb_points(column: pa.Array, first_row: int, file: str) -> tuple[FloatArray, FloatArray]:
    """Return x and y of a column of WKB points, NaN where there is no geometry or it is empty or unreadable.

    Another geometry is a `ContractError`, whose message names `file` and the row, counted from `first_row`.
    """
    column = column.cast(pa.large_binary())
    if (points := _plain_points(column)) is not None:
        return points
    shapes = shapely.from_wkb(column.to_numpy(zero_copy_only=False), on_invalid="ignore")
    kinds = shapely.get_type_id(shapes)
    single = (kinds == _MULTIPOINT) & (shapely.get_num_geometries(shapes) == 1)
    shapes[single] = shapely.get_geometry(shapes[single], 0)
    empty = shapely.is_empty(shapes)
    shapes[empty] = None
    others = np.flatnonzero(~single & (kinds != _POINT) & (kinds >= 0) & ~empty)
    if len(others):
        raise ContractError(
            f"{file}: row {first_row + others[0]}: expected a point, found a"
            f" {shapes[others[0]].geom_type} ({len(others)} such rows among {len(column)}); take"
            " centroids or an inner point first"
        )
    return shapely.get_x(shapes), shapely.get_y(shapes)


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
