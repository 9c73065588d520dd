"""Contours of the QPV: every format, official attributes, untouched geometry, counts."""

import json
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely
from geopandas.testing import assert_geodataframe_equal
from pyproj import Transformer

from qpv_geo.errors import ContractError
from qpv_geo.ingest.cell_text import clean_text
from qpv_geo.ingest.contours import Contours, read_contours
from qpv_geo.settings import Settings
from qpv_geo.territory import Territory
from tests.raw_files import raw_file, set_property, shipped, six_qpv, write_json, write_zip

OFFICIAL = [
    "code_qp",
    "lib_qp",
    "insee_reg",
    "lib_reg",
    "insee_dep",
    "lib_dep",
    "insee_com",
    "lib_com",
    "siren_epci",
]


def checks_of(contours: Contours) -> dict[str, tuple[str, str, str]]:
    return {check.code: (check.outcome, check.expected, check.found) for check in contours.checks}


def six_frame(crs: int) -> gpd.GeoDataFrame:
    frame = gpd.GeoDataFrame.from_features(six_qpv()["features"], crs=4326)
    return frame.drop(columns="fid").to_crs(crs)


def test_the_shipped_contours(besancon: Territory, settings: Settings) -> None:
    contours = read_contours(raw_file("qpv_2024", shipped("anct/qpv-2024.geojson")), besancon, settings)
    assert list(contours.by_epsg) == [2154]
    layer = contours.by_epsg[2154]
    assert layer.crs == 2154
    assert set(layer.columns) == {*OFFICIAL, "geometry", "ecart_reparation_m2"}
    assert layer["code_qp"].tolist() == [f["properties"]["code_qp"] for f in six_qpv()["features"]]
    assert layer["lib_qp"].tolist()[1] == "Planoise"
    assert set(layer["insee_com"]) == {"25056"}
    assert set(layer.geom_type) == {"MultiPolygon"}
    assert layer["ecart_reparation_m2"].isna().all()
    assert not contours.national
    assert checks_of(contours) == {
        "lecture_du_fichier": ("conforme", "", "6 entités"),
        "nombre_qpv_metropole": ("non_verifiable", "1362", ""),
        "nombre_qpv_departement": ("non_verifiable", "17", ""),
        "nombre_qpv_territoire": ("conforme", "6", "6"),
        "contours_repares": ("conforme", "0", "0"),
        "champs_vides": ("conforme", "0", "0"),
    }


def test_columns_in_upper_case_are_those_of_the_contract(
    besancon: Territory, settings: Settings, tmp_path: Path
) -> None:
    collection = six_qpv()
    for feature in collection["features"]:
        feature["properties"] = {name.upper(): value for name, value in feature["properties"].items()}
    raw = raw_file("qpv_2024", write_json(tmp_path / "qpv.geojson", collection))
    found = read_contours(raw, besancon, settings).by_epsg[2154]
    shipped_file = raw_file("qpv_2024", shipped("anct/qpv-2024.geojson"))
    assert_geodataframe_equal(found, read_contours(shipped_file, besancon, settings).by_epsg[2154])


def test_valid_contours_keep_their_vertices_in_order(besancon: Territory, settings: Settings) -> None:
    contours = read_contours(raw_file("qpv_2024", shipped("anct/qpv-2024.geojson")), besancon, settings)
    official = [shapely.geometry.shape(feature["geometry"]) for feature in six_qpv()["features"]]
    to_lambert = Transformer.from_crs(4326, 2154, always_xy=True)
    expected = np.column_stack(to_lambert.transform(*shapely.get_coordinates(official).T))
    found = shapely.get_coordinates(contours.by_epsg[2154].geometry.to_numpy())
    assert len(found) == 878
    np.testing.assert_array_equal(found, expected)


