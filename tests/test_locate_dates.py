"""``locate --date``: the QPV in force at a day, or why nobody can tell; and table ``geographies``."""

import datetime as dt
from functools import partial
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import shapely

import qpv_geo
from qpv_geo.analysis.geographies import geographies_table
from qpv_geo.errors import ConfigurationError
from qpv_geo.locate.dates import History, to_dates
from qpv_geo.locate.files import locate_file
from qpv_geo.locate.places import places_in
from qpv_geo.locate.points import Points
from qpv_geo.releases.release import Release
from qpv_geo.settings import Settings
from qpv_geo.territory import Territory, load_territory
from qpv_geo.zones import ZONES
from tests.command_line import qpv_geo_here
from tests.villeneuve import CARRES, CARRES_2015, GONE_2015, square

Ville = tuple[Release, Territory]
DAYS = ["2014-12-31", "2015-01-01", "2023-12-31", "2024-01-01", "2026-06-01", None]


@pytest.fixture(scope="module")
def national() -> pd.DataFrame:
    """Return the table of a release of France whose file of 2015 has one QPV overseas."""
    layers = {
        "communes": pd.DataFrame({"insee_com": ["25056", "97608"]}),
        "qpv": pd.DataFrame({"code_qp": ["QN02503M", "QN97651C"]}),
        "qpv_2015": pd.DataFrame({"code_qp": ["QP025004", "QP976001"]}),
    }
    return geographies_table(layers, load_territory("france"))


def test_each_part_of_france_has_one_geography_at_each_day_since_2015(national: pd.DataFrame) -> None:
    assert set(national["partie"]) == {zone.name for zone in ZONES}
    for part, rows in national.groupby("partie"):
        ends = [None, *rows["fin"].tolist()]
        starts = [*rows["debut"].tolist(), None]
        assert starts[0] == dt.date(2015, 1, 1)
        assert ends[-1] is None, part
        for end, start in zip(ends[1:-1], starts[1:-1], strict=True):
            assert start - end == dt.timedelta(days=1), part
    assert national["reference"].str.len().min() > 10
    assert national.loc[national["geographie"] == "QPV 2024 (villages)", "couche"].isna().all()
    held = national.loc[national["couche"] == "qpv_2015", "partie"].tolist()
    assert held == ["France métropolitaine", "Mayotte"]


@pytest.mark.parametrize(
    ("part", "day", "name"),
    [
        ("France métropolitaine", "2014-12-31", None),
        ("France métropolitaine", "2023-12-31", "QPV 2015"),
        ("France métropolitaine", "2024-01-01", "QPV 2024"),
        ("Guadeloupe", "2024-12-31", "QPV 2015"),
        ("Guadeloupe", "2025-01-01", "QPV 2024"),
        ("Polynésie française", "2024-06-30", "QPV 2015"),
        ("Mayotte", "2024-12-31", "QPV 2015"),
        ("Mayotte", "2025-01-01", "QPV 2024 (villages)"),
        ("Mayotte", "2025-08-11", "QPV 2024 (villages)"),
        ("Mayotte", "2025-08-12", "QPV 2024"),
        ("Saint-Barthélemy", "2020-01-01", "Aucun QPV"),
    ],
)
def test_the_geography_in_force(national: pd.DataFrame, part: str, day: str, name: str | None) -> None:
    history = History.of_table(national)
    (zone,) = (zone for zone in ZONES if zone.name == part)
    x, y = (
        np.array([(zone.bounds[0] + zone.bounds[2]) / 2]),
        np.array([(zone.bounds[1] + zone.bounds[3]) / 2]),
    )
    chosen = history.choose(places_in(gpd.GeoSeries(crs=4326).crs), x, y, np.array([day], "datetime64[D]"))
    assert (history.geographies[chosen[0]].name if chosen[0] >= 0 else None) == name


