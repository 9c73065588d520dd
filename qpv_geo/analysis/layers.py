"""All layers of a release, from checked tables."""

import geopandas as gpd
import pandas as pd
import shapely

from qpv_geo.analysis.contract import contract_figures
from qpv_geo.analysis.overlay import as_multipolygon
from qpv_geo.analysis.perimeters import Layers, add_perimeters
from qpv_geo.analysis.selection import codes_of, compare_communes, computed_lists, cut_by_communes, select
from qpv_geo.analysis.statistics import (
    STATISTICS_KEY,
    add_indicators,
    comparison_zones,
    dictionary,
    join_by_code,
    together,
)
from qpv_geo.checks import Check, Outcome
from qpv_geo.errors import ContractError
from qpv_geo.ingest.registry import Registry
from qpv_geo.ingest.tables import Tables
from qpv_geo.territory import Territory


def build_layers(tables: Tables, territory: Territory, registry: Registry) -> tuple[Layers, list[Check]]:
    """Join everything and return the layers of a release, each sorted by its key.

    Parameters
    ----------
    tables
        Checked tables of all sources.
    territory
        The EPCI; its `epsg` is the CRS of every spatial layer.
    registry
        Names the indicators.

    Returns
    -------
    layers : dict
        By name, without ``sources`` and ``controles``.
    checks : list of Check
        What the joins found.

    Raises
    ------
    ContractError
        If the territory has not the expected number of QPV or communes.
    ConfigurationError
        If the contract names a QPV that is not in the territory.
    """
    checks = check_communes(tables, territory)
    national = tables.contours.by_epsg.get(territory.epsg)
    if national is None:
        raise ContractError(f"territory {territory.id!r}: the contours hold no QPV in EPSG:{territory.epsg}")
    near = _near(national, tables.communes, territory)
    pieces = cut_by_communes(near, tables.communes, territory)
    selected, found = select(near, pieces, territory)
    pieces = pieces[pieces["code_qp"].isin(selected["code_qp"])]
    checks += [*found, *compare_communes(selected, pieces, territory), _report_overlaps(pieces, near)]

    whole = None
    if tables.contours.national:
        whole = pd.concat(frame["code_qp"] for frame in tables.contours.by_epsg.values())
    of_qpv, found = join_by_code(tables.statistics, selected["code_qp"], whole)
    epci = _epci(tables, territory, len(selected))
    around = add_perimeters(tables, selected, epci, territory, registry)
    checks += [*found, *around.checks]
    statistics = [
        of_qpv,
        together(of_qpv, selected["code_qp"], registry, territory),
        comparison_zones(tables.statistics, tables.communes["insee_com"], territory),
        *around.statistics,
    ]

    layers: Layers = {
        "qpv": add_indicators(_qpv(selected, pieces, around.of_qpv, territory), of_qpv, registry),
        "communes": _communes(tables.communes, pieces),
        "epci": epci,
        "qpv_commune": pieces.drop(columns="siren_epci").sort_values(
            ["code_qp", "insee_com"], ignore_index=True
        ),
        "statistiques": pd.concat(statistics).sort_values(STATISTICS_KEY, ignore_index=True),
        "indicateurs": dictionary(registry, tables.labels),
        "contrat_de_ville": contract_figures(territory, selected, of_qpv),
        **around.layers,
    }
    return layers, checks


