"""What the tests of maps draw: the snapshot's release, and one with every layer that can be drawn."""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import MappingProxyType

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from qpv_geo.analysis.layers import build_layers
from qpv_geo.formats.base import Content
from qpv_geo.formats.geopackage import geopackage_name, write_geopackage
from qpv_geo.ingest.base_map import BackgroundFeatures
from qpv_geo.ingest.contours import Contours
from qpv_geo.ingest.facilities import FacilityTable, load_facility_types
from qpv_geo.ingest.statistic_rows import StatisticRows
from qpv_geo.ingest.tables import Tables, read_tables
from qpv_geo.qgis.cartography import load_cartography
from qpv_geo.qgis.project import write_qgis
from qpv_geo.releases.draft import build_content
from qpv_geo.settings import Settings
from qpv_geo.territory import Contract, FragileDistrict, LocalDistrict, Territory
from tests.city import city
from tests.health import health_layers
from tests.publishing import BESANCON, CATALOGUE, REGISTRY, spec_of, whole_snapshot

# One QPV without a rate for each reason that there is.
MISSING = {"QN02502M": "secret", "QN02505M": "non_disponible", "QN02515N": "non_significatif"}


@cache
def snapshot_content() -> Content:
    """Return what a refresh without network publishes; nobody changes it."""
    return content_about(BESANCON)


def content_about(territory: Territory) -> Content:
    """Return the same of another territory."""
    return _content(_read(territory), territory)


@cache
def full_content() -> Content:
    """Return every layer that can be drawn, and a reason for each kind of missing rate; nobody changes it.

    Contours of 2015, of IRIS and of districts are made up: they are there to be drawn, never to be published.
    """
    tables = _read(BESANCON)
    qpv = tables.contours.by_epsg[BESANCON.epsg]
    iris = _iris(tables.communes)
    assert BESANCON.contrat is not None
    territory = BESANCON.model_copy(
        update={
            "quartiers": (LocalDistrict(nom="Nord", iris=tuple(iris["code_iris"][:12])),),
            "contrat": _with_fragile(BESANCON.contrat),
        }
    )
    tables = replace(
        tables,
        contours=_with_neighbour(tables),
        qpv_2015=_of_2015(qpv),
        iris=iris,
        fragile_contours=_fragile(qpv),
        facilities=_facilities(qpv),
        base_map=_base_map(qpv),
        rows=_masked(tables),
    )
    content = _content(tables, territory, health_layers(qpv))
    _fill_figures(content.frames["qpv"])
    return content


def _fill_figures(qpv: pd.DataFrame) -> None:
    """Give a made-up value to each key figure that the snapshot has not."""
    for name in load_cartography().atlas.figures:
        if qpv[name].isna().all():
            qpv[name] = 12345.0
            qpv[f"{name}_statut"] = "ok"
            qpv[f"{name}_millesime"] = "2022"


def write(folder: Path, content: Content) -> Path:
    """Write the GeoPackage and the project of a content as a release does; return the GeoPackage."""
    write_geopackage(folder, content)
    write_qgis(folder, content)
    return folder / geopackage_name(content.spec.territory.id)


def _read(territory: Territory) -> Tables:
    return read_tables(whole_snapshot(), territory, CATALOGUE, REGISTRY, Settings())


def _content(
    tables: Tables, territory: Territory, more: Mapping[str, pd.DataFrame] = MappingProxyType({})
) -> Content:
    layers, checks = build_layers(tables, territory, REGISTRY)
    layers |= more
    return build_content(layers, [*tables.checks, *checks], spec_of(whole_snapshot(), territory=territory))


def _masked(tables: Tables) -> StatisticRows:
    """Return the statistics, the poverty rates of three QPV missing."""
    values = tables.rows.frame.copy()
    for code, status in MISSING.items():
        rows = (values["code"] == code) & (values["indicateur"] == "taux_pauvrete_60")
        values.loc[rows, ["valeur", "statut"]] = [np.nan, status]
    return StatisticRows(values, tables.rows.national)


def _with_neighbour(tables: Tables) -> Contours:
    """Return contours as if they were national: one QPV more, a kilometre east of the territory."""
    qpv = tables.contours.by_epsg[BESANCON.epsg]
    _, south, east, north = tables.communes.total_bounds
    square = shapely.box(east + 1000, (south + north) / 2, east + 1500, (south + north) / 2 + 500)
    neighbour = qpv.iloc[[0]].assign(
        code_qp="QN02599N", lib_qp="Le Voisin", insee_com="25999", siren_epci="200000000"
    )
    neighbour = neighbour.set_geometry([_multi(square)], crs=qpv.crs)
    together = pd.concat([qpv, neighbour], ignore_index=True)
    return replace(tables.contours, by_epsg={BESANCON.epsg: together}, national=True)


