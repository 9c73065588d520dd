"""GeoJSON: what RFC 7946 asks for, and polygons that stay valid when they are rounded."""

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import assume, given
from hypothesis import strategies as st

from qpv_geo.audit.readers import read_geojson
from qpv_geo.formats.fields import Layer
from qpv_geo.formats.frames import Frames, conform
from qpv_geo.formats.geojson import DECIMALS, OFFICIAL_DECIMALS, to_wgs84, write_geojson
from tests.publishing import content_of, declared, frames_of, inputs

ORIGIN = content_of({}).spec.origin
LAYER = Layer.model_validate(
    {
        "name": "couche",
        "title": "Couche",
        "abstract": "Une couche.",
        "key": ["code"],
        "geometry": "MultiPolygon",
        "fields": {"code": {"type": "text", "alias": "Code"}},
    }
)


def write(folder: Path, rounded: Frames, layers: dict[str, Layer]) -> None:
    write_geojson(folder, content_of({}, layers, rounded))


def layer_of(*shapes: object) -> Frames:
    codes = [f"P{number}" for number in range(len(shapes))]
    frame = gpd.GeoDataFrame({"code": codes}, geometry=list(shapes), crs=2154)
    return conform({"couche": frame}, {"couche": LAYER}, 2154)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release") / "geojson"
    rounded, _ = to_wgs84(frames_of(inputs()), declared())
    write(folder.parent, rounded, declared())
    return folder


def test_there_is_one_file_per_spatial_layer(folder: Path) -> None:
    spatial = {f"{name}.geojson" for name, layer in declared().items() if layer.geometry}
    assert {path.name for path in folder.iterdir()} <= spatial
    assert {"qpv.geojson", "communes.geojson", "epci.geojson", "qpv_commune.geojson"} <= {
        path.name for path in folder.iterdir()
    }


def test_it_follows_rfc_7946(folder: Path) -> None:
    document = json.loads((folder / "qpv.geojson").read_text(encoding="utf-8"))
    assert document["type"] == "FeatureCollection"
    assert document["name"] == "qpv"
    assert document["description"].endswith(f"2024. {ORIGIN}")
    assert "crs" not in document
    west, south, east, north = document["bbox"]
    assert 5.9 < west < east < 6.1
    assert 47.1 < south < north < 47.3
    for feature in document["features"]:
        for rings in feature["geometry"]["coordinates"]:
            assert shapely.LinearRing(rings[0]).is_ccw
            assert not any(shapely.LinearRing(hole).is_ccw for hole in rings[1:])


def test_values_have_their_json_types(folder: Path) -> None:
    features = json.loads((folder / "qpv.geojson").read_text(encoding="utf-8"))["features"]
    planoise = next(f["properties"] for f in features if f["properties"]["code_qp"] == "QN02503M")
    assert planoise["insee_dep"] == "25"
    assert planoise["population_municipale"] == 15603
    assert planoise["ecart_reparation_m2"] is None
    pieces = json.loads((folder / "qpv_commune.geojson").read_text(encoding="utf-8"))["features"]
    assert pieces[0]["properties"]["membre"] is True


def test_coordinates_have_the_decimals_of_their_producer_and_derived_ones_six(folder: Path) -> None:
    derived = set()
    for path in folder.iterdir():
        layer = declared()[path.stem]
        derived |= set() if layer.is_official else {path.stem}
        points = shapely.get_coordinates(read_geojson(path, layer).geometry)
        decimals = OFFICIAL_DECIMALS if layer.is_official else DECIMALS
        assert np.array_equal(points, np.round(points, decimals))
    assert {"qpv_commune", "bande_300m", "epci"} <= derived
    assert derived.isdisjoint({"qpv", "communes"})


def test_official_vertices_with_seven_decimals_come_back_as_they_are(folder: Path, snapshot: Path) -> None:
    official = json.loads((snapshot / "anct" / "qpv-2024.geojson").read_text(encoding="utf-8"))["features"]
    shapes = {f["properties"]["code_qp"]: shapely.geometry.shape(f["geometry"]) for f in official}
    reading = read_geojson(folder / "qpv.geojson", declared()["qpv"])
    for code, shape in zip(reading.attributes["code_qp"], reading.geometry, strict=True):
        assert shapely.equals_identical(shapely.orient_polygons(shapes[code]), shape)


