"""Where each QPV stands among those of metropolitan France and of its EPCI, and the national distribution."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import numpy as np
import pandas as pd

from qpv_geo.analysis.aggregate import add_computed
from qpv_geo.analysis.statistics import newest_of_qpv
from qpv_geo.ingest.distribution import (
    CountedFile,
    Distribution,
    Distributions,
    canonical,
    count_values,
    load_distributions,
    read_values,
)
from qpv_geo.ingest.registry import Indicator, Registry
from qpv_geo.ingest.statistic_rows import StatisticRows
from qpv_geo.ingest.tables import Tables
from qpv_geo.statuses import ABSENCES
from qpv_geo.territory import Territory, codes_of
from qpv_geo.zones import is_metropolitan

RANK_FIELDS = ("rang", "rang_sur", "rang_epci", "rang_epci_sur", "decile")
_KEY = ["indicateur", "millesime"]
_IN_EPCI = ["rang_epci", "rang_epci_sur"]
_NATIONAL = "fichier national"
_SHIPPED = "répartition livrée avec le programme"


@dataclass(frozen=True)
class Peers:
    """The QPV among which those of a territory are ranked."""

    distributions: Distributions
    """By indicator that QPV are ranked by and vintage: counted in national files, or shipped if a file is not
    national."""
    epci: pd.DataFrame
    """Pairs of ``code`` and ``siren_epci``: the QPV of each EPCI in which the territory's QPV are ranked. A
    QPV that declares two EPCI is in both."""
    figures: pd.DataFrame
    """Figures of these QPV: ``code``, ``indicateur``, ``millesime``, ``valeur``."""


def peers_of(codes: Iterable[str], tables: Tables, territory: Territory, registry: Registry) -> Peers:
    """Return the QPV among which those of a territory (`codes`) are ranked.

    A QPV is ranked in the territory's EPCI, or if it has none in the first EPCI that the QPV declares.
    `tables` hold every row of the files, not only the territory's.
    """
    pairs = [
        (code, siren)
        for frame in tables.contours.by_epsg.values()
        for code, declared in zip(frame["code_qp"], frame["siren_epci"], strict=True)
        for siren in codes_of(declared)
    ]
    own = set(codes)
    if territory.epci:
        sirens = {territory.epci}
        pairs += [(code, territory.epci) for code in sorted(own)]
    else:
        sirens = {siren for code, siren in pairs if code in own}
    members = dict.fromkeys(pair for pair in pairs if pair[1] in sirens)
    epci = pd.DataFrame(list(members), columns=["code", "siren_epci"])
    figures = with_computed(tables.rows.of("qpv", set(epci["code"])), registry.ranking)
    return Peers(_distributions(tables.rows, registry.ranking), epci, figures[["code", *_KEY, "valeur"]])


def with_computed(of_qpv: pd.DataFrame, indicators: tuple[Indicator, ...]) -> pd.DataFrame:
    """Return the rows of some indicators, with those that no producer publishes."""
    names = {indicator.id for indicator in indicators}
    involved = names.union(*(indicator.terms for indicator in indicators))
    rows = add_computed(
        of_qpv[of_qpv["indicateur"].isin(involved)], {indicator.id: indicator for indicator in indicators}
    )
    return rows[rows["indicateur"].isin(names)]


@lru_cache(maxsize=1)
def _distributions(rows: StatisticRows, indicators: tuple[Indicator, ...]) -> Distributions:
    """Return the distributions, shared by all territories that are published from the same files."""
    of_qpv = with_computed(rows.of("qpv"), indicators)
    counted, shipped = count_values(of_qpv, rows.national), load_distributions()
    there = set(of_qpv[_KEY].drop_duplicates().itertuples(index=False, name=None))
    return {key: shipped[key] for key in there & shipped.keys()} | counted


def add_ranks(statistics: pd.DataFrame, peers: Peers, registry: Registry) -> pd.DataFrame:
    """Add the ranks of a territory's QPV to their statistics.

    Only the registry's `ranking` indicators are ranked, in the newest vintage. ``rang`` (1 is the highest
    value, ties share the better rank) is among the ``rang_sur`` QPV of metropolitan France that have a value,
    ``decile`` is 10 if fewer than a tenth of these have a higher value, down to 1, and ``rang_epci`` is among
    the ``rang_epci_sur`` QPV of the EPCI. All are empty if the value is missing; ``rang``, ``rang_sur`` and
    ``decile`` also overseas, or without a distribution.
    """
    shown = newest_of_qpv(statistics[statistics["indicateur"].isin([i.id for i in registry.ranking])])
    ranked = shown[shown["valeur"].notna()]
    ranks = pd.concat([_in_metropole(ranked, peers.distributions), _in_epci(ranked, peers)], axis=1)
    columns = ranks.reindex(index=statistics.index, columns=list(RANK_FIELDS)).astype("Int64")
    return pd.concat([statistics, columns], axis=1)


def _in_metropole(ranked: pd.DataFrame, distributions: Distributions) -> pd.DataFrame:
    found = np.full((len(ranked), 3), np.nan)
    values = ranked["valeur"].to_numpy(dtype=np.float64)
    inside = ranked["code"].map(is_metropolitan).to_numpy(dtype=bool)
    for key, places in ranked.groupby(_KEY, sort=False).indices.items():
        distribution = distributions.get(cast("tuple[str, str]", key))
        if distribution is not None:
            rows = places[inside[places]]
            ranks, size = distribution.ranks(values[rows]), distribution.size
            found[rows] = np.column_stack([ranks, np.full_like(ranks, size), 10 - 10 * (ranks - 1) // size])
    return pd.DataFrame(found, index=ranked.index, columns=["rang", "rang_sur", "decile"])


def _in_epci(ranked: pd.DataFrame, peers: Peers) -> pd.DataFrame:
    figures = peers.figures[peers.figures["valeur"].notna()]
    among = figures.merge(ranked[_KEY].drop_duplicates(), on=_KEY).merge(peers.epci, on="code")
    among["valeur"] = canonical(among["valeur"].to_numpy(dtype=np.float64))
    groups = among.groupby(["indicateur", "siren_epci"])["valeur"]
    among["rang_epci"] = groups.rank(method="min", ascending=False)
    among["rang_epci_sur"] = groups.transform("size")
    found = among.drop_duplicates(["code", "indicateur"]).set_index(["code", "indicateur"])[_IN_EPCI]
    return found.reindex(pd.MultiIndex.from_frame(ranked[["code", "indicateur"]])).set_index(ranked.index)


def distribution_table(distributions: Distributions) -> pd.DataFrame:
    """Return layer ``repartition``: one row per indicator and vintage, sorted."""
    rows = []
    for (indicator, vintage), distribution in sorted(distributions.items()):
        origin = distribution.origin
        deciles = {f"d{n}": value for n, value in enumerate(distribution.deciles.tolist(), start=1)}
        rows.append(
            {
                "indicateur": indicator,
                "millesime": vintage,
                "nb_qpv": distribution.size,
                **{f"nb_{reason}": distribution.absences.get(reason, 0) for reason in ABSENCES},
                "minimum": float(distribution.levels[0]),
                **deciles,
                "maximum": float(distribution.levels[-1]),
                "valeurs": distribution.text,
                "origine": _SHIPPED if origin.shipped else _NATIONAL,
                "source": origin.source,
                "fichier": origin.file,
                "sha256": origin.sha256,
            }
        )
    return pd.DataFrame(rows)


def read_distributions(table: pd.DataFrame) -> Distributions:
    """Return the distributions that layer ``repartition`` holds."""
    return {
        (row["indicateur"], row["millesime"]): Distribution(
            *read_values(row["valeurs"]),
            {reason: count for reason in ABSENCES if (count := row[f"nb_{reason}"])},
            CountedFile(row["source"], row["fichier"], row["sha256"], row["origine"] == _SHIPPED),
        )
        for row in table.to_dict("records")
    }
