"""Vector files of every format, and polygons and lines: their share in QPV."""

import shutil
import zipfile
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from qpv_geo.errors import ConfigurationError, ContractError
from qpv_geo.locate.answers import Answer
from qpv_geo.locate.files import LocateSummary, locate_file
from qpv_geo.locate.index import LocateIndex
from qpv_geo.locate.points import Points
from qpv_geo.locate.shapes import locate_shapes
from qpv_geo.settings import Settings
from qpv_geo.territory import Territory

SQUARE = shapely.box(0, 0, 1000, 1000)
HOLED = shapely.box(3000, 0, 4000, 1000) - shapely.box(3400, 400, 3600, 600)
BESIDE = shapely.box(1000, 0, 2000, 1000)
ZONES = gpd.GeoSeries([SQUARE, HOLED, BESIDE], crs=2154)
INDEX = LocateIndex.build(ZONES, reach=1000.0, widths=np.array([300.0, 500.0, 300.0]))


def locate(*shapes: shapely.Geometry, precision: float | None = None) -> list[tuple[object, ...]]:
    """Return answer, share, QPV, distance and band of each shape, around squares of a kilometre."""
    radius = None if precision is None else np.full(len(shapes), precision)
    located = locate_shapes(INDEX, np.array(shapes, object), precision=radius)
    columns = (
        [Answer(number).word for number in located.en_qpv],
        located.share.tolist(),
        located.qpv.tolist(),
        located.distance_m.tolist(),
        [Answer(number).word for number in located.bande_tva],
    )
    return list(zip(*columns, strict=True))


def test_shapes_in_out_and_across() -> None:
    inside, across = shapely.box(100, 100, 200, 200), shapely.box(-100, 100, 100, 200)
    away, hole = shapely.box(-500, 0, -400, 100), shapely.box(3450, 450, 3550, 550)
    assert locate(inside, across, away, hole) == [
        ("oui", 100.0, 0, -100.0, "oui"),
        ("à cheval", 50.0, 0, 0.0, "oui"),
        ("non", 0.0, -1, 400.0, "non"),
        ("non", 0.0, -1, 50.0, "oui"),
    ]


def test_a_limit_between_two_qpv_is_no_way_out() -> None:
    assert locate(shapely.box(900, 100, 1300, 200)) == [("oui", 100.0, 2, 0.0, "oui")]


def test_lines_points_and_what_only_touches() -> None:
    street, along = shapely.LineString([(-300, 500), (100, 500)]), shapely.LineString([(0, 0), (0, 500)])
    assert locate(street, along, shapely.MultiPoint([(5, 5), (-5, 5), (6, 6), (7, 7)])) == [
        ("à cheval", 25.0, 0, 0.0, "oui"),
        ("oui", 100.0, 0, 0.0, "oui"),
        ("à cheval", 75.0, 0, 0.0, "oui"),
    ]
    assert locate(shapely.box(-100, 0, 0, 100)) == [("non", 0.0, -1, 0.0, "oui")]


def test_what_crosses_itself_is_repaired_and_what_is_nothing_is_unreadable() -> None:
    bow = shapely.Polygon([(100, 100), (200, 200), (200, 100), (100, 200)])
    nowhere = shapely.LineString([(0, 0), (np.inf, 0)])
    answers = locate(bow, None, shapely.Polygon(), nowhere)  # type: ignore[arg-type]
    assert answers[0][:2] == ("oui", 100.0)
    assert [answer[0] for answer in answers[1:]] == ["illisible"] * 3
    assert [answer[0] for answer in locate(None, shapely.Polygon())] == ["illisible"] * 2  # type: ignore[arg-type]
    assert locate() == []


def test_precision_makes_shapes_uncertain() -> None:
    inside, across = shapely.box(100, 100, 200, 200), shapely.box(-100, 100, 100, 200)
    assert [answer[0] for answer in locate(inside, across, precision=50.0)] == ["oui", "à cheval"]
    assert [answer[0] for answer in locate(inside, across, precision=120.0)] == ["incertain"] * 2
    assert [answer[0] for answer in locate(inside, across, precision=np.nan)] == ["incertain"] * 2
    far = shapely.box(-5100, 0, -5000, 100)
    assert [locate(far, precision=metres)[0][0] for metres in (4999.0, 5001.0)] == ["non", "incertain"]


