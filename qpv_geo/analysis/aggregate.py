"""Values of a set of zones from its parts': counts are added, ratios are sums over sums, nothing else.

A sum with a missing part is not computed: if the value of a part is secret or unavailable, so is the whole's.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from qpv_geo.analysis.ratios import DECIMALS
from qpv_geo.errors import ContractError
from qpv_geo.ingest.registry import Computation
from qpv_geo.statuses import ESTIMATE, NOT_AVAILABLE, NOT_COMPUTABLE, OK, VALUED, worst

# Kinds of zones whose values are computed here and in no producer's file.
COMPUTED_ZONES = frozenset(
    {"qpv_epci", "qpv_commune", "qpv_departement", "qpv_france", "quartier", "quartier_fragile"}
)
_ORIGIN = ["source", "fichier", "code_producteur", "geographie"]
_COLUMNS = ["zone", "code", "indicateur", "millesime", "valeur", "statut", *_ORIGIN]


@dataclass(frozen=True)
class _Part:
    """A zone of a set: its code (None for an area that no zone covers) and its share in the set, 0 to 1."""

    code: str | None
    share: float = 1.0
    significant: bool = True


class _Result(NamedTuple):
    value: float
    status: str


@dataclass(frozen=True)
class _Measure:
    """The values of one indicator and vintage by zone, and where they come from."""

    cells: Mapping[str, _Result]
    source: str
    fichier: str
    code_producteur: str
    geographie: object


_Measures = Mapping[tuple[str, str], _Measure]
_NOT_COMPUTED = Computation()


def aggregate(
    values: pd.DataFrame, members: Mapping[str, Sequence[str]], rules: Mapping[str, Computation], zone: str
) -> pd.DataFrame:
    """Compute the values of sets of whole zones; `zone` is the kind of these sets, such as ``quartier``.

    `values` are rows of layer ``statistiques`` of one kind of zone, of which one without a row counts as
    unavailable; `members` are the codes of the zones of each set, each once. An indicator without a rule is
    left empty.

    Returned is a row of layer ``statistiques`` per set, indicator and vintage, sorted. ``valeur`` is the
    exact sum, or the ratio of two, and ``statut`` is ``ok`` if every part's is. Otherwise the value is
    missing and ``statut`` is that of the parts, or ``non_calculable``. Raises `ContractError` if a zone has
    two values of one indicator and vintage, or zones come from several geographies.
    """
    parts = {code: [_Part(member) for member in codes] for code, codes in members.items()}
    return _compute(values, parts, rules, zone)


def estimate_by_area(
    values: pd.DataFrame, shares: pd.DataFrame, rules: Mapping[str, Computation], zone: str
) -> pd.DataFrame:
    """Estimate the values of contours by sharing out each count of an IRIS in proportion to areas.

    As `aggregate`, except that the status is ``estimation`` in place of ``ok``. `shares` are those of
    `iris.shares_of_iris`: a sliver counts where its value is known, and does not make the whole unknown where
    it is not.
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
    frame["statut"] = frame["statut"].where(frame["statut"] != OK, ESTIMATE)
    return frame


def _compute(
    values: pd.DataFrame, parts: Mapping[str, list[_Part]], rules: Mapping[str, Computation], zone: str
) -> pd.DataFrame:
    measures = _measures(values)
    vintages = {vintage for _, vintage in measures}
    # Ratios that no file holds for these zones and whose terms are all there.
    ratios = {
        (name, year) for name, rule in rules.items() for year in vintages if _terms(rule, year, measures)
    }
    wanted = sorted(measures.keys() | ratios)
    rows = []
    for code in sorted(parts):
        for indicator, vintage in wanted:
            rule = rules.get(indicator, _NOT_COMPUTED)
            result = _apply(rule, indicator, vintage, measures, parts[code])
            origin = _origin(rule, indicator, vintage, measures)
            rows.append((zone, code, indicator, vintage, result.value, result.status, *origin))
    return pd.DataFrame(rows, columns=_COLUMNS)


