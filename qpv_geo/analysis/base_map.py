"""The base map: what is around the QPV, cut out, merged and made light for drawing.

These layers are derived and generalised: they are for the eye, not for measuring.
"""

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from qpv_geo.analysis.overlay import Geometries
from qpv_geo.checks import Check, check_none
from qpv_geo.ingest.base_map import BackgroundFeatures
from qpv_geo.parallel import in_threads

# Metres around the QPV that are shown.
AROUND = 1000.0
# Metres by which lines and walls may move when vertices are left out, and on whose grid buildings are merged.
_TOLERANCE, _SOFT_TOLERANCE, _GRID = 1.0, 3.0, 0.25
# Square metres below which nothing can be seen.
_LEAST_BUILDING, _LEAST_AREA = 20.0, 400.0
# Metres of a street below which it only touches a piece.
_LEAST_STREET = 20.0

_PATHS = {"Sentier", "Escalier", "Chemin", "Route empierrée", "Piste cyclable"}
_MAIN = {"1", "2", "3", "4"}
_UNSEEN = {"Bac ou liaison maritime"}
_TRAM, _TRAIN = "tramway", "train"


def base_map_layers(
    features: BackgroundFeatures, qpv: gpd.GeoDataFrame
) -> tuple[dict[str, gpd.GeoDataFrame], list[Check]]:
    """Return the layers of the base map, within `AROUND` metres of the QPV, in the CRS of both, by name."""
    around = shapely.union_all(shapely.buffer(qpv.geometry.to_numpy(), AROUND, quad_segs=8))
    shapely.prepare(around)
    crs, vintage = qpv.crs, features.vintage
    layers = {
        "fond_batiments": _numbered(_buildings(features.buildings.geometry.to_numpy(), around)),
        "fond_routes": _roads(features.roads, around),
        "fond_voies_ferrees": _railways(features.railways, around),
        "fond_eau": _numbered(_areas(features.water.geometry.to_numpy(), around)),
        "fond_vegetation": _numbered(_areas(features.vegetation.geometry.to_numpy(), around)),
    }
    drawn = {
        name: gpd.GeoDataFrame(frame.assign(millesime=vintage), geometry="geometry", crs=crs)
        for name, frame in layers.items()
    }
    return drawn, [_report_bare(drawn["fond_routes"], qpv)]


def streets_of(pieces: gpd.GeoDataFrame, roads: gpd.GeoDataFrame) -> list[str | None]:
    """Return for each piece of an evolution the streets in it, with their lengths in metres, longest first.

    None for what a QPV kept, and where there is no named street of some length. `pieces` have ``nature``,
    `roads` are layer ``fond_routes``.
    """
    named = roads[roads["nom"].fillna("") != ""]
    shapes, names = named.geometry.to_numpy(), named["nom"].to_numpy(dtype=object)
    tree = shapely.STRtree(shapes)
    texts: list[str | None] = []
    for nature, piece in zip(pieces["nature"], pieces.geometry, strict=True):
        lengths: dict[str, float] = {}
        if nature != "conserve":
            for place in tree.query(piece, predicate="intersects"):
                length = shapely.length(shapely.intersection(shapes[place], piece))
                lengths[names[place]] = lengths.get(names[place], 0.0) + length
        long = sorted((-length, name) for name, length in lengths.items() if length >= _LEAST_STREET)
        texts.append(", ".join(f"{name} ({-length:.0f} m)" for length, name in long) or None)
    return texts


def _numbered(shapes: Geometries) -> pd.DataFrame:
    return pd.DataFrame({"numero": range(1, len(shapes) + 1), "geometry": shapes})


def _near(shapes: Geometries, around: shapely.Geometry) -> Geometries:
    chosen: Geometries = shapes[shapely.intersects(around, shapes)]
    return chosen


def _buildings(shapes: Geometries, around: shapely.Geometry) -> Geometries:
    """Return buildings whole, those that touch as one, without sheds."""
    near = _near(shapes, around)
    if not len(near):
        return near
    blocks = _blocks(near)
    # Alone they stay as they are; merged on a grid, the gaps between walls close.
    merged = [block[0] if len(block) == 1 else shapely.union_all(block, grid_size=_GRID) for block in blocks]
    parts = shapely.get_parts(merged)
    light = in_threads(lambda some: shapely.simplify(some, _TOLERANCE), parts)
    return _sorted(light[in_threads(shapely.is_valid, light) & (shapely.area(light) >= _LEAST_BUILDING)])


