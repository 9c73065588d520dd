"""Cut QPV by zones without losing area: the pieces of a QPV add up to its area."""

from collections.abc import Sequence
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from qpv_geo.parallel import in_threads
from qpv_geo.territory import Territory

Geometries = NDArray[np.object_]

# Relative to the area of a polygon: what floating point may lose, far below what a survey measures.
_NUMERICAL_NOISE = 1e-9

# Metres: tolerance of a point being in a zone.
_NEAR = 1e-6

# Metres. Overlays in floating point can lose an area where edges nearly coincide; on a grid they cannot.
# Lambert-93 coordinates are exact on the finest grid; where GEOS fails on it, it may succeed on the next.
GRIDS = (1e-8, 1e-7, 1e-6)


@dataclass(frozen=True)
class Pieces:
    """The overlay of polygons with zones, one row per piece; areas are in square units of the CRS.

    `polygon` and `zone` are positions in the two inputs; `zone` is -1 outside every zone. `overlapping` are
    the positions of polygons under which zones overlap; the first zone got the common part.
    """

    polygon: NDArray[np.intp]
    zone: NDArray[np.intp]
    geometry: Geometries
    area: NDArray[np.float64]
    overlapping: NDArray[np.intp]


def overlay(polygons: Geometries, zones: Geometries) -> Pieces:
    """Cut polygons by zones.

    The pieces of a polygon do not overlap and add up to its area, even if zones leave gaps (the rest is a
    piece without zone) or overlap (the first zone takes the common part). Slivers that floating point leaves
    along shared edges, at most a billionth of the polygon's area, are dropped.

    Both inputs must be valid (Multi)Polygons in one projected CRS. Pieces are sorted by polygon, then zone,
    the rest last.
    """
    polygon, zone, cut = _intersections(polygons, zones)
    area = shapely.area(cut)
    whole = shapely.area(polygons)
    claimed = np.bincount(polygon, weights=area, minlength=len(polygons))
    doubtful = np.abs(whole - claimed) > _NUMERICAL_NOISE * whole
    doubtful[polygon[_astray(cut, zones[zone])]] = True
    doubtful[_overlapping(polygon, cut)] = True

    settled = ~doubtful[polygon]
    parts = [(polygon[settled], zone[settled], cut[settled])]
    overlapping = []
    for index in np.flatnonzero(doubtful):
        candidates = zone[polygon == index]
        pieces = _cut_one(polygons[index], zones[candidates])
        parts.append((np.full(len(pieces), index), np.append(candidates, -1), pieces))
        if claimed[index] - shapely.area(pieces[:-1]).sum() > _NUMERICAL_NOISE * whole[index]:
            overlapping.append(index)

    polygon, zone, cut = (np.concatenate(column) for column in zip(*parts, strict=True))
    area = shapely.area(cut)
    order = np.lexsort((np.where(zone < 0, len(zones), zone), polygon))
    order = order[area[order] > _NUMERICAL_NOISE * whole[polygon[order]]]
    return Pieces(
        polygon[order],
        zone[order],
        _as_multipolygons(cut[order]),
        area[order],
        np.array(overlapping, dtype=np.intp),
    )


def _intersections(
    polygons: Geometries, zones: Geometries
) -> tuple[NDArray[np.intp], NDArray[np.intp], Geometries]:
    """Intersect each polygon with the zones it meets; a polygon inside a single zone is not cut."""
    zone, polygon = shapely.STRtree(polygons).query(zones, predicate="intersects")
    order = np.lexsort((zone, polygon))
    polygon, zone = polygon[order], zone[order]
    single = np.bincount(polygon, minlength=len(polygons))[polygon] == 1
    inside = single.copy()
    shapely.prepare(zones)
    inside[single] = shapely.covers(zones[zone[single]], polygons[polygon[single]])
    cut = polygons[polygon].copy()
    # Threads may share these: building the index made GEOS compute their bounds.
    cut[~inside] = in_threads(shapely.intersection, polygons[polygon[~inside]], zones[zone[~inside]])
    return polygon, zone, cut


def _cut_one(polygon: BaseGeometry, zones: Geometries) -> Geometries:
    """Cut one polygon by zones in turn: a piece per zone, then the rest.

    Each zone is cut from what the zones before it left, so no area is lost or counted twice.
    """
    tolerance = _NUMERICAL_NOISE * polygon.area
    for grid in (None, *GRIDS):
        rest = polygon
        pieces = []
        try:
            for zone in zones:
                pieces.append(shapely.intersection(rest, zone, grid_size=grid))
                # The difference may hold lines beside areas, a mixture that GEOS cannot cut.
                rest = as_multipolygon(shapely.difference(rest, zone, grid_size=grid))
        except shapely.GEOSException:
            if grid == GRIDS[-1]:
                raise
            continue
        cut = np.array([*pieces, rest], dtype=object)
        if abs(shapely.area(cut).sum() - polygon.area) + _outside(cut[:-1], zones) <= tolerance:
            break
    return cut


def _outside(cut: Geometries, zones: Geometries) -> float:
    """Return the area of pieces outside their zone; infinite if GEOS cannot compute it."""
    try:
        return float(shapely.area(shapely.difference(cut, zones, grid_size=GRIDS[0])).sum())
    except shapely.GEOSException:
        return float("inf")


