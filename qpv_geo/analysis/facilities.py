"""Facilities in each QPV and around it, by type."""

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from qpv_geo.analysis.concordances import (
    COMPUTED,
    FACILITIES,
    INSEE,
    Agreement,
    Concordance,
    Statement,
)
from qpv_geo.analysis.overlay import overlay
from qpv_geo.checks import Check
from qpv_geo.errors import ContractError
from qpv_geo.french import counted
from qpv_geo.territory import Territory

# Perimeters by name: how far a facility may be from the QPV, in metres; 0 inside.
_PERIMETERS = {"qpv": 0.0, "500m": 500.0}

# Metres: INSEE publishes whole metres, so a facility on a limit may seem to be on the other side.
_ROUNDED = 1.0

# A few facilities lie outside the contour of their commune; most do not.
_MOSTLY_INSIDE = 0.5

_COLUMNS = [
    *("code_qp", "lib_qp", "perimetre", "type_equipement", "libelle", "domaine"),
    *("nombre", "statut", "non_localises", "millesime"),
]


def count_facilities(
    points: pd.DataFrame,
    types: pd.DataFrame,
    qpv: gpd.GeoDataFrame,
    communes: gpd.GeoDataFrame,
    territory: Territory,
    *,
    vintage: str,
) -> tuple[pd.DataFrame, list[Check]]:
    """Return table ``equipements``: how many facilities of each type in each QPV and within 500 m of it.

    `points` has a row per facility: ``type_equipement``, ``insee_com``, ``x``, ``y`` in the CRS of `qpv` (NaN
    if it was not located); `types` those to count, each once: ``type_equipement``, ``libelle``, ``domaine``.
    `qpv` and `communes` are the territory's, in one projected CRS; the source covers all of France.

    The table has a row per QPV, perimeter (``qpv``, or ``500m`` which includes it) and type, sorted.
    ``non_localises`` counts the facilities without coordinates in the communes that the perimeter touches.
    Checks name the communes with such facilities. Raises `ContractError` if most facilities of the
    territory's communes lie outside them: the CRS is wrong.
    """
    points = points[points["type_equipement"].isin(types["type_equipement"])]
    located = is_located(points)
    _refuse_elsewhere(points[located], communes)
    lost = points[~located & points["insee_com"].isin(communes["insee_com"])]
    layer = qpv.sort_values("code_qp", ignore_index=True)
    pairs = pairs_within(points[located], types, layer, max(_PERIMETERS.values()))
    parts = []
    for name, distance in _PERIMETERS.items():
        counts = pairs.count(pairs.metres <= distance)
        missing = count_lost(lost, types, communes_within(layer, distance, communes, territory))
        parts.append(_rows(layer, types, perimeter=name, counts=counts, lost=missing))
    table = pd.concat(parts, ignore_index=True)
    table["millesime"] = vintage
    order = ["code_qp", "perimetre", "type_equipement"]
    return table.sort_values(order, ignore_index=True)[_COLUMNS], _report_lost(lost)


def locate_facilities(
    points: pd.DataFrame,
    types: pd.DataFrame,
    qpv: gpd.GeoDataFrame,
    vintage: str,
    reach: float = _PERIMETERS["500m"],
) -> gpd.GeoDataFrame:
    """Return layer ``equipements_lieux``: the facilities within `reach` metres of a QPV, in the CRS of `qpv`.

    Those of one type at one place are one row, with their number. Parameters as of `count_facilities`.
    """
    known = points.dropna(subset=["x", "y"]).merge(types, on="type_equipement")
    key = ["type_equipement", "x", "y"]
    places = known.groupby(key, as_index=False).agg(
        libelle=("libelle", "first"),
        domaine=("domaine", "first"),
        nombre=("libelle", "size"),
        insee_com=("insee_com", "min"),
    )
    shapes = gpd.points_from_xy(places["x"], places["y"])
    tree, contours = shapely.STRtree(shapes), qpv.geometry.to_numpy()
    near = np.unique(tree.query(contours, predicate="dwithin", distance=reach)[1])
    zone, place = tree.query(contours, predicate="intersects")
    codes = np.full(len(places), None, dtype=object)
    codes[place] = qpv["code_qp"].to_numpy(dtype=object)[zone]
    places = places.assign(code_qp=pd.Series(codes, dtype=object), millesime=vintage)
    layer = gpd.GeoDataFrame(places, geometry=shapes, crs=qpv.crs)
    return layer.iloc[near].sort_values(key, ignore_index=True)


