"""Numbers and points out of a column, however a file writes them."""

import decimal
import math

import numpy as np
import pyarrow as pa
import pytest
import shapely

from qpv_geo.errors import ConfigurationError, ContractError
from qpv_geo.locate.coordinates import to_floats, wkb_points

LITTLE, BIG = 1, 0
HERE, THERE = shapely.Point(6.02, 47.24), shapely.Point(927_000, 6_687_000)


def wkb(*shapes: shapely.Geometry | None, order: int = LITTLE) -> list[bytes | None]:
    return [None if shape is None else shapely.to_wkb(shape, byte_order=order) for shape in shapes]


def read(blobs: list[bytes | None]) -> list[tuple[float, float]]:
    x, y = wkb_points(pa.array(blobs, pa.binary()), 1, "p.parquet")
    return list(zip(x.tolist(), y.tolist(), strict=True))


@pytest.mark.parametrize(
    "blobs",
    [
        wkb(HERE, THERE),
        wkb(HERE, THERE, order=BIG),
        [*wkb(HERE), *wkb(THERE, order=BIG)],
        [*wkb(HERE, order=BIG), *wkb(THERE)],
        wkb(HERE, shapely.MultiPoint([THERE])),
        wkb(shapely.Point(6.02, 47.24, 300), THERE),
    ],
)
def test_points_are_read_in_every_byte_order_and_form(blobs: list[bytes | None]) -> None:
    assert read(blobs) == [(HERE.x, HERE.y), (THERE.x, THERE.y)]


def test_a_slice_of_a_column_has_its_own_points() -> None:
    column = pa.array(wkb(THERE, HERE, THERE), pa.binary())
    for part in (column[1:2], pa.array(wkb(THERE, HERE, None), pa.binary())[1:2]):
        x, y = wkb_points(part, 2, "p.parquet")
        assert (x.tolist(), y.tolist()) == ([HERE.x], [HERE.y])


@pytest.mark.parametrize("missing", [None, b"", b"\x01\x01", shapely.Point().wkb, shapely.Polygon().wkb])
def test_no_geometry_is_no_coordinate_and_not_zero(missing: bytes | None) -> None:
    (first, *rest) = read([*wkb(HERE), missing])
    assert first == (HERE.x, HERE.y)
    assert all(math.isnan(number) for point in rest for number in point)
    assert read([]) == []


def test_what_is_not_a_point_is_refused_with_its_row() -> None:
    several = shapely.MultiPoint([HERE, THERE])
    column = pa.array(wkb(HERE, None, several, shapely.LineString([HERE, THERE])), pa.binary())
    with pytest.raises(ContractError) as error:
        wkb_points(column, 101, "p.parquet")
    for fact in ("p.parquet: row 103", "found a MultiPoint", "2 such rows among 4"):
        assert fact in str(error.value)


@pytest.mark.parametrize(
    ("column", "numbers"),
    [
        (
            pa.array(["6.02", " 6,02 ", "1 234,5", "1\u202f234,5", "1\u00a0234.5"]),
            [6.02, 6.02, 1234.5, 1234.5, 1234.5],
        ),
        (pa.array(["-3e2", "abc", "", None], pa.large_string()), [-300, math.nan, math.nan, math.nan]),
        (pa.array(["6,02", "abc"], pa.string_view()), [6.02, math.nan]),
        (pa.array(["6,02", None, "6,02"]).dictionary_encode(), [6.02, math.nan, 6.02]),
        (pa.array([1, None], pa.int32()), [1, math.nan]),
        (pa.array([1.5, None], pa.float32()), [1.5, math.nan]),
        (pa.array([decimal.Decimal("6.25")]), [6.25]),
        (pa.array([None, None]), [math.nan, math.nan]),
    ],
)
def test_numbers_are_read_as_they_are_written(column: pa.Array, numbers: list[float]) -> None:
    np.testing.assert_array_equal(to_floats(column, "lon"), numbers)


@pytest.mark.parametrize("column", [pa.array([True]), pa.array([[1.0]]), pa.array([b"6.02"])])
def test_a_column_that_holds_no_numbers_is_named(column: pa.Array) -> None:
    with pytest.raises(ConfigurationError, match=rf"column 'lon' holds {column.type}".replace("<", r"\<")):
        to_floats(column, "lon")