@given(st.tuples(*[st.floats(-1500, 5500)] * 2), st.floats(1, 2500), st.floats(1, 2500))
def test_shares_are_those_of_an_overlay(corner: tuple[float, float], width: float, height: float) -> None:
    shape = shapely.box(*corner, corner[0] + width, corner[1] + height)
    share = shapely.intersection(shape, ZONES.union_all()).area / shape.area * 100
    ((answer, found, _, distance, _),) = locate(shape)
    assert found == pytest.approx(share, abs=0.006)
    assert answer == {0.0: "non", 100.0: "oui"}.get(found, "à cheval")
    away = shapely.distance(shape, ZONES.union_all())
    if answer == "non":
        assert np.isnan(distance) if away > 1000 else distance == pytest.approx(away)


# ---------------------------------------------------------------- files


@pytest.fixture(scope="module")
def buildings(bandless: Settings) -> gpd.GeoDataFrame:
    """A building in a QPV, one across its limit, one beside, one in Paris, and a row without geometry."""
    path = next((bandless.out_dir / "besancon" / "latest").glob("*.gpkg"))
    planoise = gpd.read_file(path, layer="qpv").set_index("code_qp").geometry["QN02503M"]
    inside = planoise.representative_point()
    across = planoise.exterior.interpolate(0) if planoise.geom_type == "Polygon" else None
    edge = across or shapely.get_point(shapely.get_exterior_ring(shapely.get_geometry(planoise, 0)), 0)
    shapes = [inside.buffer(5), edge.buffer(20), shapely.box(940_000, 6_690_000, 940_010, 6_690_010)]
    shapes += [shapely.box(652_000, 6_862_000, 652_010, 6_862_010), None]
    return gpd.GeoDataFrame({"nom": ["é", "b", "c", "d", None], "n": range(5)}, geometry=shapes, crs=2154)


def run(path: Path, settings: Settings, territory: Territory, **options: object) -> LocateSummary:
    points = options.pop("points", Points())
    return locate_file(path, points, territory, settings, **options)


EXPECTED = ["oui", "à cheval", "non", "incertain", "illisible"]


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("b.gpkg", "b_qpv.gpkg"),
        ("b.parquet", "b_qpv.parquet"),
        ("b.geojson", "b_qpv.geojson"),
        ("b.fgb", "b_qpv.fgb"),
        ("b.shp", "b_qpv.gpkg"),
        ("b.zip", "b_qpv.gpkg"),
    ],
)
def test_buildings_of_every_format(
    tmp_path: Path,
    *,
    buildings: gpd.GeoDataFrame,
    bandless: Settings,
    besancon: Territory,
    name: str,
    written: str,
) -> None:
    path = tmp_path / name
    frame = buildings.to_crs(4326) if name == "b.geojson" else buildings
    if name == "b.parquet":
        frame.to_parquet(path)
    elif name == "b.zip":
        (tmp_path / "sub").mkdir()
        frame.to_file(tmp_path / "sub" / "b.shp", encoding="utf-8")
        with zipfile.ZipFile(path, "w") as archive:
            for file in (tmp_path / "sub").iterdir():
                archive.write(file, f"BDTOPO/{file.name}")
        shutil.rmtree(tmp_path / "sub")
    else:
        options = (
            {"SPATIAL_INDEX": "NO"} if name == "b.fgb" else {"encoding": "utf-8"} if name == "b.shp" else {}
        )
        frame.to_file(path, **options)
    outcome = run(path, bandless, besancon)
    assert outcome.path.name == written
    assert bool(outcome.notes) == (name in {"b.shp", "b.zip"})
    assert {word: outcome.answers[word] for word in EXPECTED} == dict.fromkeys(EXPECTED, 1)
    found = gpd.read_parquet(outcome.path) if name == "b.parquet" else gpd.read_file(outcome.path)
    assert found["en_qpv"].tolist() == EXPECTED
    assert found["nom"].tolist()[:4] == ["é", "b", "c", "d"]
    assert found["n"].tolist() == list(range(5))
    share = found["part_en_qpv"].to_numpy(float)
    assert (share[0], share[2]) == (100.0, 0.0)
    assert 0 < share[1] < 100
    assert np.isnan(share[3:]).all(), "where no QPV is known there is no share"
    assert found["code_qp"].tolist()[:2] == ["QN02503M"] * 2
    assert found["code_qp"].isna().tolist()[2:] == [True] * 3
    assert found["distance_m"][0] < 0 == found["distance_m"][1]
    assert found.crs == frame.crs
    assert (
        found.geometry[0]
        .normalize()
        .equals_exact(
            shapely.MultiPolygon([frame.geometry[0]]).normalize()
            if found.geometry[0].geom_type == "MultiPolygon"
            else frame.geometry[0].normalize(),
            1e-6,
        )
    )
    assert found.geometry[4] is None


