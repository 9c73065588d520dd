"""Published contours against the official ones: attributes, vertices, repairs, measures."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from qpv_geo.audit.differences import Difference
from qpv_geo.audit.originals import Features, Originals, projector
from qpv_geo.audit.readers import Reading
from qpv_geo.audit.shapes import Geometries, Mask, same_vertices
from qpv_geo.formats.frames import plain_values, row_names
from qpv_geo.formats.geojson import DECIMALS
from qpv_geo.parallel import in_threads
from qpv_geo.territory import LARGEST_REACH, Territory
from qpv_geo.zones import department_of, zone_of

_WGS84 = 4326
# How far a published vertex may be from the official one, reprojected: metres, and degrees in GeoJSON.
_METRES, _DEGREES = 1e-6, 10.0**-DECIMALS
# How far a vertex of a repaired contour may be from the official lines, in metres: the precision of the file,
# that of rounding and snapping in GeoJSON.
_OFF_LINE, _OFF_LINE_ROUNDED = 1e-6, 0.03
# What a repair may move a contour at the very distance up to which neighbours are published, in metres.
_MOVED = 100.0
# Relative: areas are sums of large products.
_AREA = 1e-9


@dataclass(frozen=True)
class _Kind:
    """Which published field is which official property."""

    layer: str
    key: str
    fields: Mapping[str, str]


_QPV_FIELDS = (
    *("code_qp", "lib_qp", "insee_reg", "lib_reg", "insee_dep", "lib_dep"),
    *("insee_com", "lib_com", "siren_epci"),
)
_QPV = _Kind("qpv", "code_qp", {name: name for name in _QPV_FIELDS})
_NEIGHBOURS = _Kind(
    "qpv_voisins",
    "code_qp",
    {name: name for name in ("code_qp", "lib_qp", "insee_com", "lib_com", "siren_epci")},
)
_COMMUNES = _Kind(
    "communes",
    "insee_com",
    {
        "insee_com": "code",
        "nom_com": "nom",
        "siren_epci": "codeEpci",
        "insee_dep": "codeDepartement",
        "insee_reg": "codeRegion",
        "population": "population",
    },
)


def compare_qpv(
    formats: Iterable[Mapping[str, Reading]], originals: Originals, territory: Territory
) -> list[Difference]:
    """Compare layer ``qpv`` with the official file; each QPV that declares the territory must be there."""
    features = originals.features(originals.filling("contours"))
    declaring = {
        code
        for code, row in features.rows.items()
        if territory.is_declared(code, row["insee_com"], row["siren_epci"])
    }
    return _compare(formats, _QPV, features, declaring, department_of)


def compare_communes(
    formats: Iterable[Mapping[str, Reading]], originals: Originals, territory: Territory
) -> list[Difference]:
    """Compare layer ``communes`` with the official file; each commune of the territory must be there."""
    features = originals.features(originals.filling("communes"))
    column = {"epci": "codeEpci", "departement": "codeDepartement", "commune": "code"}.get(territory.genre)
    members = features.codes_by(column).get(territory.code, set()) if column else set(features.rows)
    return _compare(formats, _COMMUNES, features, members, str)


def compare_neighbours(
    formats: Sequence[Mapping[str, Reading]], originals: Originals, territory: Territory
) -> list[Difference]:
    """Compare layer ``qpv_voisins`` with the official file; each QPV near the communes must be there."""
    readings = formats[0]
    reading, drawn = readings.get("qpv_voisins"), readings["communes"].geometry
    if reading is None or reading.geometry is None or drawn is None:
        return []
    features = originals.features(originals.filling("contours"))
    codes, shapes = features.drawn_in(territory.epsg, lambda code: zone_of(department_of(code)).epsg)
    communes = shapely.STRtree(drawn)
    near = np.unique(communes.query(shapes, predicate="dwithin", distance=LARGEST_REACH - _MOVED)[0])
    members = set(readings["qpv"].attributes["code_qp"])
    checks = readings["controles"].attributes
    set_aside = set(checks.loc[checks["controle"] == "entite_ecartee", "objet"])
    expected = {codes[row] for row in near.tolist()} - members - set_aside
    differences = _compare(formats, _NEIGHBOURS, features, expected, department_of)
    table, name = reading.attributes, reading.path.name
    _, distances = communes.query_nearest(reading.geometry, return_distance=True, all_matches=False)
    differences += _unequal(reading, "qpv_voisins", "distance_territoire_m", pd.Series(distances), _AREA)
    return differences + [
        Difference(name, "qpv_voisins", code, "code_qp", code, None, "layer qpv, which has it too")
        for code in table["code_qp"]
        if code in members
    ]


def _compare(
    formats: Iterable[Mapping[str, Reading]],
    kind: _Kind,
    features: Features,
    expected: set[str],
    place_of: Callable[[str], str],
) -> list[Difference]:
    """Compare a layer in each format; `place_of` gives of a code what tells its projected CRS."""
    origin, drawn = features.raw.label, _Drawn(features, place_of)
    differences = []
    for readings in formats:
        reading = readings[kind.layer]
        codes = reading.attributes[kind.key].tolist()
        differences += [
            Difference(reading.path.name, kind.layer, code, kind.key, None, code, origin)
            for code in sorted(expected - set(codes))
        ]
        differences += _unlike_attributes(reading, kind, features)
        if reading.geometry is None:
            continue
        official = drawn.official(codes)
        changes = reading.attributes["ecart_reparation_m2"].tolist()
        known = np.array([code in features.rows for code in codes], dtype=bool)
        for row in np.flatnonzero(known & ~_settled(reading, reading.geometry, official)).tolist():
            if problem := _shape_problem(reading, row, official, changes[row]):
                place = (reading.path.name, kind.layer, codes[row], "geometry")
                differences.append(Difference(*place, problem, "the official contour", origin))
    return differences


def _unlike_attributes(reading: Reading, kind: _Kind, features: Features) -> list[Difference]:
    """Compare fields column by column, and name the codes that the official file does not know."""
    file, table, origin = reading.path.name, reading.attributes, features.raw.label
    codes = table[kind.key].tolist()
    rows = [features.rows.get(code) for code in codes]
    differences = [
        Difference(file, kind.layer, code, kind.key, code, None, origin)
        for code, row in zip(codes, rows, strict=True)
        if row is None
    ]
    for field, name in kind.fields.items():
        published = [None if cell is None else str(cell) for cell in plain_values(table[field])]
        official = [None if row is None else row[name] for row in rows]
        if published == official:
            continue
        differences += [
            Difference(file, kind.layer, code, field, found, wanted, origin)
            for code, row, found, wanted in zip(codes, rows, published, official, strict=True)
            if row is not None and found != wanted
        ]
    return differences


@dataclass(frozen=True)
class _Official:
    """Official contours of a layer's rows, None for unknown codes and where the file has none.

    Attributes
    ----------
    epsg
        The projected CRS in which each is measured and repaired.
    projected, valid
        In that CRS, and whether it is valid there.
    degrees, valid_rounded
        In longitude and latitude, and whether it is valid when rounded as in GeoJSON.
    """

    epsg: list[int]
    projected: Geometries
    valid: Mask
    degrees: Geometries
    valid_rounded: Mask


class _Drawn:
    """Official contours reprojected, once for all formats that hold the same rows."""

    def __init__(self, features: Features, place_of: Callable[[str], str]) -> None:
        self._features = features
        self._place_of = place_of
        self._last: tuple[list[str], _Official] | None = None

    def official(self, codes: list[str]) -> _Official:
        if self._last is None or self._last[0] != codes:
            known = self._features.rows
            epsg = [zone_of(self._place_of(code)).epsg if code in known else _WGS84 for code in codes]
            projected = self._features.geometries(codes, epsg)
            degrees = self._features.geometries(codes, [_WGS84] * len(codes))
            rounded = shapely.transform(degrees, lambda points: np.round(points, DECIMALS))
            valid, valid_rounded = (in_threads(shapely.is_valid, shapes) for shapes in (projected, rounded))
            self._last = codes, _Official(epsg, projected, valid, degrees, valid_rounded)
        return self._last[1]


def _settled(reading: Reading, shapes: Geometries, official: _Official) -> Mask:
    """Tell which contours are the official ones, vertex by vertex; the others are looked at one by one."""
    unrepaired = reading.attributes["ecart_reparation_m2"].isna().to_numpy()
    sound: Mask = unrepaired & official.valid & ~shapely.is_empty(official.projected)
    if reading.epsg != _WGS84:
        return sound & same_vertices(shapes, official.projected, _METRES)
    return sound & official.valid_rounded & same_vertices(shapes, official.degrees, _DEGREES)


def _shape_problem(reading: Reading, row: int, official: _Official, change: float) -> str:
    """Say in a few words how a published contour differs from the official one; empty if it does not."""
    published = None if reading.geometry is None else reading.geometry[row]
    if published is None or shapely.is_empty(published):
        return "no geometry"
    projected, repaired = official.projected[row], not official.valid[row]
    if repaired == pd.isna(change):
        return f"repair recorded: {change}, official contour valid: {not repaired}"
    if reading.epsg == _WGS84:
        if not repaired and official.valid_rounded[row]:
            return _vertex_problem(published, official.degrees[row], _DEGREES, "degrees")
        flat = shapely.transform(published, projector(_WGS84, official.epsg[row]))
        slack = shapely.length(flat) * _OFF_LINE_ROUNDED
        return _line_problem(flat, projected, 0.0 if pd.isna(change) else change, _OFF_LINE_ROUNDED, slack)
    if not repaired:
        return _vertex_problem(published, projected, _METRES, "m")
    return _line_problem(published, projected, change, _OFF_LINE, _AREA * shapely.area(projected))


def _vertex_problem(published: BaseGeometry, official: BaseGeometry, tolerance: float, unit: str) -> str:
    """Compare vertices one by one; the direction of rings is not compared, GeoJSON prescribes its own."""
    one, other = (shapely.orient_polygons(shape) for shape in (published, official))
    sizes, official_sizes = (shapely.get_num_coordinates(_rings(shape)) for shape in (one, other))
    if not np.array_equal(sizes, official_sizes):
        return f"rings of {sizes.tolist()} vertices in place of {official_sizes.tolist()}"
    distance = np.abs(shapely.get_coordinates(one) - shapely.get_coordinates(other)).max()
    # The last binary digit of a rounded decimal is not a difference.
    return f"a vertex {distance:.3g} {unit} away" if distance > tolerance * (1 + 1e-6) else ""


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
    expected = shapely.area(official) + change
    found = shapely.area(published)
    return f"area {found} m² in place of {expected} m²" if abs(found - expected) > slack else ""


def compare_measures(readings: Mapping[str, Reading], territory: Territory) -> list[Difference]:
    """Compare published areas, lengths, shares and sums with what the published rows and geometries give."""
    differences = []
    for name, reading in readings.items():
        for field, measure in (("surface_m2", shapely.area), ("perimetre_m", shapely.length)):
            if reading.geometry is None or reading.epsg == _WGS84 or field not in reading.attributes:
                continue
            differences += _unequal(reading, name, field, pd.Series(measure(reading.geometry)), _AREA)
    if "qpv_commune" in readings:
        differences += _compare_pieces(readings)
    if "epci" in readings:
        differences += _compare_sums(readings, territory)
    return differences


def _compare_pieces(readings: Mapping[str, Reading]) -> list[Difference]:
    """Check that the pieces of each QPV add up to its area, and that shares are of what they say."""
    reading, pieces = readings["qpv_commune"], readings["qpv_commune"].attributes
    qpv = readings["qpv"].attributes.set_index("code_qp")["surface_m2"]
    communes = readings["communes"].attributes.set_index("insee_com")["surface_m2"]
    whole = pieces["code_qp"].map(qpv)
    total = pieces.groupby("code_qp")["surface_m2"].transform("sum")
    surface = pieces["surface_m2"]
    differences = _unequal(reading, "qpv_commune", "surface_m2", surface * whole / total, 1e-6)
    differences += _unequal(reading, "qpv_commune", "part_qpv", 100 * surface / whole, 1e-6)
    share = 100 * surface / pieces["insee_com"].map(communes)
    # The part of a QPV in a neighbouring territory is there, the commune that it is a share of is not.
    strange = pieces["insee_com"].notna() & ~pieces["insee_com"].isin(communes.index)
    share = share.where(~strange, pieces["part_commune"])
    return differences + _unequal(reading, "qpv_commune", "part_commune", share, 1e-6)


def _compare_sums(readings: Mapping[str, Reading], territory: Territory) -> list[Difference]:
    """Check the sums over the communes of each EPCI; of one that is there in part, the parts are not all."""
    reading, communes = readings["epci"], readings["communes"].attributes
    epci = reading.attributes
    members = communes.groupby("siren_epci")
    sums = pd.DataFrame(
        {
            "nb_communes": members.size(),
            "population": members["population"].agg(lambda values: values.sum(min_count=len(values))),
            "nb_qpv": _number_of_qpv(readings, territory),
        }
    ).reindex(epci["siren_epci"])
    there = sums["nb_communes"].fillna(0).to_numpy(dtype=float)
    whole = there == epci["nb_communes"].to_numpy(dtype=float)
    if territory.genre in {"epci", "france"}:
        whole[:] = True
    differences = []
    for field, values in sums.items():
        found = epci[field].astype("Float64").reset_index(drop=True)
        wanted = values.astype("Float64").reset_index(drop=True)
        if field == "nb_qpv":
            wanted = wanted.fillna(0)
        # Other communes and QPV of the EPCI can only add to what the territory holds.
        known = whole if field == "population" else whole | (found < wanted).to_numpy(dtype=bool)
        differences += _unequal(reading, "epci", str(field), wanted.where(known, found), 0.0)
    return differences


def _number_of_qpv(readings: Mapping[str, Reading], territory: Territory) -> "pd.Series[int]":
    """Return the number of QPV by EPCI: of an EPCI all that are published, else those that declare it."""
    qpv, communes = readings["qpv"].attributes, readings["communes"].attributes
    if territory.genre == "epci":
        return pd.Series({territory.epci: len(qpv)})
    named = qpv.set_index("code_qp")[["insee_com", "siren_epci"]]
    codes = {name: named[name].str.split(r"\s*,\s*", regex=True).explode().dropna() for name in named}
    of_commune = communes.set_index("insee_com")["siren_epci"]
    pairs = pd.concat([codes["siren_epci"], codes["insee_com"].map(of_commune).dropna()])
    distinct = pairs.reset_index(name="epci").drop_duplicates()
    counts: pd.Series[int] = distinct.groupby("epci")["code_qp"].size()
    return counts


def _numbers(values: pd.Series) -> NDArray[np.float64]:
    known = values if values.dtype == "float64" else values.astype("Float64")
    return np.asarray(known.to_numpy(dtype="float64", na_value=np.nan), dtype=np.float64)


def _unequal(
    reading: Reading, layer: str, field: str, expected: pd.Series, tolerance: float
) -> list[Difference]:
    """Return where a field differs from what it should be by more than a relative tolerance."""
    published, wanted = (_numbers(values) for values in (reading.attributes[field], expected))
    equal = np.isclose(published, wanted, rtol=tolerance, atol=0, equal_nan=True)
    rows = np.flatnonzero(~equal)
    names = row_names(reading.attributes.iloc[rows], reading.attributes.columns[:1])
    return [
        Difference(reading.path.name, layer, name, field, published[row], wanted[row])
        for row, name in zip(rows, names, strict=True)
    ]
