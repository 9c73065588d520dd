"""Bands: all that lies within the distance, nothing beyond it, nothing of the QPV."""

import math
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import assume, given
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, Polygon, box
from shapely.geometry.base import BaseGeometry

from qpv_geo.analysis.bands import ARC_TOLERANCE, draw_bands, qpv_bands, widen
from qpv_geo.errors import ConfigurationError, ContractError
from qpv_geo.territory import Bands

# Metres: the grid that unions are made on, and what it may move.
GRID = 1e-7
# Somewhere in Besançon: coordinates as large as real ones.
ORIGIN = np.array([926_000.0, 6_685_000.0])

coordinate = st.integers(-400, 400) | st.floats(-400, 400, allow_nan=False, width=32)
point = st.tuples(coordinate, coordinate)
distance = st.sampled_from([1.0, 50.0, 300.0, 500.0])


@st.composite
def polygons(draw: st.DrawFn) -> MultiPolygon:
    """Any polygon of some area: the repair of a random ring, with holes and parts as they come."""
    ring = draw(st.lists(point, min_size=3, max_size=9, unique=True))
    repaired = shapely.make_valid(Polygon(np.array(ring) + ORIGIN), method="structure", keep_collapsed=False)
    parts = [part for part in shapely.get_parts(repaired) if part.geom_type == "Polygon" and part.area > 1]
    assume(parts)
    return MultiPolygon(parts)


@st.composite
def convex_polygons(draw: st.DrawFn) -> Polygon:
    hull = shapely.MultiPoint(np.array(draw(st.lists(point, min_size=3, max_size=20))) + ORIGIN).convex_hull
    assume(hull.geom_type == "Polygon" and hull.area > 1)
    return hull


def samples(geometry: BaseGeometry, step: float) -> np.ndarray:
    """Points along the boundary of a polygon, its vertices included."""
    return shapely.points(shapely.get_coordinates(shapely.segmentize(geometry.boundary, step)))


@given(polygons(), distance)
def test_the_outline_is_at_the_distance_and_not_beyond(polygon: MultiPolygon, metres: float) -> None:
    widened = widen(polygon, metres)
    assert widened.is_valid
    shapely.prepare(polygon)
    found = shapely.distance(samples(widened, metres / 7), polygon)
    assert found.max() <= metres + GRID
    assert found.min() >= metres - ARC_TOLERANCE - GRID


@given(polygons(), distance, st.lists(st.tuples(*[st.floats(-950, 950)] * 2), min_size=20, max_size=20))
def test_a_point_is_in_if_it_is_near_enough(
    polygon: MultiPolygon, metres: float, places: list[tuple[float, float]]
) -> None:
    points = shapely.points(np.array(places) + ORIGIN)
    away = shapely.distance(points, polygon)
    inside = shapely.covers(widen(polygon, metres), points)
    assert inside[away <= metres - ARC_TOLERANCE - GRID].all()
    assert not inside[away > metres + GRID].any()


@given(polygons(), distance)
def test_the_band_and_the_polygon_share_out_the_widened_one(polygon: MultiPolygon, metres: float) -> None:
    layer = gpd.GeoDataFrame({"nom": ["Ici"], "distance_m": [metres]}, geometry=[polygon], crs=2154)
    band = draw_bands(layer, "nom", None).geometry[0]
    assert band.is_valid
    assert band.area + polygon.area == pytest.approx(widen(polygon, metres).area, rel=1e-9)
    assert shapely.intersection(band, polygon, grid_size=1e-8).area <= 1e-9 * polygon.area + GRID
    inner = shapely.points(shapely.get_coordinates(band))
    assert shapely.distance(inner, polygon).max() <= metres + GRID


@given(convex_polygons(), distance)
def test_a_convex_polygon_obeys_steiner(polygon: Polygon, metres: float) -> None:
    exact = polygon.area + polygon.length * metres + math.pi * metres**2
    # Between chord and arc lies less than two thirds of the sagitta times the length of all arcs.
    lost = ARC_TOLERANCE * 2 * math.pi * metres
    assert exact - lost <= widen(polygon, metres).area <= exact * (1 + 1e-9)


