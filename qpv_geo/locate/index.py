"""The index behind `locate`: polygons, the rasters over them, and points in another CRS.

For points in another CRS than the polygons, a second raster is drawn in the space of the points. Only points
that it cannot settle are projected: the answer is that of the projected point, and few are projected.
"""

import warnings
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple, Self

import geopandas as gpd
import numpy as np
import pyproj
import shapely
from pyproj.enums import TransformDirection
from pyproj.transformer import TransformerGroup

from qpv_geo.errors import ConfigurationError, ContractError
from qpv_geo.locate.distance import EdgeGrid
from qpv_geo.locate.edges import BoolArray, Edges, FloatArray, GeometryArray, Int32Array, IntArray
from qpv_geo.locate.grid import PIECE, CellGrid, Cells, Projection
from qpv_geo.parallel import in_threads
from qpv_geo.territory import BAND_WIDTH, LARGEST_REACH

CELL = 32.0
"""Side of a cell in metres: finer cells take more memory and leave fewer points to an exact test."""

_MOST_CELLS = 1 << 22
"""Cells grow so that no more than this lie in polygons: those of all communes would take more memory and
time to build than they save."""


class Measure(NamedTuple):
    """How far points are from the polygons."""

    inside: Int32Array
    """Position of the first polygon that holds the point, -1 if none."""
    nearest: Int32Array
    """Position of this polygon, else of the first of the nearest within reach, -1 if none."""
    distance: FloatArray
    """Distance in metres to the boundary of `nearest`, negative inside; inf out of reach."""


class Limit(NamedTuple):
    """How far points are from the limit drawn at one distance around some of the polygons."""

    zones: "LocateIndex"
    """Index of these polygons."""
    width: float
    """Metres from the polygons to the limit."""
    distance: FloatArray
    """Metres from each point to the boundary of the nearest of them, as in `Measure`."""


