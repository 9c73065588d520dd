"""IRIS: which ones a contour overlaps, and which statistics may be joined to their contours."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date

import geopandas as gpd
import numpy as np
import pandas as pd

from qpv_geo.analysis.overlay import cut_by_zones
from qpv_geo.checks import Check, Outcome
from qpv_geo.territory import Territory

_NAMED_AT_MOST = 20

# An IRIS code begins with that of its commune.
_COMMUNE_DIGITS = 5


def cut_by_iris(qpv: gpd.GeoDataFrame, iris: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return layer ``qpv_iris``: the pieces of each QPV by IRIS.

    Parameters
    ----------
    qpv
        ``code_qp``, ``lib_qp``.
    iris
        ``code_iris``, ``nom_iris``, ``insee_com``, in the same projected CRS.

    Returns
    -------
    GeoDataFrame
        One row per overlap, sorted by codes: ``code_qp``, ``lib_qp``, ``code_iris`` (missing for what lies
        outside every IRIS), ``nom_iris``, ``insee_com``, ``surface_m2``, ``part_qpv``, ``part_iris``
        (percent), geometry. The pieces of a QPV add up to its area.

    Raises
    ------
    ValueError
        If the two layers are not in the same projected CRS.
    """
    pieces = cut_by_zones(qpv, iris, "iris")
    for column in ("code_qp", "lib_qp"):
        pieces[column] = qpv[column].to_numpy()[pieces["polygon"]]
    for column in ("code_iris", "nom_iris", "insee_com"):
        pieces[column] = _named(iris[column], pieces["zone"])
    columns = ["code_qp", "lib_qp", "code_iris", "nom_iris", "insee_com"]
    measures = ["surface_m2", "part_qpv", "part_iris", "geometry"]
    return pieces.sort_values(["code_qp", "code_iris"], ignore_index=True)[[*columns, *measures]]


def _named(column: pd.Series, positions: pd.Series) -> np.ndarray:
    """Return texts at positions, None at -1."""
    named: np.ndarray = np.append(column.to_numpy(dtype=object), [None])[positions]
    return named


def iris_layer(iris: gpd.GeoDataFrame, pieces: gpd.GeoDataFrame, territory: Territory) -> gpd.GeoDataFrame:
    """Return layer ``iris``: contours, areas, and how many QPV really overlap each.

    Parameters
    ----------
    iris
        ``code_iris``, ``nom_iris``, ``type_iris``, ``insee_com``, ``nom_com``.
    pieces
        As `cut_by_iris` returns them.
    territory
        Gives the tolerance under which an overlap is a sliver.
    """
    columns = ["code_iris", "nom_iris", "type_iris", "insee_com", "nom_com", "geometry"]
    layer = iris[columns].sort_values("code_iris", ignore_index=True)
    real = pieces[_is_significant(pieces["part_qpv"], pieces["part_iris"], pieces["surface_m2"], territory)]
    count = real.dropna(subset=["code_iris"]).groupby("code_iris")["code_qp"].nunique()
    layer.insert(5, "surface_m2", layer.area)
    layer.insert(6, "nb_qpv", layer["code_iris"].map(count).fillna(0).astype("Int64"))
    return layer


def _is_significant(
    part_zone: pd.Series, part_iris: pd.Series, area: pd.Series, territory: Territory
) -> pd.Series:
    """Tell overlaps that matter from slivers: a small IRIS may lie whole in a zone and be little of it."""
    share = 100 * territory.sliver_share
    return ((part_zone > share) | (part_iris > share)) & (area > territory.sliver_area)


def shares_of_iris(
    zones: gpd.GeoDataFrame, name: str, iris: gpd.GeoDataFrame, territory: Territory
) -> pd.DataFrame:
    """Say how much of each IRIS lies in contours, for `aggregate.estimate_by_area`.

    Parameters
    ----------
    zones
        Any contours.
    name
        Their column of unique names.
    iris
        ``code_iris``, in the same projected CRS.
    territory
        Gives the tolerance under which an overlap is a sliver.

    Returns
    -------
    DataFrame
        One row per overlap: ``code`` (the name), ``code_iris`` (missing for what lies outside every IRIS),
        ``part_zone``, ``part_iris`` (percent), ``significatif`` (False for a sliver).
    """
    pieces = cut_by_zones(zones, iris, "iris")
    significant = _is_significant(pieces["part_qpv"], pieces["part_iris"], pieces["surface_m2"], territory)
    return pd.DataFrame(
        {
            "code": zones[name].to_numpy()[pieces["polygon"]],
            "code_iris": _named(iris["code_iris"], pieces["zone"]),
            "part_zone": pieces["part_qpv"],
            "part_iris": pieces["part_iris"],
            "significatif": significant,
        }
    )