def test_a_shallow_hollow_is_not_flattened() -> None:
    hollow = Polygon([(0, 0), (1000, 0), (1000, 100), (500, 98), (0, 100)])
    above = shapely.LineString([(500, 98), (500, 1000)]).intersection(widen(hollow, 300).boundary)
    # Above the bottom of a hollow 2 m deep and 1 km wide, the slopes are the nearest: 300 / cos(slope).
    assert above.y == pytest.approx(98 + 300 / math.cos(math.atan(2 / 500)), abs=1e-6)


def test_a_courtyard_wider_than_twice_the_distance_keeps_its_middle() -> None:
    ring = box(0, 0, 1000, 1000).difference(box(100, 100, 900, 900))
    widened = widen(ring, 300)
    assert widened.geoms[0].interiors[0].envelope.bounds == pytest.approx((400, 400, 600, 600))
    assert len(widen(ring, 400.1).geoms[0].interiors) == 0


def qpv(*rows: tuple[str, BaseGeometry]) -> gpd.GeoDataFrame:
    codes, shapes = zip(*rows, strict=True)
    return gpd.GeoDataFrame({"code_qp": codes, "lib_qp": codes}, geometry=list(shapes), crs=2154)


PLANOISE = ("QN02503M", box(0, 0, 100, 200))
BATTANT = ("QN02517N", box(5000, 0, 5100, 100))
EPCI = box(-10_000, 0, 10_000, 10_000)


def test_the_layer_measures_each_band_at_its_own_distance() -> None:
    layer = qpv_bands(qpv(BATTANT, PLANOISE), Bands(npnru=("QN02503M",)), EPCI)
    assert set(layer.columns) == {"code_qp", "lib_qp", "distance_m", "npnru", "surface_m2", "geometry"}
    assert layer["code_qp"].tolist() == ["QN02503M", "QN02517N"]
    assert layer["npnru"].tolist() == [True, False]
    assert layer["distance_m"].tolist() == [500, 300]
    # Perimeter times distance, plus a disc: 600 x 500 + pi 500² = 1 085 398,16 and
    # 400 x 300 + pi 300² = 402 743,34.
    assert layer["surface_m2"].tolist() == pytest.approx([1_085_398.16, 402_743.34], abs=15)
    assert layer.crs == "EPSG:2154"


def test_bands_stop_at_the_epci_if_it_says_so() -> None:
    layer = qpv_bands(qpv(BATTANT), Bands(decoupe_epci=True), EPCI)
    # The southern half disc and the side along y = 0 are away: 300 x 300 + pi 300² / 2 = 231 371,67.
    assert layer["surface_m2"].tolist() == pytest.approx([231_371.67], abs=5)
    assert layer.total_bounds[1] == 0


def test_a_band_wholly_outside_the_epci_is_refused() -> None:
    with pytest.raises(ContractError, match=r"bands of QN02517N lie wholly outside.*decoupe_epci = false"):
        qpv_bands(qpv(PLANOISE, BATTANT), Bands(decoupe_epci=True), box(-1000, -1000, 1000, 1000))


def test_an_unknown_qpv_in_the_npnru_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"'bandes.npnru' names QN02599M.*QN02503M, QN02517N"):
        qpv_bands(qpv(PLANOISE, BATTANT), Bands(npnru=("QN02599M",)), EPCI)


def test_real_contours_keep_the_distance(snapshot: Path) -> None:
    contours = gpd.read_file(snapshot / "anct" / "qpv-2024.geojson").to_crs(2154)
    for polygon in contours.geometry:
        widened = widen(polygon, 300)
        found = shapely.distance(samples(widened, 5), polygon)
        assert found.max() <= 300 + GRID
        assert found.min() >= 300 - ARC_TOLERANCE - GRID
