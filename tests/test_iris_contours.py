"""Contours of the IRIS: by commune from the service, or of the whole country in one file."""

from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd
import py7zr
import pytest
from shapely import box

from qpv_geo.checks import Check
from qpv_geo.errors import ContractError, SourceContentError
from qpv_geo.ingest.communes import read_iris
from qpv_geo.settings import Settings
from qpv_geo.sources.raw import RawFile
from tests.raw_files import raw_file

COLUMNS = {
    "code_iris",
    "nom_iris",
    "type_iris",
    "insee_com",
    "nom_com",
    "geometry",
    "geographie",
    "ecart_reparation_m2",
}


def service(
    commune: str = "25056", count: int = 3, crs: int = 4326, **columns: list[Any]
) -> gpd.GeoDataFrame:
    """Return squares of a kilometre as the service describes IRIS, the last one first."""
    order = range(count, 0, -1)
    data = {
        "cleabs": [f"IRIS____{n}" for n in order],
        "code_insee": [commune] * count,
        "nom_commune": ["Besançon"] * count,
        "iris": [f"01{n:02d}" for n in order],
        "code_iris": [f"{commune}01{n:02d}" for n in order],
        "nom_iris": [f"Quartier {n}" for n in order],
        "type_iris": ["H"] * count,
    }
    west = 920000 + 10000 * (commune != "25056")
    squares = [box(west + 1000 * n, 6687000, west + 1000 * n + 1000, 6688000) for n in order]
    return gpd.GeoDataFrame(data | columns, geometry=squares, crs=2154).to_crs(crs)


def geojson(path: Path, frame: gpd.GeoDataFrame) -> RawFile:
    frame.to_file(path, driver="GeoJSON")
    return raw_file("iris", path)


def test_the_iris_of_several_communes(tmp_path: Path, settings: Settings) -> None:
    raws = {
        "iris-25429": geojson(tmp_path / "25429.geojson", service("25429", 1)),
        "iris-25056": geojson(tmp_path / "25056.geojson", service()),
    }
    iris, checks = read_iris(raws, {"25056", "25429"}, settings, 2154)
    assert set(iris.columns) == COLUMNS
    assert iris.crs == 2154
    # Sorted, whatever the order of the files.
    assert iris["code_iris"].tolist() == ["250560101", "250560102", "250560103", "254290101"]
    assert iris["insee_com"].tolist() == ["25056", "25056", "25056", "25429"]
    assert iris["nom_iris"].iloc[0] == "Quartier 1"
    assert set(iris["geographie"]) == {date(2024, 1, 1)}
    assert iris.area.tolist() == pytest.approx([1e6] * 4, rel=1e-6)
    assert {(check.code, check.subject, check.outcome) for check in checks} == {
        (code, key, "conforme") for key in raws for code in ("lecture_du_fichier", "contours_repares")
    }


def reading(checks: tuple[Check, ...]) -> Check:
    return next(check for check in checks if check.code == "lecture_du_fichier")


def test_one_file_for_the_country_gives_the_communes_that_are_asked_for(
    tmp_path: Path, settings: Settings
) -> None:
    columns = {"code_insee": "INSEE_COM", "nom_commune": "NOM_COM", "code_iris": "CODE_IRIS"}
    columns |= {"nom_iris": "NOM_IRIS", "type_iris": "TYP_IRIS"}
    names = list(columns)
    frame = service(crs=2154)[[*names, "geometry"]]
    elsewhere = service("25429", 2, crs=2154)[[*names, "geometry"]]
    folder = tmp_path / "CONTOURS-IRIS_3-0__GPKG_LAMB93_FXX_2024-01-01"
    folder.mkdir()
    country = gpd.GeoDataFrame([*frame.to_dict("records"), *elsewhere.to_dict("records")], crs=2154)
    country.rename(columns=columns).to_file(folder / "iris.gpkg", layer="contours_iris")
    archive = tmp_path / f"{folder.name}.7z"
    with py7zr.SevenZipFile(archive, "w") as packed:
        packed.write(folder / "iris.gpkg", f"{folder.name}/DONNEES/iris.gpkg")
    iris, checks = read_iris({"iris_france": raw_file("iris_france", archive)}, {"25056"}, settings, 2154)
    assert set(iris.columns) == COLUMNS
    assert iris["code_iris"].tolist() == ["250560101", "250560102", "250560103"]
    assert iris["type_iris"].tolist() == ["H"] * 3
    assert reading(checks).found == "3 IRIS"


