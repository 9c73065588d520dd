"""Published contours against the official ones: attributes, vertices, repairs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import shapely
from shapely.geometry.base import BaseGeometry

from qpv_geo.audit.mismatches import Mismatch, WrittenLayer
from qpv_geo.audit.originals import Features, Originals, projector, read_features
from qpv_geo.audit.readers import WGS84
from qpv_geo.audit.shapes import Geometries, Mask, same_vertices
from qpv_geo.formats.frames import plain_values
from qpv_geo.formats.geojson import OFFICIAL_DECIMALS
from qpv_geo.sources.catalogue import TableName
from qpv_geo.territory import Territory
from qpv_geo.zones import department_of, zone_of

# How far a published vertex may be from the official one, reprojected: metres, and degrees in GeoJSON.
_METRES, _DEGREES = 1e-6, 10.0**-OFFICIAL_DECIMALS
# How far a vertex of a repaired contour may be from the official lines, in metres: the precision of the file,
# that of rounding and snapping in GeoJSON.
_OFF_LINE, _OFF_LINE_ROUNDED = 1e-6, 0.03
# How far an area may be from the expected one, relatively: areas are sums of large products.
_AREA = 1e-9


def _qpv_of(official: pd.DataFrame, territory: Territory) -> set[str]:
    columns = (official[name] for name in ("code_qp", "insee_com", "siren_epci"))
    return {row[0] for row in zip(*columns, strict=True) if territory.is_declared(*row)}


def _communes_of(official: pd.DataFrame, territory: Territory) -> set[str]:
    column = {"epci": "codeEpci", "departement": "codeDepartement", "commune": "code"}.get(territory.genre)
    return set(official.index[official[column] == territory.code] if column else official.index)


@dataclass(frozen=True)
class _OfficialLayer:
    """A layer that holds official features.

    `fields` are the official properties by published field, the first being the key; `members` gives the
    features that must be there, `place_of` what part of France the feature of a code is in.
    """

    name: str
    table: TableName
    fields: Mapping[str, str]
    members: Callable[[pd.DataFrame, Territory], set[str]]
    place_of: Callable[[str], str]

    @property
    def key(self) -> str:
        return next(iter(self.fields))


_NEIGHBOUR_FIELDS = {name: name for name in ("code_qp", "lib_qp", "insee_com", "lib_com", "siren_epci")}
_QPV_FIELDS = _NEIGHBOUR_FIELDS | {name: name for name in ("insee_reg", "lib_reg", "insee_dep", "lib_dep")}
_COMMUNE_FIELDS = {
    "insee_com": "code",
    "nom_com": "nom",
    "siren_epci": "codeEpci",
    "insee_dep": "codeDepartement",
    "insee_reg": "codeRegion",
    "population": "population",
}
_LAYERS = (
    _OfficialLayer("qpv", "contours", _QPV_FIELDS, _qpv_of, department_of),
    _OfficialLayer("communes", "communes", _COMMUNE_FIELDS, _communes_of, str),
    # Which QPV are neighbours is computed here.
    _OfficialLayer("qpv_voisins", "contours", _NEIGHBOUR_FIELDS, lambda _, __: set(), department_of),
)


def compare_attributes(
    release: Mapping[str, WrittenLayer], originals: Originals, territory: Territory
) -> list[Mismatch]:
    """Compare official fields with their files; each QPV and commune of the territory must be there."""
    mismatches = []
    for layer in (each for each in _LAYERS if each.name in release):
        written, features = release[layer.name], originals.read(originals.filling(layer.table), read_features)
        codes, origin = written.attributes[layer.key], features.raw.label
        places = features.table.index.get_indexer(codes)
        lost = sorted(layer.members(features.table, territory) - {*codes})
        mismatches += [written.mismatch(code, layer.key, None, code, origin) for code in lost]
        unknown = codes[places < 0]
        mismatches += [written.mismatch(code, layer.key, code, None, origin) for code in unknown]
        known = written.attributes[places >= 0]
        texts = {
            field: [None if cell is None else str(cell) for cell in plain_values(known[field])]
            for field in layer.fields
        }
        published = pd.DataFrame(texts, dtype=object)
        official = features.table.iloc[places[places >= 0]].reset_index(drop=True)
        expected = {field: official[name] for field, name in layer.fields.items()}
        compared = replace(written, attributes=published)
        mismatches += compared.compare_columns([layer.key], expected, origin)
    return mismatches


def compare_shapes(formats: Sequence[Mapping[str, WrittenLayer]], originals: Originals) -> list[Mismatch]:
    """Compare official contours with their files, in each format."""
    mismatches = []
    for layer in _LAYERS:
        official: _OfficialShapes | None = None
        for written in (release[layer.name] for release in formats if layer.name in release):
            if written.geometry is not None:
                codes = written.attributes[layer.key].tolist()
                # Reprojected once for all formats that hold the same rows.
                if official is None or official.codes != codes:
                    features = originals.read(originals.filling(layer.table), read_features)
                    official = _official_shapes(codes, features, layer.place_of)
                mismatches += _compare_shapes(written, written.geometry, official)
    return mismatches


@dataclass(frozen=True)
class _OfficialShapes:
    """Official contours of a layer's rows, None for unknown codes and where the file has none.

    `origin` is the file, `epsg` the projected CRS in which each is measured and repaired.
    """

    origin: str
    codes: list[str]
    known: Mask
    epsg: list[int]
    projected: Geometries
    degrees: Geometries


def _official_shapes(codes: list[str], features: Features, place_of: Callable[[str], str]) -> _OfficialShapes:
    known = features.table.index.get_indexer(codes) >= 0
    pairs = zip(codes, known, strict=True)
    epsg = [zone_of(place_of(code)).epsg if there else WGS84 for code, there in pairs]
    projected, degrees = (features.geometries(codes, epsgs) for epsgs in (epsg, [WGS84] * len(codes)))
    return _OfficialShapes(features.raw.label, codes, known, epsg, projected, degrees)


def _compare_shapes(written: WrittenLayer, shapes: Geometries, official: _OfficialShapes) -> list[Mismatch]:
    """Compare all contours at once, vertex by vertex, and look at those that differ one by one."""
    changes = written.attributes["ecart_reparation_m2"]
    if written.epsg == WGS84:
        same = same_vertices(shapes, official.degrees, _DEGREES)
    else:
        same = same_vertices(shapes, official.projected, _METRES)
    same &= changes.isna().to_numpy() & ~shapely.is_empty(official.projected)
    return [
        written.mismatch(official.codes[row], "geometry", problem, "the official contour", official.origin)
        for row in np.flatnonzero(official.known & ~same).tolist()
        if (problem := _shape_problem(shapes[row], row, official, changes[row], written.epsg))
    ]


def _shape_problem(
    published: BaseGeometry | None, row: int, official: _OfficialShapes, change: float, epsg: int | None
) -> str:
    """Say in a few words how a published contour differs from the official one; empty if it does not."""
    if published is None or shapely.is_empty(published):
        return "no geometry"
    projected, degrees = official.projected[row], official.degrees[row]
    valid = bool(shapely.is_valid(projected))
    if valid != pd.isna(change):
        return f"repair recorded: {change}, official contour valid: {valid}"
    if epsg == WGS84:
        if valid and shapely.is_valid(
            shapely.transform(degrees, lambda points: np.round(points, OFFICIAL_DECIMALS))
        ):
            return _vertex_problem(published, degrees, "degrees")
        flat = shapely.transform(published, projector(WGS84, official.epsg[row]))
        slack = shapely.length(flat) * _OFF_LINE_ROUNDED
        return _line_problem(flat, projected, 0.0 if valid else change, _OFF_LINE_ROUNDED, slack)
    if valid:
        return _vertex_problem(published, projected, "m")
    return _line_problem(published, projected, change, _OFF_LINE, _AREA * shapely.area(projected))


def _vertex_problem(published: BaseGeometry, official: BaseGeometry, unit: str) -> str:
    """Say how the vertices differ of two contours whose vertices do (`same_vertices`)."""
    one, other = (shapely.orient_polygons(shape) for shape in (published, official))
    sizes, official_sizes = (shapely.get_num_coordinates(_rings(shape)) for shape in (one, other))
    if not np.array_equal(sizes, official_sizes):
        return f"rings of {sizes.tolist()} vertices in place of {official_sizes.tolist()}"
    distance = np.abs(shapely.get_coordinates(one) - shapely.get_coordinates(other)).max()
    return f"a vertex {distance:.3g} {unit} away"


def _rings(shape: BaseGeometry) -> np.ndarray:
    return shapely.get_rings(shapely.get_parts(shape))


def _line_problem(
    published: BaseGeometry, official: BaseGeometry, change: float, tolerance: float, slack: float
) -> str:
    """Check that a repaired contour has its vertices on the official lines, and the area recorded."""
    lines = shapely.multilinestrings([shapely.LineString(ring.coords) for ring in _rings(official)])
    away = shapely.distance(shapely.points(shapely.get_coordinates(published)), lines).max()
    if away > tolerance:
        return f"a vertex {away:.3g} m away from the official lines"
    expected, area = shapely.area(official) + change, shapely.area(published)
    return f"area {area} m² in place of {expected} m²" if abs(area - expected) > slack else ""
