"""`locate` is the exact predicate and the exact distance, only faster."""

import pickle
from dataclasses import fields
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pyproj
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry.base import BaseGeometry

from qpv_geo.errors import ConfigurationError, ContractError
from qpv_geo.ingest.contours import read_contours
from qpv_geo.locate.answers import Answer, Located, contains, locate
from qpv_geo.locate.index import LocateIndex
from qpv_geo.settings import Settings
from qpv_geo.territory import Territory
from tests.examples import examples
from tests.raw_files import raw_file

Floats = npt.NDArray[np.float64]

_CRS = 2154
_TO_LONLAT = pyproj.Transformer.from_crs(_CRS, 4326, always_xy=True)
_FROM_LONLAT = pyproj.Transformer.from_crs(4326, _CRS, always_xy=True)
_CENTRE = (927_000.0, 6_687_000.0)
_GRID = 5
_NONE = -1


def _index(*polygons: BaseGeometry, **options: object) -> LocateIndex:
    return LocateIndex.build(gpd.GeoSeries(list(polygons), crs=_CRS), **options)


def _box(x: float, y: float, side: float) -> BaseGeometry:
    west, south = _CENTRE[0] + x, _CENTRE[1] + y
    return shapely.box(west, south, west + side, south + side)


def _here(*points: tuple[float, float]) -> tuple[Floats, Floats]:
    xy = np.array(points, dtype=float) + _CENTRE
    return xy[:, 0], xy[:, 1]


def _holds_exactly(polygon: BaseGeometry, x: float, y: float) -> bool:
    """Tell whether a polygon holds a point, boundary included, in rational arithmetic."""
    px, py = Fraction(x), Fraction(y)
    inside = False
    for part in shapely.get_parts(polygon):
        for ring in shapely.get_rings(part):
            corners = [(Fraction(cx), Fraction(cy)) for cx, cy in shapely.get_coordinates(ring).tolist()]
            for (ax, ay), (bx, by) in pairwise(corners):
                turn = (bx - ax) * (py - ay) - (by - ay) * (px - ax)
                if turn == 0 and min(ax, bx) <= px <= max(ax, bx) and min(ay, by) <= py <= max(ay, by):
                    return True
                if (ay > py) != (by > py) and (turn > 0) == (by > ay):
                    inside = not inside
    return inside


def _first_that_holds(polygons: list[BaseGeometry], x: Floats, y: Floats) -> list[int]:
    return [
        next((k for k, polygon in enumerate(polygons) if _holds_exactly(polygon, px, py)), _NONE)
        for px, py in zip(x.tolist(), y.tolist(), strict=True)
    ]


