"""Select the QPV of a territory, and compare where they say that they are with where they are drawn."""

from collections import Counter
from collections.abc import Iterable

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from qpv_geo.analysis.overlay import GRIDS, cut_by_zones, is_sizeable
from qpv_geo.checks import Check, check_expected
from qpv_geo.errors import ContractError
from qpv_geo.french import number
from qpv_geo.territory import Territory, codes_of
from qpv_geo.zones import department_of, department_of_commune

# Percent: a QPV that declares nothing belongs to the territory if more than this lies there.
_MOSTLY_INSIDE = 50.0
# Metres, and share of a QPV's area in communes of other departments above which it is misplaced: contours of
# communes are generalised to 1000 m.
_TOLERANCE, _MOSTLY = 1000.0, 0.5
_AS_NEIGHBOUR = " Il n'est pas compté dans le territoire : il est publié dans la couche qpv_voisins."


def cut_by_communes(
    qpv: gpd.GeoDataFrame, communes: gpd.GeoDataFrame, territory: Territory
) -> gpd.GeoDataFrame:
    """Return layer ``qpv_commune``, the pieces of QPV by commune, and ``siren_epci`` of the commune.

    Both layers must be in the territory's CRS.
    """
    of_zone = ("insee_com", "nom_com", "siren_epci")
    pieces = cut_by_zones(qpv, communes, "commune", ("code_qp", "lib_qp"), of_zone)
    pieces["membre"] = is_sizeable(pieces, territory) & (pieces["zone"] >= 0)
    declared = [set(codes_of(codes)) for codes in qpv["insee_com"]]
    pieces["declare"] = [
        commune in declared[polygon]
        for commune, polygon in zip(pieces["insee_com"], pieces["polygon"], strict=True)
    ]
    return pieces.drop(columns=["polygon", "zone"])


def select(
    qpv: gpd.GeoDataFrame, pieces: gpd.GeoDataFrame, territory: Territory, *, with_neighbours: bool = False
) -> tuple[gpd.GeoDataFrame, list[Check]]:
    """Keep the QPV of a territory: those that declare it, or declare nothing but mostly lie there.

    `qpv` are all those of the file in the territory's CRS, `pieces` these cut by the territory's communes. A
    check names each QPV whose declaration and contour disagree; `with_neighbours` says that those left out
    are published as neighbours. Raises `ContractError` if the territory does not have the expected number.
    """
    share = pieces[pieces["membre"]].groupby("code_qp")["part_qpv"].sum()
    computed = qpv["code_qp"].map(share).fillna(0.0)
    declared = declares(qpv, territory)
    silent = qpv["siren_epci"].isna() & qpv["insee_com"].isna()
    chosen = declared | (silent & (computed > _MOSTLY_INSIDE))
    selected = qpv[chosen].sort_values("code_qp", ignore_index=True)
    if len(selected) != territory.expected.qpv:
        found = ", ".join(selected["code_qp"]) or "none"
        raise ContractError(
            f"territory {territory.id!r}: expected {territory.expected.qpv} QPV in {territory.nom} "
            f"({territory.code}), found {len(selected)}: {found}. If the official list has changed, "
            f"change 'expected.qpv' in the territory file; if not, the contours are not complete"
        )
    checks = [check_expected("qpv_du_territoire", len(selected), "QPV", territory)]
    # France has no outside, and overseas collectivities no contours of communes.
    disagree = (declared ^ (computed > 0)) & (territory.genre != "france")
    doubtful = qpv.assign(part=computed, choisi=chosen)[disagree]
    checks += [
        Check(
            "epci_declare_ou_calcule",
            row.code_qp,
            "avertissement",
            f"EPCI déclaré : {row.siren_epci or 'aucun'}",
            f"{number(row.part, 1)} % de la surface dans {territory.nom}",
            f"{row.lib_qp} : l'EPCI déclaré par l'ANCT et les contours des communes ne concordent pas."
            + ("" if row.choisi or not with_neighbours else _AS_NEIGHBOUR),
        )
        for row in doubtful.itertuples()
    ]
    return selected, checks


