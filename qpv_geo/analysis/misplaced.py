"""Positions that are not where their commune says: kept, counted where they lie, and reported."""

from collections import Counter
from collections.abc import Collection

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from qpv_geo.analysis.facilities import is_located
from qpv_geo.checks import Check, check_none
from qpv_geo.french import first_of

# Metres: contours of communes are generalised, and streets run along their limits.
_TOLERANCE = 100.0


def report_misplaced(
    points: pd.DataFrame,
    kind: str,
    communes: gpd.GeoDataFrame,
    members: Collection[str] | None,
    source_id: str,
) -> list[Check]:
    """Name the located points that lie outside the commune they declare, and those of other communes inside.

    `points` have ``insee_com``, ``x``, ``y`` in the CRS of `communes` and, in column `kind`, what they are;
    `communes` are the territory's, `members` the communes of France that exist, None if unknown. What lies in
    the territory and declares a commune that is not its own is of one that has merged, or has a wrong
    position.
    """
    west, south, east, north = communes.total_bounds
    near = points["x"].between(west, east) & points["y"].between(south, north)
    located = points["insee_com"].isin(communes["insee_com"]) & is_located(points)
    points = points[near | located].reset_index(drop=True)
    places = np.asarray(gpd.points_from_xy(points["x"], points["y"]))
    shapes = communes.geometry.to_numpy()
    shapely.prepare(shapes)
    own = pd.Index(communes["insee_com"]).get_indexer(points["insee_com"])
    declared = own >= 0
    away = np.zeros(len(points), dtype=bool)
    away[declared] = ~shapely.dwithin(shapes[own[declared]], places[declared], _TOLERANCE)
    strangers = np.flatnonzero(~declared)
    owner, stranger = shapely.STRtree(places[strangers]).query(shapes, predicate="contains")
    inner = shapely.distance(shapely.boundary(shapes[owner]), places[strangers[stranger]]) > _TOLERANCE
    outside, inside = points[away], points.iloc[strangers[stranger[inner]]]
    message = (
        f"À plus de {_TOLERANCE:.0f} m de la commune déclarée, comptés là où est leur position : "
        f"{_named(outside, kind)}."
    )
    merged = {code for code in inside["insee_com"] if members is not None and code not in members}
    lapsed = f" Communes qui n'existent plus (COG) : {', '.join(sorted(merged))}." if merged else ""
    of_others = (
        f"Dans le territoire, et déclarés dans une commune d'ailleurs : {_named(inside, kind)}.{lapsed}"
    )
    return [
        check_none(
            "positions_hors_commune", source_id, outside, message, "Les positions sont dans leur commune."
        ),
        check_none(
            "communes_hors_territoire",
            source_id,
            inside,
            of_others,
            "Ce qui est dans le territoire déclare une de ses communes.",
        ),
    ]


def _named(points: pd.DataFrame, column: str) -> str:
    """Say what is misplaced, and of which commune: ``D265 (25056)``, the most frequent first."""
    counts = Counter(zip(points[column], points["insee_com"], strict=True))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return first_of([f"{count} {kind} ({code})" for (kind, code), count in ordered])
