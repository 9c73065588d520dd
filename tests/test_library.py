"""``import qpv_geo`` from Python: what it offers, how fast it is, and that it answers as the command does."""

import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

import qpv_geo
from qpv_geo.errors import ConfigurationError, ContractError, QpvGeoError
from qpv_geo.locate.files import locate_file
from qpv_geo.locate.locator import Locator
from qpv_geo.locate.one import locate_point
from qpv_geo.locate.points import Points
from qpv_geo.settings import Settings
from qpv_geo.territory import Territory
from tests.command_line import qpv_geo_here

ROOT = Path(__file__).parents[1]
BATTANT = (6.02, 47.24)
POINTS, HARDEST = 100_000, 1_000


@pytest.fixture(scope="module")
def opened(bandless: Settings) -> qpv_geo.OpenRelease:
    return qpv_geo.open_release("besancon", data=bandless.data_dir)


def test_the_import_loads_nothing_but_itself() -> None:
    code = "import sys, qpv_geo; print(sorted({'pandas', 'numpy', 'shapely', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
    assert set(qpv_geo.__all__) <= set(dir(qpv_geo))
    assert all(hasattr(qpv_geo, name) for name in qpv_geo.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        qpv_geo.nothing  # noqa: B018 - the access is the test


def test_layers_tables_and_statistics(opened: qpv_geo.OpenRelease) -> None:
    qpv = opened.layer("qpv")
    assert isinstance(qpv, gpd.GeoDataFrame)
    assert (len(qpv), qpv.crs) == (6, 2154)
    assert "layer_styles" not in opened.layers
    assert {"qpv", "communes", "statistiques", "indicateurs"} <= set(opened.layers)
    poverty = opened.statistics(zone="qpv", indicator="taux_pauvrete_60")
    planoise = poverty[poverty["code"] == "QN02503M"]
    assert planoise["valeur"].iloc[0] == 55
    assert set(poverty["zone"]) == {"qpv"}
    both = opened.statistics(["qpv", "qpv_epci"], ["taux_pauvrete_60"])
    assert set(both["zone"]) <= {"qpv", "qpv_epci"}
    withheld = opened.statistics()
    assert withheld.loc[~withheld["statut"].isin(["ok", "estimation"]), "valeur"].isna().all()
    for call, fact in (
        (lambda: opened.layer("rien"), "no layer 'rien'; it has: qpv"),
        (lambda: opened.layer("statistiques"), "has no geometry: read it with table"),
        (lambda: opened.statistics(zone="quartier"), "zone 'quartier'; there are"),
        (lambda: opened.statistics(indicator="taux_pauvrte"), "taux_pauvrete_60"),
        (lambda: qpv_geo.open_release("besancon", "1999", data=opened.path.parents[2]), "1999"),
    ):
        with pytest.raises(ConfigurationError, match=fact):
            call()


def hard_points(qpv: gpd.GeoDataFrame) -> np.ndarray:
    """Return `POINTS` longitudes and latitudes, the hardest first: corners, borders, beside, around."""
    corners = shapely.get_coordinates(qpv.geometry.to_numpy())
    middles = (corners[1:] + corners[:-1]) / 2
    west, south, east, north = qpv.total_bounds
    rng = np.random.default_rng(13)
    beside = rng.choice(corners, POINTS // 2) + rng.normal(size=(POINTS // 2, 2)) * rng.choice(
        [1e-9, 1e-7, 1e-5, 1e-3], (POINTS // 2, 1)
    )
    spread = rng.uniform([west, south], [east, north], (POINTS, 2))
    return np.vstack([corners, middles, beside, spread])[:POINTS].round(12)


def test_points_by_every_road_have_the_same_answers(
    tmp_path: Path, opened: qpv_geo.OpenRelease, bandless: Settings, besancon: Territory
) -> None:
    """Corners and borders of the QPV included, to as many figures as a workbook keeps.

    Roads that take one row after the other are tried on the hardest points.
    """
    points = pd.DataFrame(hard_points(opened.layer("qpv").to_crs(4326)), columns=["lon", "lat"])
    layer = gpd.GeoDataFrame(points, geometry=gpd.points_from_xy(points["lon"], points["lat"]), crs=4326)
    few, few_of_layer = points[:HARDEST], layer[:HARDEST]
    points.to_csv(tmp_path / "p.csv", index=False)
    points.to_parquet(tmp_path / "p.parquet")
    layer.to_parquet(tmp_path / "geo.parquet")
    layer.to_file(tmp_path / "p.fgb", SPATIAL_INDEX="NO")
    few.to_excel(tmp_path / "few.xlsx", index=False, engine="openpyxl")
    pd.DataFrame({"geo_point_2d": [f"{y!r}, {x!r}" for x, y in few.to_numpy().tolist()]}).to_csv(
        tmp_path / "few.csv", index=False
    )
    few_of_layer.to_file(tmp_path / "few.gpkg")
    (tmp_path / "few.geojson").write_text(few_of_layer.to_json())  # GDAL would round to 15 figures
    readers = {".csv": pd.read_csv, ".parquet": pd.read_parquet}
    readers[".xlsx"] = partial(pd.read_excel, engine="calamine")
    expected = opened.locate(points["lon"], points["lat"])
    assert expected["en_qpv"].value_counts().min() > POINTS / 10
    names = list(expected.columns)
    locator = Locator.of_release(opened.release, besancon)
    ones = [locate_point(locator, (x, y)) for x, y in few[:200].to_numpy().tolist()]
    roads = {
        path.name: readers.get(path.suffix, gpd.read_file)(
            locate_file(path, Points(), besancon, bandless).path
        )
        for path in sorted(tmp_path.iterdir())
    }
    roads |= {"DataFrame": opened.locate(points), "GeoDataFrame": opened.locate(layer)}
    roads["one"] = pd.DataFrame([one | {"bande_300m": one["bande_tva"]} for one in ones])
    assert len(roads) == 11
    texts = expected.astype(object).where(expected.notna(), None)
    for road, found in roads.items():
        same = found[names].astype(object)
        pd.testing.assert_frame_equal(
            same.where(same.notna(), None),
            texts[: len(found)],
            check_dtype=False,
            obj=road,
        )


def test_shapes_and_precision(opened: qpv_geo.OpenRelease) -> None:
    planoise = opened.layer("qpv").set_index("code_qp").geometry["QN02503M"]
    inside = planoise.representative_point()
    frame = gpd.GeoDataFrame({"n": [1, 2]}, geometry=[inside.buffer(2), None], crs=2154, index=[7, 9])
    found = opened.locate(frame)
    assert (found["en_qpv"].tolist(), found.index.tolist()) == (["oui", "illisible"], [7, 9])
    assert found["part_en_qpv"].iloc[0] == 100
    found = opened.locate([inside.x] * 2, [inside.y] * 2, crs=2154, precision=[1.0, 20_000.0])
    assert found["en_qpv"].tolist() == ["oui", "incertain"]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "fact"),
    [
        ((pd.DataFrame({"a": [1]}),), {}, ConfigurationError, "no column 'lon', 'lat'"),
        (([6.0],), {}, ConfigurationError, "two arrays"),
        (([6.0], [47.0, 48.0]), {}, ContractError, "same length"),
        (([47.24], [6.02]), {}, ContractError, "swapped"),
        (([6.02], [47.24]), {"crs": "nothing"}, ConfigurationError, "not a CRS"),
        ((gpd.GeoDataFrame(geometry=[shapely.Point(0, 0)]),), {}, ConfigurationError, "no CRS: give crs"),
    ],
)
def test_errors_are_those_of_the_project(
    opened: qpv_geo.OpenRelease,
    *,
    arguments: tuple[object, ...],
    options: dict[str, object],
    error: type[QpvGeoError],
    fact: str,
) -> None:
    with pytest.raises(error, match=fact):
        opened.locate(*arguments, **options)


