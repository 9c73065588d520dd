"""Drawing geometry in a page: from metres of a projected CRS to units of an SVG, small and light."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from qpv_geo.formats.base import Bounds

Geometries = NDArray[np.object_]

# Units of the drawing: outlines may move by this much when vertices are left out.
_TOLERANCE = 0.3
_DECIMALS = 1
# Average width of a letter and height of a line, as shares of the font size, to keep labels apart.
_LETTER, _LINE = 0.56, 1.15
_ROUND_LENGTHS = (1, 2, 5)
# Units that a scale bar and its words take from the lower edge.
_SCALE_HEIGHT = 34
OUTWARDS = np.array([-1, -1, 1, 1])
"""Directions in which west, south, east and north move if bounds grow."""


@dataclass(frozen=True)
class View:
    """A rectangle of the ground drawn in a rectangle of units, north up."""

    left: float
    top: float
    """Metres."""
    width: float
    height: float
    """Units of the drawing."""
    scale: float
    """Units per metre."""

    @classmethod
    def around(cls, bounds: Iterable[float], width: float, height: float, *, least: float = 0.0) -> "View":
        """Return the view that centres bounds in metres (west, south, east, north), `least` wide at least."""
        west, south, east, north = bounds
        metres = max(east - west, (north - south) * width / height, least)
        scale = width / metres
        return cls(
            (west + east) / 2 - metres / 2, (south + north) / 2 + height / scale / 2, width, height, scale
        )

    @property
    def box(self) -> BaseGeometry:
        """The rectangle of the ground."""
        return shapely.box(
            self.left, self.top - self.height / self.scale, self.left + self.width / self.scale, self.top
        )

    def clipped(self, geometries: Geometries) -> Geometries:
        """Return what of geometries lies in the view and a little around it, where outlines do not show."""
        margin = 0.02 * self.width / self.scale
        return shapely.clip_by_rect(geometries, *self.box.buffer(margin).bounds)

    def point(self, point: shapely.Point) -> tuple[float, float]:
        """Return a point in units."""
        return (point.x - self.left) * self.scale, (self.top - point.y) * self.scale

    def in_units(self, geometry: BaseGeometry) -> BaseGeometry:
        """Return a geometry in units."""
        return shapely.transform(
            geometry, lambda metres: (metres - (self.left, self.top)) * (self.scale, -self.scale)
        )

    def path(self, polygon: BaseGeometry) -> str:
        """Return the ``d`` of an SVG path for a polygon or several; empty for an empty one."""
        light = shapely.simplify(polygon, _TOLERANCE / self.scale)
        # Of several polygons at once, `get_rings` gives none.
        rings = shapely.get_rings(shapely.get_parts(light))
        return "".join(f"{self._points(shapely.get_coordinates(ring)[:-1])}Z" for ring in rings)

    def strokes(self, lines: BaseGeometry) -> str:
        """Return the ``d`` of an SVG path for a line or several; empty for an empty one."""
        parts = shapely.get_parts(shapely.simplify(lines, _TOLERANCE / self.scale))
        return "".join(self._points(points) for part in parts if len(points := shapely.get_coordinates(part)))

    def _points(self, metres: NDArray[np.float64]) -> str:
        units = np.column_stack((metres[:, 0] - self.left, self.top - metres[:, 1])) * self.scale
        # Adding zero turns -0.0 into 0.0.
        return "M" + " ".join(f"{x:g},{y:g}" for x, y in (np.round(units, _DECIMALS) + 0.0).tolist())

    def scale_bar(self) -> tuple[int, float]:
        """Return a round length in metres that takes about a quarter of the width, and its units."""
        most = self.width / 4 / self.scale
        power = 10 ** int(np.floor(np.log10(most)))
        metres = max(step * power for step in _ROUND_LENGTHS if step * power <= most)
        return int(metres), metres * self.scale


@dataclass
class Labels:
    """Texts of a map that neither cover one another nor leave it."""

    width: float
    height: float
    """The map, in units."""
    _taken: list[Bounds] = field(default_factory=list)

    @classmethod
    def beside_scale(cls, view: View) -> "Labels":
        """Return those of a map that has a scale bar in its lower left corner."""
        labels = cls(view.width, view.height)
        labels.reserve((0.0, view.height - _SCALE_HEIGHT, view.width / 3, view.height))
        return labels

    def reserve(self, box: Bounds) -> None:
        """Keep labels out of a rectangle (left, top, right, bottom)."""
        self._taken.append(box)

    def place(self, text: str, named: BaseGeometry, size: float) -> tuple[float, float] | None:
        """Return where to centre a text, by its baseline, on what it names; None if there is no room."""
        x, y = shapely.get_coordinates(shapely.point_on_surface(named))[0].tolist()
        half, line = len(text) * size * _LETTER / 2, size * _LINE
        for step in (0, -1, 1, -2, 2):
            middle = y + step * line
            box = (x - half, middle - line / 2, x + half, middle + line / 2)
            # Beside what it names, it would name something else.
            if not named.intersects(shapely.box(*box)):
                continue
            if self._take(box):
                return x, middle + size / 3
        return None

    def width_of(self, text: str, size: float) -> float:
        """Return about how long a text is, in units."""
        return len(text) * size * _LETTER

    def place_turned(self, text: str, middle: tuple[float, float], angle: float, size: float) -> bool:
        """Tell whether there is room for a text about its middle at an angle in degrees, and take it."""
        turn = np.radians(angle)
        length, line = self.width_of(text, size), size * _LINE
        across = (length * abs(np.cos(turn)) + line * abs(np.sin(turn))) / 2
        down = (length * abs(np.sin(turn)) + line * abs(np.cos(turn))) / 2
        x, y = middle
        return self._take((x - across, y - down, x + across, y + down))

    def _take(self, box: Bounds) -> bool:
        """Tell whether a rectangle is free, and reserve it."""
        left, top, right, bottom = box
        inside = left >= 0 and top >= 0 and right <= self.width and bottom <= self.height
        free = inside and not any(
            left < taken[2] and taken[0] < right and top < taken[3] and taken[1] < bottom
            for taken in self._taken
        )
        if free:
            self.reserve(box)
        return free
