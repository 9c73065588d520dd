"""Values of a set of zones from its parts': counts are added, ratios are sums over sums, nothing else.

A sum with a missing part is not computed: if the value of a part is secret or unavailable, so is the whole's.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qpv_geo.errors import ContractError
from qpv_geo.ingest.registry import Computation
from qpv_geo.statuses import ABSENCES, ESTIMATE, NOT_AVAILABLE, NOT_COMPUTABLE, OK, VALUED, worst

# Kinds of zones whose values are computed here and in no producer's file.
COMPUTED_ZONES = frozenset(
    {"qpv_epci", "qpv_commune", "qpv_departement", "qpv_france", "quartier", "quartier_fragile"}
)
_ORIGIN = ["source", "fichier", "code_producteur", "geographie"]
_COLUMNS = ["zone", "code", "indicateur", "millesime", "valeur", "statut", *_ORIGIN]
_NOT_COMPUTED = Computation()
# Position in the table of the row that a computed one is like, but for the columns beside it.
_LIKE = "row"
_ZONE = ["zone", "code", "millesime"]
# Of the statuses of several terms, the first of these is that of what is computed from them.
_WORST_FIRST = np.array([*ABSENCES, ESTIMATE, OK], dtype=object)
_PLACE_OF_STATUS = {status: place for place, status in enumerate(_WORST_FIRST)}
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

    If all terms are ``ok``, ``valeur`` is scale times numerator over denominator, or the sum of the shares.
    Otherwise it is missing, and ``statut`` is the first of the terms' in the order of `ABSENCES`, or
    ``non_disponible`` for a denominator of 0. No interval follows from those of the terms.
    ``code_producteur`` is ``numerator / denominator``, or ``share + share``.
    """
    involved = {name for indicator, rule in rules.items() if rule.terms for name in (indicator, *rule.terms)}
    table = statistics[statistics["indicateur"].isin(involved)].reset_index(drop=True)
    places = _places(table)
    dates = pd.factorize(table["geographie"])[0]
    cells = {name: table[name].to_numpy() for name in ("code_producteur", "source", "fichier")}
    cells["valeur"] = table["valeur"].to_numpy(dtype=np.float64)
    cells["statut"] = table["statut"].map(_PLACE_OF_STATUS).to_numpy(dtype=np.intp)
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
            computed.append(_compute_ratios(cells, indicator, rule, terms))
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


def _compute_ratios(
    table: Mapping[str, NDArray[Any]], indicator: str, rule: Computation, terms: NDArray[np.intp]
) -> dict[str, NDArray[Any]]:
    """Return the columns of a ratio or of a sum; `terms` are the rows of its terms, one column for each.

    In the `table` of all rows, a status is its place in `_WORST_FIRST`.
    """
    statuses = _WORST_FIRST[table["statut"][terms].min(axis=0)]
    values = table["valeur"][terms]
    if rule.sum_of:
        found = values.sum(axis=0)
    else:
        statuses[(statuses == OK) & (values[1] == 0)] = NOT_AVAILABLE
        with np.errstate(divide="ignore", invalid="ignore"):
            found = rule.scale * values[0] / values[1]

    def joined(column: str, join: Callable[[Iterable[str]], str]) -> NDArray[np.object_]:
        cells = zip(*(table[column][rows] for rows in terms), strict=True)
        return np.array([join(texts) for texts in cells], dtype=object)

    return {
        _LIKE: terms[0],
        "indicateur": np.full(statuses.shape, indicator, dtype=object),
        "valeur": np.where(statuses == OK, np.round(found, DECIMALS), np.nan),
        "statut": statuses,
        "code_producteur": joined("code_producteur", rule.operator.join),
        **{name: joined(name, _joined) for name in ("source", "fichier")},
    }


def unavailable(rows: pd.DataFrame, codes: Sequence[str]) -> pd.DataFrame:
    """Return rows without a value for zones that a source lacks, one for each measure of its `rows`."""
    measures = rows.drop_duplicates(["indicateur", "millesime"]).drop(columns="code")
    bare = measures.assign(valeur=math.nan, statut=NOT_AVAILABLE, **WITHOUT_INTERVAL)
    crossed = bare.merge(pd.DataFrame({"code": list(codes)}, dtype=rows["code"].dtype), how="cross")
    return crossed[rows.columns]


@dataclass(frozen=True)
class _Part:
    """A zone of a set: its code (None for an area that no zone covers) and its share in the set, 0 to 1."""

    code: str | None
    share: float = 1.0
    significant: bool = True


class _Measure(NamedTuple):
    """The value and status of one indicator and vintage by zone, and its `_ORIGIN`."""

    cells: Mapping[str, tuple[float, str]]
    origin: tuple[Any, ...]


def aggregate(
    values: pd.DataFrame, members: Mapping[str, Sequence[str]], rules: Mapping[str, Computation], zone: str
) -> pd.DataFrame:
    """Compute the values of sets of whole zones; `zone` is the kind of these sets, such as ``quartier``.

    `values` are rows of layer ``statistiques`` of one kind of zone, of which one without a row counts as
    unavailable; `members` are the codes of the zones of each set, each once. An indicator without a rule is
    left empty.

    Rows are sorted by set, indicator and vintage. ``valeur`` is the exact sum, or the ratio of two, if every
    part is ``ok``. Otherwise it is missing, and ``statut`` that of the parts, or ``non_calculable``. Raises
    `ContractError` if a zone has two values of one indicator and vintage, or zones come from several
    geographies.
    """
    parts = {code: [_Part(member) for member in codes] for code, codes in members.items()}
    return _compute(values, parts, rules, zone)


