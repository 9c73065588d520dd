"""Coordinate reference systems as users and files declare them."""

import numpy as np
import pyproj

from qpv_geo.errors import ConfigurationError
from qpv_geo.locate.places import places_in

_SAME_METRES, _SAME_DEGREES = 1.0, 1e-5


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
