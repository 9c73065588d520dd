"""The CRS of points, and whether they are in France: a wrong CRS and swapped axes are detected."""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import pyproj

from qpv_geo.errors import ConfigurationError, ContractError
from qpv_geo.locate.edges import BoolArray, FloatArray
from qpv_geo.zones import ZONES, FrenchZone

_SAMPLE = 1_000
_MOST = 0.5
_DEGREES = 4326
_CORRECT = "correct the CRS that the file declares, or --crs if it declares none"
_GUESSES = (_DEGREES, 2154, 3857, *range(3942, 3951), 5490, 2972, 2975, 4471, 4467)
"""Longitude and latitude, Lambert-93, web maps, the conic projections CC42 to CC50, overseas UTM."""
_NEARLY_ALL = 0.95
_SAME_METRES, _SAME_DEGREES = 1.0, 1e-5


class Place(NamedTuple):
    """A part of France and its bounding box in the CRS of the points (west, south, east, north)."""

    zone: FrenchZone
    bounds: tuple[float, float, float, float]

    def holds(self, x: FloatArray, y: FloatArray) -> BoolArray:
        """Tell which points are in the rectangle."""
        west, south, east, north = self.bounds
        inside: BoolArray = (x >= west) & (x <= east) & (y >= south) & (y <= north)
        return inside


@cache
def places_in(given: object, *, clip: bool = False) -> tuple[Place, ...]:
    """Return the parts of France that a CRS covers, metropolitan France first.

    With `clip`, only what is in the area that the CRS is made for.
    """
    crs = known_crs(given)
    if crs.is_geographic:
        return tuple(Place(zone, zone.bounds) for zone in ZONES)
    area = crs.area_of_use
    to_crs = pyproj.Transformer.from_crs(4326, crs, always_xy=True)
    places = []
    for zone in ZONES:
        west, south, east, north = zone.bounds
        if area and (west > area.east or east < area.west or south > area.north or north < area.south):
            continue
        box = zone.bounds
        if area and clip:
            box = (max(west, area.west), max(south, area.south), min(east, area.east), min(north, area.north))
        bounds = to_crs.transform_bounds(*box)
        if np.isfinite(bounds).all():
            places.append(Place(zone, bounds))
    return tuple(places)


def known_crs(given: object) -> pyproj.CRS:
    """Return a CRS from anything that pyproj understands; raises `ConfigurationError` if it does not."""
    try:
        return pyproj.CRS.from_user_input(given)
    except pyproj.exceptions.CRSError as error:
        raise ConfigurationError(
            f"{given!r} is not a CRS that PROJ knows; give an EPSG code, such as 2154"
        ) from error


def declared_crs(declared: object | None) -> pyproj.CRS | None:
    """Return the CRS that a file declares; None if it declares none, or one that is nowhere on Earth."""
    if declared is None:
        return None
    crs = known_crs(declared)
    # GDAL 3.9 and later writes a layer without CRS as an engineering one, "Undefined SRS".
    return None if crs.is_engineering else crs


def same_crs(one: pyproj.CRS, other: pyproj.CRS) -> bool:
    """Tell whether coordinates in France are the same in two CRS, to a metre.

    Editions of RGF93 and the dialects of WKT have many names for one CRS.
    """
    if one.equals(other, ignore_axis_order=True):
        return True
    places = places_in(one)
    if one.is_geographic != other.is_geographic or not places:
        return False
    x, y = np.array([(place.bounds[0::2], place.bounds[1::2]) for place in places]).swapaxes(0, 1)
    moved = pyproj.Transformer.from_crs(one, other, always_xy=True).transform(x, y)
    return bool(np.allclose(moved, (x, y), rtol=0, atol=_SAME_DEGREES if one.is_geographic else _SAME_METRES))


def share_in_france(x: FloatArray, y: FloatArray, crs: object) -> float:
    """Return the share of points that are in France and in the area of a CRS; 0 if there is none."""
    placed = np.isfinite(x) & np.isfinite(y)
    places = places_in(crs, clip=True)
    if not placed.any() or not places:
        return 0.0
    return float(np.any([place.holds(x[placed], y[placed]) for place in places], axis=0).mean())


def fitting(x: FloatArray, y: FloatArray) -> list[int]:
    """Return the EPSG codes of the usual CRS in which nearly all points are in France."""
    return [epsg for epsg in _GUESSES if share_in_france(x, y, epsg) >= _NEARLY_ALL]


def check_in_france(
    x: FloatArray, y: FloatArray, crs: str, name: str, *, declared: bool = False, options: bool = True
) -> None:
    """Raise `ContractError` unless points, which messages call `name`, pass the check of `Survey`."""
    survey = Survey(crs, declared, options)
    survey.note(x, y)
    survey.check(name)


@dataclass
class Survey:
    """Counts the points of a file in France while it is read."""

    crs: str
    declared: bool = False
    """Whether the file itself declares it."""
    options: bool = True
    """Whether messages name options of the command."""
    points: int = 0
    """Number of points with coordinates, wherever they are."""
    inside: int = 0
    swapped: int = 0
    """Those in France, and those that would be if x were y."""
    _sample: tuple[FloatArray, FloatArray] | None = None

    def note(self, x: FloatArray, y: FloatArray) -> None:
        """Count more points."""
        outside, points = self._outside(x, y)
        x, y = x[outside], y[outside]
        self.points += points
        self.inside += points - len(outside)
        self.swapped += len(x) - len(self._outside(y, x)[0])
        if self._sample is None and len(x):
            self._sample = x[:_SAMPLE], y[:_SAMPLE]

    def check(self, name: str) -> None:
        """Raise `ContractError` if all points are outside France, or in France once x and y are exchanged.

        The message names the CRS or order of axes that would fit.
        """
        if self.swapped > self.inside:
            raise ContractError(
                f"{name}: x and y are swapped: {self.swapped:,} of {self.points:,} points are in France only"
                " if each is taken for the other; exchange the two columns (x is the longitude or easting)"
            )
        if self.points and not self.inside and self._sample:
            x, y = self._sample[0][0], self._sample[1][0]
            raise ContractError(
                f"{name}: all {self.points:,} points are outside France in"
                f" {known_crs(self.crs).name}, the first at ({x:g}, {y:g});"
                f" {self._guess(*self._sample)}"
            )

    def _outside(self, x: FloatArray, y: FloatArray) -> tuple[np.ndarray, int]:
        """Return the positions of points outside France, and how many have coordinates."""
        left = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
        points = len(left)
        for place in places_in(self.crs):
            if not len(left):
                break
            left = left[~place.holds(x[left], y[left])]
        return left, points

    def _guess(self, x: FloatArray, y: FloatArray) -> str:
        for epsg in _GUESSES:
            for east, north, order in ((x, y, ""), (y, x, " with x and y exchanged")):
                if share_in_france(east, north, epsg) > _MOST:
                    options = "--lon and --lat" if epsg == _DEGREES else f"--x, --y and --crs {epsg}"
                    advice = _CORRECT if self.declared else f"use {options}"
                    return f"they look like EPSG:{epsg}{order}" + (f": {advice}" if self.options else "")
        if self.declared:
            return _CORRECT
        return "give the CRS of the file with --crs" if self.options else "give their CRS"