def test_refresh_publishes_and_opens(tmp_path: Path) -> None:
    made = qpv_geo.refresh("besancon", data=tmp_path, offline=True)
    assert made.id == qpv_geo.open_release("besancon", data=tmp_path).id
    assert made.path.is_dir()


def test_the_example_of_the_page_runs(
    opened: qpv_geo.OpenRelease, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QPV_GEO_DATA", str(opened.path.parents[2]))
    (example,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text("utf-8"), re.DOTALL
    )
    names: dict[str, object] = {}
    exec(compile(example, "python.md", "exec"), names)  # noqa: S102 - the project's own page
    assert "Battant" in capsys.readouterr().out
    pauvrete = names["pauvrete"]
    assert isinstance(pauvrete, pd.DataFrame)
    assert 55 in pauvrete["valeur"].tolist()


@pytest.mark.parametrize(
    ("options", "answer", "sentence"),
    [
        (("6.02,47.24",), "oui", "In a QPV: Battant (QN02517N), 3 m inside its limit. Within the band"),
        (("6.02, 47.24", "--precision", "5"), "incertain", "within the error of the point"),
        (("927000,6687000", "--crs", "2154"), "non", "Not in a QPV; the nearest is"),
        (("6.1,47.2",), "non", "Not in a QPV, and none is near. Outside the band"),
        (("2.35,48.85",), "incertain", "publish the territory france"),
    ],
)
def test_one_point_is_a_sentence_or_json(
    opened: qpv_geo.OpenRelease, *, options: tuple[str, ...], answer: str, sentence: str
) -> None:
    data = opened.path.parents[2]
    said = qpv_geo_here("locate", "--point", *options, "--data", data)
    assert said.returncode == 0, said.stderr
    assert sentence in said.stdout
    asked = qpv_geo_here("locate", "--point", *options, "--data", data, "--json")
    assert f'"release": "{opened.id}"' in asked.stdout
    assert f'"en_qpv": "{answer}"' in asked.stdout


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--point", "abc"), 2, "expected longitude and latitude"),
        (("--point", "47.24,6.02"), 4, "swapped"),
        (("--point", "6,47", "--address", "rue"), 2, "one or the other"),
        (("--point", "6,47", "--lon", "lon", "--lat", "lat"), 2, "no columns"),
        (("p.csv", "--point", "6,47"), 2, "give a FILE, or --point or --address"),
        (("--json",), 2, "give a FILE, or --point or --address"),
        (("--point", "6,47", "--report", "compte.html"), 2, "--output and --report are for a FILE"),
        ((), 2, "give a FILE, or --point or --address"),
        (("--address", "12 rue de Dole"), 3, "cannot be reached"),
    ],
)
def test_one_point_has_its_errors(
    opened: qpv_geo.OpenRelease, *, options: tuple[str, ...], code: int, message: str
) -> None:
    done = qpv_geo_here("locate", *options, "--data", opened.path.parents[2])
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr
