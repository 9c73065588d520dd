"""What the index needs to tell whether a point is in a QPV, as ``qpv-geo locate`` does, without network."""

from typing import Any

import numpy as np
import pyproj
import shapely
from shapely.geometry.base import BaseGeometry

from qpv_geo.analysis.bands import known_ground
from qpv_geo.formats.base import Bounds, Content
from qpv_geo.sources.geocoder import RADIUS, SCORE_THRESHOLD, SEARCH
from qpv_geo.territory import BAND_WIDTH

_CENTIMETRES = 100
# Metres by which rounding to centimetres, both ways, moves an outline at most.
_ROUNDING = 0.01
# Metres: beyond, no distance is given, as by the command; around the known ground, points are read.
_FARTHEST, _MARGIN = 1000.0, 1000.0
# Of the polynomials that stand for the projection, and of their coefficients.
_DEGREE, _DECIMALS = 8, 6
_WGS84 = 4326


def finder_data(content: Content, origin: np.ndarray) -> dict[str, Any]:
    """Return what the script answers from, as it goes into JSON: outlines in centimetres from an origin.

    `tolerance` is how far the script may be wrong, in metres: nearer to a limit, it says that it cannot tell.
    """
    frames = content.frames
    qpv = frames["qpv"]
    widths: dict[str, float] = {}
    if "bande_300m" in frames:
        bands = frames["bande_300m"]
        widths = dict(zip(bands["code_qp"], bands["distance_m"].tolist(), strict=True))
    own = qpv.assign(largeur_bande_m=[widths.get(code, BAND_WIDTH) for code in qpv["code_qp"]])
    others = frames.get("qpv_voisins")
    columns = ("code_qp", "lib_qp", "largeur_bande_m")
    districts = [
        {"code": code, "nom": name or code, "portrait": layer is own, "largeur": width}
        | {"contour": _rings(shape, origin)}
        for layer in ([own] if others is None else [own, others])
        for code, name, width, shape in zip(
            *(layer[column].tolist() for column in columns), layer.geometry, strict=True
        )
    ]
    ground, around = known_ground(frames["communes"].geometry.to_numpy(), neighbours=others is not None)
    box = shapely.box(*ground.bounds).buffer(_MARGIN, join_style="mitre")
    projection, error = fit_projection(content.epsg, box.bounds)
    return {
        "origine": origin.tolist(),
        "qpv": districts,
        "sol": _rings(ground, origin),
        "autour": around,
        "bandes": "bande_300m" in frames,
        "projection": projection | {"degre": _DEGREE},
        "systeme": pyproj.CRS.from_epsg(content.epsg).name.partition(" / ")[2],
        "emprise": [round(bound, 1) for bound in box.bounds],
        "tolerance": round(error + _ROUNDING, 4),
        "lointain": _FARTHEST,
        "geocodeur": {"adresse": SEARCH, "seuil": SCORE_THRESHOLD, "rayons": RADIUS},
    }


def fit_projection(epsg: int, bounds: Bounds) -> tuple[dict[str, Any], float]:
    """Return the Chebyshev polynomials of longitude and latitude that stand for a projection, whatever it is.

    `bounds` are metres, as is the second result, their largest error on a finer grid. A term of degrees i and
    j is ``cos(i acos u) cos(j acos v)``, where u and v go from -1 to 1 over a rectangle of degrees.
    """
    to_metres = pyproj.Transformer.from_crs(_WGS84, epsg, always_xy=True)
    west, south, east, north = to_metres.transform_bounds(*bounds, direction="INVERSE")
    centre = np.round([(west + east) / 2, (south + north) / 2], 5)
    half = np.ceil(np.array([east - west, north - south]) / 2 * 1e4 + 1) / 1e4
    degrees = np.arange(_DEGREE + 1)

    def projected(angles: np.ndarray) -> np.ndarray:
        u, v = np.meshgrid(np.cos(angles), np.cos(angles), indexing="ij")
        return np.stack(to_metres.transform(centre[0] + half[0] * u, centre[1] + half[1] * v))

    # At these nodes the polynomials are orthogonal.
    nodes = (np.arange(2 * _DEGREE) + 0.5) * np.pi / (2 * _DEGREE)
    weights = np.cos(np.outer(degrees, nodes)) * np.where(degrees, 2, 1)[:, None] / len(nodes)
    kept = np.add.outer(degrees, degrees) <= _DEGREE
    terms = (weights @ projected(nodes) @ weights.T * kept).round(_DECIMALS)
    finer = np.linspace(0, np.pi, 40)
    values = np.cos(np.outer(finer, degrees))
    error = float(np.abs(values @ terms @ values.T - projected(finer)).max())
    return {"centre": centre.tolist(), "demi": half.tolist(), "termes": terms[:, kept].T.tolist()}, error


def _rings(shape: BaseGeometry, origin: np.ndarray) -> list[list[int]]:
    """Return each ring as its first point, then the steps from point to point, in centimetres."""
    rings = shapely.get_rings(shapely.get_parts(shape))
    points = (np.round((shapely.get_coordinates(ring)[:-1] - origin) * _CENTIMETRES) for ring in rings)
    return [np.diff(ring, axis=0, prepend=[[0, 0]]).astype(int).ravel().tolist() for ring in points]
