"""Polygons of GeoJSON as shapely polygons, and compared with others: many at once, for France has many."""

import gc
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

Geometries = NDArray[np.object_]
Mask = NDArray[np.bool_]


def parse_geojson(text: str, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:  # noqa: ANN401 - whatever the file holds
    """Return what a JSON text says, as `json.loads` does.

    Every position is a list, and all live until the end: the garbage collector, which would walk them again
    and again in vain, is held off meanwhile.

    Parameters
    ----------
    text
        A whole file.
    pairs
        ``object_pairs_hook`` of `json.loads`.

    Raises
    ------
    ValueError
        If it is not JSON.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        return json.loads(text, object_pairs_hook=pairs)
    finally:
        if collects:
            gc.enable()


def polygons_of(geometries: Sequence[dict[str, Any] | None]) -> Geometries:
    """Return GeoJSON geometries as shapely ones, without their third dimension; None stays None.

    Raises
    ------
    ValueError
        If one is no polygon, a ring is not closed or has fewer than four positions.
    KeyError, TypeError
        If one is no GeoJSON geometry.
    """
    points: list[list[float]] = []
    ring_sizes: list[int] = []
    ring_counts: list[int] = []
    owners: list[int] = []
    found = np.full(len(geometries), None, dtype=object)
    single = np.zeros(len(geometries), dtype=bool)
    for number, geometry in enumerate(geometries):
        if geometry is None:
            continue
        if geometry["type"] not in {"Polygon", "MultiPolygon"}:
            raise ValueError(f"a polygon was expected, found a {geometry['type']}")
        single[number] = geometry["type"] == "Polygon"
        found[number] = shapely.Polygon() if single[number] else shapely.MultiPolygon()
        for rings in [geometry["coordinates"]] if single[number] else geometry["coordinates"]:
            owners.append(number)
            ring_counts.append(len(rings))
            for ring in rings:
                ring_sizes.append(len(ring))
                points += ring
    if not points:
        return found
    coordinates = np.array(points, dtype=float)[:, :2]
    ends = np.cumsum(ring_sizes)
    if not np.array_equal(coordinates[ends - ring_sizes], coordinates[ends - 1]):
        raise ValueError("a ring is not closed")
    rings = np.asarray(shapely.linearrings(coordinates, indices=_repeated(ring_sizes)))
    polygons = np.asarray(shapely.polygons(rings, indices=_repeated(ring_counts)))
    owner = np.array(owners)
    alone = single[owner]
    found[owner[alone]] = polygons[alone]
    multiple, part_of = np.unique(owner[~alone], return_inverse=True)
    if len(multiple):
        found[multiple] = shapely.multipolygons(polygons[~alone], indices=part_of)
    return found


def _repeated(sizes: Sequence[int]) -> NDArray[np.intp]:
    return np.repeat(np.arange(len(sizes)), sizes)


def same_vertices(one: Geometries, other: Geometries, tolerance: float) -> Mask:
    """Tell which polygons have the same vertices as others, in the same order, up to a tolerance.

    The direction of rings is not compared. A pair with a missing geometry is not the same.

    Parameters
    ----------
    one, other
        (Multi)Polygons, one pair per row.
    tolerance
        Largest difference of a coordinate, in their unit.
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