def _measures(values: pd.DataFrame) -> _Measures:
    """Return the values by indicator and vintage, then by zone."""
    if (twice := values.duplicated(["code", "indicateur", "millesime"])).any():
        row = values[twice].iloc[0]
        raise ContractError(
            f"zone {row['code']} has {row['indicateur']} ({row['millesime']}) more than once, in "
            f"{row['fichier']}: a sum would count it twice. Keep one file of each source and vintage"
        )
    cells: dict[tuple[str, str], dict[str, _Result]] = {}
    columns = (values[name] for name in ("indicateur", "millesime", "code", "valeur", "statut"))
    for indicator, vintage, code, value, status in zip(*columns, strict=True):
        result = _Result(value if status in VALUED else math.nan, status)
        cells.setdefault((indicator, vintage), {})[code] = result
    origins = values[["indicateur", "millesime", *_ORIGIN]].drop_duplicates()
    by_measure: dict[tuple[str, str], list[tuple[str, str, str, object]]] = {}
    for indicator, vintage, *origin in origins.itertuples(index=False, name=None):
        by_measure.setdefault((indicator, vintage), []).append(tuple(origin))
    return {key: _Measure(cells[key], *_one_origin(key, found)) for key, found in by_measure.items()}


def _one_origin(
    key: tuple[str, str], origins: list[tuple[str, str, str, object]]
) -> tuple[str, str, str, object]:
    """Return the sources, files and producer's codes of a measure, and its only geography."""
    *named, geographies = zip(*origins, strict=True)
    if len(set(geographies)) > 1:
        listed = ", ".join(sorted(map(str, set(geographies))))
        raise ContractError(
            f"{key[0]} ({key[1]}) comes in several geographies ({listed}): zones of different dates are not "
            f"added. Correct 'geography' in the catalogue of sources"
        )
    source, file, code = (_joined(names) for names in named)
    return source, file, code, geographies[0]


def _joined(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def _apply(
    rule: Computation, indicator: str, vintage: str, measures: _Measures, parts: Sequence[_Part]
) -> _Result:
    if rule.additive:
        return _add(measures[indicator, vintage].cells, parts)
    terms = _terms(rule, vintage, measures)
    if not terms or rule.sum_of:
        return _Result(math.nan, NOT_COMPUTABLE)
    numerator, denominator = (_add(term.cells, parts) for term in terms)
    status = worst({numerator.status, denominator.status})
    if status not in VALUED:
        return _Result(math.nan, status)
    if denominator.value == 0:
        return _Result(math.nan, NOT_COMPUTABLE)
    ratio = rule.scale * numerator.value / denominator.value
    return _Result(float(np.round(ratio, DECIMALS)), status)


def _terms(rule: Computation, vintage: str, measures: _Measures) -> list[_Measure]:
    """Return the terms of a ratio; nothing if it is none or a term was not read."""
    keys = [(term, vintage) for term in rule.terms]
    found = [measures[key] for key in keys if key in measures]
    return found if len(found) == len(keys) else []


def _add(cells: Mapping[str, _Result], parts: Sequence[_Part]) -> _Result:
    """Add the values of parts; the sum is rounded once, so their order does not matter."""
    absent = _Result(math.nan, NOT_AVAILABLE)
    known = [(part, cells.get(part.code, absent) if part.code else absent) for part in parts]
    statuses = [cell.status for part, cell in known if part.significant]
    status = worst(set(statuses)) if statuses else NOT_AVAILABLE
    if status not in VALUED:
        return _Result(math.nan, status)
    return _Result(
        math.fsum(part.share * cell.value for part, cell in known if cell.status in VALUED), status
    )


def _origin(
    rule: Computation, indicator: str, vintage: str, measures: _Measures
) -> tuple[str, str, str, object]:
    """Return where a value comes from: the indicator's own file, or those of its terms."""
    terms = _terms(rule, vintage, measures)
    if not terms:
        own = measures[indicator, vintage]
        return own.source, own.fichier, own.code_producteur, own.geographie
    return (
        _joined(term.source for term in terms),
        _joined(term.fichier for term in terms),
        rule.operator.join(term.code_producteur for term in terms),
        terms[0].geographie,
    )
