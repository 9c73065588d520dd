"""The base map of a portrait: water, woods, streets and their names in view, buildings close by."""

from collections.abc import Iterator

import geopandas as gpd
import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from qpv_geo.formats.frames import Frames
from qpv_geo.portraits.drawing import Labels, View

# Metres around the QPV within which there are buildings: they are most of what a page weighs.
AROUND = 250.0
# Units: sides of what can be seen at all, size of the names of streets.
_LEAST = 2.0
_FONT = 8.0
_NAMES_AT_MOST = 14
# Degrees: what is steeper reads upwards.
_STEEP = 80.0
_KINDS = {"fond_eau": "fond-eau", "fond_vegetation": "fond-vegetation", "fond_batiments": "fond-batiments"}


def background(own: BaseGeometry, frames: Frames, view: View) -> Iterator[tuple[str, str]]:
    """Yield kind and path of everything of a kind around a QPV, from below to above."""
    close = view.box.intersection(shapely.buffer(own, AROUND))
    for layer, kind in _KINDS.items():
        if layer in frames:
            frame = frames[layer]
            within = close if layer == "fond_batiments" else view.box
            seen = frame.geometry.to_numpy()[sorted(frame.sindex.query(within, predicate="intersects"))]
            large = seen[shapely.area(seen) * view.scale**2 >= _LEAST**2]
            yield kind, "".join(map(view.path, view.clipped(large)))
    for layer in ("fond_routes", "fond_voies_ferrees"):
        if layer in frames:
            lines = _in_view(frames[layer], view)
            for group in ("chemin", "locale", "principale", "train", "tramway"):
                shapes = lines.geometry.to_numpy()[lines["classe"] == group]
                yield f"fond-{group}", "".join(map(view.strokes, view.clipped(shapes)))


def street_names(frames: Frames, view: View, room: Labels) -> Iterator[tuple[str, float, float, float]]:
    """Yield names of main streets, their middle in units and angle in degrees, where there is room."""
    if "fond_routes" not in frames:
        return
    lines = _in_view(frames["fond_routes"], view)
    main = lines[(lines["classe"] == "principale") & lines["nom"].notna()]
    parts = map(_longest, view.clipped(main.geometry.to_numpy()))
    longest_first = sorted(zip(main["nom"], parts, strict=True), key=lambda row: (-row[1].length, row[0]))
    count = 0
    for name, part in longest_first:
        if count == _NAMES_AT_MOST or part.length * view.scale < room.width_of(name, _FONT):
            return
        middle, angle = _direction(part, view)
        if room.place_turned(name, middle, angle, _FONT):
            count += 1
            yield name, *middle, angle


def _direction(line: shapely.LineString, view: View) -> tuple[tuple[float, float], float]:
    """Return the middle of a line in units, and its angle in degrees there, clockwise, read from the left."""
    one, other = (view.point(line.interpolate(where, normalized=True)) for where in (0.45, 0.55))
    (x, y), (x2, y2) = sorted([one, other])
    angle = float(np.degrees(np.arctan2(y2 - y, x2 - x)))
    return ((x + x2) / 2, (y + y2) / 2), angle - 180 if angle > _STEEP else angle


def _in_view(frame: gpd.GeoDataFrame, view: View) -> gpd.GeoDataFrame:
    return frame.iloc[sorted(frame.sindex.query(view.box, predicate="intersects"))]


def _longest(lines: BaseGeometry) -> shapely.LineString:
    parts = [part for part in shapely.get_parts(lines) if isinstance(part, shapely.LineString)]
    return max(parts, key=shapely.length, default=shapely.LineString())