def test_a_date_that_nobody_knows_is_none(tmp_path: Path, settings: Settings) -> None:
    service().to_file(tmp_path / "i.geojson", driver="GeoJSON")
    raws = {"iris-25056": raw_file("iris", tmp_path / "i.geojson", geography=None)}
    iris, _ = read_iris(raws, {"25056"}, settings, 2154)
    assert iris["geographie"].tolist() == [None, None, None]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"code_iris": ["0101", "250560102", "250560101"]},
            r"code_iris: expected code of an IRIS, such as 250560101; found '0101' \(leading zeros lost",
        ),
        (
            {"code_iris": ["254290101", "250560102", "250560101"]},
            r"expected a code that begins with that of the commune; found '254290101' in 25056 at feature 1",
        ),
        ({"code_iris": ["250560101", "250560102", "250560101"]}, r"at feature 3 \(250560101\)"),
        ({"nom_iris": [None, "b", "c"]}, r"nom_iris: expected a value; found nothing at feature 1"),
    ],
)
def test_wrong_attributes(
    columns: dict[str, list[Any]], message: str, tmp_path: Path, settings: Settings
) -> None:
    raws = {"iris-25056": geojson(tmp_path / "i.geojson", service(**columns))}
    with pytest.raises(ContractError, match=message):
        read_iris(raws, {"25056"}, settings, 2154)


def test_a_commune_without_iris(tmp_path: Path, settings: Settings) -> None:
    raws = {"iris-25056": geojson(tmp_path / "i.geojson", service())}
    with pytest.raises(ContractError) as error:
        read_iris(raws, {"25056", "25429"}, settings, 2154)
    assert "expected IRIS of commune 25429; found none" in str(error.value)
    assert "take it out of 'communes_principales'" in str(error.value)


def test_another_shape(tmp_path: Path, settings: Settings) -> None:
    frame = service().rename(columns={"code_iris": "dcomiris"})
    raws = {"iris-25056": geojson(tmp_path / "i.geojson", frame)}
    with pytest.raises(ContractError, match="expected column 'code_iris'; found no such column"):
        read_iris(raws, {"25056"}, settings, 2154)
    (tmp_path / "page.geojson").write_text("<html></html>", encoding="utf-8")
    page = {"iris-25056": raw_file("iris", tmp_path / "page.geojson")}
    with pytest.raises(SourceContentError, match=r"page\.geojson"):
        read_iris(page, {"25056"}, settings, 2154)
    empty = service().iloc[:0]
    nothing = {"iris-25056": geojson(tmp_path / "e.geojson", empty)}
    with pytest.raises(ContractError, match="expected at least one feature; found an empty layer"):
        read_iris(nothing, {"25056"}, settings, 2154)


def test_swapped_axes_are_recognised(tmp_path: Path, settings: Settings) -> None:
    frame = service()
    frame = frame.set_geometry(gpd.GeoSeries([box(*_swapped(g.bounds)) for g in frame.geometry], crs=4326))
    raws = {"iris-25056": geojson(tmp_path / "i.geojson", frame)}
    with pytest.raises(ContractError, match=r"swapped|France métropolitaine"):
        read_iris(raws, {"25056"}, settings, 2154)


def _swapped(bounds: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    return bounds[1], bounds[0], bounds[3], bounds[2]