def test_the_same_layers_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    rounded, _ = to_wgs84(frames_of(inputs()), declared())
    write(tmp_path, rounded, declared())
    for path in folder.iterdir():
        assert (tmp_path / "geojson" / path.name).read_bytes() == path.read_bytes()


def test_a_text_that_looks_like_json_stays_a_text(tmp_path: Path) -> None:
    frames = layer_of(shapely.box(900_000, 6_600_000, 900_100, 6_600_100))
    frames["couche"]["code"] = ['{"a": [1]}']
    rounded, _ = to_wgs84(frames, {"couche": LAYER})
    write(tmp_path, rounded, {"couche": LAYER})
    reading = read_geojson(tmp_path / "geojson" / "couche.geojson", LAYER)
    assert reading.attributes["code"].tolist() == ['{"a": [1]}']


# Two lobes that a neck of a millimetre keeps apart: rounding makes its sides touch.
NECK = shapely.Polygon(
    [
        (900_000, 6_600_000),
        (900_010, 6_600_004.9995),
        (900_020, 6_600_000),
        (900_020, 6_600_010),
        (900_010, 6_600_005.0005),
        (900_000, 6_600_010),
    ]
)
SLIVER = shapely.box(900_000, 6_600_000, 900_100, 6_600_000.0001)


def test_a_polygon_that_rounding_breaks_is_repaired_and_reported() -> None:
    rounded, (check,) = to_wgs84(layer_of(NECK), {"couche": LAYER})
    (shape,) = rounded["couche"].geometry
    assert shape.is_valid
    assert shape.geom_type == "MultiPolygon"
    back = gpd.GeoSeries([shape], crs=4326).to_crs(2154).iloc[0]
    assert back.symmetric_difference(NECK).area < 5
    assert (check.code, check.outcome, check.found) == ("arrondi_geojson", "avertissement", "1")
    assert "contours repris pour rester valides : P0" in check.message


def test_a_sliver_that_vanishes_has_no_geometry_and_is_reported(tmp_path: Path) -> None:
    whole = shapely.box(900_000, 6_600_000, 900_100, 6_600_100)
    rounded, (check,) = to_wgs84(layer_of(whole, SLIVER), {"couche": LAYER})
    assert rounded["couche"].geometry.isna().tolist() == [False, True]
    assert "sans géométrie, plus minces que l'arrondi : P1" in check.message
    write(tmp_path, rounded, {"couche": LAYER})
    features = json.loads((tmp_path / "geojson" / "couche.geojson").read_text(encoding="utf-8"))["features"]
    assert features[1]["geometry"] is None
    assert features[1]["properties"] == {"code": "P1"}


def test_sound_contours_are_said_to_stay_valid() -> None:
    _, checks = to_wgs84(frames_of(inputs()), declared())
    assert {check.outcome for check in checks} == {"conforme"}


coordinates = st.tuples(st.floats(0, 5), st.floats(0, 5))


@given(st.lists(coordinates, min_size=3, max_size=12))
def test_whatever_the_polygon_the_published_one_is_valid_and_rounded(
    points: list[tuple[float, float]],
) -> None:
    """Polygons of some decimetres, where rounding to a decimetre does most harm."""
    drawn = shapely.Polygon([(900_000 + x, 6_600_000 + y) for x, y in points])
    shape = shapely.make_valid(drawn, method="structure")
    parts = [part for part in shapely.get_parts(shape) if part.geom_type == "Polygon"]
    whole = shapely.MultiPolygon(parts)
    assume(parts and whole.is_valid)
    rounded, (check,) = to_wgs84(layer_of(whole), {"couche": LAYER})
    (published,) = rounded["couche"].geometry
    if published is None:
        assert check.outcome == "avertissement"
        assert whole.buffer(-0.2).is_empty, "it is thinner than the rounding"
        return
    assert published.is_valid
    assert not published.is_empty
    back = gpd.GeoSeries([published], crs=4326).to_crs(2154).iloc[0]
    assert back.symmetric_difference(whole).area <= 0.2 * whole.length
    points_found = shapely.get_coordinates(published)
    assert np.array_equal(points_found, np.round(points_found, DECIMALS))
    if check.outcome == "conforme":
        assert len(points_found) == len(shapely.get_coordinates(whole))