def compare_placements(points: pd.DataFrame, types: pd.DataFrame, qpv: gpd.GeoDataFrame) -> list[Concordance]:
    """Compare the facilities that INSEE places in each QPV with those that lie in its contour.

    Only facilities with coordinates are compared, one by one: two errors that cancel out still disagree.
    `points` and `types` are those of `count_facilities`, with ``code_qp_insee``.
    """
    points = points[points["type_equipement"].isin(types["type_equipement"]) & points["x"].notna()]
    points = points.reset_index(drop=True)
    shapes = gpd.points_from_xy(points["x"], points["y"])
    zone, point = shapely.STRtree(shapes).query(qpv.geometry.to_numpy(), predicate="intersects")
    rows = []
    for place, (code, name, shape) in enumerate(
        zip(qpv["code_qp"], qpv["lib_qp"], qpv.geometry, strict=True)
    ):
        inside = set(point[zone == place].tolist())
        of_insee = set(np.flatnonzero(points["code_qp_insee"] == code).tolist())
        apart = [
            number
            for number in sorted(inside ^ of_insee)
            if shapely.distance(shapes[number], shape.boundary) > _ROUNDED
        ]
        kinds = ", ".join(sorted(set(points["type_equipement"].iloc[apart])))
        comment = (
            f"l'INSEE et la superposition placent {counted(len(apart), 'équipement')} différemment ({kinds})"
            if apart
            else "l'INSEE et la superposition placent les mêmes équipements"
        )
        statements = (
            Statement(str(len(of_insee)), INSEE, "bpe"),
            Statement(str(len(inside)), COMPUTED, "equipements"),
        )
        tolerance = f"{_ROUNDED:.0f} m autour de la limite : coordonnées arrondies"
        result: Agreement = "diverge" if apart else "concorde"
        message, gap = f"{name} : {comment}.", float(len(inside) - len(of_insee))
        rows.append(Concordance(FACILITIES, code, name, *statements, tolerance, result, message, gap))
    return rows


def _refuse_elsewhere(located: pd.DataFrame, communes: gpd.GeoDataFrame) -> None:
    own = located[located["insee_com"].isin(communes["insee_com"])]
    inside = np.unique(_index(own).query(communes.geometry.to_numpy(), predicate="intersects")[1])
    if len(inside) < _MOSTLY_INSIDE * len(own):
        first = own.iloc[0]
        raise ContractError(
            f"{len(own) - len(inside)} of the {len(own)} facilities declared in the territory's communes lie "
            f"outside of them, the first at x {first['x']:g}, y {first['y']:g}: expected coordinates in "
            f"{communes.crs.name}. Compare the CRS of the file with the one declared for its source"
        )


def _index(points: pd.DataFrame) -> shapely.STRtree:
    return shapely.STRtree(gpd.points_from_xy(points["x"], points["y"]))


def is_located(points: pd.DataFrame) -> NDArray[np.bool_]:
    """Tell the facilities that have coordinates."""
    located: NDArray[np.bool_] = np.isfinite(points[["x", "y"]].to_numpy(dtype="float64")).all(axis=1)
    return located


