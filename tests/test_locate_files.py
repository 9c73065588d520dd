"""Files of points, located in a published release: each format, its dialect, and what is wrong with files."""

import csv
import json
import os
import pickle
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from dask.dataframe import from_pandas
from distributed import Client, LocalCluster, as_completed

from qpv_geo.errors import ConfigurationError, ContractError
from qpv_geo.locate.files import LocateSummary, locate_file
from qpv_geo.locate.locator import Locator
from qpv_geo.locate.partitions import PartitionLocator
from qpv_geo.locate.points import Points
from qpv_geo.releases.release import current_release
from qpv_geo.settings import Settings
from qpv_geo.territory import Territory

ADDED = ["en_qpv", "code_qp", "lib_qp", "distance_m", "code_qp_proche"]
ADDED += ["bande_tva", "largeur_bande_m", "bande_300m"]
DEGREES = Points(x="lon", y="lat", crs=4326)


@pytest.fixture(scope="module")
def qpv(bandless: Settings) -> gpd.GeoDataFrame:
    path = next((bandless.out_dir / "besancon" / "latest").glob("*.gpkg"))
    return gpd.read_file(path, layer="qpv")[["code_qp", "lib_qp", "geometry"]]


@pytest.fixture(scope="module")
def truth(qpv: gpd.GeoDataFrame) -> pd.DataFrame:
    """Points around Besançon with the answers of shapely, computed apart."""
    rng = np.random.default_rng(25)
    west, south, east, north = qpv.total_bounds
    x, y = rng.uniform(west - 800, east + 800, 3000), rng.uniform(south - 800, north + 800, 3000)
    points = gpd.GeoSeries(gpd.points_from_xy(x, y), crs=qpv.crs)
    distance = np.column_stack([points.distance(shape) for shape in qpv.geometry])
    edge = np.column_stack([points.distance(shape.boundary) for shape in qpv.geometry])
    nearest = distance.argmin(axis=1)
    rows = np.arange(len(x))
    inside = distance[rows, nearest] == 0
    signed = np.where(inside, -edge[rows, nearest], distance[rows, nearest])
    codes, names = qpv["code_qp"].to_numpy(object), qpv["lib_qp"].to_numpy(object)
    known = signed <= 1000
    degrees = points.to_crs(4326)
    return pd.DataFrame(
        {
            "lon": degrees.x,
            "lat": degrees.y,
            "x": x,
            "y": y,
            "en_qpv": np.where(inside, "oui", "non"),
            "code_qp": np.where(inside, codes[nearest], None),
            "lib_qp": np.where(inside, names[nearest], None),
            "distance_m": np.where(known, signed, np.nan),
            "code_qp_proche": np.where(known, codes[nearest], None),
            "bande_tva": np.where(signed < 300, "oui", "non"),
            "largeur_bande_m": np.where(known, 300.0, np.nan),
            "bande_300m": np.where(signed < 300, "oui", "non"),
        }
    )


def run(
    path: Path, bandless: Settings, besancon: Territory, points: Points = DEGREES, **options: object
) -> LocateSummary:
    return locate_file(path, points, besancon, bandless, **options)


def check(found: pd.DataFrame, truth: pd.DataFrame) -> None:
    assert len(found) == len(truth)
    assert set(truth["en_qpv"]) == {"oui", "non"}
    for name in ADDED:
        column, expected = found[name], truth[name]
        if name in {"distance_m", "largeur_bande_m"}:
            np.testing.assert_allclose(column.to_numpy(float), expected, atol=0.0051)
        else:
            texts = column.astype(object).where(column.notna(), None).tolist()
            assert texts == expected.astype(object).where(expected.notna(), None).tolist(), name


def write_csv(path: Path, truth: pd.DataFrame, separator: str = ";", decimal: str = ",") -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        stream.write(f"id{separator}nom{separator}lon{separator}lat\r\n")
        for row, (lon, lat) in enumerate(zip(truth["lon"], truth["lat"], strict=True)):
            numbers = [f"{number!r}".replace(".", decimal) for number in (float(lon), float(lat))]
            stream.write(separator.join([f"{row:05}", "Zoé", *numbers]) + "\r\n")
    return path


def read_csv(path: Path, separator: str = ";", decimal: str = ",", encoding: str = "utf-8") -> pd.DataFrame:
    return pd.read_csv(path, sep=separator, decimal=decimal, encoding=encoding, dtype={"id": str})