def declares(qpv: pd.DataFrame, territory: Territory) -> pd.Series:
    """Tell which QPV declare that they are in a territory (``code_qp``, ``insee_com``, ``siren_epci``)."""
    rows = qpv[["code_qp", "insee_com", "siren_epci"]].itertuples(index=False, name=None)
    return pd.Series([territory.is_declared(*row) for row in rows], index=qpv.index, dtype=bool)


def refuse_misplaced(qpv: gpd.GeoDataFrame, communes: gpd.GeoDataFrame) -> None:
    """Raise `ContractError` for QPV that mostly lie in communes of departments that they do not declare.

    Contours outside the bounding box of their department were refused when they were read. Here the communes
    decide, as far as they were read: a QPV outside its commune but in its department is a difference between
    two producers, not an error. Both layers must be in one projected CRS.
    """
    row, zone = communes.sindex.query(qpv.geometry.to_numpy(), predicate="dwithin", distance=_TOLERANCE)
    declared = [
        {department_of(code), *map(department_of_commune, codes_of(insee_com))}
        for code, insee_com in zip(qpv["code_qp"], qpv["insee_com"], strict=True)
    ]
    there = map(department_of_commune, communes["insee_com"].to_numpy()[zone])
    own = np.array([code in declared[of] for of, code in zip(row, there, strict=True)], dtype=bool)
    problems = []
    for index in sorted(set(row.tolist()) - set(row[own].tolist())):
        contour = qpv.geometry.iloc[index]
        around = communes.iloc[zone[row == index]]
        parts = shapely.area(shapely.intersection(around.geometry.to_numpy(), contour, grid_size=GRIDS[0]))
        if parts.sum() > _MOSTLY * contour.area:
            first = around.iloc[int(parts.argmax())]
            of = qpv.iloc[index]
            problems.append(
                f"{of['code_qp']} ({of['lib_qp']}): expected in commune {of['insee_com'] or 'unknown'} or at "
                f"least in département {', '.join(sorted(declared[index]))}, found in commune "
                f"{first['insee_com']} ({first['nom_com']})"
            )
    if problems:
        raise ContractError(
            "QPV drawn outside the commune and the department that they declare:\n  - "
            + "\n  - ".join(problems)
            + "\n  What to do: compare the contours with those of the publisher, and tell the publisher"
        )


def count_by_epci(qpv: pd.DataFrame, communes: pd.DataFrame, pieces: pd.DataFrame) -> "pd.Series[int]":
    """Return the number of QPV of each EPCI, as in its own release (see `select`).

    A QPV counts in the EPCI that it declares and in those of its declared `communes`; if it declares nothing,
    in the one in which most of its `pieces` lie.
    """
    of_commune = dict(zip(communes["insee_com"], communes["siren_epci"], strict=True))
    declared = [
        {*codes_of(siren), *(of_commune.get(code) for code in codes_of(insee_com))}
        for insee_com, siren in zip(qpv["insee_com"], qpv["siren_epci"], strict=True)
    ]
    counts = Counter(siren for sirens in declared for siren in sirens if siren)
    silent = set(qpv.loc[qpv["siren_epci"].isna() & qpv["insee_com"].isna(), "code_qp"])
    shares = pieces[pieces["membre"] & pieces["code_qp"].isin(silent)]
    inside = shares.groupby(["code_qp", "siren_epci"])["part_qpv"].sum()
    counts.update(siren for _, siren in inside.index[inside > _MOSTLY_INSIDE])
    return pd.Series(counts, dtype="int64")


def computed_lists(qpv: gpd.GeoDataFrame, pieces: gpd.GeoDataFrame) -> pd.DataFrame:
    """Return the computed communes and EPCI of each QPV as lists in text, largest share first."""
    names = {
        "insee_com": "insee_com_calcule",
        "nom_com": "lib_com_calcule",
        "siren_epci": "siren_epci_calcule",
    }
    inside = pieces[pieces["membre"]].sort_values("part_qpv", ascending=False, kind="stable")
    lists = pd.DataFrame(inside).groupby("code_qp")[list(names)].agg(_join).rename(columns=names)
    return lists.reindex(qpv["code_qp"]).reset_index(drop=True)


def _join(values: Iterable[object]) -> str | None:
    return ", ".join(dict.fromkeys(value for value in values if isinstance(value, str))) or None
