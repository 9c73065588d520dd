"""The official contours in the editions that ANCT publishes: GeoJSON, GeoPackage and Shapefile."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pyogrio
import pytest
import shapely

from qpv_geo.audit.originals import read_features
from qpv_geo.errors import ContractError, SourceContentError
from qpv_geo.ingest.contours import Contours, read_contours
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import load_catalogue
from qpv_geo.sources.content import check_content
from qpv_geo.sources.fetch import Policy, fetch
from qpv_geo.territory import Territory
from tests.raw_files import raw_file, shipped, six_qpv, write_zip

UPPER, MIXED = str.upper, str.title


def six(crs: int = 2154) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame.from_features(six_qpv()["features"], crs=4326).drop(columns="fid").to_crs(crs)


def edition(path: Path, suffix: str, frame: gpd.GeoDataFrame) -> Path:
    """Write an archive as ANCT lays it out: metropolitan France, and a file for each overseas territory."""
    island = frame.iloc[:1].set_geometry([shapely.box(0, 0, 1, 1)], crs=2975)
    files = {
        "QP2024_France_hexagonale_LB93": frame,
        "QP2024_LaReunion_UTM40S": island,
    }
    members = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, layer in files.items():
            pyogrio.write_dataframe(layer, Path(folder) / f"{name}.{suffix}")
        for file in Path(folder).iterdir():
            members[f"{suffix.upper()}/{file.name}"] = file.read_bytes()
    return write_zip(path, members)


def outcomes(contours: Contours) -> dict[str, tuple[str, str]]:
    return {check.code: (check.outcome, check.found) for check in contours.checks}


@pytest.mark.parametrize("spelling", [str, UPPER, MIXED], ids=["lower", "upper", "mixed"])
@pytest.mark.parametrize("suffix", ["gpkg", "shp"])
def test_an_edition_gives_what_the_geojson_gives(
    suffix: str, spelling: Callable[[str], str], tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    frame = six()
    path = edition(
        tmp_path / f"qpv-2024-{suffix}.zip",
        suffix,
        frame.rename(columns=spelling).set_geometry(spelling("geometry")),
    )
    raw = raw_file("qpv_2024", path)
    check_content(raw, settings)
    found = read_contours(raw, besancon, settings).by_epsg[2154]
    wanted = read_contours(
        raw_file("qpv_2024", shipped("anct/qpv-2024.geojson")), besancon, settings
    ).by_epsg[2154]
    pd.testing.assert_frame_equal(
        pd.DataFrame(found.drop(columns="geometry")), pd.DataFrame(wanted.drop(columns="geometry"))
    )
    assert shapely.equals_exact(
        shapely.normalize(found.geometry.to_numpy()), shapely.normalize(wanted.geometry.to_numpy()), 1e-6
    ).all()
    # Read again by other means, to be compared with what is published.
    again = read_features(raw, settings)
    first = read_features(raw_file("qpv_2024", shipped("anct/qpv-2024.geojson")), settings)
    one, other = (pd.DataFrame(each.table).drop(columns="geometry") for each in (again, first))
    assert one.to_dict("index") == other.to_dict("index")
    assert again.table.crs == 2154


def test_the_edition_is_had_from_a_mirror(tmp_path: Path, besancon: Territory, settings: Settings) -> None:
    (tmp_path / "anct").mkdir()
    path = edition(tmp_path / "anct" / "qpv-2024-gpkg.zip", "gpkg", six())
    source = load_catalogue()["qpv_2024"]
    raw = fetch(source, besancon, settings, Policy(mirror=str(tmp_path)))
    assert raw
    assert raw.path == path
    (tmp_path / "anct" / "qpv-2024.geojson").write_bytes(shipped("anct/qpv-2024.geojson").read_bytes())
    first = fetch(source, besancon, settings, Policy(mirror=str(tmp_path)))
    assert first
    assert first.path.name == "qpv-2024.geojson"


def test_a_bare_edition(tmp_path: Path, besancon: Territory, settings: Settings) -> None:
    for suffix in ("gpkg", "shp"):
        path = tmp_path / f"QP2024_France_hexagonale_LB93.{suffix}"
        pyogrio.write_dataframe(six(), path)
        raw = raw_file("qpv_2024", path)
        check_content(raw, settings)
        assert len(read_contours(raw, besancon, settings).by_epsg[2154]) == 6
        assert len(read_features(raw, settings).table) == 6


@pytest.mark.parametrize("suffix", ["gpkg", "shp"])
def test_the_national_edition_confirms_the_counts(
    suffix: str, mirror: Path, tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    france = pyogrio.read_dataframe(mirror / "anct" / "qpv-2024-geojson.zip").drop(columns="fid")
    overseas = france["code_qp"].str.startswith(("QN97", "QN98"))
    path = edition(
        tmp_path / "qpv.zip", suffix, france[~overseas].to_crs(2154).rename(columns={"code_qp": "CODE_QP"})
    )
    raw = raw_file("qpv_2024", path, provenance="mirror")
    contours = read_contours(raw, besancon, settings)
    assert {epsg: len(layer) for epsg, layer in contours.by_epsg.items()} == {2154: 1362}
    found = outcomes(contours)
    assert found["nombre_qpv_metropole"] == ("conforme", "1362")
    assert found["nombre_qpv_departement"] == ("conforme", "17")
    assert found["nombre_qpv_territoire"] == ("conforme", "6")
    assert len(read_features(raw, settings).table) == 1362


@pytest.mark.parametrize("spelling", [str.lower, UPPER, MIXED], ids=["lower", "upper", "mixed"])
def test_contours_of_2015_are_told_by_their_codes(
    spelling: Callable[[str], str], tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    old = six().assign(code_qp=[f"QP02500{n}" for n in range(1, 7)])
    columns = {"code_qp": "CODE_QP", "lib_qp": "NOM_QP", "lib_com": "COMMUNE_QP"}
    few = old[[*columns, "geometry"]].rename(columns=columns)
    for frame in (
        old.rename(columns={"code_qp": spelling("code_qp")}),
        few.rename(columns={"CODE_QP": spelling("code_qp")}),
    ):
        path = tmp_path / "qpv.gpkg"
        path.unlink(missing_ok=True)
        pyogrio.write_dataframe(frame, path)
        with pytest.raises(ContractError) as error:
            read_contours(raw_file("qpv_2024", path, format="gpkg"), besancon, settings)
        assert "found the 2015 geography in place of 2024 (code QP025001)" in str(error.value)
        assert "take the 2024 contours from" in str(error.value)


def test_an_archive_without_any_edition_says_what_it_holds(tmp_path: Path, settings: Settings) -> None:
    path = write_zip(tmp_path / "qpv.zip", {"GEOJSON/QP2030.geojson": b"{}", "LISEZ_MOI.txt": b"x"})
    with pytest.raises(
        SourceContentError, match=r"no member matches .*Outre_Mer_WGS84.*found: GEOJSON/QP2030\.geojson"
    ) as error:
        check_content(raw_file("qpv_2024", path), settings)
    assert "[sources.qpv_2024]" in str(error.value)
