"""Geometries of official contours: checked, and repaired with the area that the repair costs.

Every function serves any layer of polygons (QPV, communes, IRIS). `where` names each feature in messages.
"""

from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from qpv_geo.checks import Check
from qpv_geo.french import number
from qpv_geo.ingest.contracts import Names, Problems
from qpv_geo.zones import FrenchZone, departments_meeting, zone_of

Geometries = NDArray[np.object_]
Mask = NDArray[np.bool_]

# Share of a polygon's area that its repair may add or remove. Rounding official vertices to four decimals, up
# to five metres, costs 0.87 % at most; a ring drawn in the wrong order costs far more.
REPAIR_LIMIT = 0.01

# CRS from which every zone's projection is reached without a datum shift that needs a grid (EPSG:27572 would
# silently be off by metres): WGS84, ETRS89, RGF93, web Mercator, and the projections of the zones themselves.
ACCEPTED_CRS = (4326, 4258, 4171, 3857, 2154, 2972, 2975, 3163, 3297, 4467, 4471, 5490)
_IN_DEGREES = {4326, 4258, 4171}
_HALF_TURN = 180.0

_POLYGON, _MULTIPOLYGON = 3, 6


def check_crs(crs: CRS | None, problems: Problems) -> int | None:
    """Return the EPSG code of a layer's CRS; None, and a problem, if it is not an accepted one."""
    accepted = ", ".join(f"EPSG:{code}" for code in ACCEPTED_CRS)
    if crs is None:
        problems.add(f"a declared CRS, one of {accepted}", "none (no .prj beside the .shp?)", column="CRS")
        return None
    code = crs.to_epsg(min_confidence=25)
    if code not in ACCEPTED_CRS:
        problems.add(f"one of {accepted}", f"{crs.name} (EPSG:{code or 'unknown'})", column="CRS")
        return None
    return int(code)


def check_shapes(geometries: Geometries, where: Names, problems: Problems) -> Mask:
    """Tell which geometries are polygons with finite coordinates; others, and twins, are problems."""
    missing = shapely.is_missing(geometries) | shapely.is_empty(geometries)
    other = ~missing & ~np.isin(shapely.get_type_id(geometries), (_POLYGON, _MULTIPOLYGON))
    coordinates, owner = shapely.get_coordinates(geometries, return_index=True)
    infinite = np.zeros(len(geometries), dtype=bool)
    infinite[owner[~np.isfinite(coordinates).all(axis=1)]] = True
    infinite &= ~other
    absent, nan = "no geometry, an empty or an unclosed one", "NaN or infinite ones"
    for expected, mask, found, nature in (
        ("a polygon with closed rings", missing, absent, "contour absent, vide ou non fermé"),
        ("a polygon", other, "", "géométrie qui n'est pas un polygone"),
        ("finite coordinates", infinite, nan, "coordonnées non finies"),
    ):
        words = [found or geometry.geom_type for geometry in geometries[mask]]
        problems.add_rows(expected, where[mask], words, column="geometry", nature=nature)
    sound: Mask = ~(missing | other | infinite)
    _refuse_twins(geometries[sound], where[sound], problems)
    return sound


def _refuse_twins(geometries: Geometries, where: Names, problems: Problems) -> None:
    """Add a problem for each polygon that equals another one, whatever the order of its vertices."""
    # Equal polygons have equal bounds: few candidates are left to normalise.
    bounds = pd.DataFrame(shapely.bounds(geometries))
    rows = np.flatnonzero(bounds.duplicated(keep=False))
    keys = pd.Series(shapely.to_wkb(shapely.normalize(geometries[rows])), index=where[rows], dtype=object)
    for _, twins in keys[keys.duplicated(keep=False)].groupby(keys, sort=False):
        first, second, *_ = twins.index
        same = [f"the same polygon as {second if name == first else first}" for name in twins.index]
        nature = "contour identique à celui d'une autre entité"
        problems.add_rows("contours that all differ", twins.index, same, column="geometry", nature=nature)