def test_points_of_geojson_have_the_answers_of_a_geopackage(
    tmp_path: Path, buildings: gpd.GeoDataFrame, bandless: Settings, besancon: Territory
) -> None:
    points = buildings.iloc[:4].set_geometry(buildings.geometry.iloc[:4].representative_point())
    points.to_file(tmp_path / "p.gpkg")
    points.to_crs(4326).to_file(tmp_path / "p.geojson", COORDINATE_PRECISION=12)
    one, other = (
        gpd.read_file(run(tmp_path / name, bandless, besancon).path).drop(columns="geometry")
        for name in ("p.gpkg", "p.geojson")
    )
    assert "part_en_qpv" not in one
    pd.testing.assert_frame_equal(one, other, check_dtype=False)


def test_a_shapefile_without_crs_takes_the_given_one_and_keeps_it(
    tmp_path: Path, buildings: gpd.GeoDataFrame, bandless: Settings, besancon: Territory
) -> None:
    path = tmp_path / "b.shp"
    buildings.to_file(path)
    path.with_suffix(".prj").unlink()
    with pytest.raises(ConfigurationError, match=r"b\.shp does not say its CRS: give it with --crs"):
        run(path, bandless, besancon)
    outcome = run(path, bandless, besancon, points=Points(crs="EPSG:2154"))
    assert gpd.read_file(outcome.path).crs == 2154


def test_fields_named_as_gdal_names_its_own_are_kept(
    tmp_path: Path, bandless: Settings, besancon: Territory
) -> None:
    points = [shapely.Point(927_000, 6_687_000 + n) for n in range(3)]
    frame = gpd.GeoDataFrame({"FID": [5, 5, 7], "geom": ["a", "b", "c"]}, geometry=points, crs=2154)
    frame.to_file(tmp_path / "p.shp")
    found = gpd.read_file(run(tmp_path / "p.shp", bandless, besancon).path)
    assert (found["FID"].tolist(), found["geom"].tolist()) == ([5, 5, 7], ["a", "b", "c"])
    assert found["en_qpv"].tolist() == ["non"] * 3


def test_a_layer_of_unknown_geometry_is_known_by_its_first_rows(
    tmp_path: Path, buildings: gpd.GeoDataFrame, bandless: Settings, besancon: Territory
) -> None:
    mixed = buildings.iloc[:2].copy()
    mixed.loc[0, "geometry"] = mixed.geometry[0].centroid
    mixed.to_crs(4326).to_file(tmp_path / "m.geojson")
    found = gpd.read_file(run(tmp_path / "m.geojson", bandless, besancon).path)
    assert found["en_qpv"].tolist() == ["oui", "à cheval"]
    assert found["part_en_qpv"][0] == 100
    buildings.iloc[:1].to_crs(4326)[["nom", "geometry"]].to_file(tmp_path / "k.kml", driver="KML")
    assert gpd.read_file(run(tmp_path / "k.kml", bandless, besancon).path)["en_qpv"].tolist() == ["oui"]
    frame = gpd.GeoDataFrame({"n": [1]}, geometry=[buildings.geometry[0]], crs=2154)
    frame.to_file(tmp_path / "g.gpkg", geometry_type="Unknown")
    assert gpd.read_file(run(tmp_path / "g.gpkg", bandless, besancon).path)["part_en_qpv"].tolist() == [100]


def test_archives_with_several_data_sets_ask_which(
    tmp_path: Path, buildings: gpd.GeoDataFrame, bandless: Settings, besancon: Territory
) -> None:
    path = tmp_path / "b.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("un", "deux"):
            buildings.iloc[:1].to_crs(4326).to_file(tmp_path / f"{name}.geojson")
            archive.write(tmp_path / f"{name}.geojson", f"{name}.geojson")
    with pytest.raises(ConfigurationError, match="--layer; it has: un, deux"):
        run(path, bandless, besancon)
    assert run(path, bandless, besancon, points=Points(layer="deux")).rows == 1


def test_what_gdal_cannot_read_is_named(tmp_path: Path, bandless: Settings, besancon: Territory) -> None:
    path = tmp_path / "s.geojson"
    path.write_text(
        '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"score": 87},'
        ' "geometry": {"type": "Point", "coordinates": [6, 47]}}]}'
    )
    with pytest.raises(ContractError, match=r"s\.geojson: column 'score', row 1: 87"):
        run(path, bandless, besancon, points=Points(score_column="score"))
    for name in ("p.geojson", "p.zip", "p.shp", "p.fgb"):
        path = tmp_path / name
        path.write_bytes(b"not this")
        with pytest.raises(ContractError, match=f"{name}: not a file that GDAL can read"):
            run(path, bandless, besancon)
