"""Join statistics to QPV by code: codes without a partner are named, missing values have a reason."""

import math
from collections.abc import Iterable
from itertools import chain

import geopandas as gpd
import pandas as pd

from qpv_geo.analysis.aggregate import unavailable
from qpv_geo.checks import Check, check_none
from qpv_geo.french import first_of
from qpv_geo.ingest.registry import Registry
from qpv_geo.ingest.statistic_rows import StatisticRows
from qpv_geo.sources.catalogue import Zone
from qpv_geo.statuses import NOT_AVAILABLE
from qpv_geo.territory import Territory
from qpv_geo.zones import FrenchZone, department_of, zone_of

STATISTICS_KEY = ["zone", "code", "indicateur", "millesime"]
# What layer ``qpv`` says of an indicator, by the end of the column's name; intervals come last.
_FIGURE = {
    "": "valeur",
    "_statut": "statut",
    "_millesime": "millesime",
    "_rang": "rang",
    "_rang_sur": "rang_sur",
    "_borne_basse": "borne_basse",
    "_borne_haute": "borne_haute",
}
_NO_FIGURE = (math.nan, NOT_AVAILABLE, None, None, None, math.nan, math.nan)
_NATURES = {"count": "effectif", "rate": "taux", "median": "médiane", "index": "indice", "amount": "montant"}


def join_by_code(
    rows: StatisticRows, selected: Iterable[str], national: Iterable[str] | None
) -> tuple[pd.DataFrame, list[Check]]:
    """Keep the statistics of the selected QPV, and check for codes without a partner.

    A QPV that a source lacks gets rows with status ``non_disponible``. `national` are the ``code_qp`` of the
    whole contours file; None if it holds only the territory, when a code without a contour proves nothing.
    """
    wanted = sorted(selected)
    checks: list[Check] = []
    completed = [rows.of("qpv", wanted)]
    whole = None if national is None else set(national)
    drawn = {_part_of_france(code) for code in whole or ()}
    for source, present in rows.qpv_by_source.items():
        missing = [code for code in wanted if code not in present]
        checks.append(_named(source, "qpv_sans_statistique", missing, "QPV du territoire sans statistique"))
        if whole is not None:
            # Some editions of the contours leave out a part of France, whose codes then prove nothing.
            orphans = sorted(code for code in present - whole if _part_of_france(code) in drawn)
            checks.append(_named(source, "statistique_sans_qpv", orphans, "codes sans contour de QPV"))
            uncovered = sorted(whole - present)
            checks.append(_named(source, "qpv_de_france_sans_ligne", uncovered, "QPV de France sans ligne"))
        if missing:
            measures = rows.qpv_measures
            completed.append(unavailable(measures[measures["source"] == source], missing))
    statistics = pd.concat(completed, ignore_index=True)
    return statistics.sort_values(STATISTICS_KEY, ignore_index=True), checks


def _part_of_france(code_qp: str) -> FrenchZone:
    return zone_of(department_of(code_qp))


def comparison_zones(
    rows: StatisticRows, communes: Iterable[str], territory: Territory, epci: Iterable[str] = ()
) -> pd.DataFrame:
    """Keep the producers' rows for the zones that the territory's QPV are compared with.

    These are its communes, EPCI (or `epci`, if it is none itself), department and region, the QPV of each of
    these taken together, and all QPV of metropolitan France; for France, every such zone.
    """
    own = {territory.epci} if territory.epci else set(epci)
    around: dict[Zone, set[str]] = {
        "commune": set(communes),
        "epci": own,
        "departement": {territory.departement} if territory.departement else set(),
        "region": {territory.region} if territory.region else set(),
    }
    codes: dict[Zone, set[str] | None] = {
        **around,
        "ensemble_qpv_epci": own,
        "ensemble_qpv_departement": around["departement"],
        "ensemble_qpv_region": around["region"],
        "ensemble_qpv": None,
        "france": None,
    }
    of_france = territory.genre == "france"
    return pd.concat([rows.of(zone, None if of_france else wanted) for zone, wanted in codes.items()])


def _named(source: str, code: str, codes: list[str], what: str) -> Check:
    message = f"{len(codes)} {what} : {first_of(codes)}." if codes else f"Aucun {what}."
    return check_none(code, source, codes, message)


def newest_of_qpv(statistics: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of QPV of the newest vintage of each indicator.

    It is the same for all QPV: an older value never replaces a missing one.
    """
    of_qpv = statistics[statistics["zone"] == "qpv"]
    return of_qpv[of_qpv["millesime"] == of_qpv.groupby("indicateur")["millesime"].transform("max")]


def add_indicators(qpv: gpd.GeoDataFrame, statistics: pd.DataFrame, registry: Registry) -> gpd.GeoDataFrame:
    """Add to layer ``qpv`` the columns of the registry's `qpv_layer` indicators, newest vintage of each.

    `statistics` are those of these QPV, with ranks (see `ranks.add_ranks`). Each indicator gets its value,
    ``<id>_statut``, ``<id>_millesime``, ``<id>_rang`` and ``<id>_rang_sur``; ``<id>_borne_basse`` and
    ``<id>_borne_haute`` if its producer gives confidence intervals.
    """
    shown = statistics["indicateur"].isin([indicator.id for indicator in registry.shown])
    newest = newest_of_qpv(statistics[shown])
    rows = zip(*(newest[name].tolist() for name in ("indicateur", "code", *_FIGURE.values())), strict=True)
    figures = {(indicator, code): figure for indicator, code, *figure in rows}
    codes, columns = qpv["code_qp"].tolist(), {}
    for indicator in registry.shown:
        found = [figures.get((indicator.id, code), _NO_FIGURE) for code in codes]
        for place, ending in enumerate(_FIGURE if indicator.intervals else list(_FIGURE)[:-2]):
            columns[indicator.id + ending] = [figure[place] for figure in found]
    layer: gpd.GeoDataFrame = pd.concat([qpv, pd.DataFrame(columns, index=qpv.index)], axis=1)
    return layer


def dictionary(registry: Registry, labels: pd.DataFrame) -> pd.DataFrame:
    """Return layer ``indicateurs``: the registry, then indicators known only from producers' dictionaries."""
    known = [
        {
            "indicateur": indicator.id,
            "theme": indicator.theme,
            "libelle": indicator.label,
            "unite": indicator.unit,
            "nature": _NATURES[indicator.kind],
            "additif": indicator.additive,
            "source": indicator.source,
            "codes_producteur": ", ".join(dict.fromkeys(chain.from_iterable(indicator.codes.values()))),
        }
        for indicator in registry.indicators
    ]
    unknown = labels.rename(columns={"code_producteur": "codes_producteur"})
    unknown = unknown.assign(theme="Hors registre", unite="", nature="", additif=False)
    frame = pd.DataFrame([*known, *unknown.to_dict("records")])
    return frame.drop_duplicates("indicateur").sort_values("indicateur", ignore_index=True)
