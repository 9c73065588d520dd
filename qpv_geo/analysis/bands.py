"""What is around the QPV: the band of each, without the QPV itself, and the QPV of other territories.

GEOS's buffer first flattens hollows shallower than 1 % of the distance, and its band reaches too far over a
flattened hollow (18 cm at Planoise). So bands are drawn here, edge by edge.
"""

import math
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from qpv_geo.analysis.overlay import GRIDS, Geometries, as_multipolygon, part_of
from qpv_geo.errors import ConfigurationError, ContractError
from qpv_geo.territory import LARGEST_REACH, Bands, Territory
from qpv_geo.zones import department_of, zone_of

if TYPE_CHECKING:  # its contracts take half a second to import, and `locate` needs none of them
    from qpv_geo.ingest.contours import Contours

Coordinates = NDArray[np.float64]

# Metres: how far inside the true curve the chords of an arc may lie.
ARC_TOLERANCE = 0.005

# Radians: a right turn below which the segments on both sides do not cross reliably.
_SEAM = 1e-4

# Metres: more than the grid may have moved a point.
_MOVED = 1e-5

_OFFICIAL = ["code_qp", "lib_qp", "insee_com", "lib_com", "siren_epci", "ecart_reparation_m2"]

# Share of `LARGEST_REACH` within which every QPV is surely known: GEOS's buffer may reach 1 % too far.
_SURELY = 0.98
# Metres: longer than any department of metropolitan France.
_DEPARTMENT = 250_000.0


def band_widths(codes: "pd.Series[str]", bands: Bands) -> NDArray[np.float64]:
    """Return the width in metres of the band around each QPV."""
    return np.where(codes.isin(bands.npnru), bands.distance_npnru_m, bands.distance_m)


def qpv_bands(
    qpv: gpd.GeoDataFrame, bands: Bands, epci: BaseGeometry, neighbours: Iterable[str] = ()
) -> gpd.GeoDataFrame:
    """Return layer ``bande_300m``: the band around each QPV, wider where the QPV is in the NPNRU.

    Bands may overlap one another, and one may cover another QPV. `epci` is the EPCI's contour in the CRS of
    `qpv`, `neighbours` are the QPV around the territory. Raises `ConfigurationError` if `bands.npnru` names a
    QPV that is in neither, and `ContractError` as `draw_bands` does.
    """
    known = set(qpv["code_qp"])
    if strangers := sorted(set(bands.npnru) - known - set(neighbours)):
        raise ConfigurationError(
            f"'bandes.npnru' names {', '.join(strangers)}, not among the territory's QPV "
            f"({', '.join(sorted(known))}) nor their neighbours: correct the territory file"
        )
    layer = qpv[["code_qp", "lib_qp", qpv.geometry.name]].sort_values("code_qp", ignore_index=True)
    layer["distance_m"] = band_widths(layer["code_qp"], bands)
    layer["npnru"] = layer["code_qp"].isin(bands.npnru)
    return draw_bands(layer, "code_qp", epci if bands.decoupe_epci else None)


def draw_bands(layer: gpd.GeoDataFrame, name: str, within: BaseGeometry | None) -> gpd.GeoDataFrame:
    """Return a layer with, for its contours, what lies within ``distance_m`` of each and not in it.

    Contours are valid, in a projected CRS; ``surface_m2`` is added. Bands are cut to `within`, and one that
    lies wholly outside is a `ContractError`, which calls it by the column `name`.
    """
    drawn = []
    for polygon, distance in zip(layer.geometry, layer["distance_m"], strict=True):
        band = part_of(widen(polygon, float(distance)), polygon, inside=False)
        drawn.append(band if within is None else part_of(band, within, inside=True))
    banded = layer.set_geometry(gpd.GeoSeries(drawn, layer.index, crs=layer.crs))
    if (outside := banded.is_empty).any():
        raise ContractError(
            f"the bands of {', '.join(layer.loc[outside, name])} lie wholly outside the EPCI's communes: "
            f"compare the contours with the communes, or set 'bandes.decoupe_epci = false' in the territory "
            f"file"
        )
    return banded.assign(surface_m2=banded.area)


def widen(polygon: BaseGeometry, distance: float) -> shapely.MultiPolygon:
    """Return every point within a distance of a polygon, its own included.

    This is the Minkowski sum of the polygon with a disc: the polygon, a rectangle on the outer side of each
    edge, and a circular sector at each convex vertex. Arcs are drawn inside the true ones: no point is
    farther than `distance`, and none nearer than `distance` minus `ARC_TOLERANCE` is left out, up to the grid
    of `overlay` (0.1 µm, at worst 10 µm).

    Rectangles and sectors overlap too much to be united. Their outer sides, which hold the outline of the
    union, cut the plane into faces instead, and the faces near enough are kept.

    The polygon is valid, in a projected CRS; the distance is positive, in the CRS's unit.
    """
    parts = shapely.orient_polygons(shapely.get_parts([polygon]))
    sides: list[Geometries] = []
    for ring in shapely.get_rings(parts):
        vertices = shapely.get_coordinates(shapely.remove_repeated_points(ring))[:-1]
        sides += _outer_sides(vertices, distance)
    lines = np.concatenate(sides)
    shapely.prepare(polygon)
    for grid in (None, *GRIDS[:-1]):
        with suppress(shapely.GEOSException):
            widened = _faces_near(polygon, lines, distance, grid)
            if widened.is_valid:
                return widened
    return _faces_near(polygon, lines, distance, GRIDS[-1])


