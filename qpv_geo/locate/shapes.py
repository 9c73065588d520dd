"""Polygons and lines (buildings, parcels, streets) in QPV: the share inside, and how far the nearest is.

The answer follows from the published share: ``OUI`` is 100 %, ``NON`` 0 %, and the rest ``A_CHEVAL``.
The exact predicates of GEOS decide, in the projected CRS of the QPV.
"""

import numpy as np
import shapely

from qpv_geo.locate.answers import Answer, Located
from qpv_geo.locate.edges import BoolArray, FloatArray, GeometryArray, IntArray
from qpv_geo.locate.index import LocateIndex

SHARE_DECIMALS = 2
"""Decimals of the share in percent: what is less is the noise of drawings."""

_ALL = 100.0


def locate_shapes(
    index: LocateIndex,
    shapes: GeometryArray,
    *,
    precision: FloatArray | None = None,
    max_distance: float = 1000.0,
) -> Located:
    """Tell which part of each shape is in a polygon of the index, and how far the nearest is.

    Shapes are in the index's CRS of points. The QPV of a shape is the one that holds most of it. Its share is
    that of the area, of the length for lines, and NaN if the shape cannot be read; its distance is 0 if it
    lies across a limit, and negative, to the limit, if it is inside. ``bande_tva`` is ``OUI`` if any part of
    it is in a band. A shape whose answer depends on less than its precision in metres is ``INCERTAIN``.
    """
    located = Located.empty(len(shapes))
    located.en_qpv[:] = located.bande_tva[:] = Answer.ILLISIBLE
    located.qpv[:] = located.qpv_proche[:] = -1
    located.distance_m[:] = located.largeur_bande_m[:] = located.share[:] = np.nan
    overlay = _Overlay(index, shapes, precision)
    located.put(overlay.located(max_distance), overlay.rows)
    return located


def hold_shapes(
    index: LocateIndex, shapes: GeometryArray, precision: FloatArray | None
) -> tuple[np.ndarray, IntArray]:
    """Return for each shape its answer, as a number, and the polygon that holds most of it, -1 if none.

    Shapes are in the index's CRS of points. In one polygon means wholly in this one, whatever others meet it.
    """
    answer, holder = np.full(len(shapes), Answer.ILLISIBLE, np.uint8), np.full(len(shapes), -1)
    overlay = _Overlay(index, shapes, precision)
    answer[overlay.rows], holder[overlay.rows] = overlay.holders()
    return answer, holder


