"""Geometry checks and repairs, on any polygons."""

from collections.abc import Callable

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS

from qpv_geo.errors import ContractError
from qpv_geo.ingest.contracts import Names, Problems
from qpv_geo.ingest.geometry import (
    ACCEPTED_CRS,
    REPAIR_LIMIT,
    Geometries,
    check_crs,
    check_position,
    check_shapes,
    project,
    repair,
    report_repairs,
)
from qpv_geo.sources.catalogue import load_catalogue
from qpv_geo.zones import METROPOLE, zone_of

SQUARE = shapely.box(0, 0, 100, 100)
BOW_TIE = shapely.Polygon([(0, 0), (100, 100), (100, 0), (0, 100)])
# A square whose ring crosses itself in one corner: the stray lobe is a thousandth of it.
NICKED = [(0, 0), (100, 0), (100, 95), (95, 105), (100, 105), (95, 95), (0, 95)]
NICK = shapely.Polygon(NICKED)


def new_problems() -> Problems:
    return Problems("fichier.geojson", load_catalogue()["qpv_2024"])


def names(geometries: Geometries) -> Names:
    return np.array([f"feature {n}" for n in range(1, len(geometries) + 1)], dtype=object)


def array(*geometries: shapely.Geometry | None) -> Geometries:
    made = np.empty(len(geometries), dtype=object)
    made[:] = geometries
    return made


def not_finite(value: float) -> shapely.Polygon:
    with np.errstate(invalid="ignore"):
        return shapely.Polygon([(0, 0), (value, 1), (1, 1)])


def shoelace(ring: list[tuple[float, float]]) -> float:
    """Signed area of a ring, independently of GEOS."""
    pairs = zip(ring, ring[1:] + ring[:1], strict=True)
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairs) / 2


corner = st.tuples(st.integers(0, 1000), st.integers(0, 1000))
rings = st.lists(corner, min_size=3, max_size=12, unique=True)


@given(rings)
def test_a_repair_is_valid_and_within_its_limit_or_refused(ring: list[tuple[float, float]]) -> None:
    polygon = shapely.Polygon(ring)
    problems = new_problems()
    (repaired,), (change,) = repair(array(polygon), names(array(polygon)), problems)
    if polygon.is_valid:
        assert not problems
        assert np.isnan(change)
        assert shapely.get_parts(repaired).tolist() == [polygon]
        return
    assert change == pytest.approx(repaired.area - abs(shoelace(ring)), abs=1e-6)
    if problems:
        with pytest.raises(ContractError, match="1% at most"):
            problems.raise_if_any()
        assert repaired.area == 0 or abs(change) > REPAIR_LIMIT * repaired.area
        return
    assert repaired.is_valid
    assert repaired.geom_type == "MultiPolygon"
    assert abs(change) <= REPAIR_LIMIT * repaired.area


@given(rings)
def test_repairing_twice_changes_nothing(ring: list[tuple[float, float]]) -> None:
    polygon = array(shapely.Polygon(ring))
    once, _ = repair(polygon, names(polygon), new_problems(), limit=1e9)
    if once[0].area == 0:
        return
    twice, change = repair(once, names(once), new_problems())
    assert np.isnan(change).all()
    assert shapely.to_wkb(twice[0]) == shapely.to_wkb(once[0])


def test_repair_leaves_valid_ones_alone_and_measures_the_others() -> None:
    geometries = array(SQUARE, NICK)
    problems = new_problems()
    repaired, change = repair(geometries, names(geometries), problems)
    assert not problems
    assert np.isnan(change[0])
    assert repaired[0].wkt == "MULTIPOLYGON (((100 0, 100 100, 0 100, 0 0, 100 0)))"
    assert repaired[1].is_valid
    before = abs(shoelace(NICKED))
    assert change[1] == pytest.approx(repaired[1].area - before)
    assert 10 < abs(change[1]) < 95
    assert NICK is geometries[1], "the input is not changed"


def test_a_bow_tie_is_refused_with_both_areas() -> None:
    problems = new_problems()
    geometries = array(SQUARE, BOW_TIE)
    repair(geometries, names(geometries), problems)
    with pytest.raises(ContractError, match=r"Self-intersection\[50 50\].*from 0 to 5,000 m² at feature 2"):
        problems.raise_if_any()


def test_a_polygon_without_area_is_refused() -> None:
    problems = new_problems()
    flat = array(shapely.Polygon([(0, 0), (50, 0), (100, 0)]))
    repair(flat, names(flat), problems)
    with pytest.raises(ContractError, match="from 0 to 0 m² at feature 1"):
        problems.raise_if_any()


def test_a_hole_counts_as_a_hole() -> None:
    spiked = shapely.Polygon(
        [(0, 0), (100, 0), (100, 100), (50, 100), (50, 120), (50, 100), (0, 100)],
        holes=[[(10, 10), (40, 10), (40, 40), (10, 40)]],
    )
    geometries = array(spiked)
    (repaired,), (change,) = repair(geometries, names(geometries), new_problems())
    assert repaired.area == 9100
    assert change == 0


@pytest.mark.parametrize(
    ("geometry", "message"),
    [
        (None, "polygon with closed rings; found no geometry"),
        (shapely.Polygon(), "polygon with closed rings; found no geometry, an empty"),
        (shapely.LineString([(0, 0), (1, 1)]), "expected a polygon; found LineString"),
        (shapely.Point(0, 0), "expected a polygon; found Point"),
        (shapely.GeometryCollection([SQUARE]), "expected a polygon; found GeometryCollection"),
        (not_finite(np.nan), "finite coordinates; found NaN"),
        (not_finite(-np.inf), "finite coordinates; found NaN or infinite"),
    ],
)
def test_what_is_not_a_sound_polygon(geometry: shapely.Geometry | None, message: str) -> None:
    geometries = array(SQUARE, geometry)
    problems = new_problems()
    sound = check_shapes(geometries, names(geometries), problems)
    assert sound.tolist() == [True, False]
    with pytest.raises(ContractError, match=f"{message}.* at feature 2"):
        problems.raise_if_any()


