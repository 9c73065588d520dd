"""Care around each QPV: how much of each category, on both sides of its limit, and how far the nearest is."""

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from qpv_geo.analysis.facilities import (
    is_located,
    locate_facilities,
    lost_within,
    pairs_within,
    shapes_of,
    tabulate,
)
from qpv_geo.analysis.health_plan import load_health_plan
from qpv_geo.analysis.overlay import Geometries
from qpv_geo.ingest.facilities import IN_STREET, FacilityTable
from qpv_geo.statuses import NOT_AVAILABLE, OK
from qpv_geo.territory import Territory

# Metres around the QPV in which care is counted, those of a QPV itself included.
_REACHES = {"nombre_qpv": 0.0, "nombre_300m": 300.0, "nombre_500m": 500.0, "nombre_1000m": 1000.0}
_FARTHEST = max(_REACHES.values())
# Metres from the limit on either side.
_BESIDE = 300.0
# What the columns of facilities are of categories.
_NAMES = {"type_equipement": "categorie", "domaine": "types_equipement"}
_BUILDINGS, _CONTOUR = "bâtiments", "contour"


def care_layers(
    facilities: FacilityTable,
    buildings: gpd.GeoDataFrame | None,
    qpv: gpd.GeoDataFrame,
    communes: gpd.GeoDataFrame,
    territory: Territory,
) -> dict[str, pd.DataFrame]:
    """Return layers ``offre_soins`` and ``offre_soins_lieux``, in the CRS of `qpv`.

    `buildings` are those of the base map, None if it was not read: distances are measured from those that
    stand in the QPV or, where none is known, from its contour. Distances are in metres, as the crow flies. A
    category of which the file has no type at all has no numbers: zero would be wrong.
    """
    categories = load_health_plan().categories
    kinds = pd.DataFrame(
        [
            (
                name,
                category.libelle,
                ", ".join(category.types),
                not facilities.known_types.isdisjoint(category.types),
            )
            for name, category in categories.items()
        ],
        columns=["type_equipement", "libelle", "domaine", "known"],
    )
    category_of = {code: name for name, category in categories.items() for code in category.types}
    points = facilities.points.assign(type_equipement=facilities.points["type_equipement"].map(category_of))
    points = points.dropna(subset="type_equipement")
    located = points[is_located(points)]
    lost = points[~is_located(points) & points["insee_com"].isin(communes["insee_com"])]
    layer = qpv.sort_values("code_qp", ignore_index=True)
    pairs = pairs_within(located, layer, _FARTHEST)
    inside = pairs[pairs["metres"] == 0]
    limits = layer.set_index("code_qp").boundary.loc[inside["code_qp"]].to_numpy()
    rows = {name: pairs[pairs["metres"] <= reach] for name, reach in _REACHES.items()} | {
        "dedans_300m_limite": inside[shapely.distance(limits, shapes_of(inside)) <= _BESIDE],
        "dehors_300m_limite": pairs[(pairs["metres"] > 0) & (pairs["metres"] <= _BESIDE)],
        "position_dans_la_rue": pairs[pairs["precision"] == IN_STREET],
        "non_localises": lost_within(lost, layer, _FARTHEST, communes, territory),
        # Whatever their position is worth.
        "nombre_insee": points.assign(code_qp=points["code_qp_insee"]),
    }
    table = tabulate(layer, kinds, rows)
    known = table.pop("known")
    homes, are_buildings = _homes(layer, buildings)
    table["depuis"] = np.repeat(np.where(are_buildings, _BUILDINGS, _CONTOUR), len(kinds))
    # More than a metre is not known: positions are rounded to one.
    table["distance_m"] = _nearest(located, kinds["type_equipement"], homes).round()
    numbers = [*rows, "distance_m"]
    table[numbers] = table[numbers].where(known)
    if not facilities.placed_by_insee:
        table["nombre_insee"] = np.nan
    table["statut"] = np.where(known, OK, NOT_AVAILABLE)
    table = table.rename(columns=_NAMES)
    table = table.assign(millesime=facilities.vintage, source="bpe", fichier=facilities.file)
    places = locate_facilities(points, kinds, layer, facilities.vintage, _FARTHEST)
    # A place is as exact as the least exact of its facilities: adresse, inconnue, rue.
    key = ["type_equipement", "x", "y"]
    exactness = points.groupby(key)["precision"].max()
    places["precision"] = exactness.reindex(pd.MultiIndex.from_frame(places[key])).to_numpy()
    return {
        "offre_soins": table,
        "offre_soins_lieux": places.drop(columns="domaine").rename(columns=_NAMES),
    }


def _homes(qpv: gpd.GeoDataFrame, buildings: gpd.GeoDataFrame | None) -> tuple[Geometries, NDArray[np.bool_]]:
    """Return what distances from each QPV start at, and whether that is its buildings."""
    homes = qpv.geometry.to_numpy().copy()
    found = np.zeros(len(qpv), dtype=bool)
    if buildings is not None:
        walls = buildings.geometry.to_numpy()
        owner, building = shapely.STRtree(shapely.point_on_surface(walls)).query(
            homes, predicate="intersects"
        )
        found[owner] = True
        for zone in np.flatnonzero(found):
            homes[zone] = shapely.GeometryCollection(walls[building[owner == zone]].tolist())
    return homes, found


def _nearest(points: pd.DataFrame, kinds: pd.Series, homes: Geometries) -> NDArray[np.float64]:
    """Return the distance from each home to the nearest facility of each type, home by home; NaN if none."""
    metres = pd.DataFrame(np.nan, index=range(len(homes)), columns=kinds)
    shapes = shapes_of(points)
    for kind, own in points.groupby("type_equipement").indices.items():
        tree = shapely.STRtree(shapes[own])
        _, metres[kind] = tree.query_nearest(homes, return_distance=True, all_matches=False)
    return metres.to_numpy().ravel()
