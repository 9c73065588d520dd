"""Ratios of single zones that no producer publishes, where both of their terms are there."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from qpv_geo.analysis.aggregate import Rule
from qpv_geo.statuses import NOT_AVAILABLE, OK, worst

_Row = dict[str, Any]

WITHOUT_INTERVAL: _Row = {
    "borne_basse": math.nan,
    "borne_haute": math.nan,
    "remarque": None,
    "fichier_intervalle": None,
}
"""What a row of layer ``statistiques`` says where the producer gives neither interval nor remark."""


def add_ratios(statistics: pd.DataFrame, rules: Mapping[str, Rule]) -> pd.DataFrame:
    """Add the ratios that can be computed zone by zone to what the producers publish.

    A ratio is computed for a zone and vintage if both terms have a row there, in the same geography, and it
    has none itself: a producer's value, or the reason for giving none, always stands.

    Parameters
    ----------
    statistics
        Columns of layer ``statistiques``, zones of the producers' files.
    rules
        By indicator; only ratios count.

    Returns
    -------
    DataFrame
        The rows given, then those computed. ``valeur`` is scale times numerator over denominator, and
        ``statut`` ``ok``, if both terms' are; otherwise there is no value, and ``statut`` is that of the term
        that has none (``secret`` before ``non_significatif`` before ``non_disponible``), or
        ``non_disponible`` for a denominator of 0. ``source`` and ``fichier`` are those of both terms, and
        ``code_producteur`` says ``numerator / denominator``, as for sets of zones.
    """
    rows = [_divided(*pair) for pair in _pairs(statistics, rules)]
    if not rows:
        return statistics
    computed = pd.DataFrame(rows, columns=statistics.columns).astype(statistics.dtypes.to_dict())
    return pd.concat([statistics, computed], ignore_index=True)


def _pairs(statistics: pd.DataFrame, rules: Mapping[str, Rule]) -> Iterator[tuple[str, float, _Row, _Row]]:
    """Yield the ratios to compute: indicator and scale, rows of numerator and denominator."""
    by_numerator: dict[str | None, list[tuple[str, Rule]]] = {}
    for indicator, rule in rules.items():
        if rule.numerator is not None:
            by_numerator.setdefault(rule.numerator, []).append((indicator, rule))
    columns = [statistics[name].tolist() for name in statistics.columns]
    rows = [dict(zip(statistics.columns, row, strict=True)) for row in zip(*columns, strict=True)]
    known = {(row["zone"], row["code"], row["millesime"], row["indicateur"]): row for row in rows}
    for (zone, code, vintage, term), above in known.items():
        for indicator, rule in by_numerator.get(term, ()):
            below = known.get((zone, code, vintage, str(rule.denominator)))
            if below and (zone, code, vintage, indicator) not in known and _same_date(above, below):
                yield indicator, rule.scale, above, below


def _same_date(one: _Row, other: _Row) -> bool:
    dates = one["geographie"], other["geographie"]
    return bool(dates[0] == dates[1]) or all(pd.isna(date) for date in dates)


def _divided(indicator: str, scale: float, above: _Row, below: _Row) -> _Row:
    """Return the row of a ratio."""
    status = worst({above["statut"], below["statut"]})
    if status == OK and below["valeur"] == 0:
        status = NOT_AVAILABLE
    return above | {
        "indicateur": indicator,
        "valeur": scale * above["valeur"] / below["valeur"] if status == OK else math.nan,
        "statut": status,
        **WITHOUT_INTERVAL,
        "source": ", ".join(dict.fromkeys([above["source"], below["source"]])),
        "fichier": ", ".join(dict.fromkeys([above["fichier"], below["fichier"]])),
        "code_producteur": f"{above['code_producteur']} / {below['code_producteur']}",
    }
