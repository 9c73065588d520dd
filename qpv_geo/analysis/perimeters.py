"""The layers around the QPV: neighbours, bands, the geography of 2015, IRIS, districts, facilities.

Each needs an optional source. Without it the layer is left out, and table ``sources`` says why.
"""

from dataclasses import dataclass, field

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from qpv_geo.analysis import districts, facilities
from qpv_geo.analysis.accessibility import accessibility_table, compare_with_apl, demand_of
from qpv_geo.analysis.aggregate import add_computed
from qpv_geo.analysis.bands import neighbours, qpv_bands, undrawn_near
from qpv_geo.analysis.base_map import base_map_layers, streets_of
from qpv_geo.analysis.concordances import Concordance
from qpv_geo.analysis.evolution import compare_geographies
from qpv_geo.analysis.finess import finess_layer
from qpv_geo.checks import Check, check_none
from qpv_geo.french import first_of
from qpv_geo.ingest.registry import Registry
from qpv_geo.ingest.tables import Tables
from qpv_geo.territory import Territory
from qpv_geo.zones import METROPOLE

Layers = dict[str, pd.DataFrame | gpd.GeoDataFrame]
# The indicator of the population of an IRIS, whose code begins with that of its commune.
_POPULATION = "population"
_COMMUNE_DIGITS = 5


@dataclass
class Joined:
    """The layers made from contours, each sorted by its key, and what comes with them.

    `statistics` are rows of ``statistiques`` for zones other than QPV. `checks` are about the contours,
    `checks_around` about what is around the QPV.
    """

    layers: Layers = field(default_factory=dict)
    statistics: list[pd.DataFrame] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    checks_around: list[Check] = field(default_factory=list)
    concordances: list[Concordance] = field(default_factory=list)


def add_perimeters(
    tables: Tables, qpv: gpd.GeoDataFrame, epci: gpd.GeoDataFrame, territory: Territory, registry: Registry
) -> tuple[Joined, pd.DataFrame]:
    """Build every layer around the QPV whose tables were read (not None).

    The second result are columns to join to layer ``qpv`` by ``code_qp``.
    """
    result = Joined()
    of_qpv = pd.DataFrame(columns=["code_qp", "part_conservee_2015", "predecesseurs_2015"])
    around = _add_neighbours(result, tables, qpv, territory)
    if territory.bandes.publiees:
        limit = epci.geometry.union_all() if territory.bandes.decoupe_epci else shapely.MultiPolygon()
        result.layers["bande_300m"] = qpv_bands(qpv, territory.bandes, limit, around)
    if tables.qpv_2015 is not None:
        layers, of_qpv, checks = compare_geographies(
            qpv,
            tables.qpv_2015,
            tables.communes,
            territory,
            others=tables.contours.by_epsg[territory.epsg],
            correspondence=tables.correspondence,
        )
        result.layers |= layers
        result.checks_around += checks
    _add_districts(result, tables, qpv, territory, registry)
    _add_facilities(result, tables, qpv, territory)
    if tables.finess is not None:
        result.layers["etablissements_finess"], compared = finess_layer(
            tables.finess, tables.facilities, qpv, tables.communes, territory
        )
        result.concordances += compared
    _report_misplaced(result, tables)
    reason = _add_accessibility(result, tables, qpv, epci, territory)
    # Of France it is said once, not for each part.
    if reason and (territory.genre != "france" or territory.epsg == METROPOLE.epsg):
        message = f"Indice d'accessibilité aux soins absent : {reason}."
        result.checks_around.append(
            Check("accessibilite_calculee", territory.id, "non_verifiable", "", "", message)
        )
    if tables.base_map is not None:
        drawn, checks = base_map_layers(tables.base_map, qpv)
        result.layers |= drawn
        result.checks_around += checks
        if (pieces := result.layers.get("evolution_2015_2024")) is not None:
            pieces["rues"] = pd.Series(streets_of(pieces, drawn["fond_routes"]), pieces.index, dtype=object)
    return result, of_qpv


def _add_neighbours(result: Joined, tables: Tables, qpv: gpd.GeoDataFrame, territory: Territory) -> list[str]:
    """Add the QPV around the territory, if all are known, and return their codes."""
    contours = tables.contours
    if not contours.national or territory.genre == "france":
        return []
    if undrawn := undrawn_near(contours, tables.communes, territory):
        message = (
            f"Couche absente : sans le contour de {', '.join(undrawn)}, les voisins ne sont pas tous connus."
        )
        result.checks_around.append(Check("qpv_voisins", territory.id, "non_verifiable", "", "", message))
        return []
    layer = neighbours(contours.by_epsg[territory.epsg], qpv, tables.communes, territory.bandes)
    result.layers["qpv_voisins"] = layer
    return list(layer["code_qp"])


