"""Overlay: nothing of a polygon is lost or counted twice, whatever the zones."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import assume, given
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, Polygon, box

from qpv_geo.analysis.overlay import cut_by_zones, is_sizeable, overlay
from qpv_geo.territory import Territory, load_territory

coordinate = st.integers(-1000, 1000) | st.floats(-1000, 1000, allow_nan=False, width=32)
point = st.tuples(coordinate, coordinate)


@st.composite
def polygons(draw: st.DrawFn) -> Polygon:
    """Any polygon of some area: the repair of a random ring, with holes and parts as they come."""
    ring = draw(st.lists(point, min_size=3, max_size=9, unique=True))
    repaired = shapely.make_valid(Polygon(ring), method="structure", keep_collapsed=False)
    parts = [part for part in shapely.get_parts(repaired) if part.geom_type == "Polygon" and part.area > 1]
    assume(parts)
    return MultiPolygon(parts)


def array(*shapes: object) -> np.ndarray:
    return np.array(shapes, dtype=object)


@given(st.lists(polygons(), min_size=1, max_size=4), st.lists(polygons(), max_size=5))
def test_pieces_add_up_to_the_polygon_whatever_the_zones(cut: list[Polygon], zones: list[Polygon]) -> None:
    pieces = overlay(array(*cut), array(*zones))
    total = np.bincount(pieces.polygon, weights=pieces.area, minlength=len(cut))
    whole = array(*cut)
    assert (np.abs(total - shapely.area(whole)) <= 1e-6 * (shapely.area(whole) + shapely.length(whole))).all()


# Floating-point overlays can be wrong where edges nearly coincide; on a grid they are not.
GRID = 1e-8


@given(st.lists(polygons(), min_size=1, max_size=3), st.lists(polygons(), min_size=1, max_size=4))
def test_pieces_lie_in_their_polygon_and_zone_and_do_not_overlap(
    cut: list[Polygon], zones: list[Polygon]
) -> None:
    pieces = overlay(array(*cut), array(*zones))
    for polygon, zone, geometry in zip(pieces.polygon, pieces.zone, pieces.geometry, strict=True):
        tolerance = 1e-6 * (cut[polygon].area + cut[polygon].length)
        assert shapely.difference(geometry, cut[polygon], grid_size=GRID).area <= tolerance
        if zone >= 0:
            assert shapely.difference(geometry, zones[zone], grid_size=GRID).area <= tolerance
        else:
            assert (
                shapely.intersection(geometry, shapely.union_all(zones, grid_size=GRID), grid_size=GRID).area
                <= tolerance
            )
    for index, whole in enumerate(cut):
        own = pieces.geometry[pieces.polygon == index]
        found = shapely.union_all(own, grid_size=GRID).area
        assert abs(found - whole.area) <= 1e-6 * (whole.area + whole.length)


def test_rest_outside_every_zone_is_a_piece_without_zone() -> None:
    pieces = overlay(array(box(0, 0, 10, 10)), array(box(0, 0, 4, 10)))
    assert pieces.zone.tolist() == [0, -1]
    assert pieces.area.tolist() == [40, 60]


def test_first_of_two_overlapping_zones_takes_the_common_part() -> None:
    pieces = overlay(array(box(0, 0, 10, 10)), array(box(0, 0, 6, 10), box(4, 0, 10, 10)))
    assert pieces.area.tolist() == [60, 40]
    assert pieces.overlapping.tolist() == [0]


def test_polygon_without_any_zone_is_whole() -> None:
    pieces = overlay(array(box(0, 0, 1, 1)), np.array([], dtype=object))
    assert pieces.zone.tolist() == [-1]
    assert pieces.area.tolist() == [1]


def test_touching_borders_make_no_piece() -> None:
    pieces = overlay(array(box(0, 0, 1, 1)), array(box(0, 0, 1, 1), box(1, 0, 2, 1)))
    assert pieces.zone.tolist() == [0]


@given(
    st.floats(926_000, 927_000),
    st.floats(6_688_000, 6_689_000),
    st.floats(0, 2 * np.pi),
    st.floats(100, 900),
)
def test_an_oblique_edge_in_common_makes_no_piece(x: float, y: float, angle: float, length: float) -> None:
    """In Lambert-93 the corners of the polygon lie beside the line by what floating point rounds."""
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]])
    start, width = np.array([x, y]), 300 * across
    one, other = start - 1000 * along, start + 1000 * along
    zones = [Polygon([one, other, other + side * across, one + side * across]) for side in (1000, -1000)]
    polygon = Polygon([start, start + length * along, start + length * along + width, start + width])
    pieces = overlay(array(polygon), array(*zones))
    assert pieces.zone.tolist() == [0]
    assert pieces.area[0] == pytest.approx(polygon.area, rel=1e-9)


def test_overlap_with_a_shared_edge_keeps_only_its_polygons() -> None:
    zone = Polygon([(0, 0), (4, 0), (4, 10), (10, 10), (10, 12), (0, 12)])
    pieces = overlay(array(box(2, 0, 10, 10)), array(zone))
    assert pieces.area.tolist() == [20, 60]
    assert all(geometry.geom_type == "MultiPolygon" for geometry in pieces.geometry)


def tolerating(share: float, area: float) -> Territory:
    return load_territory("besancon").model_copy(update={"sliver_share": share, "sliver_area": area})


def test_shares_and_membership() -> None:
    qpv = gpd.GeoDataFrame(geometry=[box(0, 0, 100, 100)], crs=2154)
    zones = gpd.GeoDataFrame(geometry=[box(0, 0, 99, 1000), box(99, 0, 200, 1000)], crs=2154)
    pieces = cut_by_zones(qpv, zones, "commune")
    assert pieces["part_qpv"].tolist() == [99, 1]
    assert pieces["part_commune"].tolist() == pytest.approx([10, 100 * 100 / 101_000])
    assert is_sizeable(pieces, tolerating(0.02, 50)).tolist() == [True, False]
    assert is_sizeable(pieces, tolerating(0.005, 50)).tolist() == [True, True]
    assert is_sizeable(pieces, tolerating(0.005, 100)).tolist() == [True, False]


@given(st.lists(polygons(), min_size=1, max_size=3), st.lists(polygons(), max_size=4))
def test_shares_are_those_of_the_areas(cut: list[Polygon], zones: list[Polygon]) -> None:
    qpv, communes = (gpd.GeoDataFrame(geometry=array(*shapes), crs=2154) for shapes in (cut, zones))
    pieces = cut_by_zones(qpv, communes, "commune")
    np.testing.assert_allclose(pieces["surface_m2"], pieces.area)
    # GEOS may move an intersection by less than a micrometre: much of a triangle of ten square metres.
    doubtful = [1e-6 * shape.length / shape.area for shape in cut]
    shares = pieces.groupby("polygon")["part_qpv"].sum()
    assert ((shares - 100).abs() <= [100 * (1e-6 + doubtful[polygon]) for polygon in shares.index]).all()
    outside = pieces["zone"] < 0
    assert pieces["part_commune"].isna().equals(outside)
    for row in pieces[~outside].to_dict("records"):
        assert row["part_qpv"] == pytest.approx(100 * row["surface_m2"] / cut[row["polygon"]].area)
        assert row["part_commune"] == pytest.approx(100 * row["surface_m2"] / zones[row["zone"]].area)
        zone = zones[row["zone"]]
        assert 0 <= row["part_commune"] <= 100 * (1 + 1e-6 + 1e-6 * zone.length / zone.area)


def test_degrees_are_refused() -> None:
    frame = gpd.GeoDataFrame(geometry=[box(6, 47, 6.1, 47.1)], crs=4326)
    with pytest.raises(ValueError, match="projected CRS"):
        cut_by_zones(frame, frame, "commune")


def test_two_crs_are_refused() -> None:
    frame = gpd.GeoDataFrame(geometry=[box(0, 0, 1, 1)], crs=2154)
    with pytest.raises(ValueError, match="one projected CRS"):
        cut_by_zones(frame, frame.to_crs(3857), "commune")
