"""``qpv-geo locate`` as users run it: a process, its output, its exit code."""

import re
from pathlib import Path

import geopandas as gpd
import pytest
import shapely

from qpv_geo.releases.release import Release
from qpv_geo.settings import Settings
from tests.command_line import Finished, qpv_geo, qpv_geo_here


@pytest.fixture(scope="module")
def data(release: Release) -> Path:
    return release.path.parents[2]


def locate(*arguments: str | Path) -> Finished:
    return qpv_geo_here("locate", *arguments)


def test_a_file_is_located_and_counted(tmp_path: Path, bandless: Settings) -> None:
    data = bandless.data_dir
    path = tmp_path / "adresses.csv"
    path.write_text("nom;e;n\nDupont;927000,5;6687000,1\nDurand;;\nParis;652000;6862000\n")
    options = ("--x", "e", "--y", "n", "--crs", "2154", "--data", data)
    done = qpv_geo("locate", path, *options)
    assert done.returncode == 0, done.stderr
    assert "3 rows" in done.stdout
    assert "illisible" in done.stdout
    assert re.search(r"answer\W+en_qpv\W+bande_tva", done.stdout)
    assert str(tmp_path / "adresses_qpv.csv") in done.stdout
    assert "in no commune of the territory: its release does not know the QPV there: 1\n" in done.stderr
    assert "no layer bande_300m: each band is taken to be 300 m wide" in done.stderr
    assert "Dupont" not in done.stdout + done.stderr
    lines = (tmp_path / "adresses_qpv.csv").read_text().splitlines()
    assert (
        lines[0]
        == "nom;e;n;en_qpv;code_qp;lib_qp;distance_m;code_qp_proche;bande_tva;largeur_bande_m;bande_300m"
    )
    assert lines[2] == "Durand;;;illisible;;;;;illisible;;illisible"

    blind = locate(path, "--lon", "nom", "--lat", "nom", "--data", data, "--output", tmp_path / "a.csv")
    assert blind.returncode == 0, blind.stderr
    assert "are these the columns of the coordinates?" in blind.stderr
    assert "are these the columns" not in done.stderr

    again = locate(path, *options)
    assert again.returncode == 2
    assert "give --force" in again.stderr
    assert locate(path, *options, "--force", "--precision", "50").returncode == 0


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--lon", "longitude", "--lat", "lat"), 2, "no column 'longitude'; it has: nom, lon, lat"),
        (("--lon", "lat", "--lat", "lon"), 4, "x and y are swapped"),
        (("--x", "lon", "--y", "lat", "--crs", "2154"), 4, "they look like EPSG:4326"),
        (("--x", "lon", "--y", "lat"), 2, "--crs"),
        (("--x", "lon", "--y", "lat", "--crs", "999999"), 2, "not a CRS"),
        (("--lon", "lon", "--lat", "lat", "--crs", "2154"), 2, "one or the other"),
        (("--lon", "lon"), 2, "give both"),
        (("--lon", "lon", "--lat", "lat", "--territory", "atlantide"), 2, "no territory 'atlantide'"),
        (("--lon", "lon", "--lat", "lat", "--precision", "-1"), 2, "metres, 0 or more"),
        (("--coordinates", "nom", "--lon", "lon", "--lat", "lat"), 2, "give one or the other"),
        (("--score-threshold", "0.5"), 2, "--score-threshold without a score"),
        (("--with", "comunes"), 2, "--with comunes: not a layer; there are commune, epci"),
        (("--date", "2022-06-30", "--date-column", "nom"), 2, "give one or the other"),
        (("--decimal", ";"), 2, "--decimal ';': expected"),
        (("--strict", "--lon", "nom", "--lat", "lat"), 4, "p.csv: row 2: no coordinates that can be read"),
        (("--geocode", "nom"), 3, "cannot be reached"),
    ],
)
def test_wrong_usage_has_one_explanation(
    tmp_path: Path, data: Path, *, options: tuple[str, ...], code: int, message: str
) -> None:
    path = tmp_path / "p.csv"
    path.write_text("nom,lon,lat\nDupont,6.02,47.24\n")
    done = locate(path, *options, "--data", data)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "Dupont" not in done.stdout + done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["p.csv"]


def test_columns_are_guessed_and_the_guess_is_printed(tmp_path: Path, data: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("nom;Coord X (L93);Coord Y (L93)\nDupont;927000,5;6687000,1\nDurand;;\n")
    done = locate(path, "--data", data)
    assert done.returncode == 0, done.stderr
    assert "coordinates are 'Coord X (L93)' and 'Coord Y (L93)' in RGF93" in done.stderr
    assert "illisible: p.csv: row 3: no coordinates that can be read" in done.stderr
    path.write_text("nom,rue\nDupont,Dole\n")
    lost = locate(path, "--data", data, "--force")
    assert (lost.returncode, "no geometry: give the columns" in lost.stderr) == (2, True), lost.stderr


def test_a_layer_without_crs_takes_crs_alone(tmp_path: Path, data: Path) -> None:
    path = tmp_path / "p.gpkg"
    with pytest.warns(UserWarning, match="'crs' was not provided"):
        gpd.GeoDataFrame({"a": [1]}, geometry=[shapely.Point(927000, 6687000)]).to_file(path)
    refused = locate(path, "--data", data)
    assert (refused.returncode, "give it with --crs" in refused.stderr) == (2, True), refused.stderr
    assert locate(path, "--data", data, "--crs", "2154").returncode == 0
    wrong = locate(path, "--data", data, "--crs", "3857", "--force")
    assert wrong.returncode == 4
    assert "look like EPSG:2154: correct the CRS that the file declares, or --crs" in wrong.stderr


def test_no_file(tmp_path: Path, data: Path) -> None:
    done = locate(tmp_path / "absent.csv", "--lon", "lon", "--lat", "lat", "--data", data)
    assert done.returncode == 2
    assert "no file" in done.stderr
