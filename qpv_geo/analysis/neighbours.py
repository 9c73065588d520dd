"""Layer ``qpv_voisins``: the QPV around a territory, needed by `locate` and counted nowhere."""

from typing import TYPE_CHECKING

import geopandas as gpd
import shapely
from shapely.geometry.base import BaseGeometry

from qpv_geo.analysis.bands import band_widths
from qpv_geo.analysis.overlay import Geometries
from qpv_geo.territory import LARGEST_REACH, Bands, Territory
from qpv_geo.zones import department_of, zone_of

if TYPE_CHECKING:  # its contracts take half a second to import, and `locate` needs none of them
    from qpv_geo.ingest.contours import Contours

_OFFICIAL = ["code_qp", "lib_qp", "insee_com", "lib_com", "siren_epci", "ecart_reparation_m2"]

# Share of `LARGEST_REACH` within which every QPV is surely known: GEOS's buffer may reach 1 % too far.
_SURELY = 0.98
# Metres: longer than any department of metropolitan France.
_DEPARTMENT = 250_000.0


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