def _of_2015(qpv: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return contours of 2015: those of 2024 a little shifted, two QPV new, one that has left."""
    old = qpv[qpv["code_qp"].str.endswith("M")].sort_values("code_qp")
    shifted = [shapely.affinity.translate(shape, 40, -25) for shape in old.geometry]
    left = shapely.box(926500, 6686600, 926900, 6686900)
    return gpd.GeoDataFrame(
        {
            "code_qp": [*(f"QP02500{number}" for number in range(3, 3 + len(old))), "QP025002"],
            "nom_qp": [*old["lib_qp"], "Grette (Cité Brulard)"],
            "commune_qp": "Besançon",
        },
        geometry=[*(_multi(shape) for shape in shifted), _multi(left)],
        crs=qpv.crs,
    )


def _facilities(qpv: gpd.GeoDataFrame) -> FacilityTable:
    """Return facilities of every type, in turn, on a grid over each QPV and its surroundings."""
    types = load_facility_types()
    places = [
        (x, y)
        for west, south, east, north in qpv.geometry.bounds.to_numpy()
        for x in np.arange(west - 300, east + 300, 190)
        for y in np.arange(south - 300, north + 300, 230)
    ]
    kinds = [types["type_equipement"].iloc[7 * number % len(types)] for number in range(len(places))]
    x, y = np.array(places).T
    points = pd.DataFrame(
        {"type_equipement": kinds, "insee_com": "25056", "x": x, "y": y, "precision": "adresse"}
    )
    return FacilityTable(points.assign(code_qp_insee=None), types, "2025", placed_by_insee=False)


def _base_map(qpv: gpd.GeoDataFrame) -> BackgroundFeatures:
    """Return the features of a generated city around Planoise."""
    west, south, east, north = qpv.loc[qpv["code_qp"] == "QN02503M"].total_bounds
    features = city([(west - 300, south - 300, east + 300, north + 300)])
    frames = []
    for listed in features.values():
        shapes = shapely.force_2d([shapely.from_geojson(json.dumps(one["geometry"])) for one in listed])
        table = pd.DataFrame([one["properties"] for one in listed])
        table = table.rename(columns={"nom_collaboratif_gauche": "nom", "position_par_rapport_au_sol": "sol"})
        frames.append(gpd.GeoDataFrame(table, geometry=shapely.make_valid(shapes), crs=qpv.crs))
    return BackgroundFeatures(*frames, vintage="V3")


def _iris(communes: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return squares of 1,400 m that cover Besançon."""
    shape = communes.loc[communes["insee_com"] == "25056"].geometry.iloc[0]
    west, south, east, north = shape.bounds
    squares = [
        shapely.box(x, y, x + 1400, y + 1400)
        for x in np.arange(west, east, 1400)
        for y in np.arange(south, north, 1400)
    ]
    cells = [piece for piece in shapely.intersection(squares, shape) if piece.area > 1000]
    codes = [f"25056{number:04d}" for number in range(1, 1 + len(cells))]
    return gpd.GeoDataFrame(
        {
            "code_iris": codes,
            "nom_iris": [f"Secteur {number}" for number in range(1, 1 + len(cells))],
            "type_iris": "H",
            "insee_com": "25056",
            "nom_com": "Besançon",
        },
        geometry=[_multi(cell) for cell in cells],
        crs=communes.crs,
    )


def _with_fragile(contract: Contract) -> Contract:
    return contract.model_copy(
        update={
            "quartiers_fragiles": (
                FragileDistrict(nom="Cité Viotte", insee_com="25056", lib_com="Besançon"),
                FragileDistrict(nom="Cité de la Pelouse", insee_com="25056", lib_com="Besançon"),
            )
        }
    )


def _fragile(qpv: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    squares = [shapely.box(x, 6687900, x + 250, 6688100) for x in (928300, 930300)]
    drawn = gpd.GeoDataFrame(
        {"nom": ["Cité Viotte", "Cité de la Pelouse"]}, geometry=[_multi(s) for s in squares], crs=qpv.crs
    )
    drawn.attrs["fichier"] = "essai.geojson"
    return drawn


def _multi(shape: shapely.Geometry) -> shapely.MultiPolygon:
    polygons = [part for part in shapely.get_parts(shape) if part.geom_type == "Polygon"]
    return shapely.MultiPolygon(polygons)