def _add_districts(
    result: Joined, tables: Tables, qpv: gpd.GeoDataFrame, territory: Territory, registry: Registry
) -> None:
    """Add the IRIS, and the districts, whose statistics come from the IRIS."""
    drawn, contours, iris = tables.fragile_contours, tables.district_contours, tables.iris
    fragile, bands, checks = districts.fragile_districts(territory, drawn, tables.communes, _file_of(drawn))
    quarters, shares, of_quarters = districts.local_districts(territory, iris, contours, _file_of(contours))
    result.layers["quartiers_fragiles"] = fragile
    if len(bands):
        result.layers["bande_quartiers_fragiles"] = bands
    if len(quarters):
        result.layers["quartiers"] = quarters
    result.checks_around += [*checks, *of_quarters]
    if iris is None:
        return

    pieces = districts.cut_by_iris(qpv, iris)
    every = tables.contours.by_epsg[territory.epsg]
    met = every.iloc[np.unique(every.sindex.query(iris.geometry, predicate="intersects")[1])]
    others = districts.cut_by_iris(met[~met["code_qp"].isin(qpv["code_qp"])], iris)
    result.layers["iris"] = districts.iris_layer(iris, pd.concat([pieces, others]), territory)
    result.layers["qpv_iris"] = pieces
    values = tables.rows.of("iris", _iris_of(tables))
    if values.empty:
        return
    rows, matched = districts.iris_statistics(values, iris, tables.iris_geography)
    joined = rows[rows["code"].isin(iris["code_iris"])]
    rules = registry.by_id
    result.statistics += [
        add_computed(rows, rules),
        districts.district_statistics(territory, shares, joined, rules),
        districts.fragile_statistics(fragile, joined, iris, rules, territory),
    ]
    result.checks_around += matched


def _iris_of(tables: Tables) -> list[str]:
    """Return the codes of the IRIS of the territory's communes that statistics are about."""
    communes = set(tables.communes["insee_com"])
    return [code for code in tables.rows.codes("iris") if code[:_COMMUNE_DIGITS] in communes]


def _file_of(contours: gpd.GeoDataFrame | None) -> str:
    return "contours" if contours is None else contours.attrs["fichier"]


def _add_facilities(result: Joined, tables: Tables, qpv: gpd.GeoDataFrame, territory: Territory) -> None:
    found = tables.facilities
    if found is None:
        return
    result.layers["equipements"], checks = facilities.count_facilities(found, qpv, tables.communes, territory)
    result.layers["equipements_lieux"] = facilities.locate_facilities(
        found.points, found.types, qpv, found.vintage
    )
    result.checks_around += checks
    buildings = None if tables.base_map is None else tables.base_map.buildings
    result.layers |= facilities.care_layers(found, buildings, qpv, tables.communes, territory)
    if found.placed_by_insee:
        result.concordances += facilities.compare_placements(found.points, qpv)


def _report_misplaced(result: Joined, tables: Tables) -> None:
    """Report the positions that are not in the commune that their source gives."""
    members = None if tables.epci_members is None else set(tables.epci_members["insee_com"])
    if (found := tables.facilities) is not None:
        result.checks_around += facilities.report_misplaced(
            found.points, "type_equipement", tables.communes, members, "bpe"
        )
    if tables.finess is not None:
        result.checks_around += facilities.report_misplaced(
            tables.finess.establishments, "libcategetab", tables.communes, members, "finess"
        )


def _add_accessibility(
    result: Joined, tables: Tables, qpv: gpd.GeoDataFrame, epci: gpd.GeoDataFrame, territory: Territory
) -> str:
    """Add the index of the care within reach, or return why there is none."""
    if territory.genre == "france":
        return "il se calcule pour un territoire, non pour la France entière"
    if tables.facilities is None:
        return "la base permanente des équipements n'a pas été lue"
    communes = tables.communes
    populations = tables.rows.of("iris", [] if tables.iris is None else _iris_of(tables))
    populations = populations[populations["indicateur"] == _POPULATION]
    every = communes if tables.around is None else pd.concat([communes, tables.around], ignore_index=True)
    demand = demand_of(every, tables.iris, populations)
    if not demand.points["population"].sum():
        return "aucune population de commune ni d'IRIS n'est connue"
    table = accessibility_table(tables.facilities, demand, qpv, communes, epci.geometry.union_all())
    result.layers["accessibilite"] = table
    lacking = f" Sans population, laissées de côté : {first_of(demand.unknown)}." if demand.unknown else ""
    message = f"Population utilisée : {demand.sources}.{lacking}"
    result.checks_around.append(check_none("accessibilite_calculee", territory.id, demand.unknown, message))
    result.checks_around += compare_with_apl(table, tables.apl)
    return ""
