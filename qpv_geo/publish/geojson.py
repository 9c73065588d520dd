"""One GeoJSON file per spatial layer (RFC 7946), whose polygons stay valid in seven decimals."""

from collections.abc import Mapping
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio.errors
import shapely
from shapely.geometry.base import BaseGeometry

from qpv_geo.checks import Check, Outcome
from qpv_geo.errors import PublicationError
from qpv_geo.publish.fields import Layer
from qpv_geo.publish.frames import Frames
from qpv_geo.publish.ogr import write_layer

# Seven decimals of a degree are a centimetre.
DECIMALS = 7
_WGS84 = 4326


def to_wgs84(frames: Frames, layers: Mapping[str, Layer]) -> tuple[Frames, list[Check]]:
    """Return the spatial layers in longitude and latitude, rounded, each polygon valid and right-handed.

    Rounding moves each vertex by half a centimetre at most. Where it makes a ring touch or cross itself, the
    polygon is repaired on the grid of the rounded coordinates, which changes vertices; where nothing is left
    (of a sliver thinner than a centimetre), the geometry is null. Both are reported.

    Parameters
    ----------
    frames
        As `frames.conform` returns them.
    layers
        Their declarations.

    Returns
    -------
    frames : dict
        Spatial layers only, in EPSG:4326.
    checks : list of Check
        One per spatial layer.
    """
    rounded: Frames = {}
    checks = []
    for name, frame in frames.items():
        if not isinstance(frame, gpd.GeoDataFrame):
            continue
        degrees = frame.geometry.to_crs(_WGS84).to_numpy()
        moved = shapely.transform(degrees, _on_grid)
        absent = shapely.is_missing(degrees)
        broken = ~shapely.is_valid(moved) & ~absent
        moved[broken] = [_repair(polygon) for polygon in degrees[broken]]
        rounded[name] = frame.set_geometry(
            gpd.GeoSeries(shapely.orient_polygons(moved), index=frame.index, crs=_WGS84)
        )
        lost = shapely.is_missing(moved) & ~absent
        keys = [" / ".join(str(part) for part in row) for row in frame[list(layers[name].key)].to_numpy()]
        repaired = [key for key, is_it in zip(keys, broken & ~lost, strict=True) if is_it]
        checks.append(_report(name, repaired, [key for key, is_it in zip(keys, lost, strict=True) if is_it]))
    return rounded, checks


def _on_grid(points: np.ndarray) -> np.ndarray:
    return np.round(points, DECIMALS)


def _repair(degrees: BaseGeometry) -> BaseGeometry | None:
    """Snap a polygon to the grid of rounded coordinates, where GEOS keeps it valid; None if it vanishes."""
    snapped = shapely.set_precision(shapely.make_valid(degrees), 10.0**-DECIMALS, mode="valid_output")
    # What is repaired may be a collection of polygons, multipolygons and lines.
    parts = [
        part for part in shapely.get_parts(shapely.get_parts(snapped)) if isinstance(part, shapely.Polygon)
    ]
    # GEOS multiplies by the size of the grid: its last binary digit may not be the decimal's.
    return shapely.transform(shapely.MultiPolygon(parts), _on_grid) if parts else None


def _report(layer: str, repaired: list[str], lost: list[str]) -> Check:
    said = []
    if repaired:
        said.append(f"contours repris pour rester valides : {', '.join(repaired)}")
    if lost:
        said.append(f"sans géométrie, plus minces que l'arrondi : {', '.join(lost)}")
    message = f"GeoJSON arrondi à {DECIMALS} décimales de degré (1 cm) : " + (
        " ; ".join(said) or "tous les contours restent valides"
    )
    outcome: Outcome = "avertissement" if said else "conforme"
    return Check("arrondi_geojson", layer, outcome, "0", str(len(repaired) + len(lost)), message + ".")


def write_geojson(folder: Path, rounded: Frames, layers: Mapping[str, Layer], origin: str) -> None:
    """Write ``<folder>/<layer>.geojson`` for each layer of `to_wgs84`.

    RFC 7946: WGS 84 in longitude, latitude; no ``crs`` member; exterior rings counterclockwise; a ``bbox``.

    Raises
    ------
    PublicationError
        If a file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, frame in rounded.items():
            write_layer(
                folder / f"{name}.geojson",
                frame,
                layers[name],
                driver="GeoJSON",
                crs=None,
                layer_options={
                    # GDAL's RFC 7946 mode rounds as well, by other arithmetic: a valid polygon whose rings
                    # touch becomes an invalid one, and then a collection. What is written is rounded,
                    # oriented and in WGS 84 already; without a CRS, GDAL writes the decimals that it gets.
                    "RFC7946": "NO",
                    "WRITE_BBOX": "YES",
                    "DESCRIPTION": f"{layers[name].abstract} {origin}",
                    # A text that looks like JSON stays a text.
                    "AUTODETECT_JSON_STRINGS": "NO",
                },
            )
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, OSError) as error:
        raise PublicationError(
            f"{folder}: the GeoJSON files cannot be written ({error}); check the free space and the rights"
        ) from error