def match_geographies(
    codes_stats: Iterable[str],
    geo_stats: date | None,
    codes_contours: Iterable[str],
    geo_contours: date | None,
    source: str,
) -> tuple[frozenset[str], list[Check]]:
    """Match the IRIS of a table with those that have a contour, and say where their geographies differ.

    IRIS are redrawn and renumbered from one year to the next. When the dates differ, or one is unknown, a
    code on one side only may be an IRIS that has changed, and a code on both sides may name two contours: the
    match is made by codes on both sides and never without saying so.

    Parameters
    ----------
    codes_stats, codes_contours
        IRIS codes of both sides, in the same communes.
    geo_stats, geo_contours
        Dates of their geographies, None if unknown.
    source
        Id of the table's source.

    Returns
    -------
    matched : frozenset of str
        Codes on both sides.
    checks : list of Check
        The dates, then the codes of each side without partner, all named.
    """
    stats, contours = set(codes_stats), set(codes_contours)
    return frozenset(stats & contours), [
        _compare_dates(geo_stats, geo_contours, len(stats & contours), source),
        _orphans("iris_sans_contour", source, stats - contours, "IRIS de la source n'ont pas de contour"),
        _orphans("iris_sans_statistique", source, contours - stats, "IRIS n'ont pas de ligne dans la source"),
    ]


def _compare_dates(stats: date | None, contours: date | None, matched: int, source: str) -> Check:
    code = "geographie_des_iris"
    found, expected = _shown(stats), _shown(contours)
    if stats == contours and stats is not None:
        message = f"Statistiques et contours sont dans la même géographie : {matched} IRIS rapprochés."
        return Check(code, source, "conforme", expected, found, message)
    message = (
        f"Statistiques en géographie du {found}, contours du {expected} : {matched} IRIS rapprochés par un "
        f"code présent des deux côtés, dont le contour a pu changer."
    )
    outcome: Outcome = "non_verifiable" if stats is None or contours is None else "avertissement"
    return Check(code, source, outcome, expected, found, message)


def _shown(day: date | None) -> str:
    return f"{day:%d/%m/%Y}" if day else "(date inconnue)"


def _orphans(code: str, source: str, codes: set[str], what: str) -> Check:
    named = ", ".join(sorted(codes)[:_NAMED_AT_MOST])
    more = f" et {len(codes) - _NAMED_AT_MOST} autres" if len(codes) > _NAMED_AT_MOST else ""
    message = f"{len(codes)} {what}{' : ' if codes else ''}{named}{more}."
    return Check(code, source, "avertissement" if codes else "conforme", "0", str(len(codes)), message)


@dataclass(frozen=True)
class IrisStatistics:
    """Statistics by IRIS of a territory.

    Attributes
    ----------
    rows
        Columns of layer ``statistiques``: every row of the territory's communes, and a row ``non_disponible``
        for each IRIS that has a contour and no row in a source.
    joined
        Those of `rows` whose IRIS has a contour: what sets of IRIS and estimates may use.
    checks
        Per source: geographies, and codes without partner.
    """

    rows: pd.DataFrame
    joined: pd.DataFrame
    checks: tuple[Check, ...]


def iris_statistics(
    values: pd.DataFrame, iris: gpd.GeoDataFrame, geography: date | None, communes: Collection[str]
) -> IrisStatistics:
    """Keep the statistics of a territory's IRIS, and match them with the contours.

    Parameters
    ----------
    values
        Statistics of all zones and sources, columns of layer ``statistiques``.
    iris
        Contours: ``code_iris``, ``insee_com``.
    geography
        Date of the contours' geography, None if unknown.
    communes
        The territory's. Those without IRIS contours keep their statistics, which match nothing.
    """
    wanted = (values["zone"] == "iris") & values["code"].str[:_COMMUNE_DIGITS].isin(communes)
    of_iris = values[wanted].reset_index(drop=True)
    contours = set(iris["code_iris"])
    drawn = of_iris["code"].str[:_COMMUNE_DIGITS].isin(iris["insee_com"])
    completed, checks = [of_iris], []
    for source, rows in of_iris.groupby("source", sort=True):
        geographies = rows["geographie"].drop_duplicates()
        dated = geographies.iloc[0] if len(geographies) == 1 and geographies.notna().all() else None
        matched, found = match_geographies(
            rows.loc[drawn[rows.index], "code"], dated, contours, geography, str(source)
        )
        checks += found
        completed.append(_unavailable(rows, sorted(contours - matched)))
    kept = pd.concat(completed).sort_values(["code", "indicateur", "millesime"], ignore_index=True)
    return IrisStatistics(kept, kept[kept["code"].isin(contours)].reset_index(drop=True), tuple(checks))


def _unavailable(rows: pd.DataFrame, codes: list[str]) -> pd.DataFrame:
    """Return rows without value, one per code and per indicator and vintage of a source."""
    template = rows.drop_duplicates(["indicateur", "millesime"]).drop(columns="code")
    crossed = template.assign(valeur=np.nan, statut="non_disponible").merge(
        pd.DataFrame({"code": codes}, dtype=rows["code"].dtype), how="cross"
    )
    return crossed[rows.columns]