@pytest.mark.parametrize(
    "same",
    [
        lambda polygon: polygon,
        shapely.reverse,
        lambda polygon: shapely.Polygon(np.roll(shapely.get_coordinates(polygon)[:-1], 2, axis=0)),
        lambda polygon: shapely.MultiPolygon([polygon]).geoms[0],
    ],
)
def test_twins_are_found_whatever_the_order_of_their_vertices(
    same: Callable[[shapely.Polygon], shapely.Polygon],
) -> None:
    other = shapely.Polygon([(0, 0), (100, 0), (100, 100)])
    geometries = array(SQUARE, other, same(SQUARE))
    problems = new_problems()
    check_shapes(geometries, names(geometries), problems)
    with pytest.raises(ContractError, match="the same polygon as feature 1 at feature 3"):
        problems.raise_if_any()


def test_equal_bounds_are_not_enough_to_be_twins() -> None:
    geometries = array(SQUARE, shapely.Polygon([(0, 0), (100, 0), (100, 100)]))
    problems = new_problems()
    assert check_shapes(geometries, names(geometries), problems).all()
    assert not problems


def test_nothing_to_check() -> None:
    problems = new_problems()
    none = array()
    assert not len(check_shapes(none, names(none), problems))
    assert not len(check_position(none, 4326, [], names(none), problems))
    assert not len(repair(none, names(none), problems)[0])
    assert not problems


@pytest.mark.parametrize(
    ("department", "longitude", "latitude"),
    [
        ("25", 6.02, 47.24),
        ("2A", 8.74, 41.92),
        ("971", -61.53, 16.24),
        ("972", -61.07, 14.6),
        ("973", -52.33, 4.93),
        ("974", 55.45, -20.88),
        ("976", 45.23, -12.78),
        ("978", -63.08, 18.07),
        ("987", -149.57, -17.55),
        ("988", 166.45, -22.27),
    ],
)
@pytest.mark.parametrize("crs", ["degrees", "projected"])
def test_position_in_each_part_of_france(
    department: str, longitude: float, latitude: float, crs: str
) -> None:
    zone = zone_of(department)
    frame = gpd.GeoSeries([shapely.Point(longitude, latitude).buffer(0.002)], crs=4326)
    epsg = 4326 if crs == "degrees" else zone.epsg
    geometries = frame.to_crs(epsg).to_numpy()
    problems = new_problems()
    assert check_position(geometries, epsg, [zone], names(geometries), problems).all()
    assert not problems
    if department == "988" and crs == "projected":
        return  # eastings and northings are alike there: swapped ones are still in New Caledonia's waters
    swapped = shapely.transform(geometries, lambda coordinates: coordinates[:, ::-1])
    assert not check_position(swapped, epsg, [zone], names(geometries), problems).any()
    with pytest.raises(ContractError, match=f"axes swapped.*{zone.name}.*from EPSG:{epsg}.* at feature 1"):
        problems.raise_if_any()


def test_position_of_a_metropolitan_qpv_overseas() -> None:
    problems = new_problems()
    geometries = array(shapely.box(55.4, -21.0, 55.5, -20.9))
    assert not check_position(geometries, 4326, [METROPOLE], names(geometries), problems).any()
    with pytest.raises(ContractError, match="geometry in another place"):
        problems.raise_if_any()


@pytest.mark.parametrize("epsg", ACCEPTED_CRS)
def test_accepted_crs(epsg: int) -> None:
    problems = new_problems()
    assert check_crs(CRS.from_epsg(epsg), problems) == epsg
    assert not problems


@pytest.mark.parametrize("crs", [None, CRS.from_epsg(27572), CRS.from_epsg(32631)])
def test_other_crs(crs: CRS | None) -> None:
    problems = new_problems()
    assert check_crs(crs, problems) is None
    with pytest.raises(ContractError, match=r"CRS: expected .*EPSG:2154"):
        problems.raise_if_any()


def test_lambert_93_as_esri_spells_it() -> None:
    wkt = CRS.from_epsg(2154).to_wkt("WKT1_ESRI")
    assert check_crs(CRS.from_wkt(wkt), new_problems()) == 2154


def test_project_repairs_in_metres_and_reports_the_worst() -> None:
    degrees = gpd.GeoDataFrame(
        {"code": ["a", "b"]},
        geometry=[shapely.transform(shape, lambda c: c / 1e5 + (6, 47)) for shape in (SQUARE, NICK)],
        crs=4326,
        index=[7, 3],
    )
    problems = new_problems()
    layer = project(degrees, 2154, names(array(SQUARE, NICK)), problems)
    assert not problems
    assert layer.crs == 2154
    assert layer.index.tolist() == [0, 1]
    assert layer.is_valid.all()
    assert set(layer.geom_type) == {"MultiPolygon"}
    assert layer["ecart_reparation_m2"].isna().tolist() == [True, False]
    check = report_repairs([layer, layer.iloc[:1]], "code", "qpv_2024")
    assert (check.outcome, check.found) == ("avertissement", "1")
    share = abs(layer["ecart_reparation_m2"][1]) / layer.area[1]
    assert (
        f"est celui de b ({layer['ecart_reparation_m2'][1]:+.1f} m², soit".replace(".", ",") in check.message
    )
    assert f"{100 * share:.2f} %".replace(".", ",") in check.message
    assert report_repairs([layer.iloc[:1]], "code", "qpv_2024").outcome == "conforme"