def check_position(
    geometries: Geometries,
    epsg: int,
    places: Sequence[FrenchZone],
    where: Names,
    problems: Problems,
    *,
    declared: Sequence[str] = (),
) -> Mask:
    """Check that each geometry lies in its part of France, and in its place there (see `zones.place_of`).

    A wrong CRS or swapped axes displace all of them, a slip of the producer one. Coordinates are finite, x
    first. `declared` is what else each says of its place, for the message.
    """
    zones = [zone_of(place.prefix) for place in places]
    bounds = shapely.bounds(geometries).reshape(-1, 4)
    degrees = _in_degrees(bounds, epsg)
    in_zone = _within(degrees, _limits(zones))
    in_place = _within(degrees, _limits(places))
    swapped = ~in_zone
    swapped[~in_zone] = _within(
        _in_degrees(bounds[~in_zone][:, [1, 0, 3, 2]], epsg), _limits(zones)[~in_zone]
    )
    for row in np.flatnonzero(~in_zone | ~in_place).tolist():
        west, south, east, north = bounds[row]
        found = f"x {west:.7g} to {east:.7g}, y {south:.7g} to {north:.7g}"
        cause, place = "geometry in another place", zones[row]
        if swapped[row]:
            cause = "axes swapped, latitude or northing comes first"
        elif in_zone[row]:
            place = places[row]
            centre = (degrees[row, :2] + degrees[row, 2:]) / 2
            around = ", ".join(departments_meeting(*centre, *centre)) or "of nobody"
            found += f", in or near département {around}"
            if declared:
                found += f", far from commune {declared[row]} that it declares,"
        elif epsg in _IN_DEGREES and np.abs(bounds[row]).max() > _HALF_TURN:
            cause = "metres in place of degrees, the CRS is wrong or missing"
        west, south, east, north = place.bounds
        problems.add(
            f"longitude {west} to {east} and latitude {south} to {north} ({place.name}), from EPSG:{epsg}",
            found,
            column=cause,
            where=where[row],
            nature="contour hors de son département ou de sa partie de la France",
        )
    return in_zone & in_place


def _limits(places: Sequence[FrenchZone]) -> NDArray[np.float64]:
    return np.array([place.bounds for place in places]).reshape(-1, 4)


def _in_degrees(bounds: NDArray[np.float64], epsg: int) -> NDArray[np.float64]:
    """Return bounds as longitudes and latitudes, from their lower left and upper right corners."""
    transformer = Transformer.from_crs(epsg, 4326, always_xy=True)
    west, south = transformer.transform(bounds[:, 0], bounds[:, 1])
    east, north = transformer.transform(bounds[:, 2], bounds[:, 3])
    return np.column_stack([west, south, east, north])


def _within(bounds: NDArray[np.float64], limits: NDArray[np.float64]) -> Mask:
    signs = np.array([-1, -1, 1, 1])
    return np.asarray((signs * bounds <= signs * limits).all(axis=1), dtype=bool)


def repair(
    geometries: Geometries, where: Names, problems: Problems, limit: float = REPAIR_LIMIT
) -> tuple[Geometries, NDArray[np.float64]]:
    """Make invalid polygons of a projected CRS valid, and refuse repairs that change too much.

    Returns MultiPolygons, of which those that were valid keep their vertices and their order, and by how much
    the area of each was changed, in square units of the CRS; NaN where nothing was repaired.

    The area of the original rings is the shoelace formula's, shells minus holes. A ring that crosses itself
    counts its lobes with opposite signs there, so that the repair of a bow tie shows as the change it is.
    `limit` is the largest share of the repaired area that may be added or removed.
    """
    bad = np.flatnonzero(~shapely.is_valid(geometries))
    repaired = geometries.copy()
    repaired[bad] = shapely.make_valid(geometries[bad], method="structure", keep_collapsed=False)
    before, after = shapely.area(geometries[bad]), shapely.area(repaired[bad])
    change = np.full(len(geometries), np.nan)
    change[bad] = after - before
    polygonal = np.isin(shapely.get_type_id(repaired), (_POLYGON, _MULTIPOLYGON))
    refused = (np.abs(after - before) > limit * after) | (after == 0) | ~polygonal[bad]
    found = [
        f"{shapely.is_valid_reason(geometry)}, repair would change its area from {old:,.0f} to {new:,.0f} m²"
        for geometry, old, new in zip(geometries[bad][refused], before[refused], after[refused], strict=True)
    ]
    expected = f"a valid polygon, or one whose repair changes its area by {limit:.0%} at most"
    nature = f"contour invalide, que sa réparation changerait de plus de {limit:.0%}".replace("%", " %")
    problems.add_rows(expected, where[bad][refused], found, column="geometry", nature=nature)
    single = np.flatnonzero(shapely.get_type_id(repaired) == _POLYGON)
    if len(single):
        repaired[single] = shapely.multipolygons(repaired[single], indices=np.arange(len(single)))
    return repaired, change


