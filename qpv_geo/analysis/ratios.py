"""Indicators of single zones that no producer publishes, computed where all their terms are known."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qpv_geo.ingest.registry import Computation
from qpv_geo.statuses import ABSENCES, ESTIMATE, NOT_AVAILABLE, OK

_ZONE = ["zone", "code", "millesime"]
# Of the statuses of several terms, the first of these is that of what is computed from them.
_WORST_FIRST = np.array([*ABSENCES, ESTIMATE, OK], dtype=object)
# Shares are published with fewer: 44.8 + 24.7 is 69.5, without the noise of binary fractions.
_DECIMALS = 6

WITHOUT_INTERVAL: dict[str, Any] = {
    "borne_basse": math.nan,
    "borne_haute": math.nan,
    "remarque": None,
    "fichier_intervalle": None,
}
"""Columns of a row of layer ``statistiques`` without interval and remark."""


def add_computed(statistics: pd.DataFrame, rules: Mapping[str, Computation]) -> pd.DataFrame:
    """Add to the producers' rows the ratios and sums of shares that can be computed zone by zone.

    An indicator is computed for a zone and vintage if all its terms have a row there, in the same geography,
    and it has none itself: a producer's value, or reason for a missing one, is never replaced.

    Of the rows added, if all terms are ``ok``, ``valeur`` is scale times numerator over denominator, or the
    decimal sum of the shares. Otherwise it is missing, and ``statut`` is the first of the terms' in the order
    of `ABSENCES`, or ``non_disponible`` for a denominator of 0. There is no interval: it does not follow from
    those of the terms. ``code_producteur`` is ``numerator / denominator``, as for sets of zones, or ``share +
    share``.
    """
    involved = {name for indicator, rule in rules.items() if rule.terms for name in (indicator, *rule.terms)}
    table = statistics[statistics["indicateur"].isin(involved)].reset_index(drop=True)
    places = _places(table)
    dates = pd.factorize(table["geographie"])[0]
    parts = [statistics]
    for indicator, rule in rules.items():
        if not rule.terms or not places.keys() >= set(rule.terms):
            continue
        terms = np.stack([places[term] for term in rule.terms])
        wanted = (terms >= 0).all(axis=0)
        if indicator in places:
            wanted &= places[indicator] < 0
        terms = terms[:, wanted]
        terms = terms[:, (dates[terms] == dates[terms[0]]).all(axis=0)]
        if terms.size:
            computed = _compute(table, indicator, rule, terms)
            parts.append(computed[statistics.columns].astype(statistics.dtypes.to_dict()))
    return pd.concat(parts, ignore_index=True) if len(parts) > 1 else statistics


def _places(table: pd.DataFrame) -> dict[str, NDArray[np.intp]]:
    """Return, for each indicator, its row for each zone and vintage of the table, -1 if there is none."""
    zones = table.groupby(_ZONE, sort=False).ngroup().to_numpy()
    places = {}
    for name, rows in table.groupby("indicateur", sort=False).indices.items():
        places[str(name)] = np.full(zones.max() + 1, -1, dtype=np.intp)
        places[str(name)][zones[rows]] = rows
    return places


def _compute(table: pd.DataFrame, indicator: str, rule: Computation, terms: NDArray[np.intp]) -> pd.DataFrame:
    """Return the rows of a ratio or of a sum; `terms` are the rows of its terms, one column for each."""
    order = {status: place for place, status in enumerate(_WORST_FIRST)}
    statuses = _WORST_FIRST[table["statut"].map(order).to_numpy(dtype=np.intp)[terms].min(axis=0)]
    values = table["valeur"].to_numpy(dtype=np.float64)[terms]
    if rule.sum_of:
        found = np.round(values.sum(axis=0), _DECIMALS)
    else:
        statuses[(statuses == OK) & (values[1] == 0)] = NOT_AVAILABLE
        with np.errstate(divide="ignore", invalid="ignore"):
            found = rule.scale * values[0] / values[1]
    origins = {name: _joined(table[name], terms) for name in ("source", "fichier")}
    codes = zip(*(table["code_producteur"].to_numpy()[rows] for rows in terms), strict=True)
    computed: pd.DataFrame = table.iloc[terms[0]].assign(
        indicateur=indicator,
        valeur=np.where(statuses == OK, found, np.nan),
        statut=statuses,
        code_producteur=[rule.operator.join(terms_of_one) for terms_of_one in codes],
        **WITHOUT_INTERVAL,
        **origins,
    )
    return computed


def _joined(column: "pd.Series[str]", terms: NDArray[np.intp]) -> list[str]:
    named = zip(*(column.to_numpy()[rows] for rows in terms), strict=True)
    return [", ".join(dict.fromkeys(names)) for names in named]
