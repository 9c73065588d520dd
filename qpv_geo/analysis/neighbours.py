"""Layer ``qpv_voisins``: the QPV around a territory, which `locate` must know and nothing else counts."""

import geopandas as gpd
import shapely

from qpv_geo.analysis.bands import band_widths
from qpv_geo.ingest.contours import Contours
from qpv_geo.territory import LARGEST_REACH, Bands, Territory
from qpv_geo.zones import department_of, zone_of

_OFFICIAL = ["code_qp", "lib_qp", "insee_com", "lib_com", "siren_epci", "ecart_reparation_m2"]

# Metres: no department of metropolitan France is as long.
_DEPARTMENT = 250_000.0


def undrawn_near(contours: Contours, communes: gpd.GeoDataFrame, territory: Territory) -> list[str]:
    """Return the QPV of the file without a contour to use that may lie near a territory.

    Where they are, their department alone tells: they are far if another QPV of it is very far.
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


def neighbours(
    qpv: gpd.GeoDataFrame, members: gpd.GeoDataFrame, communes: gpd.GeoDataFrame, bands: Bands
) -> gpd.GeoDataFrame:
    """Return the QPV of others that meet a commune of a territory, or lie within `LARGEST_REACH` of one.

    Parameters
    ----------
    qpv
        All QPV of the country in the territory's CRS.
    members, communes
        The territory's.
    bands
        Widths of the bands around QPV.

    Returns
    -------
    GeoDataFrame
        Sorted by ``code_qp``, with official columns, ``largeur_bande_m`` and ``distance_territoire_m``, 0 for
        one that meets a commune.
    """
    others = qpv[~qpv["code_qp"].isin(members["code_qp"])]
    tree = shapely.STRtree(communes.geometry.to_numpy())
    (near, _), distance = tree.query_nearest(
        others.geometry.to_numpy(), max_distance=LARGEST_REACH, return_distance=True, all_matches=False
    )
    layer = others.iloc[near][[*_OFFICIAL, others.geometry.name]].assign(distance_territoire_m=distance)
    layer["largeur_bande_m"] = band_widths(layer["code_qp"], bands)
    return layer.sort_values("code_qp", ignore_index=True)
