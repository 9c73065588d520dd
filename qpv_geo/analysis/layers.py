"""Build all layers of a release from checked tables."""

from collections.abc import Mapping

import pandas as pd

from qpv_geo.analysis import concordances
from qpv_geo.analysis.aggregate import add_computed, aggregate
from qpv_geo.analysis.apl import apl_table
from qpv_geo.analysis.geographies import geographies_table
from qpv_geo.analysis.health import health_table
from qpv_geo.analysis.health_plan import objectives_table
from qpv_geo.analysis.parts import join_parts
from qpv_geo.analysis.perimeters import Layers
from qpv_geo.analysis.ranks import add_ranks, distribution_table, peers_of
from qpv_geo.analysis.statistics import (
    STATISTICS_KEY,
    add_indicators,
    comparison_zones,
    dictionary,
    join_by_code,
)
from qpv_geo.checks import Check, check_expected, check_none
from qpv_geo.errors import ContractError
from qpv_geo.ingest.registry import Registry
from qpv_geo.ingest.tables import Tables
from qpv_geo.territory import Territory
from qpv_geo.zones import department_of_commune


def build_layers(tables: Tables, territory: Territory, registry: Registry) -> tuple[Layers, list[Check]]:
    """Join everything and return the layers of a release, each sorted by its key, and what was checked.

    Areas and distances are measured in the territory's `epsg`; for France, in that of each part. Spatial
    layers are returned in its `published_epsg`. Layers ``sources`` and ``controles`` are added later. Raises
    `ContractError` if the territory does not have the expected number of QPV or communes, and
    `ConfigurationError` if the contract names a QPV that is not in the territory.
    """
    checks = _check_communes(tables, territory)
    joined = join_parts(tables, territory, registry)
    checks += joined.checks
    qpv = joined.layers["qpv"]
    whole = tables.contours.attributes["code_qp"] if tables.contours.national else None
    of_qpv, orphans = join_by_code(tables.rows, qpv["code_qp"], whole)
    checks += [*orphans, *joined.checks_around]
    communes, epci = joined.layers["communes"]["insee_com"], joined.layers["epci"]["siren_epci"]
    rules = registry.by_id
    # Counts are added, ratios are sums over sums; medians, and rates without their terms, have no value.
    members = {territory.code: sorted(qpv["code_qp"])}
    together = aggregate(of_qpv, members, rules, f"qpv_{territory.genre}")
    peers = peers_of(qpv["code_qp"], tables, territory, registry)
    of_qpv = add_ranks(add_computed(of_qpv, rules), peers, registry)
    statistics = [
        of_qpv,
        together,
        add_computed(comparison_zones(tables.rows, communes, territory, epci), rules),
        *joined.statistics,
    ]
    contract = concordances.contract_figures(territory, qpv, of_qpv)
    checks += concordances.check_contract(contract, territory)
    layers: Layers = {
        **joined.layers,
        "qpv": add_indicators(qpv, of_qpv, registry),
        "statistiques": pd.concat(statistics).sort_values(STATISTICS_KEY, ignore_index=True),
        "repartition": distribution_table(peers.distributions),
        "indicateurs": dictionary(registry, tables.labels),
        "contrat_de_ville": contract,
    }
    compared = joined.concordances + concordances.compare_contract(territory, contract, of_qpv)
    labels = {indicator.id: indicator.label for indicator in registry.indicators}
    compared += concordances.compare_sets(layers["statistiques"], labels, territory)
    if tables.correspondence is not None:
        own = tables.correspondence[tables.correspondence["code_qp"].isin(qpv["code_qp"])]
        layers["correspondance_2015"] = own.sort_values(["code_qp", "code_qp_2015"], ignore_index=True)
        compared += concordances.compare_statuses(qpv, tables.correspondence)
        every = set(tables.contours.attributes["code_qp"])
        checks.append(
            concordances.check_completeness(tables.correspondence, every, national=tables.contours.national)
        )
    if tables.apl:
        layers["apl"], merged = _apl(tables, joined.layers, territory)
        checks += merged
    layers["concordances"] = concordances.concordances_table(compared, territory)
    layers["geographies"] = geographies_table(layers, territory)
    layers["objectifs_indicateurs"] = objectives_table(territory, registry)
    layers["sante"] = health_table(layers, registry)
    return layers, [*checks, concordances.report_concordances(compared)]


def _apl(
    tables: Tables, layers: Mapping[str, pd.DataFrame], territory: Territory
) -> tuple[pd.DataFrame, list[Check]]:
    """Return table ``apl``; for France, of the communes that hold a QPV, as in ``statistiques``."""
    communes = layers["communes"]
    if territory.genre == "france":
        communes = communes[communes["nb_qpv"] > 0]
    qpv = layers["qpv"]
    departments = dict(zip(qpv["insee_dep"], qpv["lib_dep"], strict=True))
    members = None if tables.epci_members is None else set(tables.epci_members["insee_com"])
    return apl_table(tables.apl, communes, departments, members)


def _check_communes(tables: Tables, territory: Territory) -> list[Check]:
    """Compare the communes that have a contour with the expected number and with the COG's members."""
    frames = [tables.communes, *tables.overseas.values()]
    codes = {code for frame in frames for code in frame["insee_com"]}
    expected = territory.expected.communes
    if expected is not None and len(codes) != expected:
        raise ContractError(
            f"territory {territory.id!r}: expected {expected} communes in {territory.nom} "
            f"({territory.code}), found {len(codes)}. If communes have merged or moved, change "
            f"'expected.communes' in the territory file"
        )
    checks = []
    if expected is not None:
        checks.append(check_expected("communes_du_territoire", len(codes), "communes", territory))
    if tables.epci_members is None:
        message = "Code officiel géographique non lu : la composition du territoire n'a pas été recoupée."
        return [*checks, Check("communes_du_cog", territory.id, "non_verifiable", "", "", message)]
    official = _official_communes(tables.epci_members, territory)
    # Four islands are in no EPCI, so only an EPCI requires every commune to be a member.
    different = sorted(official ^ codes if territory.genre == "epci" else official - codes)
    message = f"Communes du COG et communes avec contour diffèrent : {', '.join(different)}."
    otherwise = "Les communes avec contour sont celles du code officiel géographique."
    counts = len(official), len(codes)
    return [*checks, check_none("communes_du_cog", territory.id, different, message, otherwise, counts)]


def _official_communes(members: pd.DataFrame, territory: Territory) -> set[str]:
    """Return the communes that the COG counts in a territory."""
    if territory.genre == "epci":
        return set(members.loc[members["siren_epci"] == territory.epci, "insee_com"])
    departments = map(department_of_commune, members["insee_com"])
    rows = zip(members["insee_com"], members["siren_epci"], departments, strict=True)
    return {row[0] for row in rows if territory.has_commune(*row)}
