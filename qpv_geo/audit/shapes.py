"""Geometries of GeoJSON as shapely ones, and compared with others: many at once, for France has many."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import orjson
import shapely
from numpy.typing import NDArray

from qpv_geo.parallel import collector_held_off

Geometries = NDArray[np.object_]
Mask = NDArray[np.bool_]

RING_MINIMUM = 4


def parse_geojson(data: bytes | str) -> Any:  # noqa: ANN401 - whatever the file holds
    """Return what a JSON text says; raises ValueError if it is not JSON.

    Every position is a list, and all live until the end: the garbage collector is held off meanwhile.
    """
    with collector_held_off():
        return orjson.loads(data)


def shapes_of(geometries: Sequence[dict[str, Any] | None]) -> Geometries:
    """Return GeoJSON points or polygons as shapely ones, without their third dimension; None stays None.

    Raises `ValueError`, `KeyError` or `TypeError` if one is neither, points and polygons are mixed, or a
    polygon has a ring that is not closed or has fewer than four positions.
    """
    shapes = np.full(len(geometries), None, dtype=object)
    there = [place for place, geometry in enumerate(geometries) if geometry is not None]
    drawn = [geometry for geometry in geometries if geometry is not None]
    kinds = {geometry["type"] for geometry in drawn}
    if kinds == {"Point"}:
        shapes[there] = shapely.points(positions([geometry["coordinates"] for geometry in drawn])[:, :2])
    elif "Point" in kinds:
        raise ValueError("points and other geometries in one file")
    else:
        shapes[there] = _polygons(drawn)
    return shapes


def _polygons(drawn: Sequence[dict[str, Any]]) -> Geometries:
    single = np.array([_is_single(geometry) for geometry in drawn], dtype=bool)
    multiple = [
        [part] if alone and part else part
        for part, alone in zip((geometry["coordinates"] for geometry in drawn), single, strict=True)
    ]
    polygons = list(chain.from_iterable(multiple))
    rings = list(chain.from_iterable(polygons))
    sizes = [len(ring) for ring in rings]
    if any(not polygon for polygon in polygons) or any(size < RING_MINIMUM for size in sizes):
        raise ValueError(f"a polygon without ring, or a ring of fewer than {RING_MINIMUM} positions")
    coordinates = positions(list(chain.from_iterable(rings)))[:, :2]
    ends = np.cumsum(sizes, dtype=np.intp)
    if not np.array_equal(coordinates[np.append(0, ends)[:-1]], coordinates[ends - 1]):
        raise ValueError("a ring is not closed")
    offsets = tuple(np.cumsum([0, *map(len, lists)]) for lists in (rings, polygons, multiple))
    shapes = shapely.from_ragged_array(
        shapely.GeometryType.MULTIPOLYGON, np.ascontiguousarray(coordinates), offsets
    )
    empty = np.array([not part for part in multiple], dtype=bool)
    shapes[single] = shapely.get_geometry(shapes[single], 0)
    shapes[single & empty] = shapely.Polygon()
    return shapes


def _is_single(geometry: dict[str, Any]) -> bool:
    if geometry["type"] not in {"Polygon", "MultiPolygon"}:
        raise ValueError(f"a polygon was expected, found a {geometry['type']}")
    return bool(geometry["type"] == "Polygon")


def positions(points: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Return positions as an array, a row for each; raises ValueError if their lengths differ."""
    sizes = set(map(len, points)) or {2}
    if len(sizes) > 1:
        raise ValueError(f"positions of {sorted(sizes)} numbers")
    (size,) = sizes
    flat = np.fromiter(chain.from_iterable(points), dtype=float, count=size * len(points))
    return flat.reshape(len(points), size)


def same_vertices(one: Geometries, other: Geometries, tolerance: float) -> Mask:
    """Tell which pairs of (multi)polygons have the same vertices in the same order, up to a tolerance.

    The direction of rings is not compared. A pair with a missing geometry is not the same. The tolerance is
    the largest difference of a coordinate, in their unit.
    """
    same = ~(shapely.is_missing(one) | shapely.is_missing(other))
    first, first_of = _rings(one, same)
    second, second_of = _rings(other, same)
    same &= np.bincount(first_of, minlength=len(one)) == np.bincount(second_of, minlength=len(one))
    first, first_of = first[same[first_of]], first_of[same[first_of]]
    second = second[same[second_of]]
    sizes = shapely.get_num_coordinates(first)
    unlike = sizes != shapely.get_num_coordinates(second)
    same[first_of[unlike]] = False
    kept = same[first_of]
    distance = np.abs(shapely.get_coordinates(first[kept]) - shapely.get_coordinates(second[kept])).max(
        axis=1, initial=0.0
    )
    # The last binary digit of a rounded decimal is not a difference.
    away = ~(distance <= tolerance * (1 + 1e-6))
    same[np.repeat(first_of[kept], sizes[kept])[away]] = False
    return same


def _rings(shapes: Geometries, chosen: Mask) -> tuple[Geometries, NDArray[np.intp]]:
    """Return the rings of the chosen polygons, and the row of each."""
    rows = np.flatnonzero(chosen)
    parts, part_of = shapely.get_parts(shapely.orient_polygons(shapes[rows]), return_index=True)
    rings, ring_of = shapely.get_rings(parts, return_index=True)
    return rings, rows[part_of[ring_of]]
