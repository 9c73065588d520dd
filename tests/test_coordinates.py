"""Numbers and points out of a column, however a file writes them."""

import decimal
import math

import numpy as np
import pyarrow as pa
import pytest
import shapely

from qpv_geo.errors import ConfigurationError
from qpv_geo.locate.coordinates import cells_column, read_wkb, to_floats

LITTLE, BIG = 1, 0
HERE, THERE = shapely.Point(6.02, 47.24), shapely.Point(927_000, 6_687_000)


def wkb(*shapes: shapely.Geometry | None, order: int = LITTLE) -> list[bytes | None]:
    return [None if shape is None else shapely.to_wkb(shape, byte_order=order) for shape in shapes]


def read(blobs: list[bytes | None]) -> list[tuple[float, float]]:
    x, y, shapes = read_wkb(pa.array(blobs, pa.binary()))
    assert shapes is None
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
        x, y, _ = read_wkb(part)
        assert (x.tolist(), y.tolist()) == ([HERE.x], [HERE.y])


@pytest.mark.parametrize("missing", [None, b"", b"\x01\x01", shapely.Point().wkb, shapely.Polygon().wkb])
def test_no_geometry_is_no_coordinate_and_not_zero(missing: bytes | None) -> None:
    (first, *rest) = read([*wkb(HERE), missing])
    assert first == (HERE.x, HERE.y)
    assert all(math.isnan(number) for point in rest for number in point)
    assert read([]) == []


def test_what_is_not_a_point_is_told_apart_and_has_its_first_vertex() -> None:
    several, line = shapely.MultiPoint([HERE, THERE]), shapely.LineString([THERE, HERE])
    x, y, shapes = read_wkb(pa.array(wkb(HERE, None, several, line), pa.binary()))
    assert shapes is not None
    assert shapes.tolist() == [None, None, several, line]
    np.testing.assert_array_equal(x, [HERE.x, np.nan, HERE.x, THERE.x])
    np.testing.assert_array_equal(y, [HERE.y, np.nan, HERE.y, THERE.y])


@pytest.mark.parametrize(
    ("cells", "column"),
    [
        ([6.02, 4, None, ""], [6.02, 4.0, None, None]),
        ([25000.0, "2A004", None, b"x"], ["25000", "2A004", None, None]),
        ([6.02, "6,03"], ["6.02", "6,03"]),
        ([], []),
    ],
)
def test_cells_of_several_types_are_texts(cells: list[object], column: list[object]) -> None:
    assert cells_column(cells).to_pylist() == column


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