class _Overlay:
    """Shapes, the polygons within reach of each, and how much of it each holds."""

    def __init__(self, index: LocateIndex, shapes: GeometryArray, precision: FloatArray | None) -> None:
        placed = projected_shapes(index, shapes)
        self.rows = np.flatnonzero(~shapely.is_missing(placed) & ~shapely.is_empty(placed))
        """Those that can be read; answers are about them."""
        self._index, self._shapes = index, placed[self.rows]
        radius = np.zeros(len(self.rows)) if precision is None else precision[self.rows]
        self._radius = np.where(np.isnan(radius), np.inf, radius)
        self._zones = index.zones.to_numpy()
        reach = np.maximum(index.reach, np.where(np.isinf(self._radius), 0.0, self._radius))
        shape, zone = index.tree.query(self._shapes, predicate="dwithin", distance=reach)
        order = np.lexsort((zone, shape))
        self._shape, self._zone = shape[order], zone[order]
        self._distance = shapely.distance(self._shapes[self._shape], self._zones[self._zone])
        self._inside = np.zeros(len(self._shape))

    def located(self, max_distance: float) -> Located:
        """Return the answers of `locate_shapes`."""
        share = self._shares()
        oui, non = share == _ALL, share == 0.0
        nearest, distance = self._least(self._distance)
        holder, _ = self._least(-self._inside)
        nearest = np.where(non, nearest, holder)
        distance[~non] = 0.0
        held = np.flatnonzero(oui)
        boundaries = shapely.boundary(self._zones[holder[held]])
        distance[held] = 0.0 - shapely.distance(self._shapes[held], boundaries)
        band, margin = self._least(self._distance - self._index.widths[self._zone])
        width = np.where(band >= 0, self._index.widths[band], np.nan)
        width = np.where(non, width, self._index.widths[holder])
        known = distance <= max_distance
        in_qpv = np.where(oui, Answer.OUI, np.where(non, Answer.NON, Answer.A_CHEVAL)).astype(np.uint8)
        in_qpv[self._doubtful(distance, in_qpv)] = Answer.INCERTAIN
        in_band = (margin < 0).astype(np.uint8)
        unsure = np.isinf(self._radius) | (np.abs(margin) < self._radius)
        in_band[unsure & (self._radius > 0)] = Answer.INCERTAIN
        return Located(
            en_qpv=in_qpv,
            qpv=np.where(np.isin(in_qpv, (Answer.OUI, Answer.A_CHEVAL)), holder, -1),
            distance_m=np.where(known, distance, np.nan),
            qpv_proche=np.where(known, nearest, -1),
            bande_tva=in_band,
            largeur_bande_m=np.where(known | (margin < 0), width, np.nan),
            share=share,
        )

    def holders(self) -> tuple[np.ndarray, IntArray]:
        """Return the answers of `hold_shapes`."""
        self._shares()
        holder, most = self._least(-self._inside)
        share = np.round(np.clip(-most, 0.0, 1.0) * _ALL, SHARE_DECIMALS)
        holder = np.where(share > 0, holder, -1)
        answer = np.where(share == _ALL, Answer.OUI, np.where(holder < 0, Answer.NON, Answer.A_CHEVAL))
        _, distance = self._least(self._distance)
        held = np.flatnonzero(answer == Answer.OUI)
        distance[held] = shapely.distance(self._shapes[held], shapely.boundary(self._zones[holder[held]]))
        answer[self._doubtful(distance, answer, holder)] = Answer.INCERTAIN
        return answer, holder

    def _shares(self) -> FloatArray:
        """Return the share of each shape that is inside, in percent as published."""
        touching = np.flatnonzero(self._distance == 0)
        shape, zone = self._shape[touching], self._zone[touching]
        whole = shapely.covers(self._zones[zone], self._shapes[shape])
        partly = touching[~whole]
        pieces = shapely.intersection(self._shapes[self._shape[partly]], self._zones[self._zone[partly]])
        size = _measure(self._shapes, self._shapes)
        self._inside[touching[whole]] = 1.0
        self._inside[partly] = _measure(pieces, self._shapes[self._shape[partly]]) / size[self._shape[partly]]
        share = np.zeros(len(self._shapes))
        np.add.at(share, self._shape, self._inside)
        # Two QPV may overlap: what both hold counts once.
        twice = np.flatnonzero(np.bincount(self._shape[partly], minlength=len(share)) > 1)
        for place in twice:
            union = shapely.union_all(pieces[self._shape[partly] == place])
            share[place] = _measure(np.array([union]), self._shapes[[place]])[0] / size[place]
        share[self._shape[touching[whole]]] = 1.0
        return np.round(np.clip(share, 0.0, 1.0) * _ALL, SHARE_DECIMALS)

    def _least(self, values: FloatArray) -> tuple[IntArray, FloatArray]:
        """Return for each shape the polygon with the least value, the first of several, and this value."""
        order = np.lexsort((self._zone, values, self._shape))
        shapes, first = np.unique(self._shape[order], return_index=True)
        zone, least = np.full(len(self._shapes), -1), np.full(len(self._shapes), np.inf)
        zone[shapes], least[shapes] = self._zone[order[first]], values[order[first]]
        return zone, least

    def _doubtful(
        self, distance: FloatArray, answer: np.ndarray, holder: IntArray | None = None
    ) -> BoolArray:
        """Tell which answers could be others if the shapes moved by as much as they may be wrong.

        An answer is about all polygons together or, with `holder`, about this one.
        """
        doubtful: BoolArray = np.isinf(self._radius) | (np.abs(distance) < self._radius)
        across = np.flatnonzero((answer == Answer.A_CHEVAL) & (self._radius > 0) & ~np.isinf(self._radius))
        for place in across:
            near = self._zone[self._shape == place] if holder is None else holder[[place]]
            zones = self._zones[near]
            union, radius, shape = shapely.union_all(zones), self._radius[place], self._shapes[place]
            deep = shapely.intersects(shape, shapely.buffer(union, -radius))
            doubtful[place] = not deep or shapely.covers(shapely.buffer(union, radius), shape)
        return doubtful


def projected_shapes(index: LocateIndex, shapes: GeometryArray) -> GeometryArray:
    """Return shapes in the CRS of the polygons, repaired if need be; None where nothing is left."""
    placed = shapes.copy()
    given = np.flatnonzero(~shapely.is_missing(placed))
    coordinates = shapely.get_coordinates(placed[given])
    x, y = index.projected(*np.ascontiguousarray(coordinates.T))
    if len(x):
        finite = np.isfinite(x) & np.isfinite(y)
        owner = np.repeat(given, shapely.get_num_coordinates(placed[given]))
        lost = np.unique(owner[~finite])
        flat = shapely.force_2d(placed[given])
        points = np.column_stack([np.where(finite, x, 0.0), np.where(finite, y, 0.0)])
        placed[given] = shapely.set_coordinates(flat, points)
        placed[lost] = None
    broken = np.flatnonzero(~shapely.is_missing(placed) & ~shapely.is_valid(placed))
    placed[broken] = shapely.make_valid(placed[broken])
    return placed


def _measure(pieces: GeometryArray, wholes: GeometryArray) -> FloatArray:
    """Return the area of pieces of areas, the length of pieces of lines, the number of points of points.

    Areas and lines without extent count as one point.
    """
    area, length = shapely.area(wholes), shapely.length(wholes)
    measure = np.where(area > 0, shapely.area(pieces), np.where(length > 0, shapely.length(pieces), 0.0))
    extent = (area > 0) | (length > 0)
    sizes: FloatArray = np.where(extent, measure, shapely.get_num_coordinates(pieces))
    return sizes