@pytest.mark.parametrize(("separator", "decimal"), [(";", ","), (",", "."), ("\t", ","), ("|", ".")])
def test_csv_keeps_its_lines_and_gets_the_answers(
    tmp_path: Path,
    *,
    truth: pd.DataFrame,
    bandless: Settings,
    besancon: Territory,
    separator: str,
    decimal: str,
) -> None:
    path = write_csv(tmp_path / "adresses.csv", truth, separator, decimal)
    outcome = run(path, bandless, besancon)
    assert outcome.path == tmp_path / "adresses_qpv.csv"
    assert outcome.answers["oui"] == (truth["en_qpv"] == "oui").sum()
    assert sum(outcome.answers.values()) == outcome.rows == len(truth)
    check(read_csv(outcome.path, separator, decimal), truth)
    before, after = path.read_bytes().split(b"\r\n"), outcome.path.read_bytes().split(b"\r\n")
    assert len(before) == len(after)
    assert all(new.startswith(old) for old, new in zip(before, after, strict=True))


@pytest.mark.parametrize(
    ("encoding", "beginning"), [("utf-8", b"rue"), ("utf-8-sig", b"\xef\xbb\xbfrue"), ("cp1252", b"rue")]
)
def test_csv_keeps_its_encoding_and_quotes(
    tmp_path: Path,
    *,
    qpv: gpd.GeoDataFrame,
    bandless: Settings,
    besancon: Territory,
    encoding: str,
    beginning: bytes,
) -> None:
    inside = qpv.geometry.to_crs(4326).iloc[0].representative_point()
    path = tmp_path / "é.csv"
    text = f'rue;lon;lat\n"allée ""A""; ou\nB";{inside.x};{inside.y}\n\nœuf;;\n"q";abc;47,2'
    path.write_bytes(text.encode(encoding))
    outcome = run(path, bandless, besancon)
    written = outcome.path.read_bytes()
    assert written.startswith(beginning)
    rows = list(csv.reader(written.decode(encoding).splitlines(keepends=True), delimiter=";"))
    assert rows[1][:4] == ['allée "A"; ou\nB', str(inside.x), str(inside.y), "oui"]
    assert rows[1][5] == qpv["lib_qp"].iloc[0]
    assert float(rows[1][6]) < 0
    assert rows[2] == []
    assert rows[3] == ["œuf", "", "", "illisible", "", "", "", "", "illisible", "", "illisible"]
    assert rows[4] == ["q", "abc", "47,2", "illisible", "", "", "", "", "illisible", "", "illisible"]
    assert outcome.answers == {"oui": 1, "non": 0, "incertain": 0, "illisible": 2}


def test_csv_with_quotes_everywhere_gets_more_of_them(
    tmp_path: Path, bandless: Settings, besancon: Territory
) -> None:
    path = tmp_path / "p.csv"
    path.write_text('"lon","lat"\n"6,02","47,24"\n')
    lines = run(path, bandless, besancon).path.read_text().splitlines()
    assert lines[0] == '"lon","lat",' + ",".join(f'"{name}"' for name in ADDED)
    assert lines[1] == '"6,02","47,24","oui","QN02517N","Battant","-2,93","QN02517N","oui","300,0","oui"'
    assert lines[1].count('"') == 20


@pytest.mark.parametrize("points", [DEGREES, Points(x="x", y="y", crs=2154)])
def test_parquet(
    tmp_path: Path, truth: pd.DataFrame, bandless: Settings, besancon: Territory, points: Points
) -> None:
    table = pa.table(
        {"lon": truth["lon"], "lat": truth["lat"], "x": truth["x"], "y": truth["y"], "n": [[1]] * len(truth)}
    )
    path = tmp_path / "p.parquet"
    pq.write_table(table, path, compression="zstd", row_group_size=700)
    outcome = run(path, bandless, besancon, points)
    written = pq.read_table(outcome.path)
    assert written.select(table.column_names).equals(table)
    assert pq.ParquetFile(outcome.path).metadata.row_group(0).column(0).compression == "ZSTD"
    check(written.to_pandas(), truth)


