"""IRIS: which ones a contour overlaps, and which statistics match their contours."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date

import geopandas as gpd
import pandas as pd

from qpv_geo.analysis.overlay import at, cut_by_zones, is_sizeable
from qpv_geo.analysis.ratios import unavailable
from qpv_geo.checks import Check, Outcome, check_none
from qpv_geo.french import first_of
from qpv_geo.territory import Territory

# An IRIS code begins with that of its commune.
_COMMUNE_DIGITS = 5
_SHARES = ("part_qpv", "part_iris")


def cut_by_iris(qpv: gpd.GeoDataFrame, iris: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return layer ``qpv_iris``: the pieces of each QPV by IRIS, which add up to its area.

    ``code_iris`` is missing for an area outside every IRIS. Both layers must be in one projected CRS, or
    `ValueError` is raised.
    """
    pieces = cut_by_zones(qpv, iris, "iris")
    for column in ("code_qp", "lib_qp"):
        pieces[column] = qpv[column].to_numpy()[pieces["polygon"]]
    for column in ("code_iris", "nom_iris", "insee_com"):
        pieces[column] = at(iris[column], pieces["zone"])
    columns = ["code_qp", "lib_qp", "code_iris", "nom_iris", "insee_com"]
    measures = ["surface_m2", "part_qpv", "part_iris", "geometry"]
    return pieces.sort_values(["code_qp", "code_iris"], ignore_index=True)[[*columns, *measures]]


def iris_layer(iris: gpd.GeoDataFrame, pieces: gpd.GeoDataFrame, territory: Territory) -> gpd.GeoDataFrame:
    """Return layer ``iris``: contours, areas, and how many QPV overlap each by more than a sliver.

    `pieces` are those of `cut_by_iris`.
    """
    columns = ["code_iris", "nom_iris", "type_iris", "insee_com", "nom_com", "geometry"]
    layer = iris[columns].sort_values("code_iris", ignore_index=True)
    real = pieces[is_sizeable(pieces, territory, _SHARES)]
    count = real.dropna(subset=["code_iris"]).groupby("code_iris")["code_qp"].nunique()
    layer.insert(5, "surface_m2", layer.area)
    layer.insert(6, "nb_qpv", layer["code_iris"].map(count).fillna(0).astype("Int64"))
    return layer


def shares_of_iris(zones: gpd.GeoDataFrame, iris: gpd.GeoDataFrame, territory: Territory) -> pd.DataFrame:
    """Return how much of each IRIS lies in contours, for `aggregate.estimate_by_area`: a row per overlap.

    `zones` are in the projected CRS of `iris`, with unique ``nom``. ``code`` is the name,
    ``code_iris`` is missing outside every IRIS, ``part_zone`` and ``part_iris`` are percentages, and
    ``significatif`` is False for a sliver.
    """
    pieces = cut_by_zones(zones, iris, "iris")
    return pd.DataFrame(
        {
            "code": zones["nom"].to_numpy()[pieces["polygon"]],
            "code_iris": at(iris["code_iris"], pieces["zone"]),
            "part_zone": pieces["part_qpv"],
            "part_iris": pieces["part_iris"],
            "significatif": is_sizeable(pieces, territory, _SHARES),
        }
    )


def match_geographies(
    codes_stats: Iterable[str],
    geo_stats: date | None,
    codes_contours: Iterable[str],
    geo_contours: date | None,
    source: str,
) -> tuple[frozenset[str], list[Check]]:
    """Return the IRIS codes that a table and the contours share, and checks on their differences.

    IRIS are redrawn and renumbered from one year to the next. If the dates of the geographies differ, or one
    is unknown (None), a code on one side may be an IRIS that has changed, and a code on both sides may name
    two contours: codes are still matched, and a check says so.
    """
    stats, contours = set(codes_stats), set(codes_contours)
    return frozenset(stats & contours), [
        _compare_dates(geo_stats, geo_contours, len(stats & contours), source),
        _orphans("iris_sans_contour", source, stats - contours, "IRIS de la source sans contour"),
        _orphans("iris_sans_statistique", source, contours - stats, "IRIS sans ligne dans la source"),
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
    message = f"{len(codes)} {what}{' : ' if codes else ''}{first_of(sorted(codes))}."
    return check_none(code, source, codes, message)


@dataclass(frozen=True)
class IrisStatistics:
    """Statistics by IRIS of a territory, columns of layer ``statistiques``.

    `rows` are all those of the territory's communes, and a row ``non_disponible`` for each IRIS with a
    contour that a source lacks; `joined` those whose IRIS has a contour, for sums and estimates.
    """

    rows: pd.DataFrame
    joined: pd.DataFrame
    checks: tuple[Check, ...]


def iris_statistics(
    values: pd.DataFrame, iris: gpd.GeoDataFrame, geography: date | None, communes: Collection[str]
) -> IrisStatistics:
    """Keep the statistics of the IRIS of a territory's communes, and match them with the contours.

    `geography` is the date of the contours' geography, None if unknown. Communes without IRIS contours keep
    their statistics.
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
        completed.append(unavailable(rows, sorted(contours - matched)))
    kept = pd.concat(completed).sort_values(["code", "indicateur", "millesime"], ignore_index=True)
    return IrisStatistics(kept, kept[kept["code"].isin(contours)].reset_index(drop=True), tuple(checks))
