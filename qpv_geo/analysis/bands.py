"""Bands around zones: what lies within a distance of a QPV, without the QPV itself.

GEOS's own buffer is not used: before it draws, it flattens hollows shallower than 1 % of the distance, and
over a flattened hollow the band reaches too far (18 cm at Planoise). Here the band is drawn edge by edge.
"""

import math
from contextlib import suppress

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from qpv_geo.analysis.overlay import GRIDS, as_multipolygon, overlay
from qpv_geo.errors import ConfigurationError, ContractError
from qpv_geo.territory import Bands

Geometries = NDArray[np.object_]
Coordinates = NDArray[np.float64]

# Metres: how far inside the true curve the straight pieces of an arc may lie.
ARC_TOLERANCE = 0.005

# Radians, or share of the distance: how far the parts of a band reach under one another. Parts that only
# touched would leave cracks between them, as wide as floating point is coarse.
_SEAM = 1e-4


def qpv_bands(qpv: gpd.GeoDataFrame, bands: Bands, epci: BaseGeometry) -> gpd.GeoDataFrame:
    """Return layer ``bande_300m``: the band around each QPV, wider where the QPV is in the NPNRU.

    Parameters
    ----------
    qpv
        The territory's QPV (``code_qp``, ``lib_qp``) in its projected CRS.
    bands
        Distances in metres, the QPV in the NPNRU, and whether bands stop at the EPCI's limit.
    epci
        The EPCI's contour in the same CRS.

    Returns
    -------
    GeoDataFrame
        One row per QPV, sorted by code: ``code_qp``, ``lib_qp``, ``distance_m``, ``npnru``, ``surface_m2``,
        geometry. Bands of neighbouring QPV may overlap, and one may cover another QPV.

    Raises
    ------
    ConfigurationError
        If `bands.npnru` names a QPV that is not in the territory.
    ContractError
        If bands stop at the EPCI's limit and one lies wholly outside.
    """
    known = set(qpv["code_qp"])
    if strangers := sorted(set(bands.npnru) - known):
        raise ConfigurationError(
            f"'bandes.npnru' names {', '.join(strangers)}, not among the territory's QPV "
            f"({', '.join(sorted(known))}): correct the territory file"
        )
    layer = qpv[["code_qp", "lib_qp", qpv.geometry.name]].sort_values("code_qp", ignore_index=True)
    npnru = layer["code_qp"].isin(bands.npnru).to_numpy()
    distances = np.where(npnru, bands.distance_npnru_m, bands.distance_m)
    geometry = draw_bands(
        layer.geometry.to_numpy(), distances, layer["code_qp"].tolist(), epci if bands.decoupe_epci else None
    )
    return gpd.GeoDataFrame(
        {
            "code_qp": layer["code_qp"],
            "lib_qp": layer["lib_qp"],
            "distance_m": distances,
            "npnru": npnru,
            "surface_m2": shapely.area(geometry),
        },
        geometry=geometry,
        crs=qpv.crs,
    )


def draw_bands(
    polygons: Geometries, distances: NDArray[np.float64], names: list[str], within: BaseGeometry | None
) -> Geometries:
    """Return what lies within a distance of each polygon and not in it.

    Parameters
    ----------
    polygons
        Valid (Multi)Polygons in a projected CRS.
    distances
        One for each, in metres.
    names
        Their names, for an error.
    within
        Where bands stop; None for nowhere.

    Raises
    ------
    ContractError
        If a band lies wholly outside `within`.
    """
    drawn = np.empty(len(polygons), dtype=object)
    outside = []
    for index, (polygon, distance) in enumerate(zip(polygons, distances, strict=True)):
        pieces = overlay(_array(widen(polygon, float(distance))), _array(polygon))
        band = _piece(pieces.geometry[pieces.zone < 0])
        if within is not None:
            pieces = overlay(_array(band), _array(within))
            band = _piece(pieces.geometry[pieces.zone == 0])
        drawn[index] = band
        if band.is_empty:
            outside.append(names[index])
    if outside:
        raise ContractError(
            f"the bands of {', '.join(outside)} lie wholly outside the EPCI's communes: compare the contours "
            f"with the communes, or set 'bandes.decoupe_epci = false' in the territory file"
        )
    return drawn