@dataclass(frozen=True)
class Pairs:
    """A QPV and a facility near it, a pair at each position; `qpv` and `point` are positions in the frames.

    `kind` is the position of the facility's type in the types that are counted, `metres` the distance, 0 in
    the QPV.
    """

    qpv: NDArray[np.intp]
    point: NDArray[np.intp]
    kind: NDArray[np.intp]
    metres: NDArray[np.float64]
    shape: tuple[int, int]

    def count(self, wanted: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Count the `wanted` pairs: one row per QPV, one column per type."""
        counts = np.zeros(self.shape, dtype=np.int64)
        np.add.at(counts, (self.qpv[wanted], self.kind[wanted]), 1)
        return counts


def pairs_within(points: pd.DataFrame, types: pd.DataFrame, qpv: gpd.GeoDataFrame, reach: float) -> Pairs:
    """Return every facility that has coordinates with each QPV that is `reach` metres away at most."""
    west, south, east, north = qpv.total_bounds + reach * np.array([-1, -1, 1, 1])
    near = np.flatnonzero(points["x"].between(west, east) & points["y"].between(south, north))
    shapes = gpd.points_from_xy(points["x"].to_numpy()[near], points["y"].to_numpy()[near])
    contours = qpv.geometry.to_numpy()
    zone, place = shapely.STRtree(shapes).query(contours, predicate="dwithin", distance=reach)
    kind = pd.Index(types["type_equipement"]).get_indexer(points["type_equipement"].to_numpy()[near])
    metres = shapely.distance(contours[zone], np.asarray(shapes)[place])
    return Pairs(zone, near[place], kind[place], metres, (len(qpv), len(types)))


def communes_within(
    qpv: gpd.GeoDataFrame, distance: float, communes: gpd.GeoDataFrame, territory: Territory
) -> list[set[str | None]]:
    """Return the communes that each perimeter overlaps by more than a sliver; None for any other commune."""
    # GEOS's buffer is ten times faster than `bands`, and errs by less than a sliver.
    perimeters = qpv.buffer(distance).to_numpy() if distance else qpv.geometry.to_numpy()
    pieces = overlay(perimeters, communes.geometry.to_numpy())
    codes = np.append(communes["insee_com"].to_numpy(dtype=object), [None])
    touched: list[set[str | None]] = [set() for _ in perimeters]
    for polygon, zone, area in zip(pieces.polygon, pieces.zone, pieces.area, strict=True):
        if area > territory.sliver_area:
            touched[polygon].add(codes[zone])
    return touched


def count_lost(lost: pd.DataFrame, types: pd.DataFrame, touched: list[set[str | None]]) -> NDArray[np.int64]:
    """Return the facilities without coordinates in the communes of each perimeter, by type."""
    by_commune = pd.crosstab(lost["insee_com"], lost["type_equipement"]).reindex(
        columns=types["type_equipement"], fill_value=0
    )
    return np.array([by_commune[by_commune.index.isin(codes)].sum().to_numpy() for codes in touched])


def cross(qpv: gpd.GeoDataFrame, types: pd.DataFrame) -> pd.DataFrame:
    """Return a row per QPV and type, in their order: code and name of the one, columns of the other."""
    names = pd.DataFrame({name: qpv[name].astype(object) for name in ("code_qp", "lib_qp")})
    return names.merge(types, how="cross")


def _rows(
    qpv: gpd.GeoDataFrame, types: pd.DataFrame, *, perimeter: str, counts: np.ndarray, lost: np.ndarray
) -> pd.DataFrame:
    return cross(qpv, types).assign(
        perimetre=perimeter,
        nombre=pd.array(counts.ravel(), dtype="Int64"),
        statut="ok",
        non_localises=pd.array(lost.ravel(), dtype="Int64"),
    )


def _report_lost(lost: pd.DataFrame) -> list[Check]:
    """Warn for each commune of the facilities without coordinates, by type."""
    code = "equipements_non_localises"
    if lost.empty:
        message = "Tous les équipements des communes du territoire ont des coordonnées."
        return [Check(code, "equipements", "conforme", "0", "0", message)]
    checks = []
    for commune, rows in lost.groupby("insee_com", sort=True):
        kinds = rows["type_equipement"].value_counts().sort_index()
        listed = ", ".join(f"{kind} ({number})" for kind, number in kinds.items())
        message = f"Équipements sans coordonnées, comptés dans aucun QPV, par type : {listed}."
        checks.append(Check(code, str(commune), "avertissement", "0", str(len(rows)), message))
    return checks
