"""Contours of the QPV of 2015: the official Shapefile, and the service that stands in for it."""

from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
from shapely import box

from qpv_geo.errors import ContractError, SourceContentError
from qpv_geo.ingest.contours import read_qpv_2015
from qpv_geo.settings import Settings
from tests.raw_files import raw_file, write_json, zip_shapefile

NAME = "QP_METROPOLE_LB93"
COLUMNS = ["code_qp", "nom_qp", "commune_qp", "geometry", "ecart_reparation_m2"]


def besancon_2015(crs: int = 2154, **columns: list[Any]) -> gpd.GeoDataFrame:
    """Return three squares of a kilometre in Besançon and one in Ajaccio."""
    data = {
        "CODE_QP": ["QP025003", "QP025001", "QP02A001", "QP025004"],
        "NOM_QP": ["Planoise", "Clairs-Soleils", "Les Cannes", "Hauts De Saint-Claude - Œillets"],
        "COMMUNE_QP": ["Besançon", "Besançon", "Ajaccio", "Besançon"],
    }
    corners = [(924000, 6687000), (930000, 6690000), (1176000, 6106000), (928000, 6691000)]
    squares = [box(x, y, x + 1000, y + 1000) for x, y in corners]
    return gpd.GeoDataFrame(data | columns, geometry=squares, crs=2154).to_crs(crs)


def read(path: Path, settings: Settings, source: str = "qpv_2015", **changes: object) -> gpd.GeoDataFrame:
    qpv, checks = read_qpv_2015(raw_file(source, path, **changes), settings, 2154)
    assert {check.subject for check in checks} == {source}
    return qpv


def test_the_shapefile(tmp_path: Path, settings: Settings) -> None:
    path = zip_shapefile(tmp_path / "qp-politiquedelaville-shp.zip", besancon_2015(), NAME)
    qpv = read(path, settings)
    assert list(qpv.columns) == COLUMNS
    assert qpv.crs == 2154
    # As published, in the file's order.
    assert qpv["code_qp"].tolist() == ["QP025003", "QP025001", "QP02A001", "QP025004"]
    assert qpv["nom_qp"].iloc[3] == "Hauts De Saint-Claude - Œillets"
    assert qpv["commune_qp"].iloc[0] == "Besançon"
    assert qpv.area.tolist() == pytest.approx([1e6] * 4)


@pytest.mark.parametrize(
    ("encoding", "without"), [("UTF-8", (".cpg",)), ("CP1252", (".cpg",)), ("CP1252", ())]
)
def test_a_shapefile_says_its_encoding_or_shows_it(
    encoding: str, without: tuple[str, ...], tmp_path: Path, settings: Settings
) -> None:
    frame = besancon_2015()
    qpv = read(zip_shapefile(tmp_path / "q.zip", frame, NAME, encoding=encoding, without=without), settings)
    assert qpv["nom_qp"].tolist() == frame["NOM_QP"].tolist()
    assert qpv["commune_qp"].tolist() == frame["COMMUNE_QP"].tolist()


@pytest.mark.parametrize("crs", [4326, 3857])
def test_the_service_in_either_crs(crs: int, tmp_path: Path, settings: Settings) -> None:
    frame = besancon_2015(crs).rename(columns=str.lower)
    path = tmp_path / "qpv-2015-wfs.geojson"
    frame.to_file(path, driver="GeoJSON", RFC7946="NO")
    qpv = read(path, settings, "qpv_2015_wfs")
    assert list(qpv.columns) == COLUMNS
    assert qpv.area.tolist() == pytest.approx([1e6] * 4, rel=1e-6)


def test_only_the_part_of_france_of_the_crs(tmp_path: Path, settings: Settings) -> None:
    frame = besancon_2015(4326)
    frame.loc[3, ["CODE_QP", "geometry"]] = ["QP974001", box(55.2, -21.0, 55.21, -20.99)]
    path = tmp_path / "wfs.geojson"
    frame.to_file(path, driver="GeoJSON")
    assert len(read(path, settings, "qpv_2015_wfs")) == 3
    reunion, _ = read_qpv_2015(raw_file("qpv_2015_wfs", path), settings, 2975)
    assert reunion["code_qp"].tolist() == ["QP974001"]
    assert reunion.crs == 2975
    with pytest.raises(ContractError, match="QPV in the parts of France that EPSG:2972 serves; found none"):
        read_qpv_2015(raw_file("qpv_2015_wfs", path), settings, 2972)