def test_the_national_file(mirror: Path, besancon: Territory, settings: Settings) -> None:
    raw = raw_file("qpv_2024", mirror / "anct" / "qpv-2024-geojson.zip", provenance="mirror")
    contours = read_contours(raw, besancon, settings)
    assert contours.national
    assert {epsg: len(layer) for epsg, layer in contours.by_epsg.items()} == {
        2154: 1362,
        2972: 29,
        2975: 57,
        3297: 88,
        4471: 17,
        5490: 31,
    }
    found = checks_of(contours)
    assert found["nombre_qpv_metropole"] == ("conforme", "1362", "1362")
    assert found["nombre_qpv_departement"] == ("conforme", "17", "17")
    assert found["nombre_qpv_territoire"] == ("conforme", "6", "6")
    assert found["contours_repares"][0] == "avertissement"
    assert "QN01333I (+541,9 m², soit 0,86 %)" in next(
        check.message for check in contours.checks if check.code == "contours_repares"
    )
    for epsg, layer in contours.by_epsg.items():
        assert layer.crs == epsg
        assert layer.is_valid.all()
        assert set(layer.geom_type) == {"MultiPolygon"}
        # A wrong projection shows in areas: a QPV has a hectare at least, and in Mayotte is a whole commune.
        assert layer.area.between(5e3, 6e7).all()
        assert (layer["ecart_reparation_m2"].abs() / layer.area).max() <= 0.01
    mayotte = contours.by_epsg[4471].set_index("code_qp")
    assert mayotte.loc["QN97651C", "siren_epci"] is None
    assert mayotte.loc["QN97651C", "insee_com"] == "97601"
    polynesia = contours.by_epsg[3297]
    # "NA" in the file.
    assert all(code is None for code in polynesia["siren_epci"])
    several = contours.by_epsg[2154].set_index("code_qp").loc["QN00201M"]
    assert several["insee_com"] == "02571, 02691"