def check_communes(tables: Tables, territory: Territory) -> list[Check]:
    """Compare the communes that have a contour with the expected number and with the COG's members.

    Raises
    ------
    ContractError
        If their number is not the expected one.
    """
    codes = set(tables.communes["insee_com"])
    expected = territory.expected.communes
    if expected is not None and len(codes) != expected:
        raise ContractError(
            f"territory {territory.id!r}: expected {expected} communes in {territory.nom} "
            f"({territory.epci}), found {len(codes)}. If communes have merged or moved, change "
            f"'expected.communes' in the territory file"
        )
    checks = []
    if expected is not None:
        message = f"{len(codes)} communes dans {territory.nom}, comme attendu."
        checks.append(
            Check("communes_du_territoire", territory.id, "conforme", str(expected), str(len(codes)), message)
        )
    if tables.epci_members is None:
        message = "Code officiel géographique non lu : la composition de l'EPCI n'a pas été recoupée."
        return [*checks, Check("communes_du_cog", territory.id, "non_verifiable", "", "", message)]
    members = tables.epci_members
    official = set(members.loc[members["siren_epci"] == territory.epci, "insee_com"])
    different = sorted(official ^ codes)
    message = (
        f"Communes du COG et communes avec contour diffèrent : {', '.join(different)}."
        if different
        else "Les communes avec contour sont celles du code officiel géographique."
    )
    outcome: Outcome = "avertissement" if different else "conforme"
    return [
        *checks,
        Check("communes_du_cog", territory.id, outcome, str(len(official)), str(len(codes)), message),
    ]


def _report_overlaps(pieces: gpd.GeoDataFrame, near: gpd.GeoDataFrame) -> Check:
    """Say under which QPV the communes' contours overlap one another."""
    codes = near["code_qp"].iloc[pieces.attrs["overlapping"]].tolist()
    message = (
        f"Les contours des communes se chevauchent (la première prend la part commune) : {', '.join(codes)}."
        if codes
        else "Les contours des communes ne se chevauchent sous aucun QPV."
    )
    outcome: Outcome = "avertissement" if codes else "conforme"
    return Check("chevauchement_des_communes", "communes", outcome, "0", str(len(codes)), message)


def _near(qpv: gpd.GeoDataFrame, communes: gpd.GeoDataFrame, territory: Territory) -> gpd.GeoDataFrame:
    """Keep the QPV that declare the EPCI or touch its communes; the others need no overlay."""
    declared = qpv["siren_epci"].map(lambda codes: territory.epci in codes_of(codes)).astype(bool)
    tree = shapely.STRtree(qpv.geometry.to_numpy())
    declared.iloc[tree.query(communes.geometry.to_numpy(), predicate="intersects")[1]] = True
    return qpv[declared].reset_index(drop=True)


def _qpv(
    selected: gpd.GeoDataFrame, pieces: gpd.GeoDataFrame, added: list[pd.DataFrame], territory: Territory
) -> gpd.GeoDataFrame:
    names = {entry.code_qp: entry.nom for entry in territory.contrat.qpv} if territory.contrat else {}
    layer = selected.join(computed_lists(selected, pieces))
    layer["nom_contrat"] = layer["code_qp"].map(names)
    layer["surface_m2"] = layer.area
    layer["perimetre_m"] = layer.length
    layer[["part_conservee_2015", "predecesseurs_2015"]] = None
    for columns in added:
        values = columns.set_index("code_qp").reindex(layer["code_qp"])
        layer[values.columns] = values.to_numpy()
    return layer


def _communes(communes: gpd.GeoDataFrame, pieces: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    layer = communes.sort_values("insee_com", ignore_index=True)
    layer["surface_m2"] = layer.area
    count = pieces[pieces["membre"]].groupby("insee_com")["code_qp"].nunique()
    layer["nb_qpv"] = layer["insee_com"].map(count).fillna(0).astype("Int64")
    return layer


def _epci(tables: Tables, territory: Territory, qpv: int) -> gpd.GeoDataFrame:
    """Return the EPCI as the union of its communes; its population is the sum, known only if each is."""
    union = as_multipolygon(shapely.union_all(tables.communes.geometry.to_numpy()))
    name = territory.nom
    if tables.epci_members is not None:
        official = tables.epci_members.loc[tables.epci_members["siren_epci"] == territory.epci, "nom_epci"]
        name = official.iloc[0] if len(official) else name
    return gpd.GeoDataFrame(
        {
            "siren_epci": [territory.epci],
            "nom_epci": [name],
            "nb_communes": [len(tables.communes)],
            "population": [tables.communes["population"].sum(min_count=len(tables.communes))],
            "surface_m2": [union.area],
            "nb_qpv": [qpv],
        },
        geometry=[union],
        crs=tables.communes.crs,
    )
