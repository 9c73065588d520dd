"""Layer ``etablissements_finess``, and what FINESS and the BPE say of the same establishments."""

from collections import Counter
from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from qpv_geo.analysis.concordances import INSEE, Concordance, Statement, agreement
from qpv_geo.analysis.facilities import code_of_qpv, is_located, shapes_of, within_box
from qpv_geo.french import counted
from qpv_geo.ingest.facilities import FacilityTable
from qpv_geo.ingest.finess import FinessTable, load_comparable_types
from qpv_geo.territory import Territory

# Metres between the positions of one establishment: both are addresses, found by different means.
_REACH = 150.0
_MATCHED, _LACKING = "rapproché", "absent de la BPE"
_INCOMPARABLE, _IMPOSSIBLE = "sans type comparable", "impossible"
_REGISTER = "Agence du numérique en santé"


def finess_layer(
    table: FinessTable,
    facilities: FacilityTable | None,
    qpv: gpd.GeoDataFrame,
    communes: gpd.GeoDataFrame,
    territory: Territory,
) -> tuple[gpd.GeoDataFrame, list[Concordance]]:
    """Return the establishments with the QPV in which they lie, and the facility of the BPE that they are.

    Facility and establishment are of one type and at most 150 m apart; each is matched once, the nearest
    pairs first. Positions are in the CRS of `qpv`, in metres; `communes` are the territory's. If the BPE was
    read, a concordance for each type that both list tells how many each has in the territory.
    """
    rows = table.establishments
    rows = rows[rows["insee_com"].isin(communes["insee_com"])].reset_index(drop=True)
    kinds = rows["categetab"].map(load_comparable_types()).astype(object)
    located = is_located(rows)
    known = frozenset() if facilities is None else facilities.known_types
    outcome = np.full(len(rows), _IMPOSSIBLE, dtype=object)
    outcome[kinds.isna()] = _INCOMPARABLE
    outcome[located & kinds.isin(known)] = _LACKING
    metres = np.full(len(rows), np.nan)
    concordances = []
    if facilities is not None:
        # Those around the communes may be an establishment's too.
        near = within_box(facilities.points, communes.total_bounds, _REACH)
        near |= facilities.points["insee_com"].isin(communes["insee_com"])
        points = facilities.points[near].reset_index(drop=True)
        own, theirs, metres_apart = _match(rows, kinds, points)
        outcome[own], metres[own] = _MATCHED, metres_apart
        counted_points = points["insee_com"].isin(communes["insee_com"]) & is_located(points)
        counted_points[theirs] = True
        numbers = [
            Counter(values)
            for values in (points["type_equipement"][counted_points], kinds[located], kinds[own])
        ]
        concordances = [
            _concordance(name, [number[kind] for number in numbers], territory)
            for kind, name in zip(
                facilities.types["type_equipement"], facilities.types["libelle"], strict=True
            )
            if kind in known & set(load_comparable_types().values()) and any(n[kind] for n in numbers)
        ]
    shapes = shapes_of(rows)
    shapes[~located] = None
    frame = rows.drop(columns=["x", "y"]).assign(
        code_qp=code_of_qpv(shapes, qpv),
        rapprochement=pd.Series(outcome, dtype=object),
        type_equipement=kinds.where(kinds.notna(), None),
        distance_bpe_m=metres,
        millesime=table.vintage,
    )
    return gpd.GeoDataFrame(frame, geometry=shapes, crs=qpv.crs), concordances


def _match(
    rows: pd.DataFrame, kinds: pd.Series, points: pd.DataFrame
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Return positions of matched rows and points, and the metres between them."""
    left, right = np.flatnonzero(is_located(rows)), np.flatnonzero(is_located(points))
    ours, others = shapes_of(rows.iloc[left]), shapes_of(points.iloc[right])
    one, other = shapely.STRtree(others).query(ours, predicate="dwithin", distance=_REACH)
    distances = shapely.distance(ours[one], others[other])
    one, other = left[one], right[other]
    same = (kinds.to_numpy()[one] == points["type_equipement"].to_numpy()[other]).nonzero()[0]
    taken: tuple[set[int], set[int]] = set(), set()
    pairs = []
    for pair in same[np.lexsort((other[same], one[same], distances[same]))]:
        if one[pair] not in taken[0] and other[pair] not in taken[1]:
            taken[0].add(one[pair])
            taken[1].add(other[pair])
            pairs.append(pair)
    return one[pairs], other[pairs], distances[pairs]


def _concordance(name: str, numbers: Sequence[int], territory: Territory) -> Concordance:
    """Say how many the BPE and FINESS have, and how many of them are the same."""
    of_insee, of_finess, matched = numbers
    statements = Statement(str(of_insee), INSEE, "bpe"), Statement(str(of_finess), _REGISTER, "finess")
    result = agreement(agrees=of_insee == of_finess == matched)
    message = (
        f"{name} : {counted(of_insee, 'équipement')} dans la BPE, "
        f"{counted(of_finess, 'établissement')} dans FINESS, dont {matched} au même endroit."
    )
    tolerance = f"{_REACH:.0f} m entre les deux positions"
    what = f"FINESS et BPE : {name}", territory.code, territory.nom
    return Concordance(*what, *statements, tolerance, result, message, float(of_finess - of_insee))