def test_the_count_of_a_whole_file(tmp_path: Path, settings: Settings) -> None:
    path = zip_shapefile(tmp_path / "q.zip", besancon_2015(), NAME)
    raw = raw_file("qpv_2015", path, provenance="mirror", counts={"metropole": 4})
    _, checks = read_qpv_2015(raw, settings, 2154)
    counted = next(check for check in checks if check.code == "nombre_qpv_2015_metropole")
    assert (counted.outcome, counted.expected, counted.found) == ("conforme", "4", "4")
    with pytest.raises(ContractError) as error:
        read_qpv_2015(raw_file("qpv_2015", path, provenance="mirror"), settings, 2154)
    assert "expected 1296 QPV 2015 (metropole); found 4" in str(error.value)
    assert "change 'counts' in entry [qpv_2015]" in str(error.value)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"CODE_QP": ["QN02503M", "QP025001", "QP02A001", "QP025004"]},
            r"code_qp: .* found 'QN02503M' \(2024 geography in place of 2015\) at feature 1",
        ),
        ({"CODE_QP": ["QP25003", "QP025001", "QP02A001", "QP025004"]}, r"'QP25003' \(leading zeros lost\)"),
        ({"CODE_QP": ["QP025001", "QP025001", "QP02A001", "QP025004"]}, "QP025001.*at feature 2"),
        (
            {"NOM_QP": ["a", None, "c", "d"]},
            r"nom_qp: expected a value; found nothing at feature 2 \(QP025001",
        ),
        ({"CODE_QP": ["QP971001", "QP025001", "QP02A001", "QP025004"]}, None),
    ],
)
def test_wrong_attributes(
    columns: dict[str, list[Any]], message: str | None, tmp_path: Path, settings: Settings
) -> None:
    path = zip_shapefile(tmp_path / "q.zip", besancon_2015(**columns), NAME)
    if message is None:
        # A QPV of Guadeloupe has no place in Lambert-93.
        assert len(read(path, settings)) == 3
        return
    with pytest.raises(ContractError, match=message):
        read(path, settings)


def test_a_column_that_is_missing(tmp_path: Path, settings: Settings) -> None:
    frame = besancon_2015().rename(columns={"NOM_QP": "NOM"})
    with pytest.raises(ContractError) as error:
        read(zip_shapefile(tmp_path / "q.zip", frame, NAME), settings)
    assert "expected column 'NOM_QP' or 'nom_qp'; found no such column, perhaps renamed to 'NOM'" in str(
        error.value
    )
    assert "[sources.qpv_2015]\n      columns = { " in str(error.value)


def test_a_crs_that_needs_a_grid_is_refused(tmp_path: Path, settings: Settings) -> None:
    path = zip_shapefile(tmp_path / "q.zip", besancon_2015(27572), NAME)
    with pytest.raises(ContractError, match=r"CRS: expected one of EPSG:4326.*found .*\(EPSG:27572\)"):
        read(path, settings)


def test_a_crs_that_is_not_declared(tmp_path: Path, settings: Settings) -> None:
    path = zip_shapefile(tmp_path / "q.zip", besancon_2015(), NAME, without=(".prj",))
    with pytest.raises(ContractError, match=r"CRS: expected a declared CRS.*none \(no \.prj"):
        read(path, settings)


def test_lambert_coordinates_in_a_file_that_says_degrees(tmp_path: Path, settings: Settings) -> None:
    frame = besancon_2015().set_crs(4326, allow_override=True)
    with pytest.raises(ContractError, match="France métropolitaine"):
        read(zip_shapefile(tmp_path / "q.zip", frame, NAME), settings)


def test_files_of_another_shape(tmp_path: Path, settings: Settings) -> None:
    path = zip_shapefile(tmp_path / "q.zip", besancon_2015(), "QP_AUTRE")
    with pytest.raises(SourceContentError, match=r"no member matches .*QP_METROPOLE_LB93"):
        read(path, settings)
    path = zip_shapefile(tmp_path / "r.zip", besancon_2015(), NAME, without=(".dbf",))
    with pytest.raises(SourceContentError, match=r"expected one Shapefile with its \.shx and \.dbf"):
        read(path, settings)
    empty = write_json(tmp_path / "e.geojson", {"type": "FeatureCollection", "features": []})
    with pytest.raises(ContractError, match="expected at least one feature; found an empty layer"):
        read(empty, settings, "qpv_2015_wfs")