def test_days_are_read_as_people_write_them() -> None:
    texts = [
        "2022-06-30",
        " 30/06/2022",
        "2022-06-30T23:59:59Z",
        "2022-06-30 10:00",
        "1/6/2022",
        "31/02/2022",
    ]
    texts += ["2022", "06/2022", "20220630", "", None]
    days = to_dates(pa.array(texts)).astype(object).tolist()
    june = dt.date(2022, 6, 30)
    assert days == [june] * 4 + [dt.date(2022, 6, 1)] + [None] * 6
    evening = dt.datetime(2022, 6, 30, 23, 30, tzinfo=dt.UTC)
    paris = pa.array([evening], pa.timestamp("us", "Europe/Paris"))
    assert to_dates(paris).tolist() == [dt.date(2022, 7, 1)]
    assert to_dates(pa.array([june])).tolist() == [june]
    assert to_dates(pa.array(["30/06/2022"]).dictionary_encode()).tolist() == [june]
    assert to_dates(pa.array([44742])).astype(object).tolist() == [None]
    assert to_dates(pa.chunked_array([["2022-06-30"], [None]])).astype(object).tolist() == [june, None]


def points_of(release: Release) -> pd.DataFrame:
    """Return points in and around the QPV of both geographies, each at a day."""
    (package,) = release.path.glob("*.gpkg")
    rng = np.random.default_rng(15)
    shapes = [
        *gpd.read_file(package, layer="qpv").geometry,
        *gpd.read_file(package, layer="qpv_2015").geometry,
    ]
    boxes = shapely.bounds(rng.choice(np.array(shapes, object), 300)) + np.array([-200, -200, 200, 200])
    at = rng.uniform(boxes[:, :2], boxes[:, 2:]).round(3)
    days = pd.Series(rng.choice(np.array(DAYS, object), len(at)), dtype=object)
    return pd.DataFrame({"x": at[:, 0], "y": at[:, 1], "jour": days})


def test_each_row_is_answered_by_the_qpv_of_its_day(villeneuve: Ville) -> None:
    release, territory = villeneuve
    (package,) = release.path.glob("*.gpkg")
    points = points_of(release)
    opened = qpv_geo.OpenRelease(release, territory)
    found = opened.locate(points, columns=("x", "y"), crs=2154, date=points["jour"])
    at = shapely.points(points["x"], points["y"])
    layers = {
        "QPV 2015": gpd.read_file(package, layer="qpv_2015"),
        "QPV 2024": gpd.read_file(package, layer="qpv"),
    }
    for row, point in zip(found.to_dict("records"), at, strict=True):
        day = row["jour"]
        if day is None or day < "2015":
            reason = "aucune géographie à cette date" if day else "date absente ou illisible"
            assert (row["en_qpv"], row["motif_geographie"]) == ("incertain", reason)
            assert pd.isna([row["code_qp"], row["code_qp_proche"], row["distance_m"]]).all()
            continue
        name = "QPV 2015" if day < "2024" else "QPV 2024"
        zones = layers[name]
        inside = zones["code_qp"][zones.intersects(point)].tolist()
        assert row["geographie_qpv"] == name
        assert row["en_qpv"] == ("oui" if inside else "non")
        assert inside == ([] if pd.isna(row["code_qp"]) else [row["code_qp"]])
        away = zones.boundary.distance(point).min()
        expected = np.nan if away > 1000 else -away if inside else away
        assert row["distance_m"] == pytest.approx(expected, abs=0.01, nan_ok=True)
    assert {CARRES, CARRES_2015, GONE_2015} <= set(found["code_qp"].dropna())
    assert not {"bande_tva", "largeur_bande_m", "bande_300m"} & set(found.columns), "no claim about taxes"


