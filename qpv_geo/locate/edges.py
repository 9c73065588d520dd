"""The straight edges of polygons, as arrays, and the distances to them."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import shapely

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
Int32Array = npt.NDArray[np.int32]
GeometryArray = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Edges:
    """The edges of all rings of polygons, ordered by polygon."""

    polygon: IntArray
    """Position of the polygon each edge belongs to, ascending."""
    segments: FloatArray
    """(n, 5): for each edge its lexicographically smaller end (x, y), the vector (dx, dy) to the other end,
    and ``1 / (dx² + dy²)``, 0 if both ends are the same. An edge shared by two polygons has the same numbers
    in both, so that computations on it round alike. One row per edge takes one memory access, five columns
    would take five."""

    @classmethod
    def of(cls, polygons: GeometryArray) -> Self:
        """Return the edges of polygons and multipolygons."""
        parts, polygon = shapely.get_parts(polygons, return_index=True)
        rings, part = shapely.get_rings(parts, return_index=True)
        xy, ring = shapely.get_coordinates(rings, return_index=True)
        start = np.flatnonzero(ring[:-1] == ring[1:])
        a, b = xy[start], xy[start + 1]
        backwards = (a[:, 0] > b[:, 0]) | ((a[:, 0] == b[:, 0]) & (a[:, 1] > b[:, 1]))
        a[backwards], b[backwards] = b[backwards], a[backwards]
        vector = b - a
        square = np.square(vector).sum(axis=1)
        inverse = np.divide(1, square, out=np.zeros_like(square), where=square > 0)
        return cls(polygon[part[ring[start]]].astype(np.int64), np.column_stack([a, vector, inverse]))

    def points_along(self, longest: float) -> tuple[IntArray, FloatArray, FloatArray]:
        """Return (edge, x, y) of points along each edge, both ends included, at most `longest` apart."""
        x, y, dx, dy, _ = self.segments.T
        pieces = np.maximum(np.ceil(np.hypot(dx, dy) / longest), 1).astype(np.int64)
        edge = np.repeat(np.arange(len(pieces)), pieces + 1)
        fraction = expand(np.zeros_like(pieces), pieces + 1) / pieces[edge]
        return edge, x[edge] + dx[edge] * fraction, y[edge] + dy[edge] * fraction

    def squared_distances(
        self, which: IntArray | Int32Array, x: FloatArray, y: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return (squared distance, ux, uy), u going from the nearest point of each edge to (x, y).

        The foot of the perpendicular is at ``t = (p - a) . d / d . d`` of the edge, kept within 0 and 1.
        """
        x0, y0, dx, dy, inverse = self.segments.take(which, axis=0).T
        ux, uy = x - x0, y - y0
        t = ux * dx
        t += uy * dy
        t *= inverse
        np.maximum(t, 0, out=t)
        np.minimum(t, 1, out=t)
        ux -= t * dx
        uy -= t * dy
        np.multiply(ux, ux, out=t)
        t += uy * uy
        return t, ux, uy


def expand(starts: IntArray, counts: IntArray) -> IntArray:
    """Return the concatenation of ``range(start, start + count)`` for each pair of the two arrays."""
    ends = np.cumsum(counts)
    ranges: IntArray = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - counts), counts)
    return ranges
