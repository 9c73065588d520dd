"""Rules of RFC 7946 that apply to collections of polygons or of points."""

import json
import re
from collections.abc import Iterator
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import shapely

from qpv_geo.audit.rules.base import CheckedFile, listed
from qpv_geo.audit.shapes import RING_MINIMUM, Geometries, parse_geojson, positions, shapes_of
from qpv_geo.formats.geojson import OFFICIAL_DECIMALS
from qpv_geo.parallel import in_threads

_POLYGONS = {"Polygon", "MultiPolygon"}
_TYPES = {*_POLYGONS, "Point"}
# Nearly all of a file, and no object in it.
_COORDINATES = re.compile(rb'"coordinates"\s*:\s*\[[\[\]\s\d.,eE+-]*\]')
# A decimal of so many digits, times this, is a whole number but for floating point.
_GRID = 10.0**OFFICIAL_DECIMALS
_NOT_ON_GRID = 1e-4


class Collection(CheckedFile):
    """A GeoJSON file."""

    pattern = "geojson/*.geojson"

    @cached_property
    def document(self) -> dict[str, Any]:
        """The whole object; a name that an object holds twice is an error."""
        data = self.path.read_bytes()
        json.loads(_COORDINATES.sub(b'"coordinates":[]', data), object_pairs_hook=_once)
        document = parse_geojson(data)
        if not isinstance(document, dict):
            raise TypeError("it is not a JSON object")
        return document

    @property
    def features(self) -> list[dict[str, Any]]:
        """Its features."""
        features: list[dict[str, Any]] = self.document["features"]
        return features

    @cached_property
    def rings(self) -> list[tuple[int, list[list[float]]]]:
        """Rings of polygons, each with the number of its feature, from 1."""
        rings = []
        for number, feature in enumerate(self.features, start=1):
            geometry = feature["geometry"]
            if geometry is not None and geometry["type"] in _POLYGONS:
                coordinates = geometry["coordinates"]
                polygons = coordinates if geometry["type"] == "MultiPolygon" else [coordinates]
                rings += [(number, ring) for ring in chain.from_iterable(polygons)]
        return rings

    @cached_property
    def shapes(self) -> Geometries:
        """Shapely geometries by feature, None where there is none."""
        return shapes_of([feature["geometry"] for feature in self.features])

    @cached_property
    def positions(self) -> np.ndarray:
        """All positions, (n, 2); (n, 3) if they have heights."""
        geometries = (feature["geometry"] for feature in self.features)
        points = [one["coordinates"] for one in geometries if one is not None and one["type"] == "Point"]
        return positions([*points, *chain.from_iterable(ring for _, ring in self.rings)])


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError(f"an object holds a name twice: {names}")
    return dict(pairs)


@Collection.rule("GEOJSON01")
def is_collection(collection: Collection) -> Iterator[str]:
    """The file is UTF-8 JSON without byte order mark: a FeatureCollection (sections 3.3 and 11; RFC 8259)."""
    if collection.document.get("type") != "FeatureCollection" or not isinstance(
        collection.document.get("features"), list
    ):
        yield "it is not a FeatureCollection with a list of features"


@Collection.rule("GEOJSON02")
def no_crs(collection: Collection) -> Iterator[str]:
    """There is no ``crs`` member: coordinates are WGS 84, longitude first (section 4)."""
    if "crs" in collection.document:
        yield f"it has a crs member: {collection.document['crs']}"


@Collection.rule("GEOJSON03")
def feature_members(collection: Collection) -> Iterator[str]:
    """Each feature has its type, properties and a geometry: a polygon, a point or null (section 3.2)."""
    bad = [
        number
        for number, feature in enumerate(collection.features, start=1)
        if feature.get("type") != "Feature"
        or not isinstance(feature.get("properties"), dict)
        or "geometry" not in feature
        or (feature["geometry"] is not None and feature["geometry"].get("type") not in _TYPES)
    ]
    yield from listed("features", bad)


@Collection.rule("GEOJSON04")
def longitudes_and_latitudes(collection: Collection) -> Iterator[str]:
    """Positions are longitude and latitude, inside their ranges (sections 3.1.1 and 4)."""
    points = collection.positions
    if points.size and (points.ndim != 2 or points.shape[1] != 2):  # noqa: PLR2004 - pairs
        yield "positions are not pairs"
    elif points.size and not (np.abs(points) <= [180, 90]).all():
        yield "positions leave the ranges of longitude and latitude"


@Collection.rule("GEOJSON05")
def rings(collection: Collection) -> Iterator[str]:
    """Each ring is closed and has four positions or more (section 3.1.6)."""
    bad = (number for number, ring in collection.rings if len(ring) < RING_MINIMUM or ring[0] != ring[-1])
    yield from listed("features", bad)


@Collection.rule("GEOJSON06")
def right_hand(collection: Collection) -> Iterator[str]:
    """Exterior rings are counterclockwise and holes clockwise (section 3.1.6)."""
    parts, feature_of = shapely.get_parts(collection.shapes, return_index=True)
    rings, part_of = shapely.get_rings(parts, return_index=True)
    exterior = np.diff(part_of, prepend=-1) > 0
    bad = shapely.is_ccw(rings) != exterior
    yield from listed("features", feature_of[part_of[bad]] + 1)


@Collection.rule("GEOJSON07")
def bounding_box(collection: Collection) -> Iterator[str]:
    """The ``bbox`` is west, south, east, north of all positions (section 5)."""
    points = collection.positions
    if not points.size:
        return
    corners = [*points.min(axis=0).tolist(), *points.max(axis=0).tolist()]
    if collection.document.get("bbox") != corners:
        yield f"{collection.document.get('bbox')} stated, {corners} found"


@Collection.rule("GEOJSON08")
def valid_polygons(collection: Collection) -> Iterator[str]:
    """Polygons are valid in the sense of OGC Simple Features, as in the GeoPackage."""
    bad = ~(in_threads(shapely.is_valid, collection.shapes) | shapely.is_missing(collection.shapes))
    yield from listed("features", np.flatnonzero(bad) + 1)


@Collection.rule("GEOJSON09")
def precision(collection: Collection) -> Iterator[str]:
    """Coordinates have seven decimals at most: a centimetre (section 11.2 warns of more)."""
    scaled = collection.positions * _GRID
    if scaled.size and np.abs(scaled - np.round(scaled)).max() > _NOT_ON_GRID:
        yield f"a coordinate has more than {OFFICIAL_DECIMALS} decimals"
