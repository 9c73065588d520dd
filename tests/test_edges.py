"""The edges of polygons, from which distances are measured."""

import numpy as np
import shapely
from hypothesis import given
from hypothesis import strategies as st

from qpv_geo.locate.edges import Edges

metres = st.floats(-1e6, 7e6, allow_nan=False).map(lambda value: round(value, 2))
corners = st.tuples(metres, metres)


@given(st.lists(corners, min_size=3, max_size=6, unique=True))
def test_an_edge_has_the_same_numbers_whichever_way_it_is_drawn(ring: list[tuple[float, float]]) -> None:
    there, back = (shapely.Polygon(points) for points in (ring, ring[::-1]))
    edges = Edges.of(np.array([there, back]))
    one, other = (edges.segments[edges.polygon == which] for which in (0, 1))
    assert sorted(one.tolist()) == sorted(other.tolist())
    smaller = [tuple(end) for end in one[:, :2].tolist()]
    larger = [tuple(end) for end in (one[:, :2] + one[:, 2:4]).tolist()]
    assert all(start <= end for start, end in zip(smaller, larger, strict=True))
