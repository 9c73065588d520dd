"""Which polygon may contain a point: a two-level raster of cells around the polygons.

Most points need no geometry at all. France is cut into blocks of 32 x 32 cells. Only blocks that a polygon
touches hold cells, and each cell is

- **outside**: no polygon meets it;
- **inside** polygon *k*: it lies wholly in *k*, and wholly in or out of every polygon before *k*;
- **doubtful**: a boundary crosses it; it lists the polygons to ask the exact predicate about.

A cell is doubtful for a polygon as soon as a piece of its boundary comes within `_MARGIN` of the cell, so
the rounding of coordinates never makes a doubtful cell look certain. In a row, the cells between two doubtful
ones meet no boundary and lie on one side of it: one exact test decides them all.

The raster may live in another space than the polygons (longitude and latitude, another projection):
see `CellGrid.build`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
import shapely

from qpv_geo.locate.edges import BoolArray, FloatArray, GeometryArray, Int32Array, IntArray, expand

Along = tuple[IntArray, IntArray, FloatArray, FloatArray]
Holds = Callable[[IntArray, FloatArray, FloatArray], BoolArray]
UnsignedArray = npt.NDArray[np.unsignedinteger]
"""In as few bytes as its largest value needs: the smaller a table, the more of it stays in the cache."""
Projection = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]

BLOCK_BITS = 5
BLOCK = 1 << BLOCK_BITS
"""Cells along the side of a block."""

_MARGIN = 1e-3
"""In cells. With cells of 32 m it is 3 cm: rounding is below 1 µm, and so is the bend that a straight piece
of boundary of 16 m takes in another space (L² / 8R, with R the radius of the Earth)."""

PIECE = 0.5
"""Longest piece of boundary, in cells: it keeps the bounding box of a piece close to the piece."""

_MOST_BLOCKS = 1 << 24
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Lattice:
    """The geometry of the raster: where its cells and blocks lie."""

    x0: float
    y0: float
    """South-west corner. The outermost ring of blocks never holds anything: it stands for the rest of the
    world, and for coordinates that are not numbers."""
    scale: float
    """Cells per unit of the coordinates."""
    columns: int
    rows: int
    """Number of blocks."""

    @classmethod
    def around(cls, bounds: FloatArray, cell: float) -> Self:
        """Return the lattice over `bounds` (n, 4) with cells of side `cell`, larger if they were too many."""
        west, south = bounds[:, :2].min(axis=0)
        east, north = bounds[:, 2:].max(axis=0)
        cell = max(cell, float(np.sqrt((east - west) * (north - south) / _MOST_BLOCKS)) / BLOCK)
        block = cell * BLOCK
        columns, rows = (int(np.ceil(extent / block)) + 3 for extent in (east - west, north - south))
        return cls(float(west) - 1.5 * block, float(south) - 1.5 * block, 1 / cell, columns, rows)

    def column_row(self, x: FloatArray, y: FloatArray) -> tuple[Int32Array, Int32Array]:
        """Return the column and row of each point's cell; outside the raster the nearest one, 0 for NaN."""
        return self._cell(x, self.x0, self.columns), self._cell(y, self.y0, self.rows)

    def _cell(self, values: FloatArray, origin: float, blocks: int) -> Int32Array:
        with np.errstate(over="ignore"):
            position = (values - origin) * self.scale
        np.fmax(position, 0.0, out=position)
        np.fmin(position, blocks * BLOCK - 1.0, out=position)
        cell: Int32Array = position.astype(np.int32)
        return cell

    def block(self, column: npt.NDArray[np.signedinteger], row: npt.NDArray[np.signedinteger]) -> Int32Array:
        """Return the position of each cell's block in the raster of blocks."""
        number: Int32Array = np.right_shift(row, BLOCK_BITS, dtype=np.int32, casting="same_kind")
        number *= self.columns
        number += np.right_shift(column, BLOCK_BITS, dtype=np.int32, casting="same_kind")
        return number

    def blocks_over(self, bounds: FloatArray) -> tuple[IntArray, IntArray]:
        """Return (block, i) for every block that the i-th rectangle of `bounds` (n, 4) meets, i ascending."""
        column0, row0 = self.column_row(bounds[:, 0], bounds[:, 1])
        column1, row1 = self.column_row(bounds[:, 2], bounds[:, 3])
        first, last = self.block(column0, row0).astype(np.int64), self.block(column1, row1).astype(np.int64)
        height = last // self.columns - first // self.columns + 1
        width = last % self.columns - first % self.columns + 1
        rectangle = np.repeat(np.arange(len(bounds)), height)
        start = first[rectangle] + expand(np.zeros_like(height), height) * self.columns
        return expand(start, width[rectangle]), np.repeat(rectangle, width[rectangle])


