"""Which zones each QPV overlaps, by how much, with nothing lost: the pieces of a QPV add up to its area."""

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from qpv_geo.parallel import in_threads

Geometries = NDArray[np.object_]

# Relative to the area of a polygon: what floating point loses, far below anything that a survey measures.
_NUMERICAL_NOISE = 1e-9

# Metres: a point is in a zone up to this.
_NEAR = 1e-6

# Metres. Overlays in floating point can lose an area where edges nearly coincide; on a grid they cannot, and
# Lambert-93 coordinates are exact on the finest. Where GEOS gives up on that, it may not on the next.
GRIDS = (1e-8, 1e-7, 1e-6)


@dataclass(frozen=True)
class Pieces:
    """The overlay of polygons with zones.

    Attributes
    ----------
    polygon, zone
        Positions in the two inputs, one pair per piece; `zone` is -1 for what lies outside every zone.
    geometry
        MultiPolygon of each piece.
    area
        Square units of the CRS.
    overlapping
        Positions of the polygons under which zones overlap one another; what several zones claim has been
        given to the first of them.
    """

    polygon: NDArray[np.intp]
    zone: NDArray[np.intp]
    geometry: Geometries
    area: NDArray[np.float64]
    overlapping: NDArray[np.intp]


def overlay(polygons: Geometries, zones: Geometries) -> Pieces:
    """Cut polygons by zones.

    The pieces of a polygon do not overlap and add up to its area, even where zones leave gaps (the rest is a
    piece without zone) or overlap one another (the first zone takes the common part). What floating point
    leaves along an edge that polygon and zone share, a billionth of the polygon's area at most, is no piece.

    Parameters
    ----------
    polygons, zones
        Valid (Multi)Polygons in the same projected CRS.

    Returns
    -------
    Pieces
        Sorted by polygon, then zone, the rest last.
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
    """Intersect each polygon with the zones it meets; a polygon inside one zone is its own piece, uncut."""
    zone, polygon = shapely.STRtree(polygons).query(zones, predicate="intersects")
    order = np.lexsort((zone, polygon))
    polygon, zone = polygon[order], zone[order]
    single = np.bincount(polygon, minlength=len(polygons))[polygon] == 1
    inside = single.copy()
    shapely.prepare(zones)
    inside[single] = shapely.covers(zones[zone[single]], polygons[polygon[single]])
    cut = polygons[polygon].copy()
    # Threads may share these: the index has made GEOS compute their bounds.
    cut[~inside] = in_threads(shapely.intersection, polygons[polygon[~inside]], zones[zone[~inside]])
    return polygon, zone, cut


def _cut_one(polygon: BaseGeometry, zones: Geometries) -> Geometries:
    """Cut one polygon by zones in turn: a piece per zone, then the rest.

    Each zone takes its part of what the zones before it left, so that no area is lost or counted twice.
    """
    tolerance = _NUMERICAL_NOISE * polygon.area
    for grid in (None, *GRIDS):
        rest = polygon
        pieces = []
        try:
            for zone in zones:
                pieces.append(shapely.intersection(rest, zone, grid_size=grid))
                # Lines may be left beside areas, and GEOS cuts no such mixture.
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
    """Return the area of pieces outside their zone; infinite where GEOS cannot tell."""
    try:
        return float(shapely.area(shapely.difference(cut, zones, grid_size=GRIDS[0])).sum())
    except shapely.GEOSException:
        return float("inf")


def _astray(cut: Geometries, zones: Geometries) -> NDArray[np.bool_]:
    """Tell which pieces do not lie in their zone.

    Where a polygon nearly touches itself, GEOS may return the part outside in place of the part inside.
    """
    inner = shapely.point_on_surface(cut)
    return ~(shapely.is_empty(inner) | shapely.dwithin(zones, inner, _NEAR))


def _overlapping(polygon: NDArray[np.intp], cut: Geometries) -> NDArray[np.intp]:
    """Return the polygons whose pieces overlap one another.

    Zones that overlap as much as they leave out give the right total all the same.
    """
    # One test of everything names few, most often pieces of two QPV that touch: each of these is asked apart.
    suspect = np.unique(polygon[~shapely.is_empty(shapely.coverage_invalid_edges(cut))])
    first, after = np.searchsorted(polygon, suspect), np.searchsorted(polygon, suspect, side="right")
    wrong = [not shapely.coverage_is_valid(cut[a:b]) for a, b in zip(first, after, strict=True)]
    overlapping: NDArray[np.intp] = suspect[np.array(wrong, dtype=bool)]
    return overlapping


def _as_multipolygons(cut: Geometries) -> Geometries:
    """Do as `as_multipolygon` for many pieces that have an area."""
    kinds = shapely.get_type_id(cut)
    plain = np.flatnonzero(kinds == shapely.GeometryType.POLYGON)
    others = np.flatnonzero(kinds == shapely.GeometryType.GEOMETRYCOLLECTION)
    whole = cut.copy()
    whole[plain] = shapely.multipolygons(cut[plain], indices=np.arange(len(plain)))
    whole[others] = [as_multipolygon(piece) for piece in cut[others]]
    return whole


def as_multipolygon(geometry: BaseGeometry) -> shapely.MultiPolygon:
    """Keep the polygons of a geometry.

    Two areas that overlap and also share an edge elsewhere intersect in a collection of both.
    """
    parts = shapely.get_parts(shapely.get_parts([geometry]))
    return shapely.MultiPolygon([part for part in parts if part.geom_type == "Polygon"])


def dissolve(zones: Geometries) -> BaseGeometry:
    """Return the union of zones, at the speed of a coverage where they are one."""
    try:
        union = shapely.coverage_union_all(zones)
    except shapely.GEOSException:  # zones that overlap, or cross where they were simplified
        return shapely.union_all(zones)
    if shapely.is_valid(union) and np.isclose(union.area, shapely.area(zones).sum(), rtol=1e-12, atol=0):
        return union
    return shapely.union_all(zones)


def cut_by_zones(polygons: gpd.GeoDataFrame, zones: gpd.GeoDataFrame, suffix: str) -> gpd.GeoDataFrame:
    """Cut one layer by another, with areas and both shares.

    Parameters
    ----------
    polygons
        Cut layer, in a projected CRS.
    zones
        Cutting layer, in the same CRS.
    suffix
        Names the share of the zone: ``commune`` gives ``part_commune``.

    Returns
    -------
    GeoDataFrame
        One row per piece: ``polygon`` and ``zone`` (positions, zone -1 outside), ``surface_m2``, ``part_qpv``
        and ``part_<suffix>`` in percent, geometry. ``attrs["overlapping"]`` holds the positions of polygons
        under which zones overlap one another.

    Raises
    ------
    ValueError
        If the two layers are not in the same projected CRS.
    """
    if polygons.crs != zones.crs or not polygons.crs.is_projected:
        raise ValueError(f"overlay needs one projected CRS, got {polygons.crs} and {zones.crs}")
    pieces = overlay(polygons.geometry.to_numpy(), zones.geometry.to_numpy())
    # What lies outside every zone, -1, is a share of nothing.
    zone_area = np.append(zones.area.to_numpy(), np.nan)[pieces.zone]
    frame = gpd.GeoDataFrame(
        {
            "polygon": pieces.polygon,
            "zone": pieces.zone,
            "surface_m2": pieces.area,
            "part_qpv": 100 * pieces.area / polygons.area.to_numpy()[pieces.polygon],
            f"part_{suffix}": 100 * pieces.area / zone_area,
        },
        geometry=pieces.geometry,
        crs=polygons.crs,
    )
    frame.attrs["overlapping"] = pieces.overlapping.tolist()
    return frame


def is_member(pieces: pd.DataFrame, sliver_share: float, sliver_area: float) -> pd.Series:
    """Tell real overlaps from slivers, the thin overlaps of contours that do not quite match.

    Parameters
    ----------
    pieces
        As `cut_by_zones` returns them.
    sliver_share, sliver_area
        Largest share of the QPV (0 to 1) and largest area (square metres) of a sliver.
    """
    return is_sizeable(pieces, sliver_share, sliver_area) & (pieces["zone"] >= 0)


def is_sizeable(pieces: pd.DataFrame, sliver_share: float, sliver_area: float) -> pd.Series:
    """Tell pieces that are more than slivers, in a zone or in none; parameters as of `is_member`."""
    return (pieces["part_qpv"] > 100 * sliver_share) & (pieces["surface_m2"] > sliver_area)