def _faces_near(
    polygon: BaseGeometry, lines: Geometries, distance: float, grid: float | None
) -> shapely.MultiPolygon:
    """Return the union of the faces between lines that reach near enough; lines meet on a grid."""
    noded = shapely.union_all(lines, grid_size=grid)
    faces = shapely.get_parts(shapely.polygonize(shapely.get_parts(noded)))
    # A face outside the union touches only its outline, which is nowhere nearer than the arcs.
    near = shapely.dwithin(polygon, faces, distance - ARC_TOLERANCE - _MOVED)
    return as_multipolygon(shapely.coverage_union_all(faces[near]))


def _outer_sides(vertices: Coordinates, distance: float) -> list[Geometries]:
    """Return the lines that can bound what lies within a distance of a ring, on its right side.

    The right is the outside: shells turn left and holes right. There is a segment beside each edge and an arc
    around each convex vertex. At the other vertices the segments cross; only the last millimetres of their
    radii may bound the area, beside an arc that is drawn inside the true one.
    """
    ends = np.roll(vertices, -1, axis=0)
    along = ends - vertices
    along /= np.hypot(along[:, 0], along[:, 1])[:, np.newaxis]
    outwards = distance * np.column_stack([along[:, 1], -along[:, 0]])
    segments = _segments(vertices + outwards, ends + outwards)

    before = np.roll(along, 1, axis=0)
    turn = np.arctan2(before[:, 0] * along[:, 1] - before[:, 1] * along[:, 0], (before * along).sum(axis=1))
    # Rounding decides the sign of half a turn; an arc too many does no harm.
    turn[turn < _SEAM - math.pi] = math.pi
    convex, hollow = np.flatnonzero(turn > -_SEAM), np.flatnonzero(turn < 0)
    arcs = _arcs(vertices[convex], outwards[convex - 1], outwards[convex], np.maximum(turn[convex], 0.0))
    inner = 1 - 2 * ARC_TOLERANCE / distance
    radii = [
        _segments(vertices[hollow] + inner * radius, vertices[hollow] + radius)
        for radius in (outwards[hollow - 1], outwards[hollow])
    ]
    return [segments, arcs, *radii]


def _segments(starts: Coordinates, ends: Coordinates) -> Geometries:
    return np.asarray(shapely.linestrings(np.stack([starts, ends], axis=1)))


def _arcs(
    centres: Coordinates, first: Coordinates, last: Coordinates, turns: NDArray[np.float64]
) -> Geometries:
    """Return arcs between two radii, each from the exact end of its segment to the start of the next."""
    distances = np.hypot(first[:, 0], first[:, 1])
    # An arc of angle a lies r (1 - cos(a / 2)) outside its chord at most.
    widest = 2 * np.arccos(np.maximum(1 - ARC_TOLERANCE / distances, 0.0))
    chords = np.maximum(np.ceil(turns / widest).astype(int), 1)
    sizes = chords + 1
    arc = np.repeat(np.arange(len(sizes)), sizes)
    position = np.arange(len(arc)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    angles = (turns[arc] * position / chords[arc])[:, np.newaxis]
    turned = np.column_stack([-first[:, 1], first[:, 0]])
    rim = first[arc] * np.cos(angles) + turned[arc] * np.sin(angles)
    rim[position == chords[arc]] = last
    return np.asarray(shapely.linestrings(rim + centres[arc], indices=arc))


def undrawn_near(contours: "Contours", communes: gpd.GeoDataFrame, territory: Territory) -> list[str]:
    """Return the QPV set aside for a bad contour that may lie near a territory.

    Only their department says where they are: they are far if a QPV of the same department is very far.
    """
    if contours.set_aside.empty:
        return []
    drawn = contours.by_epsg[territory.epsg]
    away = drawn.distance(shapely.box(*communes.total_bounds)) > _DEPARTMENT
    far = set(drawn.loc[away, "code_qp"].map(department_of))
    return [
        code
        for code in contours.set_aside["code_qp"]
        if zone_of(department_of(code)).epsg == territory.epsg and department_of(code) not in far
    ]


def known_ground(communes: Geometries, *, neighbours: bool) -> tuple[BaseGeometry, float]:
    """Return the area in which a release knows every QPV, and by how many metres it exceeds the communes.

    It does where it has those around the territory.
    """
    around = _SURELY * LARGEST_REACH if neighbours else 0.0
    union = shapely.union_all(communes)
    return (shapely.buffer(union, around) if around else union), around


def neighbours(
    qpv: gpd.GeoDataFrame, members: gpd.GeoDataFrame, communes: gpd.GeoDataFrame, bands: Bands
) -> gpd.GeoDataFrame:
    """Return the QPV of other territories within `LARGEST_REACH` of a commune, sorted by ``code_qp``.

    `qpv` are all those of the country in the territory's CRS; `members` and `communes` are the territory's.
    Added are ``largeur_bande_m`` and ``distance_territoire_m`` (0 for a QPV that meets a commune).
    """
    others = qpv[~qpv["code_qp"].isin(members["code_qp"])]
    tree = shapely.STRtree(communes.geometry.to_numpy())
    (near, _), distance = tree.query_nearest(
        others.geometry.to_numpy(), max_distance=LARGEST_REACH, return_distance=True, all_matches=False
    )
    layer = others.iloc[near][[*_OFFICIAL, others.geometry.name]].assign(distance_territoire_m=distance)
    layer["largeur_bande_m"] = band_widths(layer["code_qp"], bands)
    return layer.sort_values("code_qp", ignore_index=True)
