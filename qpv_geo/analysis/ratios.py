"""Indicators of single zones that no producer publishes, computed where all of their terms are there."""

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
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


def add_computed(statistics: pd.DataFrame, rules: Mapping[str, Rule]) -> pd.DataFrame:
    """Add the ratios and sums that can be computed zone by zone to what the producers publish.

    An indicator is computed for a zone and vintage if all of its terms have a row there, in the same
    geography, and it has none itself: a producer's value, or the reason for giving none, always stands.

    Parameters
    ----------
    statistics
        Columns of layer ``statistiques``, zones of the producers' files.
    rules
        By indicator; only ratios and sums of shares count.

    Returns
    -------
    DataFrame
        The rows given, then those computed. ``valeur`` is scale times numerator over denominator, or the
        decimal sum of the shares, and ``statut`` ``ok``, if all terms' are; otherwise there is no value, and
        ``statut`` is that of the term that has none (the first in the order of `ABSENCES`), or
        ``non_disponible`` for a denominator of 0. There is no interval: those of the terms do not give it.
        ``source`` and ``fichier`` are those of the terms, and ``code_producteur`` says ``numerator /
        denominator``, as for sets of zones, or ``share + share``.
    """
    rows = [_computed(*found) for found in _to_compute(statistics, rules)]
    if not rows:
        return statistics
    computed = pd.DataFrame(rows, columns=statistics.columns).astype(statistics.dtypes.to_dict())
    return pd.concat([statistics, computed], ignore_index=True)


def _to_compute(
    statistics: pd.DataFrame, rules: Mapping[str, Rule]
) -> Iterator[tuple[str, Rule, list[_Row]]]:
    """Yield what to compute: indicator, its rule, the rows of its terms in their order."""
    by_first_term: dict[str, list[tuple[str, Rule]]] = {}
    for indicator, rule in rules.items():
        if rule.terms:
            by_first_term.setdefault(rule.terms[0], []).append((indicator, rule))
    involved = {name for indicator, rule in rules.items() if rule.terms for name in (indicator, *rule.terms)}
    table = statistics[statistics["indicateur"].isin(involved)]
    columns = [table[name].tolist() for name in table.columns]
    rows = [dict(zip(table.columns, row, strict=True)) for row in zip(*columns, strict=True)]
    known = {(row["zone"], row["code"], row["millesime"], row["indicateur"]): row for row in rows}
    for *zone, first in known:
        for indicator, rule in by_first_term.get(first, ()):
            terms = [known.get((*zone, term)) for term in rule.terms]
            found = [term for term in terms if term is not None]
            if len(found) == len(terms) and (*zone, indicator) not in known and _same_date(found):
                yield indicator, rule, found


def _same_date(rows: list[_Row]) -> bool:
    dates = {None if pd.isna(row["geographie"]) else row["geographie"] for row in rows}
    return len(dates) == 1


def _computed(indicator: str, rule: Rule, terms: list[_Row]) -> _Row:
    """Return the row of a ratio or of a sum."""
    status = worst({term["statut"] for term in terms})
    values = [term["valeur"] for term in terms]
    if status == OK and not rule.sum_of and values[1] == 0:
        status = NOT_AVAILABLE
    return terms[0] | {
        "indicateur": indicator,
        "valeur": _value(rule, values) if status == OK else math.nan,
        "statut": status,
        **WITHOUT_INTERVAL,
        "source": ", ".join(dict.fromkeys(term["source"] for term in terms)),
        "fichier": ", ".join(dict.fromkeys(term["fichier"] for term in terms)),
        "code_producteur": rule.operator.join(term["code_producteur"] for term in terms),
    }


def _value(rule: Rule, values: list[float]) -> float:
    if rule.sum_of:
        # In decimals, as published: 44.8 + 24.7 is 69.5.
        return float(sum(Decimal(str(value)) for value in values))
    return rule.scale * values[0] / values[1]
