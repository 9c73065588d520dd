"""How far the nearest boundary is: for each place, the few edges that can be the nearest.

Blocks within reach of a polygon are cut into squares. Each square holds the edges that can be the nearest to
one of its points, according to the test below, and a point is measured exactly against those of its square.

The test: the distance *d* to a segment is a convex function of the point. So, in a square of centre *c*,

- for an edge *e*, *d_e* is above its tangent plane at *c*: ``d_e(p) >= d_e(c) + g . (p - c)``, with *g* the
  unit vector from the nearest point of *e* to *c*;
- for the edge *f* nearest to *c*, *d_f* is below the bilinear interpolation of its values at the corners
  (Jensen's inequality).

The difference of the two bounds is bilinear, hence extreme at the corners: if the plane is above *d_f* at
all four corners, *e* is nowhere nearer than *f* and is dropped from the square. So it is from a quarter
of the square, at the quarter's corners.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise, product
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from qpv_geo.locate.edges import BoolArray, Edges, FloatArray, Int32Array, IntArray, expand
from qpv_geo.locate.grid import BLOCK, BLOCK_BITS, CellGrid, Cells

_SPLITS = 3
_SIDE = 1 << _SPLITS
"""Number of smallest squares along the side of a block."""

_FEW = 6
"""A square with at most this many edges is not cut further."""

_BATCH = 1 << 16
"""Edges examined at a time."""

_BY_SQUARE = ("number", "column", "row", "x", "y")

_SLACK = 1e-6
"""Tolerance on distances, in metres and relative: keeps edges that only rounding tells apart."""


@dataclass(frozen=True)
class EdgeGrid:
    """For each square of the blocks within reach, the edges that can be the nearest."""

    first: Int32Array
    count: npt.NDArray[np.unsignedinteger]
    """For each square: where its edges start in `candidates`, and how many they are (0 out of reach)."""
    candidates: Int32Array
    """Positions of edges, ascending in each square."""
    edges: Edges

    @classmethod
    def build(cls, grid: CellGrid, edges: Edges, bounds: FloatArray, reach: float) -> Self:
        """Build the squares of the blocks of `grid`, whose raster is in the CRS of the edges.

        Raster, edges and bounds (n, 4) are those of the same polygons; edges farther than `reach` metres do
        not matter.
        """

        def cut(squares: _Squares) -> list[_Squares]:
            leaves = []
            for _ in range(_SPLITS + 1):
                done, quarters = squares.cut(edges, reach)
                ready = quarters.count <= _FEW
                leaves += [done, quarters.where(ready)]
                squares = quarters.where(~ready)
            return leaves

        batches = _Squares.whole_blocks(grid, edges, bounds, reach).batches()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            leaves = [leaf for group in pool.map(cut, batches) for leaf in group]
        first = np.zeros(np.count_nonzero(grid.blocks) * _SIDE * _SIDE, np.int32)
        longest = max(int(leaf.count.max(initial=0)) for leaf in leaves)
        # 16 bits nearly always suffice, and numpy sorts them much faster.
        count = np.zeros(len(first), np.min_scalar_type(longest))
        total = 0
        for leaf in leaves:
            places = leaf.places()
            first[places] = (total + np.cumsum(leaf.count) - leaf.count)[:, None]
            count[places] = leaf.count[:, None]
            total += len(leaf.edge)
        candidates = np.concatenate([leaf.edge for leaf in leaves])
        return cls(first, count, candidates, edges)

    def nearest(self, cells: Cells, x: FloatArray, y: FloatArray) -> tuple[FloatArray, IntArray]:
        """Return the distance to the nearest edge of each point and its polygon; inf and -1 out of reach.

        Of two edges at the same distance, the first polygon's counts. `cells` must be within reach, `x` and
        `y` in the CRS of the edges.
        """
        square = _square(*cells)
        count = self.count.take(square)
        # Longest lists first, so that the points still to compare always come first.
        order = np.argsort(count, kind="stable")[::-1]
        busy = len(order) - np.cumsum(np.bincount(count))
        x, y, first = x.take(order), y.take(order), self.first.take(square.take(order))
        best = np.full(len(order), np.inf)
        edge = np.full(len(order), -1, np.int32)
        for rank, still in enumerate(busy[:-1]):
            candidate = self.candidates.take(first[:still] + np.int32(rank))
            squared, _, _ = self.edges.squared_distances(candidate, x[:still], y[:still])
            nearer = squared < best[:still]
            np.copyto(best[:still], squared, where=nearer)
            np.copyto(edge[:still], candidate, where=nearer)
        distance, polygon = np.empty_like(best), np.empty(len(order), np.int64)
        distance[order] = np.sqrt(best)
        polygon[order] = np.where(edge < 0, -1, self.edges.polygon.take(edge))
        return distance, polygon


def _square(number: Int32Array, column: Int32Array, row: Int32Array) -> Int32Array:
    shift = BLOCK_BITS - _SPLITS
    place = (number - 1) << (2 * _SPLITS)
    place |= ((row >> shift) & (_SIDE - 1)) << _SPLITS
    place |= (column >> shift) & (_SIDE - 1)
    return place


@dataclass(frozen=True)
class _Squares:
    """Squares of one size with their candidate edges, which are consecutive and ascending in each square."""

    number: IntArray
    """Number of the block."""
    column: IntArray
    row: IntArray
    """Place in the block, in squares of this size."""
    x: FloatArray
    y: FloatArray
    """Centre."""
    half: float
    """Half of the side."""
    size: int
    """Side in smallest squares."""
    count: IntArray
    edge: IntArray

    @classmethod
    def whole_blocks(cls, grid: CellGrid, edges: Edges, bounds: FloatArray, reach: float) -> Self:
        """Return the blocks within `reach` of the bounds of polygons, with all edges of those polygons."""
        lattice, side = grid.lattice, BLOCK / grid.lattice.scale
        block, polygon = lattice.blocks_over(bounds + reach * np.array([-1, -1, 1, 1]))
        order = np.argsort(block, kind="stable")
        block, polygon = block[order], polygon[order]
        x = lattice.x0 + (block % lattice.columns + 0.5) * side
        y = lattice.y0 + (block // lattice.columns + 0.5) * side
        near, far = _bracket(x, y, bounds[polygon])
        slack = side * np.sqrt(0.5) * (1 + _SLACK)
        least = np.minimum.reduceat(far, _starts(block)) + 2 * slack
        kept = near <= np.minimum(np.repeat(least, np.diff(_starts(block), append=len(block))), reach + slack)
        block, polygon, x, y = block[kept], polygon[kept], x[kept], y[kept]
        starts = _starts(block)
        first = np.searchsorted(edges.polygon, np.arange(len(bounds) + 1))
        sizes = np.diff(first)[polygon]
        return cls(
            grid.blocks[block[starts]].astype(np.int64),
            np.zeros(len(starts), np.int64),
            np.zeros(len(starts), np.int64),
            x[starts],
            y[starts],
            side / 2,
            _SIDE,
            np.add.reduceat(sizes, starts),
            expand(first[polygon], sizes).astype(np.int32),
        )

    def batches(self) -> Iterator[Self]:
        """Yield batches of squares whose arrays fit in the processor's cache."""
        ends = np.cumsum(self.count)
        cuts = np.flatnonzero(np.diff(ends // _BATCH)) + 1
        for start, stop in pairwise([0, *cuts.tolist(), len(ends)]):
            edge = self.edge[ends[start] - self.count[start] : ends[stop - 1]]
            yield self._of(slice(start, stop), self.count, edge)

    def cut(self, edges: Edges, reach: float) -> tuple[Self, Self]:
        """Return the squares within reach that have few edges left or are the smallest; quarters of others.

        Each keeps the edges that can be the nearest somewhere in it, by the planes at the centre of the
        whole; quarters that still have many are cut again with their own.
        """
        if not len(self.count):
            return self, self
        start = np.cumsum(self.count) - self.count
        centre = np.repeat(self.x, self.count), np.repeat(self.y, self.count)
        squared, ux, uy = edges.squared_distances(self.edge, *centre)
        least = np.minimum.reduceat(squared, start)
        at_least = np.flatnonzero(squared == np.repeat(least, self.count))
        nearest = self.edge[at_least[np.searchsorted(at_least, start)]]
        kept = np.sqrt(least) <= reach + self.half * 1.5
        steps = (-1, 1) if self.size == 1 else (-1, 0, 1)
        # The distance to the nearest edge at steps of half a side from the centre.
        ceilings = np.empty((len(steps), len(steps), len(nearest)))
        for (i, east), (j, north) in product(enumerate(steps), repeat=2):
            place = self.x + east * self.half, self.y + north * self.half
            np.sqrt(edges.squared_distances(nearest, *place)[0], out=ceilings[i, j])
        ceilings *= 1 + _SLACK
        ceilings += _SLACK
        ceilings[:, :, ~kept] = -1
        distance = np.sqrt(squared)
        slope = np.divide(self.half, distance, out=squared, where=distance > 0)
        ux *= slope
        uy *= slope
        below = []
        for east, ceiling in zip(steps, ceilings, strict=True):
            column = distance + east * ux if east else distance
            planes = (column + north * uy if north else column for north in steps)
            below.append(
                [plane <= np.repeat(each, self.count) for plane, each in zip(planes, ceiling, strict=True)]
            )
        needed = below[0][0] | below[0][-1] | below[-1][0] | below[-1][-1]
        count = np.add.reduceat(needed, start, dtype=np.int64)
        few = (count <= _FEW) | (self.size == 1)
        late = np.repeat(few, self.count)
        done = self._of(kept & few, count, self.edge[needed & late])
        if self.size == 1:
            return done, self.where(np.zeros(len(start), bool))
        needed &= ~late
        quarters = []
        for east, north in product((0, 1), repeat=2):
            here = below[east][north] | below[east][north + 1]
            here |= below[east + 1][north] | below[east + 1][north + 1]
            here &= needed
            counts = np.add.reduceat(here, start, dtype=np.int64)
            quarters.append(self._of(kept & ~few, counts, self.edge[here]).quarter(east, north))
        return done, self._joined(quarters)

    def where(self, chosen: BoolArray) -> Self:
        """Return the chosen squares."""
        return self._of(chosen, self.count, self.edge[np.repeat(chosen, self.count)])

    def _of(self, which: BoolArray | slice, count: IntArray, edge: IntArray) -> Self:
        """Return some of the squares, with other edges."""
        arrays: dict[str, Any] = {name: getattr(self, name)[which] for name in _BY_SQUARE}
        return replace(self, **arrays, count=count[which], edge=edge)

    def quarter(self, east: int, north: int) -> Self:
        """Return one quarter of each square, with the same edges."""
        half = self.half / 2
        return replace(
            self,
            column=self.column * 2 + east,
            row=self.row * 2 + north,
            x=self.x + (2 * east - 1) * half,
            y=self.y + (2 * north - 1) * half,
            half=half,
            size=self.size // 2,
        )

    @classmethod
    def _joined(cls, squares: Sequence[Self]) -> Self:
        """Return squares of one size as one."""
        names = (*_BY_SQUARE, "count", "edge")
        arrays: dict[str, Any] = {
            name: np.concatenate([getattr(each, name) for each in squares]) for name in names
        }
        return replace(squares[0], **arrays)

    def places(self) -> IntArray:
        """Return (n, k): the positions in the table of the k smallest squares that each square covers."""
        corner = ((self.number - 1) * _SIDE + self.row * self.size) * _SIDE + self.column * self.size
        within = (np.arange(self.size)[:, None] * _SIDE + np.arange(self.size)).ravel()
        return corner[:, None] + within


def _starts(sorted_values: IntArray) -> IntArray:
    """Return where each run of equal values begins."""
    starts: IntArray = np.flatnonzero(np.diff(sorted_values, prepend=sorted_values[0] - 1))
    return starts


def _bracket(
    x: npt.NDArray[np.floating], y: npt.NDArray[np.floating], bounds: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return limits, low and high, of each point's distance to the boundary of a polygon, from its bounds.

    The boundary lies in the rectangle and touches each of its sides.
    """
    west, south, east, north = bounds.T
    near = np.hypot(
        np.maximum(0, np.maximum(west - x, x - east)), np.maximum(0, np.maximum(south - y, y - north))
    )
    sides_x, sides_y = (
        np.sort(np.abs([west - x, east - x]), axis=0),
        np.sort(np.abs([south - y, north - y]), axis=0),
    )
    far = np.minimum(np.hypot(sides_x[0], sides_y[1]), np.hypot(sides_y[0], sides_x[1]))
    return near, far