def test_the_national_file_without_one_metropolitan_qpv(
    mirror: Path, tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    frame = pyogrio.read_dataframe(mirror / "anct" / "qpv-2024-geojson.zip").iloc[1:]
    pyogrio.write_dataframe(frame.drop(columns="fid"), tmp_path / "qpv.gpkg")
    raw = raw_file("qpv_2024", tmp_path / "qpv.gpkg", provenance="mirror", format="gpkg")
    with pytest.raises(ContractError, match="expected 1362 QPV in France métropolitaine; found 1361"):
        read_contours(raw, besancon, settings)


def test_counts_of_france_are_errors_in_a_file_that_should_be_national(
    besancon: Territory, settings: Settings
) -> None:
    raw = raw_file("qpv_2024", shipped("anct/qpv-2024.geojson"), provenance="live")
    with pytest.raises(ContractError) as error:
        read_contours(raw, besancon, settings)
    assert "expected 1362 QPV in France métropolitaine; found 6" in str(error.value)
    assert "expected 17 QPV in département 25; found 6: QN02502M" in str(error.value)
    assert "'counts' in entry [qpv_2024]" in str(error.value)


def test_a_zip_is_read_as_the_bare_file(tmp_path: Path, besancon: Territory, settings: Settings) -> None:
    data = shipped("anct/qpv-2024.geojson").read_bytes()
    name = "GEOJSON/QP2024_France_Hexagonale_Outre_Mer_WGS84.geojson"
    archive = write_zip(tmp_path / "qpv-2024-geojson.zip", {name: data, "LISEZ_MOI.txt": b"..."})
    zipped = read_contours(raw_file("qpv_2024", archive), besancon, settings).by_epsg[2154]
    bare = read_contours(raw_file("qpv_2024", shipped("anct/qpv-2024.geojson")), besancon, settings)
    pd.testing.assert_frame_equal(zipped, bare.by_epsg[2154])


@pytest.mark.parametrize("crs", [2154, 4326, 4258, 4171, 3857])
def test_a_geopackage_in_any_accepted_crs(
    crs: int, tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    official = six_frame(2154)
    pyogrio.write_dataframe(official.to_crs(crs), tmp_path / "qpv.gpkg", layer="QP2024")
    contours = read_contours(
        raw_file("qpv_2024", tmp_path / "qpv.gpkg", format="gpkg"), besancon, settings
    ).by_epsg[2154]
    assert contours["lib_com"].tolist() == ["Besançon"] * 6
    # A thousandth of a millimetre, what one projection more costs.
    assert shapely.equals_exact(
        contours.geometry.to_numpy(), official.geometry.to_numpy(), tolerance=1e-6
    ).all()


@pytest.mark.parametrize("crs", [27572, 32631])
def test_a_geopackage_in_another_crs_is_refused(
    crs: int, tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    pyogrio.write_dataframe(six_frame(4326).to_crs(crs), tmp_path / "qpv.gpkg")
    with pytest.raises(ContractError, match=f"CRS: expected one of EPSG:4326.*EPSG:{crs}"):
        read_contours(raw_file("qpv_2024", tmp_path / "qpv.gpkg", format="gpkg"), besancon, settings)


@pytest.mark.parametrize(
    ("encoding", "sibling"), [("UTF-8", ["cpg"]), ("UTF-8", []), ("CP1252", ["cpg"]), ("CP1252", [])]
)
def test_a_shapefile_whatever_its_encoding(
    encoding: str, sibling: list[str], tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    pyogrio.write_dataframe(six_frame(2154), tmp_path / "QP2024.shp", encoding=encoding)
    parts = ["shp", "shx", "dbf", "prj", *sibling]
    members = {f"SHP/QP2024.{part}": (tmp_path / f"QP2024.{part}").read_bytes() for part in parts}
    archive = write_zip(tmp_path / "qpv-2024-shp.zip", {**members, "SHP/QP2024.qmd": b"x"})
    raw = raw_file("qpv_2024", archive, format="shp", member=r"(.*/)?QP2024\.shp")
    contours = read_contours(raw, besancon, settings).by_epsg[2154]
    assert contours["lib_com"].tolist() == ["Besançon"] * 6
    assert contours["siren_epci"].tolist() == ["242500361"] * 6


def test_nothing_is_none_whichever_way_it_is_written(
    tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    collection = six_qpv()
    for feature, nothing in enumerate(["NA", "", None, "  "]):
        set_property("insee_reg", nothing, feature)(collection)
    raw = raw_file("qpv_2024", write_json(tmp_path / "qpv.geojson", collection))
    contours = read_contours(raw, besancon, settings)
    assert contours.by_epsg[2154]["insee_reg"].tolist() == [None, None, None, None, "27", "27"]
    assert checks_of(contours)["champs_vides"] == ("avertissement", "0", "4")


def test_codes_stored_as_numbers_become_text(tmp_path: Path, besancon: Territory, settings: Settings) -> None:
    collection = six_qpv()
    for feature in collection["features"]:
        properties = feature["properties"]
        properties |= {"insee_com": 25056.0, "siren_epci": 242500361, "insee_dep": 25, "insee_reg": 27.0}
    collection["features"][0]["properties"]["insee_reg"] = None
    raw = raw_file("qpv_2024", write_json(tmp_path / "qpv.geojson", collection))
    layer = read_contours(raw, besancon, settings).by_epsg[2154]
    assert set(layer["insee_com"]) == {"25056"}
    assert set(layer["siren_epci"]) == {"242500361"}
    assert layer["insee_reg"].tolist() == [None, *["27"] * 5]


def test_columns_of_others_are_left_out(tmp_path: Path, besancon: Territory, settings: Settings) -> None:
    collection = six_qpv()
    set_property("OBJECTID", 12)(collection)
    raw = raw_file("qpv_2024", write_json(tmp_path / "qpv.geojson", collection))
    assert "OBJECTID" not in read_contours(raw, besancon, settings).by_epsg[2154]


def test_a_qpv_of_two_epci_counts_for_both(tmp_path: Path, besancon: Territory, settings: Settings) -> None:
    collection = six_qpv()
    set_property("siren_epci", "200042190, 242500361", 3)(collection)
    raw = raw_file("qpv_2024", write_json(tmp_path / "qpv.geojson", collection))
    assert checks_of(read_contours(raw, besancon, settings))["nombre_qpv_territoire"][0] == "conforme"


def test_a_small_defect_is_repaired_and_recorded(
    tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    collection = six_qpv()
    ring = collection["features"][1]["geometry"]["coordinates"][0][0]
    before = shapely.Polygon(ring)
    # A spike that goes out and comes back along itself: no area, but not valid.
    x, y = ring[10]
    ring[10:11] = [[x, y], [x + 1e-4, y + 1e-4], [x, y]]
    assert not shapely.Polygon(ring).is_valid
    raw = raw_file("qpv_2024", write_json(tmp_path / "qpv.geojson", collection))
    contours = read_contours(raw, besancon, settings)
    layer = contours.by_epsg[2154]
    assert layer["ecart_reparation_m2"].notna().tolist() == [False, True, False, False, False, False]
    assert layer.is_valid.all()
    expected = gpd.GeoSeries([before], crs=4326).to_crs(2154).area[0]
    assert layer.area[1] == pytest.approx(expected, rel=0.01)
    assert checks_of(contours)["contours_repares"] == ("avertissement", "0", "1")


def test_the_expected_number_is_the_territorys(besancon: Territory, settings: Settings) -> None:
    other = besancon.model_copy(update={"expected": besancon.expected.model_copy(update={"qpv": 5})})
    with pytest.raises(ContractError, match="expected 5 QPV in Grand Besançon Métropole; found 6"):
        read_contours(raw_file("qpv_2024", shipped("anct/qpv-2024.geojson")), other, settings)


def test_a_number_that_is_not_known_is_not_checked(besancon: Territory, settings: Settings) -> None:
    expected = besancon.expected.model_copy(update={"qpv_departement": None})
    other = besancon.model_copy(update={"expected": expected})
    contours = read_contours(
        raw_file("qpv_2024", shipped("anct/qpv-2024.geojson"), counts={}), other, settings
    )
    assert "nombre_qpv_departement" not in checks_of(contours)
    assert "nombre_qpv_metropole" not in checks_of(contours)


def test_a_declared_spelling_of_a_column_is_accepted(
    tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    text = json.dumps(six_qpv()).replace('"lib_qp"', '"nom_qp"')
    (tmp_path / "qpv.geojson").write_text(text, encoding="utf-8")
    raw = raw_file("qpv_2024", tmp_path / "qpv.geojson")
    columns = {**raw.source.columns, "lib_qp": ("lib_qp", "nom_qp")}
    raw = replace(raw, source=raw.source.model_copy(update={"columns": columns}))
    assert read_contours(raw, besancon, settings).by_epsg[2154]["lib_qp"].iloc[1] == "Planoise"


def test_clean_text_of_any_type() -> None:
    assert clean_text(pd.Series([25056.0, np.nan, 2.5])).tolist() == ["25056", None, "2.5"]
    # Beyond this, a float no longer tells one whole number from the next.
    whole, unsure = clean_text(pd.Series([2.0**53 - 1, 2.0**53]))
    assert (whole, unsure) == ("9007199254740991", "9007199254740992.0")
    assert clean_text(pd.Series([25056, 1])).tolist() == ["25056", "1"]
    assert clean_text(pd.Series([" a ", "NA", None, ""], dtype=object)).tolist() == ["a", None, None, None]
    assert clean_text(pd.Series([None, None], dtype=object)).tolist() == [None, None]
    assert clean_text(pd.Series([True, False])).tolist() == ["True", "False"]