class Cells(NamedTuple):
    """The cells that points lie in."""

    number: Int32Array
    """Number of the block: see `CellGrid.blocks`."""
    column: Int32Array
    row: Int32Array

    def take(self, which: IntArray) -> "Cells":
        """Return the cells of some of the points."""
        return Cells(self.number.take(which), self.column.take(which), self.row.take(which))


@dataclass(frozen=True)
class CellGrid:
    """A raster that gives, for each point, the only polygons worth an exact test."""

    lattice: Lattice
    blocks: UnsignedArray
    """For each block: 0 if every polygon is out of reach, else its number. A polygon touches the blocks
    numbered up to `members`; the others are only within reach."""
    members: int
    """Number of blocks that hold cells."""
    codes: UnsignedArray
    """For each cell of the blocks 1 to `members`: 0 outside, 1 + k inside polygon k, 1 + `polygons` + i
    doubtful, settled by question i."""
    polygons: int
    first: IntArray
    size: IntArray
    otherwise: IntArray
    candidates: IntArray
    """Question i: ask the polygons ``candidates[first[i]:first[i] + size[i]]`` in this order; if none holds
    the point, the answer is ``otherwise[i]``, -1 for no polygon."""

    @classmethod
    def build(
        cls,
        polygons: GeometryArray,
        along: Along,
        reach: FloatArray,
        cell: float,
        to_polygons: Projection | None = None,
    ) -> Self:
        """Build the raster over prepared polygons and multipolygons, which are in their own CRS.

        Parameters
        ----------
        along
            Polygon, edge, x and y of points along their edges, at most `PIECE` of a cell apart (see
            `Edges.points_along`). Coordinates are **in the space of the raster**.
        reach
            Rectangles (n, 4) in the space of the raster, outside which no polygon is within reach.
        cell
            Side of a cell in units of the raster.
        to_polygons
            From the space of the raster to the CRS of the polygons, if they differ.
        """
        lattice = Lattice.around(reach, cell)
        doubtful = _doubtful_cells(lattice, along)
        inside = _inside_cells(lattice, doubtful, polygons, to_polygons)
        cells, codes, questions = _codes(lattice, doubtful, inside, len(polygons))
        width = lattice.columns * BLOCK
        column, row = cells % width, cells // width
        block = lattice.block(column, row)
        blocks = np.zeros(lattice.columns * lattice.rows, np.int32)
        member = np.unique(block)
        blocks[lattice.blocks_over(reach)[0]] = -1
        blocks[member] = np.arange(1, len(member) + 1)
        near = np.flatnonzero(blocks == -1)
        blocks[near] = np.arange(len(member) + 1, len(member) + 1 + len(near))
        table = np.zeros(len(member) * BLOCK * BLOCK, np.int32)
        table[_cell_in_table(blocks[block], column, row)] = codes
        return cls(lattice, _small(blocks), len(member), _small(table), len(polygons), *questions)

    def cells(self, x: FloatArray, y: FloatArray) -> Cells:
        """Return the cell of each point."""
        column, row = self.lattice.column_row(x, y)
        number = self.blocks.take(self.lattice.block(column, row)).astype(np.int32)
        return Cells(number, column, row)

    def find(self, cells: Cells, x: FloatArray, y: FloatArray, holds: Holds) -> Int32Array:
        """Return the position of the first polygon that holds each point, -1 if none.

        `holds` is the exact predicate, given positions of polygons, x and y.
        """
        answer = np.full(len(x), -1, np.int32)
        hit = np.flatnonzero((cells.number > 0) & (cells.number <= self.members))
        code = self.codes.take(_cell_in_table(*cells.take(hit))).astype(np.int32)
        answer[hit] = code - 1
        doubtful = np.flatnonzero(code > self.polygons)
        question, point = code[doubtful] - self.polygons - 1, hit[doubtful]
        if len(point):
            answer[point] = self._settle(question, x[point], y[point], holds)
        return answer

    def _settle(self, question: Int32Array, x: FloatArray, y: FloatArray, holds: Holds) -> IntArray:
        first, size, answer = self.first[question], self.size[question], self.otherwise[question]
        unsettled = np.arange(len(question))
        for rank in range(int(size.max())):
            unsettled = unsettled[size[unsettled] > rank]
            polygon = self.candidates[first[unsettled] + rank]
            yes = holds(polygon, x[unsettled], y[unsettled])
            answer[unsettled[yes]] = polygon[yes]
            unsettled = unsettled[~yes]
        return answer


def _small(numbers: Int32Array) -> UnsignedArray:
    """Return numbers, none of which is negative, in as few bytes as they need."""
    return numbers.astype(np.min_scalar_type(numbers.max(initial=0)))