@pytest.mark.parametrize("encoding", ["WKB", "geoarrow"])
@pytest.mark.parametrize("epsg", [2154, 4326, 3857])
def test_geoparquet(
    tmp_path: Path, *, truth: pd.DataFrame, bandless: Settings, besancon: Territory, encoding: str, epsg: int
) -> None:
    path = tmp_path / "p.parquet"
    points = gpd.GeoDataFrame(
        {"id": range(len(truth))}, geometry=gpd.points_from_xy(truth["x"], truth["y"]), crs=2154
    )
    points.to_crs(epsg).to_parquet(path, geometry_encoding=encoding)
    written = gpd.read_parquet(run(path, bandless, besancon, Points()).path)
    assert written.crs.to_epsg() == epsg
    assert written["id"].tolist() == list(range(len(truth)))
    check(written, truth)


def test_geoparquet_with_points_missing_and_multiple(
    tmp_path: Path, truth: pd.DataFrame, bandless: Settings, besancon: Territory
) -> None:
    inside = truth[truth["en_qpv"] == "oui"].iloc[0]
    point = shapely.Point(inside["x"], inside["y"])
    shapes = [None, shapely.Point(), shapely.MultiPoint([point]), shapely.Point(point.x, point.y, 300)]
    path = tmp_path / "p.parquet"
    gpd.GeoDataFrame(geometry=shapes, crs=2154).to_parquet(path)
    written = gpd.read_parquet(run(path, bandless, besancon, Points()).path)
    assert written["en_qpv"].tolist() == ["illisible", "illisible", "oui", "oui"]
    gpd.GeoDataFrame(geometry=[point, shapely.MultiPoint([point, (0, 0)])], crs=2154).to_parquet(path)
    written = gpd.read_parquet(run(path, bandless, besancon, Points(), force=True).path)
    assert written["en_qpv"].tolist() == ["oui", "illisible"], "a layer of points has no share in QPV"


