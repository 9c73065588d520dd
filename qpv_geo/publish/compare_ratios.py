"""Published ratios of single zones against the raw cells of their terms."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from qpv_geo.ingest.registry import Indicator, Registry
from qpv_geo.publish.differences import Difference
from qpv_geo.publish.originals import Originals
from qpv_geo.publish.readers import Reading

# The producer's codes of two terms; no code of a ratio that the registry knows holds it.
_OVER = " / "
_KEY = ("zone", "code", "indicateur", "millesime")
_ORIGIN = ("source", "fichier", "code_producteur")
# When both terms lack their value, the first of these is the ratio's reason.
_REASONS = ("secret", "non_significatif", "non_disponible")

_Key = tuple[str, str, str, str]
_Row = dict[str, Any]


@dataclass(frozen=True)
class _Wanted:
    """What a computed row should say, and the raw cells that say so."""

    row: _Row
    cells: str


def is_computed(table: pd.DataFrame, registry: Registry) -> pd.Series:
    """Tell which rows of zones of the producers' files are ratios of two of their columns.

    Parameters
    ----------
    table
        Layer ``statistiques`` without the rows of sets of zones.
    registry
        Names the ratios.
    """
    ratios = [indicator.id for indicator in _ratios(registry)]
    over = table["code_producteur"].str.contains(_OVER, regex=False, na=False).astype(bool)
    return over & table["indicateur"].isin(ratios)


def compare_ratios(reading: Reading, originals: Originals, registry: Registry) -> list[Difference]:
    """Divide the raw cells of both terms again, wherever a zone has both and no producer's ratio.

    Parameters
    ----------
    reading
        Layer ``statistiques`` without the rows of sets of zones.
    originals
        The raw files.
    registry
        Names the ratios and their terms.

    Returns
    -------
    list of Difference
        Values, statuses and origins that are not those of the terms; rows that are missing, and rows where
        there is nothing to divide or where a producer has published the ratio.
    """
    table = reading.attributes
    computed = is_computed(table, registry)
    ratios = _ratios(registry)
    terms = {str(term) for ratio in ratios for term in (ratio.numerator, ratio.denominator)}
    known = terms | {ratio.id for ratio in ratios}
    traced = table[list(_ORIGIN)].notna().all(axis=1)
    raw = _by_key(table[~computed & traced & table["indicateur"].isin(known)])
    published = _by_key(table[computed])
    wanted = dict(_wanted(raw, ratios, originals))
    differences = []
    for key in sorted(published.keys() | wanted.keys()):
        place = (reading.path.name, "statistiques", _OVER.join(key))
        row, expected = published.get(key), wanted.get(key)
        if row is None or expected is None:
            found = "no row" if row is None else row["valeur"]
            due = "no row" if expected is None else expected.row["valeur"]
            differences.append(Difference(*place, "valeur", found, due))
            continue
        differences += [
            Difference(*place, field, row[field], value, expected.cells)
            for field, value in expected.row.items()
            if not _same(row[field], value)
        ]
    return differences


def _ratios(registry: Registry) -> list[Indicator]:
    return [indicator for indicator in registry.indicators if indicator.numerator is not None]


def _by_key(rows: pd.DataFrame) -> dict[_Key, _Row]:
    keys = zip(*(rows[name].tolist() for name in _KEY), strict=True)
    columns = [*_KEY, "valeur", "statut", *_ORIGIN, "geographie"]
    values = zip(*(rows[name].tolist() for name in columns), strict=True)
    return {key: dict(zip(columns, row, strict=True)) for key, row in zip(keys, values, strict=True)}


def _wanted(
    raw: dict[_Key, _Row], ratios: list[Indicator], originals: Originals
) -> Iterator[tuple[_Key, _Wanted]]:
    by_numerator: dict[str, list[Indicator]] = {}
    for ratio in ratios:
        by_numerator.setdefault(str(ratio.numerator), []).append(ratio)
    for (zone, code, indicator, vintage), above in raw.items():
        for ratio in by_numerator.get(indicator, ()):
            below = raw.get((zone, code, str(ratio.denominator), vintage))
            key = (zone, code, ratio.id, vintage)
            if below is not None and key not in raw and _same(above["geographie"], below["geographie"]):
                yield key, _divide(above, below, ratio.scale, originals)


def _divide(above: _Row, below: _Row, scale: float, originals: Originals) -> _Wanted:
    said, cells = [], []
    for term in (above, below):
        source, member, column = (term[name] for name in _ORIGIN)
        file = originals.cells(source, member)
        said.append(file.meaning(term["code"], column)[:2])
        cells.append(f"{file.raw.label}, {member}, column {column}")
    (numerator, _), (denominator, _) = said
    reasons = {status for _, status in said} - {"ok"}
    if reasons or denominator == 0:
        status = next((reason for reason in _REASONS if reason in reasons), "non_disponible")
        value = math.nan
    else:
        status, value = "ok", scale * numerator / denominator
    origin = {name: ", ".join(dict.fromkeys([above[name], below[name]])) for name in _ORIGIN[:2]}
    code = _OVER.join([above["code_producteur"], below["code_producteur"]])
    row = {"valeur": value, "statut": status, **origin, "code_producteur": code}
    return _Wanted(row | {"geographie": above["geographie"]}, " and ".join(cells))


def _same(one: Any, other: Any) -> bool:  # noqa: ANN401 - cells of any column
    if pd.isna(one) or pd.isna(other):
        return bool(pd.isna(one) and pd.isna(other))
    if isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-12)
    return bool(one == other)