def _cell_in_table(
    number: Int32Array, column: npt.NDArray[np.signedinteger], row: npt.NDArray[np.signedinteger]
) -> npt.NDArray[np.signedinteger]:
    place = (number - 1) << (2 * BLOCK_BITS)
    place |= (row & (BLOCK - 1)).astype(np.int32, copy=False) << BLOCK_BITS
    place |= (column & (BLOCK - 1)).astype(np.int32, copy=False)
    return place


def _doubtful_cells(lattice: Lattice, along: Along) -> IntArray:
    """Return the sorted keys ``(polygon * height + row) * width + column`` of the cells near a boundary."""
    polygon, edge, x, y = along
    piece = np.flatnonzero(edge[:-1] == edge[1:])
    height, width = lattice.rows * BLOCK, lattice.columns * BLOCK
    ranges = []
    for values, origin in ((x, lattice.x0), (y, lattice.y0)):
        position = (values - origin) * lattice.scale
        low, high = position[piece], position[piece + 1]
        first = np.floor(np.minimum(low, high) - _MARGIN).astype(np.int64)
        ranges.append((first, np.floor(np.maximum(low, high) + _MARGIN).astype(np.int64) - first))
    (column, columns), (row, rows) = ranges
    corner = (polygon[piece] * height + row) * width + column
    keys = [corner]
    for i in range(int(rows.max()) + 1):
        for j in range(int(columns.max()) + 1):
            if i or j:
                more = (rows >= i) & (columns >= j)
                keys.append(corner[more] + (i * width + j))
    merged = np.concatenate(keys)
    merged.sort()
    return merged[np.concatenate(([True], merged[1:] != merged[:-1]))]


def _inside_cells(
    lattice: Lattice, doubtful: IntArray, polygons: GeometryArray, to_polygons: Projection | None
) -> IntArray:
    """Return the keys of the cells wholly inside a polygon (see the module docstring)."""
    height, width = lattice.rows * BLOCK, lattice.columns * BLOCK
    row_key = doubtful // width
    gap = np.flatnonzero((np.diff(doubtful) > 1) & (row_key[1:] == row_key[:-1]))
    start, length = doubtful[gap] + 1, doubtful[gap + 1] - doubtful[gap] - 1
    middle = start + length // 2
    x = (middle % width + 0.5) / lattice.scale + lattice.x0
    y = (middle // width % height + 0.5) / lattice.scale + lattice.y0
    if to_polygons is not None:
        x, y = to_polygons(x, y)
    inside = shapely.intersects_xy(polygons[middle // (width * height)], x, y)
    return expand(start[inside], length[inside])


def _codes(
    lattice: Lattice, doubtful: IntArray, inside: IntArray, polygons: int
) -> tuple[IntArray, IntArray, tuple[IntArray, IntArray, IntArray, IntArray]]:
    """Return the cells that a polygon meets, their codes, and the questions that settle the doubtful ones."""
    surface = lattice.rows * lattice.columns * BLOCK * BLOCK
    merged = np.concatenate(
        [
            ((keys % surface) * polygons + keys // surface) * 2 + certain
            for keys, certain in ((doubtful, 0), (inside, 1))
        ]
    )
    merged.sort()
    certain = (merged & 1).astype(bool)
    cell, polygon = np.divmod(merged >> 1, polygons)
    start = np.flatnonzero(np.concatenate(([True], cell[1:] != cell[:-1])))
    members = np.diff(np.append(start, len(cell)))
    # The first certain polygon ends the list: later ones cannot change the answer.
    surest = np.minimum.reduceat(np.where(certain, polygon, _NEVER), start)
    asked = ~certain & (polygon < np.repeat(surest, members))
    size = np.add.reduceat(asked, start, dtype=np.int64)
    otherwise = np.where(surest == _NEVER, -1, surest)
    # Question p, for p < polygons, is "polygon p, or nothing": the common case, shared by all its cells.
    alone = (size == 1) & (otherwise == -1)
    own = (size > 0) & ~alone
    codes = otherwise + 1
    codes[alone] = polygons + 1 + np.add.reduceat(np.where(asked, polygon, 0), start)[alone]
    codes[own] = 2 * polygons + 1 + np.arange(np.count_nonzero(own))
    candidates = np.concatenate((np.arange(polygons), polygon[asked & np.repeat(own, members)]))
    size = np.concatenate((np.ones(polygons, np.int64), size[own]))
    questions = (
        np.cumsum(size) - size,
        size,
        np.concatenate((np.full(polygons, -1), otherwise[own])),
        candidates,
    )
    return cell[start], codes, questions