def test_every_road_reads_the_days(tmp_path: Path, villeneuve: Ville) -> None:
    release, territory = villeneuve
    settings = Settings(data_dir=release.path.parents[2])
    points = points_of(release)
    days = [day and dt.date.fromisoformat(day) for day in points["jour"]]
    french = [day and f"{day:%d/%m/%Y}" for day in days]
    expected = qpv_geo.OpenRelease(release, territory).locate(
        points["x"], points["y"], crs=2154, date=points["jour"], precision=15.0
    )
    points.assign(jour=french).to_csv(tmp_path / "p.csv", index=False)
    points.assign(jour=days).to_parquet(tmp_path / "p.parquet")
    points.assign(jour=pd.to_datetime(points["jour"])).to_excel(
        tmp_path / "p.xlsx", index=False, engine="openpyxl"
    )
    layer = gpd.GeoDataFrame(points.assign(jour=pd.to_datetime(points["jour"])),
                             geometry=gpd.points_from_xy(points["x"], points["y"]), crs=2154)  # fmt: skip
    layer.to_file(tmp_path / "p.gpkg")
    names = ["en_qpv", "code_qp", "geographie_qpv", "motif_geographie"]
    texts = expected[names].astype(object).where(expected[names].notna(), None)
    for path in sorted(tmp_path.iterdir()):
        columns = {} if path.suffix == ".gpkg" else {"x": "x", "y": "y", "crs": 2154}
        declared = Points(precision=15.0, date_column="jour", **columns)
        outcome = locate_file(path, declared, territory, settings)
        assert outcome.reasons == expected["motif_geographie"].value_counts().to_dict()
        readers = {
            ".csv": pd.read_csv,
            ".xlsx": partial(pd.read_excel, engine="calamine"),
            ".parquet": pd.read_parquet,
        }
        found = readers.get(path.suffix, gpd.read_file)(outcome.path)[names].astype(object)
        pd.testing.assert_frame_equal(found.where(found.notna(), None), texts, obj=path.name)


def test_shapes_have_days_as_well(villeneuve: Ville) -> None:
    release, territory = villeneuve
    buildings = gpd.GeoDataFrame(geometry=[square(1790, 2500, 1810, 2510)] * 3, crs=2154)
    opened = qpv_geo.OpenRelease(release, territory)
    found = opened.locate(buildings, date=["2020-01-01", "2024-01-01", "2000-01-01"])
    assert found["en_qpv"].tolist() == ["à cheval", "non", "incertain"]
    assert found["part_en_qpv"].tolist()[:2] == [50, 0]
    assert np.isnan(found["part_en_qpv"].iloc[2])


def test_a_release_without_the_qpv_of_2015_cannot_tell(bandless: Settings) -> None:
    opened = qpv_geo.open_release("besancon", data=bandless.data_dir)
    rows = opened.table("geographies").set_index(["partie", "geographie"])["couche"]
    assert pd.isna(rows["France métropolitaine", "QPV 2015"])
    assert rows["France métropolitaine", "QPV 2024"] == "qpv"
    assert pd.isna(rows["Guadeloupe", "QPV 2024"])
    found = opened.locate([6.02, 6.02], [47.24, 47.24], date=["2022-06-30", "2024-06-30"])
    assert found["en_qpv"].tolist() == ["incertain", "oui"]
    assert found["motif_geographie"].iloc[0] == "QPV 2015 : absente de la publication"
    assert found["motif_geographie"].isna().tolist() == [False, True]
    done = qpv_geo_here(
        "locate", "--point", "6.02,47.24", "--date", "30/06/2022", "--data", bandless.data_dir
    )
    assert "Uncertain: no layer of the release answers for that date" in done.stdout


def test_one_date_or_a_column_of_dates() -> None:
    with pytest.raises(ConfigurationError, match="--date and --date-column: give one or the other"):
        Points(date=dt.date(2022, 6, 30), date_column="jour")


def test_a_geography_whose_layer_is_empty_answers_nothing(national: pd.DataFrame) -> None:
    history = History.of_table(national, without="qpv_2015")
    days = np.array(["2022-06-30", "2024-06-30"], "datetime64[D]")
    places = places_in(gpd.GeoSeries(crs=4326).crs)
    chosen = history.choose(places, np.array([6.0, 6.0]), np.array([47.2, 47.2]), days)
    table = history.table(chosen, days, np.zeros(2, bool)).to_pylist()
    assert table[0] == {"geographie_qpv": None, "motif_geographie": "QPV 2015 : absente de la publication"}
    assert table[1] == {"geographie_qpv": "QPV 2024", "motif_geographie": None}
    assert history.rows_of(chosen, None).tolist() == [0]