def project(layer: gpd.GeoDataFrame, epsg: int, where: Names, problems: Problems) -> gpd.GeoDataFrame:
    """Return a layer of sound polygons in a projected CRS, repaired there.

    The result is indexed from 0 and has MultiPolygons and ``ecart_reparation_m2`` (NaN where the contour was
    valid; see `repair`); features with a defect that `problems` tolerates are left out.
    """
    projected = layer.reset_index(drop=True).to_crs(epsg)
    geometries, projected["ecart_reparation_m2"] = repair(projected.geometry.to_numpy(), where, problems)
    drawn = projected.set_geometry(gpd.GeoSeries(geometries, crs=epsg))
    if not problems.defects:
        return drawn
    return drawn[problems.without_defect(where)].reset_index(drop=True)


def draw(
    table: pd.DataFrame,
    contours: gpd.GeoSeries,
    zones: Sequence[FrenchZone | None],
    where: Names,
    problems: Problems,
    *,
    epsg: int | None = None,
    declared: Sequence[str] = (),
) -> dict[int, gpd.GeoDataFrame]:
    """Check the contours of all rows of a table, and project each into the CRS of its part of France.

    The parts that `epsg` serves are returned, without it all of them, by CRS. `zones` says where each feature
    should be (None: nowhere in particular, and it is not returned), `declared` what it says itself. A layer
    whose CRS is not accepted is returned as it came.
    """
    geometries = contours.to_numpy()
    layer = gpd.GeoDataFrame(table, geometry=geometries, crs=contours.crs)
    crs = check_crs(contours.crs, problems)
    sound = check_shapes(geometries, where, problems)
    served = np.array([zone.epsg if zone else 0 for zone in zones], dtype=np.int64)
    targets = sorted(set(served.tolist()) - {0}) if epsg is None else [epsg]
    if crs is None:
        return dict.fromkeys(targets, layer)
    rows = np.flatnonzero(sound & np.isin(served, targets))
    places = [zone for row in rows.tolist() if (zone := zones[row])]
    said = [declared[row] for row in rows.tolist()] if declared else ()
    rows = rows[check_position(geometries[rows], crs, places, where[rows], problems, declared=said)]
    by_epsg = {target: rows[served[rows] == target] for target in targets}
    return {
        target: project(layer.iloc[chosen], target, where[chosen], problems)
        for target, chosen in by_epsg.items()
    }


def report_repairs(layers: Sequence[gpd.GeoDataFrame], key: str, source_id: str) -> Check:
    """Say how many contours `project` repaired, and which changed most; `key` is their column of codes."""
    parts = [layer.assign(part=layer["ecart_reparation_m2"].abs() / layer.area) for layer in layers]
    repaired = pd.concat([part[[key, "ecart_reparation_m2", "part"]].dropna() for part in parts])
    if repaired.empty:
        message = "Tous les contours officiels sont valides."
        return Check("contours_repares", source_id, "conforme", "0", "0", message)
    worst = repaired.sort_values(["part", key]).iloc[-1]
    change = (
        f"{number(worst['ecart_reparation_m2'], 1, signed=True)} m², soit {number(100 * worst['part'], 2)} %"
    )
    message = (
        f"{len(repaired)} contours officiels invalides ont été réparés ; le plus grand écart relatif de "
        f"surface est celui de {worst[key]} ({change})."
    )
    return Check("contours_repares", source_id, "avertissement", "0", str(len(repaired)), message)