def _array(geometry: BaseGeometry) -> Geometries:
    return np.array([geometry], dtype=object)


def _piece(pieces: Geometries) -> BaseGeometry:
    return pieces[0] if len(pieces) else shapely.MultiPolygon()


def widen(polygon: BaseGeometry, distance: float) -> shapely.MultiPolygon:
    """Return every point within a distance of a polygon, its own included.

    It is the union of the polygon, of a rectangle on the outer side of each edge, and of a circular sector at
    each vertex that points outwards (the Minkowski sum of the polygon with a disc). Arcs are drawn inside the
    true ones: no point is farther than `distance`, and none nearer than `distance` minus `ARC_TOLERANCE` is
    left out, both to the grid of `overlay`, 0.1 µm and at worst 10 µm.

    Parameters
    ----------
    polygon
        Valid Polygon or MultiPolygon in a projected CRS.
    distance
        Positive, in the CRS's unit.
    """
    parts = shapely.orient_polygons(shapely.get_parts([polygon]))
    pieces: list[BaseGeometry] = [*parts]
    for ring in shapely.get_rings(parts):
        vertices = shapely.get_coordinates(shapely.remove_repeated_points(ring))[:-1]
        pieces += _beside(vertices, distance)
    return as_multipolygon(_union(pieces))


def _union(pieces: list[BaseGeometry]) -> BaseGeometry:
    """Unite on the finest grid on which GEOS can: in a few places it gives up on the finest."""
    for grid in GRIDS[:-1]:
        with suppress(shapely.GEOSException):
            return shapely.union_all(pieces, grid_size=grid)
    return shapely.union_all(pieces, grid_size=GRIDS[-1])


def _beside(vertices: Coordinates, distance: float) -> list[BaseGeometry]:
    """Return what covers the right side of a ring: that of the outside, for shells turn left and holes right.

    Rectangles reach a little under their polygon, where they are a little wider; all stay within the distance
    of their edge.
    """
    ends = np.roll(vertices, -1, axis=0)
    along = ends - vertices
    along /= np.hypot(along[:, 0], along[:, 1])[:, np.newaxis]
    outwards = distance * np.column_stack([along[:, 1], -along[:, 0]])
    under, wider = _SEAM * outwards, _SEAM * distance * along
    corners = (vertices - under - wider, vertices + outwards, ends + outwards, ends - under + wider)
    rectangles = [shapely.Polygon(ring) for ring in np.stack(corners, axis=1)]

    before = np.roll(along, 1, axis=0)
    turn = np.arctan2(before[:, 0] * along[:, 1] - before[:, 1] * along[:, 0], (before * along).sum(axis=1))
    # The sign of half a turn is beyond floating point; a sector too many does no harm.
    turn[turn < _SEAM - math.pi] = math.pi
    sectors = [
        _sector(vertices[index], outwards[index - 1], outwards[index], float(turn[index]))
        for index in np.flatnonzero(turn > -_SEAM)
    ]
    return [*rectangles, *sectors]


def _sector(centre: Coordinates, first: Coordinates, last: Coordinates, turn: float) -> BaseGeometry:
    """Return the sector of a disc between two radii, a seam wider on both sides."""
    distance = math.hypot(*first)
    turn = max(turn, 0.0)
    # An arc of angle a lies r (1 - cos(a / 2)) outside its chord at most.
    widest = 2 * math.acos(max(1 - ARC_TOLERANCE / distance, 0.0))
    angles = np.linspace(0, turn, math.ceil(turn / widest) + 1)
    angles = np.array([-_SEAM, *angles, turn + _SEAM])[:, np.newaxis]
    rim = first * np.cos(angles) + np.array([-first[1], first[0]]) * np.sin(angles)
    rim[-2] = last  # the very corner of the rectangle beside it
    return shapely.Polygon(np.vstack([centre, centre + rim]))