@dataclass(frozen=True, eq=False)
class LocateIndex:
    """An index of polygons for `contains` and `locate`; build it with `LocateIndex.build`.

    Threads may share it. It is pickled as its polygons and built again when unpickled.
    """

    zones: gpd.GeoSeries
    """The polygons; answers are positions in this series."""
    points_crs: pyproj.CRS
    """CRS of the points, x first (longitude, easting)."""
    reach: float
    """Largest distance in metres from a polygon at which a point is measured."""
    widths: FloatArray
    """Width in metres of the band around each polygon."""
    _polygons: GeometryArray
    _edges: Edges
    _cell: float
    _points_grid: CellGrid | None
    _to_polygons: Projection | None
    _wider: tuple[tuple[float, "LocateIndex"], ...]

    @classmethod
    def build(
        cls,
        zones: gpd.GeoDataFrame | gpd.GeoSeries,
        *,
        points_crs: object = None,
        reach: float = 1000.0,
        widths: float | FloatArray = BAND_WIDTH,
        cell: float = CELL,
    ) -> Self:
        """Index valid polygons and multipolygons in a projected CRS in metres.

        `points_crs` is anything that pyproj understands, by default the CRS of the zones; one of `widths`
        serves all zones. `cell` is the side of a cell in metres, on which answers do not depend.

        Raises
        ------
        ConfigurationError
            If zones are not in metres, no accurate transformation takes the points to them, or `reach` or a
            width is out of range.
        ContractError
            If there is no zone, or zones are not valid polygons.
        """
        series = gpd.GeoSeries(zones.geometry)
        width = np.broadcast_to(np.asarray(widths, np.float64), len(series))
        _check(series, reach, width)
        # A copy: `prepare` changes geometries, and these belong to the caller.
        polygons = shapely.force_2d(series.to_numpy())
        _prepare(polygons)
        edges = Edges.of(polygons)
        cell = max(cell, float(np.sqrt(shapely.area(polygons).sum() / _MOST_CELLS)))
        crs = pyproj.CRS.from_user_input(series.crs if points_crs is None else points_crs)
        wider = tuple(
            (each, cls.build(series[width == each], points_crs=crs, reach=reach, widths=each, cell=cell))
            for each in np.unique(width)[1:].tolist()
        )
        if crs == series.crs:
            index = cls(series, crs, reach, width, polygons, edges, cell, None, None, wider)
            _ = index._grid  # before threads share the index
            return index
        to_polygons, to_points = _projections(crs, series.crs)
        edge, x, y = edges.points_along(cell * PIECE)
        along = (edges.polygon[edge], edge, *_placed(to_points(x, y), crs))
        rectangles, unit = _in_space_of_points(_around(polygons, reach), to_points, crs)
        points_grid = CellGrid.build(polygons, along, rectangles, cell * unit, to_polygons)
        return cls(series, crs, reach, width, polygons, edges, cell, points_grid, to_polygons, wider)

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        """Pickle the polygons only: prepared ones cannot be, and the rasters are many times larger."""
        crs = self.points_crs.to_wkt()
        build = partial(
            type(self).build, points_crs=crs, reach=self.reach, widths=self.widths, cell=self._cell
        )
        return build, (self.zones,)

    def readable(self, x: FloatArray, y: FloatArray) -> BoolArray:
        """Tell which coordinates are finite and, if they are degrees, on Earth."""
        if self.points_crs.is_geographic:
            readable: BoolArray = (np.abs(x) <= 360) & (np.abs(y) <= 90)  # noqa: PLR2004 - False for NaN as well
            return readable
        return np.isfinite(x) & np.isfinite(y)

    def find(self, x: FloatArray, y: FloatArray) -> Int32Array:
        """Return the position of the first polygon that holds each point, -1 if none."""
        grid = self._points_grid or self._grid
        return grid.find(grid.cells(x, y), x, y, self._hold_unprojected)

    def measure(self, x: FloatArray, y: FloatArray) -> Measure:
        """Measure how far each point is from the polygons."""
        inside = np.full(len(x), -1, np.int32)
        measure = Measure(inside, inside.copy(), np.full(len(x), np.inf))
        near, cells, x, y = self._within_reach(x, y)
        inside = self._grid.find(cells, x, y, self._hold)
        distance, nearest = self.edge_grid.nearest(cells, x, y)
        held = inside >= 0
        # The nearest edge is another polygon's where two overlap, and none at all deep inside a large one.
        other = np.flatnonzero(held & (nearest != inside))
        if len(other):
            boundaries = self._boundaries[inside[other]]
            distance[other] = shapely.distance(boundaries, shapely.points(x[other], y[other]))
        within = distance <= self.reach
        measure.inside[near] = inside
        measure.nearest[near] = np.where(held, inside, np.where(within, nearest, -1))
        measure.distance[near] = np.where(held, 0.0 - distance, np.where(within, distance, np.inf))
        return measure

    def _within_reach(self, x: FloatArray, y: FloatArray) -> tuple[IntArray, Cells, FloatArray, FloatArray]:
        """Return which points may be within reach, their cells, and their projected coordinates."""
        if self._points_grid:
            near = np.flatnonzero(self._points_grid.cells(x, y).number)
            x, y = self.projected(x[near], y[near])
            return near, self._grid.cells(x, y), x, y
        cells = self._grid.cells(x, y)
        near = np.flatnonzero(cells.number)
        return near, cells.take(near), x[near], y[near]

    def band_limits(self, x: FloatArray, y: FloatArray, measure: Measure) -> list[Limit]:
        """Measure how far points are from the limits of the bands, one limit for each width.

        The band that holds a point is not always that of the nearest polygon: another's may be wider. The
        narrowest limit is drawn around all polygons, since a wider band covers it, and each wider one around
        the polygons that have it. `measure` is the result of `measure` for these points.
        """
        limits = [Limit(self, float(self.widths.min()), measure.distance)]
        return limits + [Limit(index, width, index.measure(x, y).distance) for width, index in self._wider]

    def prepare(self) -> None:
        """Build what `measure` and `band_limits` need, before threads share the index."""
        for index in (self, *(index for _, index in self._wider)):
            _ = index.edge_grid

    def any_nearer(self, x: FloatArray, y: FloatArray, distance: FloatArray) -> BoolArray:
        """Tell which points are nearer to an edge of any polygon than a distance that may exceed the reach.

        Slower than `measure`: meant for the few points that are very imprecise.
        """
        x, y = self.projected(x, y)
        placed = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
        points = shapely.points(x[placed], y[placed])
        (row, _), nearest = self._outlines.query_nearest(points, all_matches=False, return_distance=True)
        nearer = np.zeros(len(x), bool)
        nearer[placed[row]] = nearest < distance[placed[row]]
        return nearer

    def near_edge(self, x: FloatArray, y: FloatArray, radius: FloatArray) -> BoolArray:
        """Tell which points are nearer to an edge of any polygon than so many metres."""
        near = np.isinf(radius)
        rows, cells, *at = self._within_reach(x, y)
        distance, _ = self.edge_grid.nearest(cells, *at)
        near[rows] |= distance < radius[rows]
        rough = np.flatnonzero(~near & (radius > self.reach))
        near[rough] = self.any_nearer(x[rough], y[rough], radius[rough])
        return near

    @cached_property
    def _grid(self) -> CellGrid:
        """The raster in the CRS of the polygons: of points in another CRS, only distances need it."""
        edge, x, y = self._edges.points_along(self._cell * PIECE)
        along = (self._edges.polygon[edge], edge, x, y)
        return CellGrid.build(self._polygons, along, _around(self._polygons, self.reach), self._cell)

    @cached_property
    def edge_grid(self) -> EdgeGrid:
        """The edges to measure against, built when first needed: `find` works without them."""
        return EdgeGrid.build(self._grid, self._edges, shapely.bounds(self._polygons), self.reach)

    @cached_property
    def _boundaries(self) -> GeometryArray:
        boundaries: GeometryArray = shapely.boundary(self._polygons)
        return boundaries

    @cached_property
    def _outlines(self) -> shapely.STRtree:
        return shapely.STRtree(self._boundaries)

    @cached_property
    def tree(self) -> shapely.STRtree:
        """The polygons by place."""
        return shapely.STRtree(self._polygons)

    def projected(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return points in the CRS of the polygons."""
        return self._to_polygons(x, y) if self._to_polygons else (x, y)

    def _hold(self, polygon: IntArray, x: FloatArray, y: FloatArray) -> BoolArray:
        """Ask the exact predicate, polygon by polygon so that each polygon's own index stays in the cache."""
        order = np.argsort(polygon)
        holds = np.empty(len(order), bool)
        holds[order] = shapely.intersects_xy(self._polygons[polygon[order]], x[order], y[order])
        return holds

    def _hold_unprojected(self, polygon: IntArray, x: FloatArray, y: FloatArray) -> BoolArray:
        return self._hold(polygon, *self.projected(x, y))


def _around(polygons: GeometryArray, reach: float) -> FloatArray:
    """Return the rectangles within reach of polygons."""
    bounds: FloatArray = shapely.bounds(polygons) + reach * np.array([-1, -1, 1, 1])
    return bounds


def _check(zones: gpd.GeoSeries, reach: float, widths: FloatArray) -> None:
    crs = zones.crs
    if crs is None or not crs.is_projected or any(axis.unit_name != "metre" for axis in crs.axis_info):
        name = "no CRS" if crs is None else crs.name
        raise ConfigurationError(
            f"The zones have {name}; expected a projected CRS in metres, project them first"
        )
    if not 0 <= reach <= LARGEST_REACH:
        raise ConfigurationError(f"The reach is {reach}; expected 0 to {LARGEST_REACH:g} metres")
    if not len(zones):
        raise ContractError("There is no zone to locate points in")
    if not (np.isfinite(widths) & (widths > 0)).all():
        raise ConfigurationError(f"A band is {widths.min():g} m wide; expected more than 0 metres")
    polygonal = zones.geom_type.isin(["Polygon", "MultiPolygon"]) & ~zones.is_empty
    wrong = zones.index[~(polygonal & in_threads(shapely.is_valid, zones.to_numpy()))]
    if len(wrong):
        raise ContractError(
            f"{len(wrong)} zones are not valid polygons, expected non-empty Polygon or MultiPolygon; make"
            f" them valid first. Rows: {', '.join(str(row) for row in wrong)}"
        )


def _prepare(polygons: GeometryArray) -> None:
    """Prepare polygons, and make GEOS build the lazy index of each now: threads may only read it."""
    shapely.prepare(polygons)
    first = shapely.get_point(shapely.get_exterior_ring(shapely.get_geometry(polygons, 0)), 0)
    shapely.intersects_xy(polygons, shapely.get_x(first), shapely.get_y(first))


def _projections(points: pyproj.CRS, polygons: pyproj.CRS) -> tuple[Projection, Projection]:
    """Return the transformations from the CRS of the points to that of the polygons, and back."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "Best transformation is not available" is raised below
        group = TransformerGroup(points, polygons, always_xy=True)
    if not group.best_available or not group.transformers or group.transformers[0].accuracy < 0:
        raise ConfigurationError(
            f"No accurate transformation from {points.name} to {polygons.name} is installed: give the points"
            " in another CRS (longitude and latitude, or that of the zones)"
        )
    # From its pipeline: every thread builds its own transformer, which then takes 0.3 ms instead of 10.
    transformer = pyproj.Transformer.from_pipeline(group.transformers[0].definition)
    return transformer.transform, partial(transformer.transform, direction=TransformDirection.INVERSE)


def _placed(points: tuple[FloatArray, FloatArray], crs: pyproj.CRS) -> tuple[FloatArray, FloatArray]:
    """Return projected points, all of which must have a place in the CRS."""
    if not np.isfinite(points).all():
        raise ConfigurationError(f"Some zones have no place in {crs.name}, the CRS of the points")
    return points


def _in_space_of_points(
    bounds: FloatArray, to_points: Projection, crs: pyproj.CRS
) -> tuple[FloatArray, float]:
    """Return the rectangles of `bounds` as rectangles in the space of points, and the length of a metre.

    A rectangle is sampled on a grid, and widened by a fiftieth for what bulges between the samples.
    """
    steps = np.linspace(0, 1, 9)
    along, across = np.meshgrid(steps, steps)
    west, south, east, north = bounds.T[:, :, None]
    x, y = to_points(west + (east - west) * along.ravel(), south + (north - south) * across.ravel())
    x, y = _placed((x, y), crs)
    low = np.column_stack([x.min(axis=1), y.min(axis=1)])
    high = np.column_stack([x.max(axis=1), y.max(axis=1)])
    margin = (high - low) / 50
    cx, cy = bounds[:, ::2].mean(), bounds[:, 1::2].mean()
    x, y = _placed(to_points(np.array([cx, cx + 1, cx]), np.array([cy, cy, cy + 1])), crs)
    area = abs((x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0]))
    return np.hstack([low - margin, high + margin]), float(np.sqrt(area))
