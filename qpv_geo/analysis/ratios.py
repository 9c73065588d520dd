"""Indicators of single zones that no producer publishes, computed where all their terms are known."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qpv_geo.ingest.registry import Computation
from qpv_geo.statuses import ABSENCES, ESTIMATE, NOT_AVAILABLE, OK

# Position in the table of the row that a computed one is like, but for the columns beside it.
_LIKE = "row"
_ZONE = ["zone", "code", "millesime"]
# Of the statuses of several terms, the first of these is that of what is computed from them.
_WORST_FIRST = np.array([*ABSENCES, ESTIMATE, OK], dtype=object)
DECIMALS = 2
"""Of what is computed here from several values: producers give rates and indices with one or two."""

# Columns of a row of layer ``statistiques`` that has neither interval nor remark.
WITHOUT_INTERVAL: dict[str, Any] = {
    "borne_basse": math.nan,
    "borne_haute": math.nan,
    "remarque": None,
    "fichier_intervalle": None,
}


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
    computed = []
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
            computed.append(_compute(table, indicator, rule, terms))
    if not computed:
        return statistics
    columns = {name: np.concatenate([part[name] for part in computed]) for name in computed[0]}
    rows = table.iloc[columns.pop(_LIKE)].assign(**columns, **WITHOUT_INTERVAL)
    rows = rows[statistics.columns].astype(statistics.dtypes.to_dict())
    return pd.concat([statistics, rows], ignore_index=True)


def _places(table: pd.DataFrame) -> dict[str, NDArray[np.intp]]:
    """Return, for each indicator, its row for each zone and vintage of the table, -1 if there is none."""
    zones = table.groupby(_ZONE, sort=False).ngroup().to_numpy()
    places = {}
    for name, rows in table.groupby("indicateur", sort=False).indices.items():
        places[str(name)] = np.full(zones.max() + 1, -1, dtype=np.intp)
        places[str(name)][zones[rows]] = rows
    return places


def _compute(
    table: pd.DataFrame, indicator: str, rule: Computation, terms: NDArray[np.intp]
) -> dict[str, NDArray[Any]]:
    """Return the columns of a ratio or of a sum; `terms` are the rows of its terms, one column for each."""
    order = {status: place for place, status in enumerate(_WORST_FIRST)}
    statuses = _WORST_FIRST[table["statut"].map(order).to_numpy(dtype=np.intp)[terms].min(axis=0)]
    values = table["valeur"].to_numpy(dtype=np.float64)[terms]
    if rule.sum_of:
        found = values.sum(axis=0)
    else:
        statuses[(statuses == OK) & (values[1] == 0)] = NOT_AVAILABLE
        with np.errstate(divide="ignore", invalid="ignore"):
            found = rule.scale * values[0] / values[1]
    codes = zip(*(table["code_producteur"].to_numpy()[rows] for rows in terms), strict=True)
    names = [rule.operator.join(codes_of_one) for codes_of_one in codes]
    return {
        _LIKE: terms[0],
        "indicateur": np.full(statuses.shape, indicator, dtype=object),
        "valeur": np.where(statuses == OK, np.round(found, DECIMALS), np.nan),
        "statut": statuses,
        "code_producteur": np.array(names, dtype=object),
        **{name: _joined(table[name], terms) for name in ("source", "fichier")},
    }


def _joined(column: "pd.Series[str]", terms: NDArray[np.intp]) -> NDArray[np.object_]:
    named = zip(*(column.to_numpy()[rows] for rows in terms), strict=True)
    return np.array([", ".join(dict.fromkeys(names)) for names in named], dtype=object)


def unavailable(rows: pd.DataFrame, codes: Sequence[str]) -> pd.DataFrame:
    """Return rows without a value for zones that a source lacks, one for each measure of its `rows`."""
    measures = rows.drop_duplicates(["indicateur", "millesime"]).drop(columns="code")
    bare = measures.assign(valeur=math.nan, statut=NOT_AVAILABLE, **WITHOUT_INTERVAL)
    crossed = bare.merge(pd.DataFrame({"code": list(codes)}, dtype=rows["code"].dtype), how="cross")
    return crossed[rows.columns]
