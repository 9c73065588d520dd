"""Which QPV is each point in, and how far is the nearest: for one point or for tens of millions.

`contains` says whether a point is in a QPV and in which; `locate` adds the distance, the nearest QPV, and
which points are too imprecise to tell. Both take arrays of coordinates and agree with the exact predicate
``shapely.intersects(polygon, point)`` in the projected CRS of the polygons: **a point on a boundary or on a
vertex is inside**, a point in a hole is not. Edges are straight in that CRS, whatever the CRS of the points.

They are fast because a raster settles most points without any geometry (`grid`), the distance needs only a
short list of edges for each place (`distance`), and the processors share the points.
"""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from qpv_geo.errors import ConfigurationError, ContractError
from qpv_geo.locate.edges import BoolArray, FloatArray, Int32Array, IntArray
from qpv_geo.locate.index import Limit, LocateIndex

_ByteArray = npt.NDArray[np.uint8]

_CHUNK = 1 << 16
"""Points a thread handles at a time: their arrays stay in the cache of its processor."""


class Answer(IntEnum):
    """The answer for a point or a shape."""

    NON = 0
    OUI = 1
    INCERTAIN = 2
    ILLISIBLE = 3
    A_CHEVAL = 4

    @property
    def word(self) -> str:
        """The answer as it is published."""
        return "à cheval" if self is Answer.A_CHEVAL else self.name.lower()


@dataclass(frozen=True)
class Located:
    """The answers of `locate` for n points."""

    en_qpv: _ByteArray
    """`Answer` as a number: is the point in a QPV?"""
    qpv: Int32Array
    """Position of the QPV where the answer is ``OUI``, else -1; the first of two that overlap."""
    distance_m: FloatArray
    """Metres to the boundary of the QPV that holds the point (negative) or of the nearest one; NaN beyond
    `max_distance`."""
    qpv_proche: Int32Array
    """Position of the QPV of `distance_m`, -1 if none; the first of two equally near."""
    bande_tva: _ByteArray
    """`Answer` as a number: is the point in a QPV, or in the band around one?"""
    largeur_bande_m: FloatArray
    """Width in metres of the band that the answer is about: that of the QPV that holds the point; otherwise
    the band that the point is deepest in, or nearest to. NaN if it is in none and `distance_m` is NaN."""
    share: FloatArray
    """Share in QPV in percent: of a point 100 or 0, of a shape what `shapes.locate_shapes` finds."""

    @classmethod
    def empty(cls, rows: int) -> Self:
        """Return answers that are still to be written."""
        kinds: tuple[Any, ...] = (np.uint8, np.int32, np.float64, np.int32, np.uint8, np.float64, np.float64)
        return cls(*(np.empty(rows, kind) for kind in kinds))

    def put(self, answers: "Located", rows: IntArray | slice) -> None:
        """Write other answers into some of the rows."""
        for field in fields(self):
            getattr(self, field.name)[rows] = getattr(answers, field.name)


def contains(index: LocateIndex, x: FloatArray, y: FloatArray) -> Int32Array:
    """Return the position of the polygon of the index that holds each point, -1 if none.

    Of two that overlap, it is the first. Coordinates are in the index's CRS of points; x is the longitude if
    it is geographic. Raises `ContractError` if there are not as many x as y.
    """
    x, y = _coordinates(x, y)
    qpv = np.empty(len(x), np.int32)

    def fill(part: slice) -> None:
        qpv[part] = index.find(x[part], y[part])

    _each_chunk(fill, len(x))
    return qpv


def near_edge(index: LocateIndex, x: FloatArray, y: FloatArray, radius: FloatArray) -> BoolArray:
    """Tell which points are nearer to an edge of any polygon than a radius in metres, perhaps infinite."""
    index.prepare()
    near = np.empty(len(x), bool)

    def fill(part: slice) -> None:
        near[part] = index.near_edge(x[part], y[part], radius[part])

    _each_chunk(fill, len(x))
    return near


