"""One GeoJSON file per spatial layer (RFC 7946), whose polygons stay valid when they are rounded."""

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import orjson
import pandas as pd
import shapely
from shapely.geometry.base import BaseGeometry

from qpv_geo.checks import Check, check_none
from qpv_geo.formats.base import Content
from qpv_geo.formats.csv import format_cells
from qpv_geo.formats.fields import Layer
from qpv_geo.formats.frames import Frames, plain_values, row_names
from qpv_geo.parallel import in_threads

# Official contours keep the decimals that their producers give, a centimetre; what is derived from them is
# not known better than to a decimetre.
OFFICIAL_DECIMALS, DECIMALS = 7, 6
_PRECISIONS = {OFFICIAL_DECIMALS: "1 cm", DECIMALS: "10 cm"}
_WGS84 = 4326


def to_wgs84(frames: Frames, layers: Mapping[str, Layer]) -> tuple[Frames, list[Check]]:
    """Return the spatial layers of a release in longitude and latitude, rounded, and a check of each.

    Each polygon is valid and right-handed. Rounding moves each vertex by half a centimetre at most in
    official contours, by half a decimetre in others. Where it makes a ring touch or cross itself, the polygon
    is repaired on the grid of the rounded coordinates, which changes vertices; where nothing is left (of a
    sliver thinner than the grid), the geometry is null. The checks report both.
    """
    rounded: Frames = {}
    checks = []
    for name, frame in frames.items():
        if not isinstance(frame, gpd.GeoDataFrame) or layers[name].package_only:
            continue
        degrees = frame.geometry.to_crs(_WGS84).to_numpy()
        decimals = OFFICIAL_DECIMALS if layers[name].is_official else DECIMALS
        moved = shapely.transform(degrees, _grid(decimals))
        absent = shapely.is_missing(degrees)
        broken = ~in_threads(shapely.is_valid, moved) & ~absent
        moved[broken] = [_repair(polygon, decimals) for polygon in degrees[broken]]
        rounded[name] = frame.set_geometry(
            gpd.GeoSeries(shapely.orient_polygons(moved), index=frame.index, crs=_WGS84)
        )
        lost = shapely.is_missing(moved) & ~absent
        key = layers[name].key
        named = [row_names(frame[rows], key) if rows.any() else [] for rows in (broken & ~lost, lost)]
        checks.append(_report(name, decimals, *named))
    return rounded, checks


def _grid(decimals: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda points: np.round(points, decimals)


def _repair(degrees: BaseGeometry, decimals: int) -> BaseGeometry | None:
    """Snap a polygon to the grid of rounded coordinates, where GEOS keeps it valid; None if it vanishes."""
    snapped = shapely.set_precision(shapely.make_valid(degrees), 10.0**-decimals, mode="valid_output")
    # What is repaired may be a collection of polygons, multipolygons and lines.
    parts = [
        part for part in shapely.get_parts(shapely.get_parts(snapped)) if isinstance(part, shapely.Polygon)
    ]
    # GEOS multiplies by the size of the grid: its last binary digit may not be the decimal's.
    return shapely.transform(shapely.MultiPolygon(parts), _grid(decimals)) if parts else None


def _report(layer: str, decimals: int, repaired: list[str], lost: list[str]) -> Check:
    remarks = []
    if repaired:
        remarks.append(f"contours repris pour rester valides : {', '.join(repaired)}")
    if lost:
        remarks.append(f"sans géométrie, plus minces que l'arrondi : {', '.join(lost)}")
    message = f"GeoJSON arrondi à {decimals} décimales de degré ({_PRECISIONS[decimals]}) : " + (
        " ; ".join(remarks) or "tous les contours restent valides"
    )
    counts = 0, len(repaired) + len(lost)
    return check_none("arrondi_geojson", layer, remarks, f"{message}.", counts=counts)


def write_geojson(folder: Path, content: Content) -> None:
    """Write ``<folder>/geojson/<layer>.geojson`` for each layer of `to_wgs84`, a feature per line.

    RFC 7946: WGS 84 in longitude, latitude; no ``crs`` member; exterior rings counterclockwise; a ``bbox`` of
    the whole and of each feature. Numbers are the shortest decimals that read back as the same number.

    Not with GDAL: its RFC 7946 mode rounds by other arithmetic, which breaks polygons whose rings touch;
    without it, it takes six times as long for files half as large again.
    """
    folder /= "geojson"
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in content.rounded.items():
        with (folder / f"{name}.geojson").open("wb") as stream:
            stream.writelines(_lines(frame, content.layers[name], content.spec.origin))


def _lines(frame: pd.DataFrame, layer: Layer, origin: str) -> Iterator[bytes]:
    shapes = frame.geometry.to_numpy()
    description = f"{layer.abstract} {origin}"
    head: dict[str, Any] = {"type": "FeatureCollection", "name": layer.name, "description": description}
    there = ~shapely.is_missing(shapes)
    if there.any():
        head["bbox"] = shapely.total_bounds(shapes).tolist()
    yield orjson.dumps(head)[:-1] + b',"features":[\n'
    table = pd.DataFrame(frame)
    columns = [
        format_cells(table[name], field.type)
        if field.type in {"date", "datetime"}
        else plain_values(table[name])
        for name, field in layer.fields.items()
    ]
    boxes, drawn = shapely.bounds(shapes).tolist(), iter(_coordinates(shapes[there]))
    rows = zip(zip(*columns, strict=True), boxes, there, strict=True)
    for row, (values, box, has_shape) in enumerate(rows):
        feature: dict[str, Any] = {
            "type": "Feature",
            "properties": dict(zip(layer.fields, values, strict=True)),
            "geometry": None,
        }
        if has_shape:
            feature |= {"bbox": box, "geometry": {"type": layer.geometry, "coordinates": next(drawn)}}
        yield (b",\n" if row else b"") + orjson.dumps(feature, option=orjson.OPT_SERIALIZE_NUMPY)
    yield b"\n]}\n"


def _coordinates(shapes: np.ndarray) -> list[Any]:
    """Return polygons, rings and positions of MultiPolygons; the positions of points."""
    if not len(shapes):
        return []
    _, points, offsets = shapely.to_ragged_array(shapes)
    nested: Any = points
    for level in offsets:
        nested = [nested[start:end] for start, end in pairwise(level.tolist())]
    return list(nested)