def _astray(cut: Geometries, zones: Geometries) -> NDArray[np.bool_]:
    """Tell which pieces are outside their zone: GEOS errs so where a polygon nearly touches itself."""
    inner = shapely.point_on_surface(cut)
    return ~(shapely.is_empty(inner) | shapely.dwithin(zones, inner, _NEAR))


def _overlapping(polygon: NDArray[np.intp], cut: Geometries) -> NDArray[np.intp]:
    """Return the polygons whose pieces overlap.

    The total area does not show it if zones overlap as much as they leave out.
    """
    # One test of all pieces names few suspects, mostly pieces of two QPV that touch; each is then tested.
    suspect = np.unique(polygon[~shapely.is_empty(shapely.coverage_invalid_edges(cut))])
    first, after = np.searchsorted(polygon, suspect), np.searchsorted(polygon, suspect, side="right")
    wrong = [not shapely.coverage_is_valid(cut[a:b]) for a, b in zip(first, after, strict=True)]
    overlapping: NDArray[np.intp] = suspect[np.array(wrong, dtype=bool)]
    return overlapping


def _as_multipolygons(cut: Geometries) -> Geometries:
    """Apply `as_multipolygon` to many pieces that have an area."""
    kinds = shapely.get_type_id(cut)
    plain = np.flatnonzero(kinds == shapely.GeometryType.POLYGON)
    others = np.flatnonzero(kinds == shapely.GeometryType.GEOMETRYCOLLECTION)
    whole = cut.copy()
    whole[plain] = shapely.multipolygons(cut[plain], indices=np.arange(len(plain)))
    whole[others] = [as_multipolygon(piece) for piece in cut[others]]
    return whole


def as_multipolygon(geometry: BaseGeometry) -> shapely.MultiPolygon:
    """Keep the polygons of a geometry: areas that also share an edge intersect in a mixed collection."""
    parts = shapely.get_parts(shapely.get_parts([geometry]))
    return shapely.MultiPolygon([part for part in parts if part.geom_type == "Polygon"])


def dissolve(zones: Geometries) -> BaseGeometry:
    """Return the union of zones, by the fast coverage union if they form a coverage."""
    try:
        union = shapely.coverage_union_all(zones)
    except shapely.GEOSException:  # zones that overlap, or cross where they were simplified
        return shapely.union_all(zones)
    if shapely.is_valid(union) and np.isclose(union.area, shapely.area(zones).sum(), rtol=1e-12, atol=0):
        return union
    return shapely.union_all(zones)


def cut_by_zones(
    polygons: gpd.GeoDataFrame,
    zones: gpd.GeoDataFrame,
    suffix: str,
    of_polygon: Sequence[str] = (),
    of_zone: Sequence[str] = (),
) -> gpd.GeoDataFrame:
    """Cut one layer by another in the same projected CRS (else ValueError), one row per piece.

    Columns: ``polygon`` and ``zone`` (positions, zone -1 outside), columns of both layers (those `of_zone`
    missing outside), ``surface_m2``, ``part_qpv`` and ``part_<suffix>`` in percent, geometry.
    ``attrs["overlapping"]``: see `Pieces`.
    """
    if polygons.crs != zones.crs or not polygons.crs.is_projected:
        raise ValueError(f"overlay needs one projected CRS, got {polygons.crs} and {zones.crs}")
    pieces = overlay(polygons.geometry.to_numpy(), zones.geometry.to_numpy())
    frame = gpd.GeoDataFrame(
        {
            "polygon": pieces.polygon,
            "zone": pieces.zone,
            **{name: polygons[name].to_numpy()[pieces.polygon] for name in of_polygon},
            **{name: at(zones[name].astype(object), pieces.zone) for name in of_zone},
            "surface_m2": pieces.area,
            "part_qpv": 100 * pieces.area / polygons.area.to_numpy()[pieces.polygon],
            f"part_{suffix}": 100 * pieces.area / at(zones.area, pieces.zone),
        },
        geometry=pieces.geometry,
        crs=polygons.crs,
    )
    frame.attrs["overlapping"] = pieces.overlapping.tolist()
    return frame


def at(column: pd.Series, positions: np.ndarray | pd.Series) -> np.ndarray:
    """Return values at positions, None or NaN at -1."""
    missing = np.nan if column.dtype.kind == "f" else None
    taken: np.ndarray = np.append(column.to_numpy(), [missing])[positions]
    return taken


def is_sizeable(
    pieces: pd.DataFrame, territory: Territory, shares: Sequence[str] = ("part_qpv",)
) -> "pd.Series[bool]":
    """Tell pieces that are more than slivers, the thin overlaps of contours that do not quite match.

    One of the `shares` exceeds the territory's: a small zone may lie entirely in a large one, and be a small
    share of it.
    """
    share = pieces[list(shares)].max(axis=1)
    return (share > 100 * territory.sliver_share) & (pieces["surface_m2"] > territory.sliver_area)


def part_of(polygon: BaseGeometry, zone: BaseGeometry, *, inside: bool) -> BaseGeometry:
    """Return what of a polygon lies in a zone, or outside it; an empty polygon if nothing does."""
    pieces = overlay(np.array([polygon], dtype=object), np.array([zone], dtype=object))
    kept = pieces.geometry[(pieces.zone == 0) == inside]
    return kept[0] if len(kept) else shapely.MultiPolygon()