def estimate_by_area(
    values: pd.DataFrame, shares: pd.DataFrame, rules: Mapping[str, Computation], zone: str
) -> pd.DataFrame:
    """Estimate the values of contours by sharing out each count of an IRIS in proportion to areas.

    As `aggregate`, except that the status is ``estimation`` in place of ``ok``. `shares` are those of
    `districts.shares_of_iris`: a sliver counts where its value is known, and does not make the whole unknown
    where it is not.
    """
    parts = {
        str(code): [
            _Part(iris if isinstance(iris, str) else None, share / 100, bool(significant))
            for iris, share, significant in zip(
                rows["code_iris"], rows["part_iris"], rows["significatif"], strict=True
            )
        ]
        for code, rows in shares.groupby("code")
    }
    frame = _compute(values, parts, rules, zone)
    return frame.assign(statut=frame["statut"].replace(OK, ESTIMATE))


def _compute(
    values: pd.DataFrame, parts: Mapping[str, list[_Part]], rules: Mapping[str, Computation], zone: str
) -> pd.DataFrame:
    measures = _measures(values)
    vintages = {vintage for _, vintage in measures}
    # Some ratios are in no file of these zones.
    terms_of = {
        (name, year): [measures[term, year] for term in rule.terms]
        for name, rule in rules.items()
        for year in vintages
        if rule.terms and all((term, year) in measures for term in rule.terms)
    }
    rows = []
    for key in sorted(measures.keys() | terms_of.keys()):
        rule, terms = rules.get(key[0], _NOT_COMPUTED), terms_of.get(key, [])
        origin = _origin_of_terms(rule, terms) if terms else measures[key].origin
        added = [measures[key]] if rule.additive else [] if rule.sum_of else terms
        rows += [
            (zone, code, *key, *_value(rule, added, members), *origin) for code, members in parts.items()
        ]
    return pd.DataFrame(sorted(rows, key=itemgetter(1, 2, 3)), columns=_COLUMNS)


def _measures(values: pd.DataFrame) -> dict[tuple[str, str], _Measure]:
    """Return the values by indicator and vintage, then by zone."""
    if (twice := values.duplicated(["code", "indicateur", "millesime"])).any():
        row = values[twice].iloc[0]
        raise ContractError(
            f"zone {row['code']} has {row['indicateur']} ({row['millesime']}) more than once, in "
            f"{row['fichier']}: a sum would count it twice. Keep one file of each source and vintage"
        )
    cells: dict[tuple[str, str], dict[str, tuple[float, str]]] = {}
    columns = (values[name] for name in ("indicateur", "millesime", "code", "valeur", "statut"))
    for indicator, vintage, code, value, status in zip(*columns, strict=True):
        cells.setdefault((indicator, vintage), {})[code] = (value if status in VALUED else math.nan, status)
    origins: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
    named = values[["indicateur", "millesime", *_ORIGIN]].drop_duplicates()
    for indicator, vintage, *origin in named.itertuples(index=False, name=None):
        origins.setdefault((indicator, vintage), []).append(tuple(origin))
    return {key: _Measure(cells[key], _one_origin(key, found)) for key, found in origins.items()}


def _one_origin(key: tuple[str, str], origins: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Return the sources, files and producer's codes of a measure, and its only geography."""
    *named, geographies = zip(*origins, strict=True)
    if len(set(geographies)) > 1:
        listed = ", ".join(sorted(map(str, set(geographies))))
        raise ContractError(
            f"{key[0]} ({key[1]}) comes in several geographies ({listed}): zones of different dates are not "
            f"added. Correct 'geography' in the catalogue of sources"
        )
    return *map(_joined, named), geographies[0]


def _origin_of_terms(rule: Computation, terms: Sequence[_Measure]) -> tuple[Any, ...]:
    sources, files, codes, geographies = zip(*(term.origin for term in terms), strict=True)
    return _joined(sources), _joined(files), rule.operator.join(codes), geographies[0]


def _joined(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def _value(rule: Computation, added: Sequence[_Measure], parts: Sequence[_Part]) -> tuple[float, str]:
    """Return the sum over parts, or the ratio of two sums, with its status."""
    if not added:
        return math.nan, NOT_COMPUTABLE
    sums, statuses = zip(*(_add(measure.cells, parts) for measure in added), strict=True)
    status = worst(set(statuses))
    if status not in VALUED:
        return math.nan, status
    if rule.additive:
        return sums[0], status
    numerator, denominator = sums
    if denominator == 0:
        return math.nan, NOT_COMPUTABLE
    return float(np.round(rule.scale * numerator / denominator, DECIMALS)), status


def _add(cells: Mapping[str, tuple[float, str]], parts: Sequence[_Part]) -> tuple[float, str]:
    """Add the values of parts; the sum is rounded once, so their order does not matter."""
    absent = (math.nan, NOT_AVAILABLE)
    known = [(part, *(cells.get(part.code, absent) if part.code else absent)) for part in parts]
    status = worst({reason for part, _, reason in known if part.significant} or {NOT_AVAILABLE})
    if status not in VALUED:
        return math.nan, status
    return math.fsum(part.share * value for part, value, reason in known if reason in VALUED), status