def locate(
    index: LocateIndex,
    x: FloatArray,
    y: FloatArray,
    *,
    precision: float | FloatArray | None = None,
    max_distance: float = 1000.0,
) -> Located:
    """Tell which points are in a polygon, how far the nearest boundary is, and where the answer is uncertain.

    An answer is ``INCERTAIN`` if the limit it depends on, the boundary of a QPV or of its band, is nearer
    than the point is precise; ``ILLISIBLE`` if coordinates are not finite, or are degrees that are not on
    Earth.

    Parameters
    ----------
    index, x, y
        See `contains`.
    precision
        Metres by which the points may be wrong, one value for all or one each; NaN, unknown, makes the point
        uncertain. None: the points are exact.
    max_distance
        Metres beyond which neither distance nor nearest QPV is given.

    Raises
    ------
    ConfigurationError
        If the reach of the index is less than `max_distance`, or than a band is wide.
    ContractError
        If a precision is negative, or arrays differ in length.
    """
    widest = float(index.widths.max())
    if not 0 <= max_distance <= index.reach or index.reach < widest:
        raise ConfigurationError(
            f"max_distance is {max_distance:g} m, the reach of the index {index.reach:g} m; expected a reach"
            f" of {widest:g} m or more and a max_distance between 0 and the reach"
        )
    x, y = _coordinates(x, y)
    radius = None if precision is None else _precisions(precision, len(x))
    answers = Located.empty(len(x))
    index.prepare()

    def fill(part: slice) -> None:
        measure = index.measure(x[part], y[part])
        limits = index.band_limits(x[part], y[part], measure)
        margin, width = _nearest_limit(limits)
        held = measure.inside >= 0
        width[held] = index.widths[measure.inside[held]]
        in_qpv, in_band = held.astype(np.uint8), (margin < 0).astype(np.uint8)
        known = measure.distance <= max_distance
        answers.largeur_bande_m[part] = np.where(known | (margin < 0), width, np.nan)
        if radius is not None:
            contour = [Limit(index, 0.0, measure.distance)]
            in_qpv[_too_near(contour, measure.distance, (x[part], y[part], radius[part]))] = Answer.INCERTAIN
            in_band[_too_near(limits, margin, (x[part], y[part], radius[part]))] = Answer.INCERTAIN
        unreadable = ~index.readable(x[part], y[part])
        in_qpv[unreadable] = in_band[unreadable] = Answer.ILLISIBLE
        answers.en_qpv[part], answers.bande_tva[part] = in_qpv, in_band
        answers.qpv[part] = np.where(in_qpv == Answer.OUI, measure.inside, -1)
        answers.distance_m[part] = np.where(known, measure.distance, np.nan)
        answers.qpv_proche[part] = np.where(known, measure.nearest, -1)
        answers.share[part] = np.where(held, 100.0, 0.0)

    _each_chunk(fill, len(x))
    return answers


def _nearest_limit(limits: Sequence[Limit]) -> tuple[FloatArray, FloatArray]:
    """Return how far outside any band points are (negative inside), and the width of that band."""
    _, narrowest, distance = limits[0]
    margin, width = distance - narrowest, np.full(len(distance), narrowest)
    for limit in limits[1:]:
        wider = limit.distance - limit.width
        width[wider < margin] = limit.width
        np.minimum(margin, wider, out=margin)
    return margin, width


def _too_near(
    limits: Sequence[Limit], margin: FloatArray, points: tuple[FloatArray, FloatArray, FloatArray]
) -> BoolArray:
    """Tell which points are nearer to a limit than they are precise.

    `margin` is how far outside the limits the points are, negative inside; `points` holds x, y, and by how
    many metres they may be wrong.
    """
    x, y, radius = points
    unknown = np.isinf(radius)
    near: BoolArray = unknown | (np.abs(margin) < radius)
    for zones, width, distance in limits:
        # The index reports an infinite distance beyond its reach; these points need a longer one.
        rough = np.flatnonzero(~near & np.isinf(distance) & (margin > 0) & (radius + width > zones.reach))
        near[rough] = zones.any_nearer(x[rough], y[rough], radius[rough] + width)
    return near


def _coordinates(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    x, y = np.atleast_1d(np.asarray(x, np.float64)), np.atleast_1d(np.asarray(y, np.float64))
    if x.ndim != 1 or x.shape != y.shape:
        raise ContractError(f"x has shape {x.shape} and y {y.shape}; expected two lists of the same length")
    return x, y


def _precisions(precision: float | FloatArray, points: int) -> FloatArray:
    radius = np.asarray(precision, np.float64)
    if radius.shape not in {(), (points,)}:
        raise ContractError(
            f"{radius.size} precisions for {points} points; expected one, or as many as points"
        )
    negative = np.flatnonzero(radius < 0)
    if len(negative):
        raise ContractError(
            f"{len(negative)} precisions are negative, the first at position {negative[0]}; expected metres"
        )
    return np.broadcast_to(np.where(np.isnan(radius), np.inf, radius), points)


def _each_chunk(fill: Callable[[slice], None], points: int) -> None:
    """Fill the parts of arrays of so many points, in a thread per processor."""
    parts = [slice(start, start + _CHUNK) for start in range(0, points, _CHUNK)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        share_out = pool.map if len(parts) > 1 else map
        deque(share_out(fill, parts), maxlen=0)
