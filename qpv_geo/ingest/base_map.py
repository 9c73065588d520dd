"""The features of the base map: BD TOPO around the QPV, as one GeoJSON of several types."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import orjson
import pandas as pd
import shapely

from qpv_geo.checks import Check
from qpv_geo.ingest.contracts import Problems
from qpv_geo.settings import Settings
from qpv_geo.sources.archive import read_member
from qpv_geo.sources.raw import RawFile, unreadable

Feature = dict[str, Any]

# The types that are drawn, in the order of `BackgroundFeatures`, their geometries, and their columns.
_AREAS = {shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON}
_LINES = {shapely.GeometryType.LINESTRING, shapely.GeometryType.MULTILINESTRING}
_TYPES: Mapping[str, tuple[set[shapely.GeometryType], tuple[str, ...]]] = {
    "batiment": (_AREAS, ()),
    "troncon_de_route": (_LINES, ("nature", "importance", "nom", "sol")),
    "troncon_de_voie_ferree": (_LINES, ("nature", "sol")),
    "surface_hydrographique": (_AREAS, ()),
    "zone_de_vegetation": (_AREAS, ("nature",)),
}
# Columns without which a type is not what it says; the others may be empty everywhere.
_INDISPENSABLE = {"nature", "importance"}
_NAMED_AT_MOST = 5


@dataclass(frozen=True)
class BackgroundFeatures:
    """Valid features in the territory's CRS, by what they are; no heights.

    `roads` have ``nature``, ``importance``, ``nom`` and ``sol``, `railways` ``nature`` and ``sol``,
    `vegetation` ``nature``: the producer's texts, None where there is none.
    """

    buildings: gpd.GeoDataFrame
    roads: gpd.GeoDataFrame
    railways: gpd.GeoDataFrame
    water: gpd.GeoDataFrame
    vegetation: gpd.GeoDataFrame
    vintage: str


def read_base_map(
    raw: RawFile, communes: gpd.GeoDataFrame, settings: Settings
) -> tuple[BackgroundFeatures, tuple[Check, ...]]:
    """Read the features of every type; those that cannot be drawn are left out and counted.

    `communes` are the territory's, in its CRS, in which the features must be. Raises `SourceContentError` if
    the file is not a whole GeoJSON, and `ContractError` if a type is missing, has other geometries or lacks a
    column, or if its features lie elsewhere.
    """
    problems = Problems(raw.label, raw.source)
    by_type = _by_type(raw, settings)
    frames, left_out = [], 0
    for name, (kinds, columns) in _TYPES.items():
        features = by_type.get(name, [])
        if not features and name in {"batiment", "troncon_de_route"}:
            problems.add(f"features of type {name}", "none")
        table = pd.DataFrame(
            {column: _values(features, column, raw, problems) for column in columns}, dtype=object
        )
        shapes = _shapes(features)
        drawable = ~shapely.is_missing(shapes) & np.isin(shapely.get_type_id(shapes), [*kinds])
        left_out += int((~drawable).sum())
        frame = gpd.GeoDataFrame(table, geometry=shapes, crs=communes.crs)
        frames.append(frame[drawable].reset_index(drop=True))
    _check_place(pd.concat([frame.geometry for frame in frames]), communes, problems)
    problems.raise_if_any()
    counts = ", ".join(f"{len(frame)} {name}" for name, frame in zip(_TYPES, frames, strict=True))
    message = f"Fond de plan : {counts} ; {left_out} sans géométrie qui se dessine."
    check = Check("fond_de_plan_lu", raw.source.id, "conforme", "", str(sum(map(len, frames))), message)
    buildings, roads, railways, water, vegetation = frames
    return BackgroundFeatures(buildings, roads, railways, water, vegetation, raw.source.vintage), (check,)


def _by_type(raw: RawFile, settings: Settings) -> dict[str, list[Feature]]:
    """Return the features by what their id begins with, as GeoServer writes it."""
    data = read_member(raw, raw.source.member, settings).data
    by_type: dict[str, list[Feature]] = {}
    try:
        for feature in orjson.loads(data)["features"]:
            by_type.setdefault(feature["id"].partition(".")[0], []).append(feature)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        kind = f"{type(error).__name__}: {error}"
        raise unreadable(raw, f"{raw.label}: expected GeoJSON features with an id, found {kind}") from error
    return by_type


def _values(features: list[Feature], column: str, raw: RawFile, problems: Problems) -> list[str | None]:
    """Return a column under the first of its spellings that a feature has."""
    spellings = raw.source.columns[column]
    present = {name for feature in features for name in spellings if name in feature["properties"]}
    if features and not present and column in _INDISPENSABLE:
        problems.add(f"a property {' or '.join(spellings)}", "none", column=column)
    name = next((one for one in spellings if one in present), spellings[0])
    texts = [feature["properties"].get(name) for feature in features]
    return [" ".join(text.split()) or None if isinstance(text, str) else None for text in texts]


def _shapes(features: list[Feature]) -> np.ndarray:
    """Return valid geometries without heights, None for those that cannot be built."""
    texts = [orjson.dumps(feature.get("geometry")).decode() for feature in features]
    shapes = np.array(shapely.from_geojson(texts, on_invalid="ignore"), dtype=object).reshape(len(features))
    shapes = shapely.force_2d(shapes)
    broken = ~shapely.is_valid(shapes) & ~shapely.is_missing(shapes)
    shapes[broken] = shapely.make_valid(shapes[broken], method="structure")
    shapes[shapely.is_empty(shapes)] = None
    return shapes


def _check_place(shapes: pd.Series, communes: gpd.GeoDataFrame, problems: Problems) -> None:
    """Refuse features that lie elsewhere: in another CRS, or with their axes swapped."""
    west, south, east, north = communes.total_bounds
    size = max(east - west, north - south)
    inside = shapely.box(west - size, south - size, east + size, north + size)
    outside = np.flatnonzero(~shapely.intersects(shapes.to_numpy(), inside))
    if len(outside):
        where = [
            f"x {x:g}, y {y:g}" for x, y in shapely.bounds(shapes.to_numpy()[outside[:_NAMED_AT_MOST]])[:, :2]
        ]
        problems.add(f"features around the territory, in {communes.crs.name}", "; ".join(where))