def test_geopackage_is_copied_with_columns_added(
    tmp_path: Path, truth: pd.DataFrame, qpv: gpd.GeoDataFrame, bandless: Settings, besancon: Territory
) -> None:
    path = tmp_path / "p.gpkg"
    points = gpd.GeoDataFrame(
        {"id": range(len(truth))}, geometry=gpd.points_from_xy(truth["x"], truth["y"]), crs=2154
    )
    points.to_file(path, layer="adresses")
    qpv.to_file(path, layer="zones")
    with pytest.raises(ConfigurationError, match="--layer; it has: adresses, zones"):
        run(path, bandless, besancon, Points())
    outcome = run(path, bandless, besancon, Points(layer="adresses"))
    written = gpd.read_file(outcome.path, layer="adresses")
    assert written["id"].tolist() == list(range(len(truth)))
    assert written.geometry.geom_equals(points.geometry).all()
    check(written, truth)
    assert len(gpd.read_file(outcome.path, layer="zones")) == len(qpv)
    west, south, east, north = points.total_bounds
    assert len(gpd.read_file(outcome.path, layer="adresses", bbox=(west, south, east, north))) == len(points)
    with closing(sqlite3.connect(outcome.path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_folder_of_parquet_files(
    tmp_path: Path, truth: pd.DataFrame, bandless: Settings, besancon: Territory
) -> None:
    folder = tmp_path / "ban"
    for number, part in enumerate(np.array_split(np.arange(len(truth)), 3)):
        (folder / f"dep={number}").mkdir(parents=True)
        truth.iloc[part][["lon", "lat"]].to_parquet(folder / f"dep={number}" / "part-0.parquet")
    outcome = run(folder, bandless, besancon)
    assert outcome.path == tmp_path / "ban_qpv"
    files = sorted(outcome.path.rglob("*.parquet"))
    assert [file.parent.name for file in files] == ["dep=0", "dep=1", "dep=2"]
    check(
        pd.concat([pd.read_parquet(file, partitioning=None) for file in files]), truth.reset_index(drop=True)
    )
    assert outcome.rows == len(truth)
    assert run(folder, bandless, besancon, force=True).rows == len(truth)
    (outcome.path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match=r"notes\.txt"):
        run(folder, bandless, besancon, force=True)


def test_precision_makes_points_uncertain(
    tmp_path: Path, truth: pd.DataFrame, bandless: Settings, besancon: Territory
) -> None:
    path = tmp_path / "p.parquet"
    kinds = np.array(["housenumber", "street", "municipality", "planet"])[np.arange(len(truth)) % 4]
    # Some geocoders add a little for important places.
    scores = np.where(np.arange(len(truth)) % 8 < 4, 1.06, 0.5)
    table = truth[["lon", "lat"]].assign(m=50.0, type=kinds, score=scores)
    table.to_parquet(path)
    near = truth["distance_m"].abs() < 50
    for precision in (50.0, "m"):
        points = Points(x="lon", y="lat", crs=4326, precision=precision)
        found = pd.read_parquet(run(path, bandless, besancon, points, force=True).path)
        assert ((found["en_qpv"] == "incertain") == near).all()
        assert found.loc[near, "code_qp"].isna().all()
    points = Points(x="lon", y="lat", crs=4326, type_column="type", score_column="score")
    found = pd.read_parquet(run(path, bandless, besancon, points, force=True).path)
    sure = (scores >= 0.8) & (kinds == "housenumber")
    assert (found.loc[sure & (truth["distance_m"] < -20), "en_qpv"] == "oui").all()
    assert (
        found.loc[(kinds == "municipality") | (kinds == "planet") | (scores < 0.8), "en_qpv"] == "incertain"
    ).all()
    both = Points(x="lon", y="lat", crs=4326, type_column="type", score_column="score", precision="m")
    found = pd.read_parquet(run(path, bandless, besancon, both, force=True).path)
    unknown = (kinds == "planet") | (scores < 0.8)
    assert (found.loc[unknown | (sure & near), "en_qpv"] == "incertain").all(), "the least precise counts"
    assert (found.loc[sure & (truth["distance_m"] < -50), "en_qpv"] == "oui").all()
    bold = Points(x="lon", y="lat", crs=4326, type_column="type", score_column="score", score_threshold=0.5)
    found = pd.read_parquet(run(path, bandless, besancon, bold, force=True).path)
    assert (found.loc[(kinds == "housenumber") & (truth["distance_m"] < -20), "en_qpv"] == "oui").all()
    table.assign(score=scores * 100).to_parquet(path)
    with pytest.raises(ContractError, match=r"p\.parquet: column 'score', row 1: 106; expected a score"):
        run(path, bandless, besancon, points, force=True)
    table.assign(m=-1.0).to_parquet(path)
    with pytest.raises(ContractError, match=r"p\.parquet: column 'm', row 1: -1"):
        run(path, bandless, besancon, Points(x="lon", y="lat", crs=4326, precision="m"), force=True)


def test_many_rows_come_out_in_order(
    tmp_path: Path,
    truth: pd.DataFrame,
    bandless: Settings,
    besancon: Territory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("qpv_geo.locate.csv_table._ROWS", 7)
    monkeypatch.setattr("qpv_geo.locate.parquet_table._ROWS", 7)
    monkeypatch.setattr("qpv_geo.locate.geopackage_table._ROWS", 7)
    some = truth.iloc[:100]
    path = write_csv(tmp_path / "p.csv", some)
    check(read_csv(run(path, bandless, besancon).path), some)
    path = tmp_path / "p.parquet"
    some[["lon", "lat"]].to_parquet(path)
    check(pd.read_parquet(run(path, bandless, besancon).path), some)
    path = tmp_path / "p.gpkg"
    gpd.GeoDataFrame(geometry=gpd.points_from_xy(some["x"], some["y"]), crs=2154).to_file(path)
    check(gpd.read_file(run(path, bandless, besancon, Points()).path), some)


def test_points_beyond_the_territory_are_uncertain_and_counted(
    tmp_path: Path, bandless: Settings, besancon: Territory
) -> None:
    path = tmp_path / "p.csv"
    path.write_text("lon,lat\n6.02,47.24\n2.35,48.85\n0,0\n47.24,6.02\n")
    outcome = run(path, bandless, besancon)
    assert (outcome.outside_territory, outcome.outside_france, outcome.swapped) == (3, 2, 1)
    found = pd.read_csv(outcome.path)
    assert found["en_qpv"].tolist() == ["oui"] + ["incertain"] * 3, "elsewhere there may be QPV of others"
    assert found["bande_tva"].tolist() == ["oui"] + ["incertain"] * 3
    assert found["distance_m"].notna().tolist() == [True, False, False, False]


@pytest.mark.parametrize(
    ("text", "points", "message"),
    [
        ("lon,lat\n47.24,6.02\n48.85,2.35\n2.35,48.85\n", DEGREES, "swapped: 2 of 3"),
        ("lon,lat\n-73.9,40.7\n13.4,52.5\n", DEGREES, "all 2 points are outside France"),
        ("lon,lat\n927000,6687000\n", DEGREES, "look like EPSG:2154: use --x, --y and --crs 2154"),
        (
            "lon,lat\n6.02,47.24\n",
            Points(x="lon", y="lat", crs=2154),
            "look like EPSG:4326: use --lon and --lat",
        ),
        ("", DEGREES, "the file is empty"),
    ],
)
def test_files_that_cannot_be_right(
    tmp_path: Path, *, bandless: Settings, besancon: Territory, text: str, points: Points, message: str
) -> None:
    path = tmp_path / "p.csv"
    path.write_text(text)
    with pytest.raises(ContractError, match=message):
        run(path, bandless, besancon, points)
    assert [file.name for file in tmp_path.iterdir()] == ["p.csv"]


def test_rows_that_cannot_be_read_are_flagged_and_the_rest_done(
    tmp_path: Path, bandless: Settings, besancon: Territory
) -> None:
    path = tmp_path / "p.csv"
    path.write_text('nom,lon,lat\na,6.02,47.24\nb,6.02,47.24,8\n"c,6.02,47.24\nd,,\ne,6.02\nf,6.02,47.24\n')
    outcome = run(path, bandless, besancon)
    found = pd.read_csv(outcome.path, keep_default_na=False)
    assert found["nom"].tolist() == ["a", "b", "c,6.02,47.24", "d", "e", "f"]
    assert found["en_qpv"].tolist() == ["oui", *["illisible"] * 4, "oui"]
    assert found["lat"][1] == "47.24,8", "nothing of the row is lost"
    assert [note.removeprefix("p.csv: row ") for note in outcome.unreadable] == [
        "3: 4 cells, expected 3",
        "4: a quote is not closed, or not doubled inside",
        "5: no coordinates that can be read",
        "6: 2 cells, expected 3",
    ]
    with pytest.raises(ContractError, match=r"p\.csv: row 3: 4 cells, expected 3; correct it"):
        run(path, bandless, besancon, Points(x="lon", y="lat", crs=4326, strict=True), force=True)
    path.write_text("lon,lat\n6.02,47.24\n" + ",\n" * 12)
    assert len(run(path, bandless, besancon, force=True).unreadable) == 10


@pytest.mark.parametrize("suffix", [".gpkg", ".parquet"])
def test_a_file_that_declares_a_wrong_crs(
    tmp_path: Path, bandless: Settings, besancon: Territory, suffix: str
) -> None:
    path = tmp_path / f"p{suffix}"
    points = gpd.GeoDataFrame(geometry=gpd.points_from_xy([927_000.0], [6_687_000.0]), crs=4326)
    if suffix == ".gpkg":
        points.to_file(path)
    else:
        points.to_parquet(path)
    with pytest.raises(ContractError, match="look like EPSG:2154: correct the CRS that the file declares"):
        run(path, bandless, besancon, Points())


def test_columns_that_do_not_fit(tmp_path: Path, bandless: Settings, besancon: Territory) -> None:
    path = tmp_path / "p.csv"
    path.write_text("lon,lat,Code_QP\n6.02,47.24,\n")
    with pytest.raises(ConfigurationError, match="no column 'longitude'; it has: lon, lat, Code_QP"):
        run(path, bandless, besancon, Points(x="longitude", y="lat", crs=4326))
    with pytest.raises(ConfigurationError, match=r"already has 'code_qp'.*--prefix"):
        run(path, bandless, besancon)
    points = Points(x="lon", y="lat", crs=4326, prefix="qpv_")
    written = run(path, bandless, besancon, points).path.read_text()
    assert written.startswith("lon,lat,Code_QP,qpv_en_qpv,qpv_code_qp")
    guessed = run(path, bandless, besancon, Points(prefix="qpv_"), force=True)
    assert guessed.path.read_text() == written
    assert "p.csv: coordinates are 'lon' and 'lat' in WGS 84, by their names" in guessed.notes[0]


def test_output_that_exists_stays_without_force(
    tmp_path: Path, bandless: Settings, besancon: Territory
) -> None:
    path, output = tmp_path / "p.csv", tmp_path / "p_qpv.csv"
    path.write_text("lon,lat\n6.02,47.24\n")
    output.write_text("mine")
    with pytest.raises(ConfigurationError, match="exists: give --force"):
        run(path, bandless, besancon)
    assert output.read_text() == "mine"
    with pytest.raises(ConfigurationError, match="is the input"):
        run(path, bandless, besancon, output=path, force=True)
    with pytest.raises(ConfigurationError, match="keeps the format"):
        run(path, bandless, besancon, output=tmp_path / "p.parquet")
    run(path, bandless, besancon, force=True)
    assert output.read_text().startswith("lon,lat,en_qpv")


@pytest.mark.parametrize("name", ["p.csv", "p.parquet", "p.gpkg"])
def test_no_row_gives_no_row(tmp_path: Path, bandless: Settings, besancon: Territory, name: str) -> None:
    path = tmp_path / name
    points = DEGREES
    if name == "p.csv":
        path.write_text("lon,lat\n")
    elif name == "p.parquet":
        pq.write_table(pa.table({"lon": pa.array([], pa.float64()), "lat": pa.array([], pa.float64())}), path)
    else:
        gpd.GeoDataFrame({"id": []}, geometry=[], crs=2154).to_file(path, geometry_type="Point")
        points = Points()
    outcome = run(path, bandless, besancon, points)
    assert outcome.rows == 0
    written = {"p.csv": pd.read_csv, "p.parquet": pd.read_parquet, "p.gpkg": gpd.read_file}[name](
        outcome.path
    )
    assert set(ADDED) <= set(written.columns)


def test_files_that_are_not_what_their_name_says(
    tmp_path: Path, bandless: Settings, besancon: Territory
) -> None:
    for name in ("p.parquet", "p.gpkg", "p.csv"):
        path = tmp_path / name
        path.write_bytes(b"\x00\x01\x02 not this")
        with pytest.raises(ContractError, match=name):
            run(path, bandless, besancon)
    path = tmp_path / "p.docx"
    path.write_bytes(b"PK")
    with pytest.raises(ConfigurationError, match=r"\.docx is not a format"):
        run(path, bandless, besancon)


def test_without_a_release(tmp_path: Path, besancon: Territory) -> None:
    path = tmp_path / "p.csv"
    path.write_text("lon,lat\n6.02,47.24\n")
    with pytest.raises(ConfigurationError, match="no release of 'besancon'"):
        run(path, Settings(data_dir=tmp_path / "data"), besancon)


def test_partitions_in_another_process(bandless: Settings, besancon: Territory, truth: pd.DataFrame) -> None:
    release = current_release("besancon", bandless)
    assert release is not None
    sent = pickle.dumps(PartitionLocator(Locator.of_release(release, besancon), "lon", "lat"))
    located = pickle.loads(sent)  # noqa: S301 - made just now
    check(located(truth[["lon", "lat"]]), truth)
    whole, empty = located(truth[["lon", "lat"]]), located(truth[["lon", "lat"]].iloc[:0])
    assert list(empty.columns) == ["lon", "lat", *ADDED]
    assert empty.dtypes.equals(whole.dtypes)


@pytest.mark.matrix
def test_partitions_on_dask_workers_of_which_one_is_killed(
    tmp_path: Path, bandless: Settings, besancon: Territory, truth: pd.DataFrame
) -> None:
    release = current_release("besancon", bandless)
    assert release is not None
    copies = 12
    many = pd.concat([truth[["lon", "lat"]]] * copies, ignore_index=True)
    located = PartitionLocator(Locator.of_release(release, besancon), "lon", "lat")
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", local_directory=tmp_path
        ) as cluster,
        Client(cluster) as client,
    ):
        partitions = from_pandas(many, npartitions=copies).map_partitions(located).to_delayed()
        futures = client.compute(list(partitions))
        next(as_completed(futures))
        # What it had answered is lost with it, and what it was answering.
        os.kill(max(client.run(os.getpid).values()), signal.SIGKILL)
        found = pd.concat(client.gather(futures), ignore_index=True)
    check(found, pd.concat([truth] * copies, ignore_index=True))


def test_geo_metadata_are_kept(
    tmp_path: Path, truth: pd.DataFrame, bandless: Settings, besancon: Territory
) -> None:
    path = tmp_path / "p.parquet"
    points = gpd.GeoDataFrame(geometry=gpd.points_from_xy(truth["lon"], truth["lat"]), crs=4326)
    points.to_parquet(path)
    written = run(path, bandless, besancon, Points()).path
    before, after = (json.loads(pq.read_schema(file).metadata[b"geo"]) for file in (path, written))
    assert before == after