@st.composite
def _zones(draw: st.DrawFn) -> list[BaseGeometry]:
    """Zones made of the triangles of an uneven grid: holes, parts, borders and corners that touch.

    One more zone may overlap the others.
    """
    step = draw(st.sampled_from([9.0, 140.0, 900.0]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    uneven = draw(st.sampled_from([0.0, 0.2]))
    node = np.stack(np.meshgrid(*[np.arange(_GRID + 1.0)] * 2, indexing="ij"), axis=-1)
    node = (node + rng.uniform(-uneven, uneven, node.shape)) * step + _CENTRE
    kinds = draw(st.integers(1, 4))
    owner = rng.integers(-1, kinds, (_GRID, _GRID, 2))
    pieces: dict[int, list[BaseGeometry]] = {}
    for i, j, half in np.ndindex(owner.shape):
        across = (i + 1, j) if half else (i, j + 1)
        corners = [node[i, j], node[across], node[i + 1, j + 1]]
        pieces.setdefault(int(owner[i, j, half]), []).append(shapely.Polygon(corners))
    zones = [shapely.coverage_union_all(parts) for kind, parts in sorted(pieces.items()) if kind != _NONE]
    if draw(st.booleans()) or not zones:
        west, south = rng.uniform(-1, _GRID, 2) * step + _CENTRE
        zones.append(shapely.box(west, south, west + 2.3 * step, south + 1.7 * step))
    return [zones[k] for k in rng.permutation(len(zones))]


def _awkward_points(zones: list[BaseGeometry], seed: int) -> tuple[Floats, Floats]:
    """Points of all kinds about zones: anywhere, far, on vertices, on and beside edges."""
    rng = np.random.default_rng(seed)
    vertices = rng.permutation(shapely.get_coordinates(zones))[:12]
    edges = rng.permutation(
        np.hstack([shapely.get_coordinates(zones)[:-1], shapely.get_coordinates(zones)[1:]])
    )
    middles = (edges[:8, :2] + edges[:8, 2:]) / 2
    on_line = edges[8:16, :2] + (edges[8:16, 2:] - edges[8:16, :2]) * rng.random((len(edges[8:16]), 1))
    west, south, east, north = shapely.total_bounds(zones)
    margin = rng.choice([0.0, 50.0, 1500.0])
    scattered = rng.uniform([west - margin, south - margin], [east + margin, north + margin], (24, 2))
    beside = np.nextafter(vertices, rng.choice([-np.inf, np.inf], vertices.shape))
    level = np.column_stack([rng.uniform(west, east, len(vertices)), vertices[:, 1]])
    x, y = np.vstack([vertices, middles, on_line, scattered, beside, level]).T.copy()
    return x, y


_seeds = st.integers(0, 2**32 - 1)


@given(zones=_zones(), seed=_seeds)
def test_contains_is_exact(zones: list[BaseGeometry], seed: int) -> None:
    x, y = _awkward_points(zones, seed)
    assert contains(_index(*zones), x, y).tolist() == _first_that_holds(zones, x, y)


@given(zones=_zones(), seed=_seeds, reach=st.sampled_from([300.0, 1000.0, 4000.0]))
def test_distance_and_nearest_are_those_of_the_boundaries(
    zones: list[BaseGeometry], seed: int, reach: float
) -> None:
    x, y = _awkward_points(zones, seed)
    located = locate(_index(*zones, reach=reach), x, y, max_distance=reach)
    holder = np.array(_first_that_holds(zones, x, y))
    to_all = shapely.distance(shapely.boundary(np.array(zones))[:, None], shapely.points(x, y))
    expected = np.where(holder >= 0, to_all[holder, np.arange(len(x))], to_all.min(axis=0))
    tolerance = 1e-9 * (1 + expected)
    known = ~np.isnan(located.distance_m)

    np.testing.assert_array_equal(located.qpv, holder)
    clear = np.abs(expected - reach) > tolerance
    np.testing.assert_array_equal(known[clear], ((holder >= 0) | (expected <= reach))[clear])
    assert (np.abs(np.abs(located.distance_m) - expected) <= tolerance)[known].all()
    assert (np.sign(located.distance_m[known]) == np.where(holder[known] >= 0, -1, 1))[
        expected[known] > tolerance[known]
    ].all()
    held = holder >= 0
    np.testing.assert_array_equal(located.qpv_proche[held], holder[held])
    np.testing.assert_array_equal(located.qpv_proche[~known], _NONE)
    about = np.flatnonzero(known & ~held)
    assert (to_all[located.qpv_proche[about], about] <= expected[about] + tolerance[about]).all()
    clear = held | (np.abs(expected - 300) > tolerance)
    np.testing.assert_array_equal(located.bande_tva[clear], (held | (expected < 300))[clear])


@examples(30)
@given(
    zones=_zones(), seed=_seeds, crs=st.sampled_from(["EPSG:4326", "EPSG:3857", "EPSG:3035", "EPSG:32631"])
)
def test_points_in_another_crs_are_answered_as_projected(
    zones: list[BaseGeometry], seed: int, crs: str
) -> None:
    there = pyproj.Transformer.from_crs(_CRS, crs, always_xy=True)
    x, y = there.transform(*_awkward_points(zones, seed))
    projected = pyproj.Transformer.from_crs(crs, _CRS, always_xy=True).transform(x, y)
    widths = np.resize([300.0, 500.0, 450.0], len(zones))
    index, plain = _index(*zones, points_crs=crs, widths=widths), _index(*zones, widths=widths)
    np.testing.assert_array_equal(contains(index, x, y), contains(plain, *projected))
    _assert_same(locate(index, x, y, precision=70.0), locate(plain, *projected, precision=70.0))


def _signed(zones: list[BaseGeometry], x: Floats, y: Floats) -> Floats:
    """Distance to the boundary of the first zone that holds each point, negative, else to the nearest."""
    to_all = shapely.distance(shapely.boundary(np.array(zones))[:, None], shapely.points(x, y))
    holder = np.array(_first_that_holds(zones, x, y))
    return np.where(holder >= 0, -to_all[holder, np.arange(len(x))], to_all.min(axis=0))


_widths = st.lists(st.sampled_from([300.0, 500.0, 40.0, 900.0]), min_size=5, max_size=5)


@given(zones=_zones(), seed=_seeds, widths=_widths)
def test_each_band_has_its_own_width(zones: list[BaseGeometry], seed: int, widths: list[float]) -> None:
    x, y = _awkward_points(zones, seed)
    width = np.array(widths[: len(zones)])
    located = locate(_index(*zones, widths=width), x, y)
    plain = locate(_index(*zones), x, y)
    for name in ("en_qpv", "qpv", "distance_m", "qpv_proche"):
        np.testing.assert_array_equal(getattr(located, name), getattr(plain, name))
    margin = shapely.distance(np.array(zones)[:, None], shapely.points(x, y)) - width[:, None]
    clear = np.abs(margin).min(axis=0) > 1e-6
    np.testing.assert_array_equal(located.bande_tva[clear], (margin.min(axis=0) < 0)[clear])
    held = located.qpv >= 0
    np.testing.assert_array_equal(located.largeur_bande_m[held], width[located.qpv[held]])
    about = np.flatnonzero(clear & ~held & ~np.isnan(located.largeur_bande_m))
    # Of those beyond reach, nobody knows how near their limit is.
    least = np.where(margin + width[:, None] > 1000, np.inf, margin).min(axis=0)
    candidates = (margin[:, about] <= least[about] + 1e-6) & (
        width[:, None] == located.largeur_bande_m[about]
    )
    assert candidates.any(axis=0).all()
    unknown = np.isnan(located.distance_m) & (located.bande_tva == Answer.NON)
    np.testing.assert_array_equal(np.isnan(located.largeur_bande_m), unknown)


@given(
    zones=_zones(),
    seed=_seeds,
    precision=st.sampled_from([0.0, 20.0, 800.0, 1400.0, 6000.0]),
    widths=st.just([300.0] * 5) | _widths,
)
def test_uncertain_is_nearer_than_precise(
    zones: list[BaseGeometry], seed: int, precision: float, widths: list[float]
) -> None:
    x, y = _awkward_points(zones, seed)
    width = np.array(widths[: len(zones)])
    index = _index(*zones, widths=width)
    exact, rough = locate(index, x, y), locate(index, x, y, precision=precision)
    signed = _signed(zones, x, y)
    limits = signed - width.min()
    for wide in np.unique(width):
        some = [zone for zone, each in zip(zones, width, strict=True) if each == wide]
        limits = np.minimum(limits, _signed(some, x, y) - wide)
    for beyond, answer, before in (
        (signed, rough.en_qpv, exact.en_qpv),
        (limits, rough.bande_tva, exact.bande_tva),
    ):
        margin = np.abs(beyond)
        clear = np.abs(margin - precision) > 1e-9 * (1 + margin)
        expected = np.where(margin < precision, Answer.INCERTAIN, before)
        np.testing.assert_array_equal(answer[clear], expected[clear])
    np.testing.assert_array_equal(rough.qpv, np.where(rough.en_qpv == Answer.OUI, exact.qpv, _NONE))
    np.testing.assert_array_equal(rough.distance_m, exact.distance_m)
    np.testing.assert_array_equal(rough.qpv_proche, exact.qpv_proche)


def _assert_same(one: Located, other: Located) -> None:
    for name in [field.name for field in fields(Located)]:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def test_boundary_vertex_and_hole() -> None:
    ring = shapely.Polygon(_box(0, 0, 100).exterior, [_box(40, 40, 20).exterior])
    points = _here((0, 0), (50, 0), (0, 33.25), (40, 40), (40, 55.5), (50, 50), (20, 50), (-1, 50))
    located = locate(_index(ring), *points)
    assert located.en_qpv.tolist() == [1, 1, 1, 1, 1, 0, 1, 0]
    assert located.distance_m.tolist() == [0, 0, 0, 0, 0, 10, -20, 1]
    assert not np.signbit(located.distance_m[:5]).any(), "a distance of minus zero would be written -0"


def test_first_zone_wins_where_two_meet_or_overlap() -> None:
    left, right, over = _box(0, 0, 100), _box(100, 0, 100), _box(50, 50, 100)
    points = _here((100, 20), (100, 110), (120, 120), (60, 60), (130, 60), (100, -5))
    assert contains(_index(left, right, over), *points).tolist() == [0, 2, 2, 0, 1, _NONE]
    assert contains(_index(over, right, left), *points).tolist() == [1, 0, 0, 0, 0, _NONE]
    located = locate(_index(left, right, over), *points)
    assert located.qpv_proche.tolist() == [0, 2, 2, 0, 1, 0], (
        "equally near both squares, the last is the first's"
    )
    # 60, 60 is 10 m from the edge of `over`, and 40 m from its own.
    assert located.distance_m.tolist() == [0, -40, -30, -40, -30, 5]


def test_distance_inside_has_no_limit() -> None:
    located = locate(_index(_box(0, 0, 6000)), *_here((3000, 2900), (2000, 3000), (-999, 10), (-1001, 10)))
    np.testing.assert_array_equal(located.distance_m, [-2900, -2000, 999, np.nan])
    assert located.qpv_proche.tolist() == [0, 0, 0, _NONE]
    assert located.bande_tva.tolist() == [1, 1, 0, 0]


def test_largest_distance_may_be_less_than_the_reach() -> None:
    located = locate(_index(_box(0, 0, 100)), *_here((-50, 50), (-150, 50), (50, 50)), max_distance=100)
    np.testing.assert_array_equal(located.distance_m, [50, np.nan, -50])
    assert located.qpv_proche.tolist() == [0, _NONE, 0]
    assert located.bande_tva.tolist() == [1, 1, 1]


def test_precision_of_each_point() -> None:
    x, y = _here(*[(50, 50)] * 5, *[(-2000, 50)] * 5)
    precision = np.array([50, 50.5, np.nan, np.inf, 0, 1999, 2001, np.nan, np.inf, 1701])
    located = locate(_index(_box(0, 0, 100)), x, y, precision=precision)
    assert located.en_qpv.tolist() == [1, 2, 2, 2, 1, 0, 2, 2, 2, 0]
    assert located.qpv.tolist() == [0, _NONE, _NONE, _NONE, 0] + [_NONE] * 5
    assert located.qpv_proche.tolist() == [0] * 5 + [_NONE] * 5
    assert located.bande_tva.tolist() == [1, 1, 2, 2, 1, 2, 2, 2, 2, 2]


@pytest.mark.parametrize("points_crs", [None, "EPSG:4326"])
def test_coordinates_that_are_not_ones(points_crs: str | None) -> None:
    bad = [np.nan, np.inf, -np.inf]
    x, y = np.array([*bad, 0.0, 0.0, 0.0, np.nan]), np.array([0.0, 0.0, 0.0, *bad, np.nan])
    index = _index(_box(0, 0, 100), points_crs=points_crs)
    assert contains(index, x, y).tolist() == [_NONE] * 7
    located = locate(index, x, y, precision=1e6)
    assert located.en_qpv.tolist() == located.bande_tva.tolist() == [Answer.ILLISIBLE] * 7
    assert np.isnan(located.distance_m).all()
    assert located.qpv.tolist() == located.qpv_proche.tolist() == [_NONE] * 7


def test_coordinates_out_of_this_world() -> None:
    huge = np.array([1e308, -1e308, 1e12, 0.0])
    assert locate(_index(_box(0, 0, 100)), huge, huge[::-1], precision=5000.0).en_qpv.tolist() == [0] * 4
    degrees = _index(_box(0, 0, 100), points_crs=4326)
    far = locate(
        degrees, [6.0, 6.0, 400.0, 1e308, -150.0], [91.0, -90.0, 45.0, 45.0, -17.0], precision=5000.0
    )
    assert far.en_qpv.tolist() == [3, 0, 3, 3, 0]


def test_no_point_one_point_and_many() -> None:
    index = _index(_box(0, 0, 3000), _box(5000, 0, 3000), points_crs=4326)
    assert len(locate(index, [], []).en_qpv) == len(contains(index, [], [])) == 0
    lon, lat = _TO_LONLAT.transform(_CENTRE[0] + 5001, _CENTRE[1] + 1)
    assert contains(index, lon, lat).tolist() == [1]

    rng = np.random.default_rng(6)
    lon, lat = _TO_LONLAT.transform(*(rng.uniform(-2000, 9000, (150_000, 2)) + _CENTRE).T)
    radius = rng.uniform(0, 2500, len(lon))
    whole = locate(index, lon, lat, precision=radius)
    parts = [slice(0, 70_000), slice(70_000, 70_001), slice(70_001, None)]
    pieces = [locate(index, lon[part], lat[part], precision=radius[part]) for part in parts]
    names = [field.name for field in fields(Located)]
    _assert_same(whole, Located(*(np.concatenate([getattr(p, n) for p in pieces]) for n in names)))
    pieces = [contains(index, lon[part], lat[part]) for part in parts]
    np.testing.assert_array_equal(contains(index, lon, lat), np.concatenate(pieces))


def test_index_survives_a_trip_to_another_process() -> None:
    index = _index(_box(0, 0, 3000), points_crs=4326, reach=500, widths=np.array([450.0]))
    again = pickle.loads(pickle.dumps(index))  # noqa: S301
    lon, lat = _TO_LONLAT.transform(*_here((1, 1), (-400, 0), (-600, 0)))
    _assert_same(locate(index, lon, lat, max_distance=500), locate(again, lon, lat, max_distance=500))


def test_building_leaves_the_callers_geometries_alone() -> None:
    zones = gpd.GeoSeries([_box(0, 0, 100)], crs=_CRS)
    LocateIndex.build(zones)
    assert not shapely.is_prepared(zones.to_numpy()).any()


def _random_points(bounds: Floats, n: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(11)
    k = rng.integers(0, len(bounds), n)
    x, y = (rng.uniform(bounds[k, i] - 1500, bounds[k, i + 2] + 1500) for i in (0, 1))
    return x, y


def _assert_is_geos(zones: gpd.GeoSeries, points: int) -> None:
    """Compare with GEOS on random points, and on every vertex of the zones."""
    polygons = zones.to_numpy()
    x, y = _random_points(shapely.bounds(polygons), points)
    x, y = np.concatenate([[x, y], shapely.get_coordinates(polygons).T], axis=1)
    geometry = shapely.points(x, y)
    point, zone = shapely.STRtree(polygons).query(geometry, predicate="intersects")
    first = np.full(len(x), len(zones))
    np.minimum.at(first, point, zone)
    first[first == len(zones)] = _NONE
    index = LocateIndex.build(zones)
    np.testing.assert_array_equal(contains(index, x, y), first)

    some = slice(0, points // 5)
    located = locate(index, x[some], y[some])
    boundaries = shapely.boundary(polygons)
    (point, _), distance = shapely.STRtree(boundaries).query_nearest(
        geometry[some], max_distance=1000, return_distance=True, all_matches=False
    )
    nearest = np.full(len(located.qpv), np.nan)
    nearest[point] = distance
    held = np.flatnonzero(located.qpv >= 0)
    nearest[held] = -shapely.distance(boundaries[located.qpv[held]], geometry[some][held])
    np.testing.assert_allclose(located.distance_m, nearest, rtol=1e-9, atol=1e-9)

    lon, lat = _TO_LONLAT.transform(x, y)
    _assert_same(
        locate(LocateIndex.build(zones, points_crs=4326), lon, lat),
        locate(index, *_FROM_LONLAT.transform(lon, lat)),
    )


def test_besancon(snapshot: Path) -> None:
    _assert_is_geos(gpd.read_file(snapshot / "anct" / "qpv-2024.geojson").to_crs(_CRS).geometry, 50_000)


def test_metropolitan_france(mirror: Path, besancon: Territory, settings: Settings) -> None:
    raw = raw_file("qpv_2024", mirror / "anct" / "qpv-2024-geojson.zip", provenance="mirror")
    zones = read_contours(raw, besancon, settings).by_epsg[_CRS].geometry
    assert len(zones) == 1362
    _assert_is_geos(zones, 200_000)


@pytest.mark.parametrize(
    ("zones", "error", "message"),
    [
        (
            gpd.GeoSeries([shapely.box(6, 47, 6.1, 47.1)], crs=4326),
            ConfigurationError,
            "have WGS 84; expected",
        ),
        (gpd.GeoSeries([shapely.box(0, 0, 9, 9)]), ConfigurationError, "no CRS"),
        (gpd.GeoSeries([], crs=_CRS), ContractError, "no zone"),
        (
            gpd.GeoSeries(
                [
                    shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]),
                    _box(0, 0, 1),
                    shapely.Point(1, 1),
                    shapely.Polygon(),
                    None,
                ],
                index=list("abcde"),
                crs=_CRS,
            ),
            ContractError,
            r"^4 zones are not valid .* Rows: a, c, d, e$",
        ),
    ],
)
def test_zones_that_cannot_be_indexed(zones: gpd.GeoSeries, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        LocateIndex.build(zones)


def test_crs_of_points_without_an_accurate_transformation() -> None:
    with pytest.raises(ConfigurationError, match="No accurate transformation from NTF"):
        _index(_box(0, 0, 100), points_crs="EPSG:27572")


@pytest.mark.parametrize("reach", [-1.0, np.nan, np.inf, 1e6])
def test_reach_out_of_range(reach: float) -> None:
    with pytest.raises(ConfigurationError, match="expected 0 to 10000 metres"):
        _index(_box(0, 0, 100), reach=reach)


def test_arguments_that_do_not_fit() -> None:
    index = _index(_box(0, 0, 100), reach=400)
    x, y = _here((1, 1), (2, 2))
    with pytest.raises(ContractError, match=r"x has shape \(2,\) and y \(1,\)"):
        contains(index, x, y[:1])
    with pytest.raises(ContractError, match="3 precisions for 2 points"):
        locate(index, x, y, precision=np.ones(3), max_distance=400)
    with pytest.raises(ContractError, match="1 precisions are negative, the first at position 1"):
        locate(index, x, y, precision=np.array([1, -1.0]), max_distance=400)
    with pytest.raises(ConfigurationError, match="max_distance is 1000 m, the reach of the index 400 m"):
        locate(index, x, y)
    with pytest.raises(ConfigurationError, match="expected a reach of 300 m or more"):
        locate(_index(_box(0, 0, 100), reach=200), x, y, max_distance=100)


@pytest.mark.parametrize(
    ("crs", "far"),
    [
        (32631, 1e7),
        (32631, 2e7),
        ("+proj=gnom +lat_0=47 +lon_0=6", 2e7),
        ("+proj=gnom +lat_0=47 +lon_0=6", 1e8),
    ],
)
def test_a_zone_without_a_place_in_the_space_of_the_points_is_refused(crs: object, far: float) -> None:
    with pytest.raises(ConfigurationError, match=r"Some zones have no place in .*, the CRS of the points"):
        _index(_box(0, 0, 1000), _box(far, 0, 1000), points_crs=crs)
