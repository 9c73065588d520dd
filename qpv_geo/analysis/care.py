"""Care around each QPV: how much of each category, on both sides of its limit, and how far the nearest is."""

from collections.abc import Mapping

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from qpv_geo.analysis.facilities import (
    Pairs,
    communes_within,
    count_lost,
    cross,
    is_located,
    locate_facilities,
    pairs_within,
)
from qpv_geo.analysis.health_plan import Category, load_health_plan
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
        {
            "type_equipement": list(categories),
            "libelle": [category.libelle for category in categories.values()],
            "domaine": [", ".join(category.types) for category in categories.values()],
        },
        dtype=object,
    )
    points = _of_categories(facilities.points, categories)
    layer = qpv.sort_values("code_qp", ignore_index=True)
    table = cross(layer, kinds).rename(columns=_NAMES)
    located = is_located(points)
    pairs = pairs_within(points[located], kinds, layer, _FARTHEST)
    columns = {name: pairs.count(pairs.metres <= reach) for name, reach in _REACHES.items()}
    columns |= _beside(pairs, points[located], layer)
    in_street = (points["precision"] == IN_STREET).to_numpy()[located][pairs.point]
    lost = points[~located & points["insee_com"].isin(communes["insee_com"])]
    touched = communes_within(layer, _FARTHEST, communes, territory)
    columns |= {
        "position_dans_la_rue": pairs.count(in_street),
        "non_localises": count_lost(lost, kinds, touched),
        "nombre_insee": _placed_by_insee(points, kinds, layer),
    }
    have = [not facilities.known_types.isdisjoint(category.types) for category in categories.values()]
    known = np.tile(have, len(layer))
    for name, numbers in columns.items():
        table[name] = pd.array(numbers.ravel(), dtype="Int64")
        table.loc[~known, name] = pd.NA
    if not facilities.placed_by_insee:
        table["nombre_insee"] = pd.array([pd.NA] * len(table), dtype="Int64")
    metres, measured_from = _nearest(points[located], kinds, layer, buildings)
    # More than a metre is not known: positions are rounded to one.
    table["distance_m"] = np.where(np.isfinite(metres.ravel()) & known, np.round(metres.ravel()), np.nan)
    table["depuis"] = np.repeat(measured_from, len(kinds))
    table["statut"] = np.where(known, OK, NOT_AVAILABLE)
    table = table.assign(millesime=facilities.vintage, source="bpe", fichier=facilities.file)
    return {"offre_soins": table, "offre_soins_lieux": _places(points, kinds, layer, facilities.vintage)}


def _of_categories(points: pd.DataFrame, categories: Mapping[str, Category]) -> pd.DataFrame:
    """Return the facilities of care; ``type_equipement`` is their category."""
    category_of = {code: name for name, category in categories.items() for code in category.types}
    named = points.assign(type_equipement=points["type_equipement"].map(category_of))
    return named[named["type_equipement"].notna()].reset_index(drop=True)


def _beside(pairs: Pairs, points: pd.DataFrame, qpv: gpd.GeoDataFrame) -> dict[str, NDArray[np.int64]]:
    """Count what is near the limit on either side."""
    limits = shapely.boundary(qpv.geometry.to_numpy())
    places = np.asarray(gpd.points_from_xy(points["x"], points["y"]))
    to_limit = shapely.distance(limits[pairs.qpv], places[pairs.point])
    inside = pairs.metres == 0
    return {
        "dedans_300m_limite": pairs.count(inside & (to_limit <= _BESIDE)),
        "dehors_300m_limite": pairs.count(~inside & (to_limit <= _BESIDE)),
    }


def _placed_by_insee(points: pd.DataFrame, kinds: pd.DataFrame, qpv: gpd.GeoDataFrame) -> NDArray[np.int64]:
    """Count the facilities that INSEE places in each QPV, whatever their position is worth."""
    counted = pd.crosstab(points["code_qp_insee"], points["type_equipement"])
    whole = counted.reindex(index=qpv["code_qp"], columns=kinds["type_equipement"], fill_value=0)
    return whole.to_numpy(dtype=np.int64)


def _nearest(
    points: pd.DataFrame, kinds: pd.DataFrame, qpv: gpd.GeoDataFrame, buildings: gpd.GeoDataFrame | None
) -> tuple[NDArray[np.float64], NDArray[np.object_]]:
    """Return the distance from each QPV to the nearest of each category, and what it is measured from."""
    contours = qpv.geometry.to_numpy()
    places = np.asarray(gpd.points_from_xy(points["x"], points["y"]))
    kind = pd.Index(kinds["type_equipement"]).get_indexer(points["type_equipement"])
    metres = np.full((len(qpv), len(kinds)), np.inf)
    first = np.full(metres.shape, -1)
    for column in range(len(kinds)):
        own = np.flatnonzero(kind == column)
        (zone, place), distances = shapely.STRtree(places[own]).query_nearest(
            contours, return_distance=True, all_matches=False
        )
        metres[zone, column], first[zone, column] = distances, own[place]
    walls = np.empty(0, dtype=object) if buildings is None else buildings.geometry.to_numpy()
    owner, building = shapely.STRtree(shapely.point_on_surface(walls)).query(contours, predicate="intersects")
    measured_from = np.full(len(qpv), _CONTOUR, dtype=object)
    tree = shapely.STRtree(places)
    for zone in np.unique(owner):
        measured_from[zone] = _BUILDINGS
        homes = shapely.STRtree(walls[building[owner == zone]])
        known = first[zone] >= 0
        # The place nearest to the contour may not be the nearest to a building, but that one is no farther
        # from the contour than the first is from a building.
        most = _from(homes, places[first[zone, known]])
        near = tree.query(contours[zone], predicate="dwithin", distance=most.max(initial=0.0))
        metres[zone, known] = most
        np.minimum.at(metres[zone], kind[near], _from(homes, places[near]))
    return metres, measured_from


def _from(homes: shapely.STRtree, places: Geometries) -> NDArray[np.float64]:
    """Return the distance of each place to the nearest of some buildings."""
    _, metres = homes.query_nearest(places, return_distance=True, all_matches=False)
    distances: NDArray[np.float64] = metres
    return distances


def _places(
    points: pd.DataFrame, kinds: pd.DataFrame, qpv: gpd.GeoDataFrame, vintage: str
) -> gpd.GeoDataFrame:
    """Return layer ``offre_soins_lieux``; a place is as exact as the least exact of its facilities."""
    key = ["type_equipement", "x", "y"]
    places = locate_facilities(points, kinds, qpv, vintage, _FARTHEST)
    # In the order of the alphabet: adresse, inconnue, rue.
    exactness = points.groupby(key)["precision"].max()
    places["precision"] = exactness.reindex(pd.MultiIndex.from_frame(places[key])).to_numpy()
    return places.drop(columns="domaine").rename(columns=_NAMES)