def _blocks(shapes: Geometries) -> list[Geometries]:
    """Return polygons in groups of those that touch, directly or through others."""
    one, other = shapely.STRtree(shapes).query(shapes, predicate="dwithin", distance=_GRID)
    # Each takes the least number among its neighbours, and then the number that this one has taken.
    block, before = np.arange(len(shapes)), None
    while before is None or (block != before).any():
        before = block.copy()
        np.minimum.at(block, one, before[other])
        block = block[block]
    order = np.argsort(block, kind="stable")
    return np.split(shapes[order], np.flatnonzero(np.diff(block[order])) + 1)


def _areas(shapes: Geometries, around: shapely.Geometry) -> Geometries:
    """Return areas merged and cut out."""
    near = _near(shapes, around)
    whole = shapely.intersection(shapely.union_all(shapely.simplify(near, _SOFT_TOLERANCE)), around)
    parts = _of_dimension(shapely.get_parts(shapely.simplify(whole, _SOFT_TOLERANCE)), 2)
    return _sorted(parts[shapely.is_valid(parts) & (shapely.area(parts) >= _LEAST_AREA)])


def _roads(roads: gpd.GeoDataFrame, around: shapely.Geometry) -> pd.DataFrame:
    """Return one row for each street, its segments joined; tunnels and ferries are not seen from above."""
    seen = roads[~roads["nature"].isin(_UNSEEN) & ~_underground(roads["sol"])]
    rank = np.where(seen["nature"].isin(_PATHS), "chemin", "locale")
    rank = np.where((rank == "locale") & seen["importance"].isin(_MAIN), "principale", rank)
    return _lines(
        seen.geometry.to_numpy(), around, classe=rank, nom=seen["nom"].fillna("").to_numpy(dtype=object)
    )


def _railways(railways: gpd.GeoDataFrame, around: shapely.Geometry) -> pd.DataFrame:
    seen = railways[~_underground(railways["sol"])]
    tram = seen["nature"].fillna("").str.contains("tram", case=False)
    return _lines(seen.geometry.to_numpy(), around, classe=np.where(tram, _TRAM, _TRAIN))


def _underground(levels: pd.Series) -> pd.Series:
    return levels.fillna("").str.startswith("-")


def _lines(shapes: Geometries, around: shapely.Geometry, **columns: NDArray[np.object_]) -> pd.DataFrame:
    """Return lines cut out, joined and simplified, one row for each combination of the columns."""
    rows_of: dict[tuple[str, ...], list[int]] = {}
    for row, values in enumerate(zip(*columns.values(), strict=True)):
        rows_of.setdefault(values, []).append(row)
    cut = in_threads(lambda some: shapely.intersection(some, around), shapes)
    rows = []
    for values, places in sorted(rows_of.items()):
        joined = shapely.line_merge(shapely.union_all(_of_dimension(shapely.get_parts(cut[places]), 1)))
        light = shapely.simplify(joined, _TOLERANCE)
        if not shapely.is_empty(light):
            rows.append((*values, shapely.multilinestrings(shapely.get_parts(light))))
    return pd.DataFrame(rows, columns=[*columns, "geometry"])


def _of_dimension(parts: Geometries, dimension: int) -> Geometries:
    kept: Geometries = parts[(shapely.get_dimensions(parts) == dimension) & ~shapely.is_empty(parts)]
    return kept


def _sorted(shapes: Geometries) -> Geometries:
    """Return shapes in an order of their own: that of the file says nothing."""
    order = np.lexsort(shapely.bounds(shapes).T[::-1])
    ordered: Geometries = shapely.normalize(shapes[order])
    return ordered


def _report_bare(roads: gpd.GeoDataFrame, qpv: gpd.GeoDataFrame) -> Check:
    """Name the QPV around which there is no street: the source does not cover them."""
    streets = shapely.union_all(roads.geometry.to_numpy())
    bare = ~shapely.intersects(qpv.geometry.to_numpy(), streets)
    codes = sorted(qpv.loc[bare, "code_qp"])
    message = f"Le fond de plan n'a aucune rue dans {', '.join(codes)}."
    otherwise = "Le fond de plan a des rues dans chaque QPV."
    counts = len(qpv), len(qpv) - len(codes)
    return check_none("fond_de_plan_complet", "fond_routes", codes, message, otherwise, counts)
