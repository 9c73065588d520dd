"""Files of points without any release: what is refused, what is kept, how cells are added."""

import os
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from qpv_geo.errors import ConfigurationError, ContractError, PublicationError, QpvGeoError
from qpv_geo.locate.coordinates import to_floats
from qpv_geo.locate.crs import known_crs, same_crs
from qpv_geo.locate.csv_table import CsvTable
from qpv_geo.locate.geopackage_table import GeoPackageTable
from qpv_geo.locate.parquet_table import ParquetTable
from qpv_geo.locate.paths import check_target, files_of, open_table, points_crs, replacing
from qpv_geo.locate.points import Points
from qpv_geo.locate.tables import Chunk, PointTable

ADDED = pa.schema([("half", pa.float64()), ("mot", pa.string())])
XY = Points(x="a", y="b", crs=2154)


def halves(chunk: Chunk) -> pa.Table:
    """Answer with half of column `a`, and a word that needs quotes in some dialects."""
    half = to_floats(chunk.cells["a"], "a") / 2
    words = [None if number != number else 'oui; non, "oui"' for number in half]  # noqa: PLR0124 - NaN
    return pa.table([pa.array(half, from_pandas=True), pa.array(words, pa.string())], schema=ADDED)


def extend(table: PointTable) -> Path:
    target = table.path.with_name(f"out{table.path.suffix}")
    table.extend(target, ["a"], ADDED, halves, geometry=False)
    return target


def csv(folder: Path, content: str | bytes, name: str = "p.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refused(error: type[QpvGeoError], *facts: str) -> "pytest.RaisesContext[QpvGeoError]":
    return pytest.raises(error, match=".*".join(facts))


# ---------------------------------------------------------------- CSV


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a,b\n1.5,x\n", ["a,b,half,mot", '1.5,x,0.75,"oui; non, ""oui"""']),
        ("a;b\n1,5;x\n", ["a;b;half;mot", '1,5;x;0,75;"oui; non, ""oui"""']),
        ("a;b\n1.5;x\n", ["a;b;half;mot", '1.5;x;0.75;"oui; non, ""oui"""']),
        ("a;b\n3;x\n", ["a;b;half;mot", '3;x;1,5;"oui; non, ""oui"""']),
        ("a|b\n3|x\n", ["a|b|half|mot", '3|x|1.5|"oui; non, ""oui"""']),
        ('a,b\n"1,5",x\n', ["a,b,half,mot", '"1,5",x,"0,75","oui; non, ""oui"""']),
        ('"a";"b"\n"3";"x"\n', ['"a";"b";"half";"mot"', '"3";"x";"1,5";"oui; non, ""oui"""']),
        ('a;b\n"3";x\n', ["a;b;half;mot", '"3";x;1,5;"oui; non, ""oui"""']),
        ("a;b\n;x\n", ["a;b;half;mot", ";x;;"]),
        (" a ;b\n3;x\n", [" a ;b;half;mot", '3;x;1,5;"oui; non, ""oui"""']),
        ("a;b\n", ["a;b;half;mot"]),
    ],
)
def test_cells_are_added_in_the_dialect_of_the_file(tmp_path: Path, text: str, lines: list[str]) -> None:
    assert extend(CsvTable(csv(tmp_path, text))).read_text().splitlines() == lines


def test_line_ends_and_blank_lines_stay(tmp_path: Path) -> None:
    out = extend(CsvTable(csv(tmp_path, 'a;b\r\n\r\n;x\n;"é\ny"')))
    assert out.read_bytes() == 'a;b;half;mot\r\n\r\n;x;;\n;"é\ny";;'.encode()


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        (b"", ["p.csv", "the file is empty"]),
        (b"\n\n", ["the file is empty"]),
        ("a;b\n1;2\n".encode("utf-16"), ["UTF-16; save it in UTF-8"]),
        (b"a;b\n1;\x00\n", ["binary data"]),
        (b"a;b\n1;\x81\n", ["UTF-8 or Windows-1252", "neither"]),
    ],
)
def test_what_is_not_csv_text_is_refused(tmp_path: Path, content: bytes, facts: list[str]) -> None:
    with refused(ContractError, *facts):
        CsvTable(csv(tmp_path, content))


def test_rows_of_another_length_are_listed_to_the_tenth(tmp_path: Path) -> None:
    path = csv(tmp_path, "a;b\n1;2\n" + "1\n" * 11)
    with pytest.raises(ContractError) as error:
        extend(CsvTable(path))
    assert "expected 2 cells" in str(error.value)
    assert "11 rows" in str(error.value)
    assert "row 2: 1, " in str(error.value)
    assert "row 11: 1)" in str(error.value)


def test_a_letter_of_windows_1252_at_the_end_of_a_block_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qpv_geo.locate.csv_table._BLOCK", 4)
    for encoding in ("utf-8", "cp1252"):
        table = CsvTable(csv(tmp_path, "a;é\n1;éé\n".encode(encoding)))
        assert table.columns == ["a", "é"]


# ---------------------------------------------------------------- GeoPackage


def geopackage(path: Path, **tables: gpd.GeoDataFrame) -> Path:
    for name, frame in tables.items():
        frame.to_file(path, layer=name, driver="GPKG")
    return path


def layer(crs: object = 2154, **columns: list[object]) -> gpd.GeoDataFrame:
    size = len(next(iter(columns.values()))) if columns else 1
    return gpd.GeoDataFrame(columns, geometry=[shapely.Point(n, n) for n in range(size)], crs=crs)


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        for statement in statements:
            database.execute(statement)


def test_a_layer_gets_typed_columns_and_a_new_date(tmp_path: Path) -> None:
    path = geopackage(tmp_path / "p.gpkg", adresses=layer(a=[3.0, None, 5.0], c=["x", "y", "z"]))
    execute(path, "UPDATE gpkg_contents SET last_change = '2001-01-01T00:00:00.000Z'")
    table = GeoPackageTable(path)
    assert (list(table.columns), table.has_geometry, table.geometry_crs) == (["a", "c"], True, "EPSG:2154")
    with closing(sqlite3.connect(extend(table))) as database:
        rows = database.execute("SELECT a, c, half, mot FROM adresses ORDER BY fid").fetchall()
        kinds = {row[1]: row[2] for row in database.execute("PRAGMA table_info(adresses)")}
        (changed,) = database.execute("SELECT last_change FROM gpkg_contents").fetchone()
    word = 'oui; non, "oui"'
    assert rows == [(3.0, "x", 1.5, word), (None, "y", None, None), (5.0, "z", 2.5, word)]
    assert (kinds["half"], kinds["mot"]) == ("REAL", "TEXT")
    assert changed > "2026"


def test_columns_of_several_types_are_read_as_text(tmp_path: Path) -> None:
    path = geopackage(tmp_path / "p.gpkg", adresses=layer(a=["x"]))
    execute(
        path,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a)",
        "INSERT INTO t (a) VALUES ('3,5'), (4), (x'00'), (NULL)",
        "INSERT INTO gpkg_contents (table_name, data_type, srs_id) VALUES ('t', 'attributes', 0)",
    )
    with closing(sqlite3.connect(extend(GeoPackageTable(path, "t")))) as database:
        assert [row[0] for row in database.execute("SELECT half FROM t")] == [1.75, 2.0, None, None]


def test_the_layer_is_named_where_it_must_be(tmp_path: Path) -> None:
    path = geopackage(tmp_path / "p.gpkg", un=layer(a=[1.0]), deux=layer(a=[1.0]))
    with refused(ConfigurationError, "--layer; it has: ", "deux"):
        GeoPackageTable(path)
    with refused(ConfigurationError, "no layer 'trois'; it has: "):
        GeoPackageTable(path, "trois")
    assert GeoPackageTable(path, "deux").columns == ["a"]
    execute(path, "UPDATE gpkg_contents SET data_type = 'attributes' WHERE table_name = 'un'")
    assert extend(GeoPackageTable(path)).exists(), "of a layer and a table, the layer"
    execute(path, "UPDATE gpkg_contents SET data_type = 'tiles'")
    with refused(ConfigurationError, "--layer; it has: none"):
        GeoPackageTable(path)


def test_a_view_has_no_key_to_write_by(tmp_path: Path) -> None:
    path = geopackage(tmp_path / "p.gpkg", un=layer(a=[1.0]))
    execute(
        path,
        "CREATE VIEW vue AS SELECT * FROM un",
        "INSERT INTO gpkg_contents (table_name, data_type, srs_id) VALUES ('vue', 'attributes', 0)",
    )
    with refused(ConfigurationError, "'vue' is a view or has no key"):
        GeoPackageTable(path, "vue")
    execute(
        path,
        "CREATE TABLE paires (a INTEGER, b INTEGER, PRIMARY KEY (a, b))",
        "INSERT INTO gpkg_contents (table_name, data_type, srs_id) VALUES ('paires', 'attributes', 0)",
    )
    with refused(ConfigurationError, "'paires' is a view or has no key"):
        GeoPackageTable(path, "paires")


@pytest.mark.parametrize(
    ("change", "crs"),
    [
        ("organization = 'NONE', definition = 'undefined'", None),
        ("organization = 'epsg'", "EPSG:2154"),
        ("organization = 'ESRI', definition = 'WKT'", "WKT"),
    ],
)
def test_the_crs_of_a_layer_is_the_declared_one(tmp_path: Path, change: str, crs: str | None) -> None:
    path = geopackage(tmp_path / "p.gpkg", un=layer(a=[1.0]))
    execute(path, f"UPDATE gpkg_spatial_ref_sys SET {change} WHERE srs_id = 2154")  # noqa: S608 - ours
    assert GeoPackageTable(path).geometry_crs == crs


def test_a_geometry_that_cannot_be_read_has_its_row(tmp_path: Path) -> None:
    path = geopackage(tmp_path / "p.gpkg", un=layer(a=[1.0, 2.0, 3.0]))
    with closing(sqlite3.connect(path)) as database, database:
        for trigger in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{trigger[0]}"')
        database.execute("UPDATE un SET geom = x'00' WHERE fid = 2")
    with refused(ContractError, r"p\.gpkg: row 2: geometry cannot be read"):
        GeoPackageTable(path).extend(tmp_path / "o.gpkg", ["a"], ADDED, halves, geometry=True)


# ---------------------------------------------------------------- Parquet


@pytest.mark.parametrize("codec", ["none", "snappy", "zstd"])
def test_parquet_keeps_its_compression_types_and_metadata(tmp_path: Path, codec: str) -> None:
    table = pa.table({"a": pa.array([3, None], pa.int16()), "b": ["x", "y"]}).replace_schema_metadata(
        {"k": "v"}
    )
    path = tmp_path / "p.parquet"
    pq.write_table(table, path, compression=codec)
    out = pq.ParquetFile(extend(ParquetTable(path)))
    assert out.metadata.row_group(0).column(0).compression == {"none": "UNCOMPRESSED"}.get(
        codec, codec.upper()
    )
    assert out.read().column("half").to_pylist() == [1.5, None]
    assert out.schema_arrow.field("a").type == pa.int16()
    assert out.schema_arrow.metadata[b"k"] == b"v"
    encodings = {
        out.metadata.row_group(0).column(n).path_in_schema: out.metadata.row_group(0).column(n)
        for n in range(4)
    }
    assert not encodings["half"].has_dictionary_page, "numbers that all differ outgrow a dictionary"
    assert encodings["mot"].has_dictionary_page


def test_a_geoparquet_without_crs_is_in_longitude_and_latitude(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    frame = layer(crs=4326, a=[1.0])
    frame.to_parquet(path)
    table = pq.read_table(path)
    geo = table.schema.metadata[b"geo"]
    bare = geo[: geo.index(b'"crs"')] + b'"x": ' + geo[geo.index(b'"crs"') + 7 :]
    pq.write_table(table.replace_schema_metadata({b"geo": bare}), path)
    opened = ParquetTable(path)
    assert (opened.geometry_crs, opened.has_geometry, list(opened.columns)) == ("OGC:CRS84", True, ["a"])
    pq.write_table(table.replace_schema_metadata({b"geo": bare.replace(b'"WKB"', b'"polygon"')}), path)
    with refused(ConfigurationError, r"p\.parquet: geometries are encoded as 'polygon'"):
        ParquetTable(path).extend(tmp_path / "o.parquet", ["a"], ADDED, halves, geometry=True)
    pq.write_table(pa.table({"a": [1.0]}), path)
    assert (ParquetTable(path).geometry_crs, ParquetTable(path).has_geometry) == (None, False)


# ---------------------------------------------------------------- paths


def parquet(path: Path, **columns: list[object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(columns).to_parquet(path)
    return path


def test_the_files_of_a_folder_are_its_visible_parquet_files(tmp_path: Path) -> None:
    folder = tmp_path / "ban"
    kept = [folder / "dep=25" / "b.parquet", folder / "a.PARQUET", folder / "c.pq"]
    for path in [*kept, folder / "_tmp" / "d.parquet", folder / ".e.parquet", folder / "f.txt"]:
        parquet(path, a=[1.0])
    assert files_of(folder) == sorted(kept)
    assert files_of(kept[0]) == [kept[0]]
    with refused(ConfigurationError, "no file "):
        files_of(tmp_path / "rien")
    (tmp_path / "vide").mkdir()
    with refused(ConfigurationError, "without any Parquet file"):
        files_of(tmp_path / "vide")


@pytest.mark.parametrize("name", ["p.csv", "p.TSV", "p.txt", "p.parquet", "p.geoparquet", "p.pq"])
def test_a_format_is_known_by_its_suffix(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if path.suffix.lower() in {".csv", ".tsv", ".txt"}:
        csv(tmp_path, "a;b\n", name)
    else:
        parquet(path, a=[1.0], b=[1.0])
    assert list(open_table(path, XY).columns) == ["a", "b"]
    with refused(ConfigurationError, "--layer is for a GeoPackage"):
        open_table(path, Points(x="a", y="b", crs=2154, layer="l"))


def test_columns_are_there_once_and_do_not_clash(tmp_path: Path) -> None:
    with refused(ConfigurationError, r"p\.csv has no column 'b'; it has: a, c"):
        open_table(csv(tmp_path, "a;c\n"), XY)
    with refused(ConfigurationError, "several columns named 'b'"):
        open_table(csv(tmp_path, "a;b;b\n"), XY)
    with refused(ConfigurationError, "already has 'en_qpv', which would be added", "--prefix"):
        open_table(csv(tmp_path, "a;b;EN_QPV\n"), XY)
    with refused(ConfigurationError, r"p\.xlsx: \.xlsx is not a format", r"\.csv", r"\.gpkg", r"\.parquet"):
        open_table(csv(tmp_path, "a", "p.xlsx"), XY)
    with refused(ConfigurationError, "no extension is not a format"):
        open_table(csv(tmp_path, "a", "p"), XY)


def test_the_crs_is_that_of_the_coordinates_or_of_the_geometry(tmp_path: Path) -> None:
    lambert, degrees = tmp_path / "a.parquet", tmp_path / "b.parquet"
    layer(crs=2154, a=[1.0]).to_parquet(lambert)
    layer(crs=4326, a=[1.0]).to_parquet(degrees)
    one, other = ParquetTable(lambert), ParquetTable(degrees)
    assert points_crs([one], Points(x="a", y="a", crs=3857)) == 3857
    assert points_crs([one], Points(addresses=("a",))) == 4326
    assert "Lambert-93" in str(points_crs([one, one], Points()))
    assert "Lambert-93" in str(points_crs([one, one], Points(crs="ESRI:102110"))), "another name of the same"
    with refused(ConfigurationError, r"a\.parquet declares RGF93.*, --crs says WGS 84: leave --crs out"):
        points_crs([one, one], Points(crs=4326))
    with refused(ContractError, "not all in the same CRS"):
        points_crs([one, other], Points())
    bare = csv(tmp_path, "a;b\n")
    with refused(ConfigurationError, r"p\.csv has no geometry", "it has: a, b"):
        points_crs([CsvTable(bare)], Points(crs=2154))
    path = geopackage(tmp_path / "p.gpkg", un=layer(a=[1.0]))
    execute(path, "UPDATE gpkg_spatial_ref_sys SET definition = 'undefined' WHERE srs_id = 2154")
    assert points_crs([GeoPackageTable(path)], Points(crs=2154)) == 2154
    with refused(ConfigurationError, "does not say its CRS: give it with --crs"):
        points_crs([GeoPackageTable(path)], Points())


@pytest.mark.parametrize("srs_id", [None, 0, -1])
def test_a_layer_without_crs_takes_the_given_one(tmp_path: Path, srs_id: int | None) -> None:
    path = tmp_path / "p.gpkg"
    with pytest.warns(UserWarning, match="'crs' was not provided"):
        geopackage(path, un=layer(crs=None, a=[1.0]))
    if srs_id is not None:
        execute(path, f"UPDATE gpkg_geometry_columns SET srs_id = {srs_id}")  # noqa: S608 - ours
    with refused(ConfigurationError, r"p\.gpkg does not say its CRS: give it with --crs"):
        points_crs([GeoPackageTable(path)], Points())
    assert points_crs([GeoPackageTable(path)], Points(crs=2154)) == 2154


def test_one_crs_has_many_names() -> None:
    lambert = known_crs(2154)
    assert all(
        same_crs(lambert, known_crs(name)) for name in (9794, "ESRI:102110", lambert.to_wkt("WKT1_ESRI"))
    )
    assert not any(same_crs(lambert, known_crs(name)) for name in (27572, 3947, 3857, 4326))
    assert same_crs(known_crs(4326), known_crs("OGC:CRS84"))
    assert same_crs(known_crs(4326), known_crs(4171))


def test_triggers_stay_and_are_not_fired(tmp_path: Path) -> None:
    path = geopackage(tmp_path / "p.gpkg", un=layer(a=[3.0, 5.0]))
    execute(
        path,
        "CREATE TABLE journal (what TEXT)",
        "CREATE TRIGGER t1 AFTER UPDATE ON un BEGIN INSERT INTO journal VALUES ('changed'); END",
        "CREATE TRIGGER t2 AFTER UPDATE ON un BEGIN UPDATE un SET a = -1 WHERE fid = NEW.fid; END",
    )
    triggers = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY rowid"
    with closing(sqlite3.connect(path)) as database:
        before = database.execute(triggers).fetchall()
    with closing(sqlite3.connect(extend(GeoPackageTable(path)))) as database:
        assert database.execute(triggers).fetchall() == before
        assert database.execute("SELECT count(*) FROM journal").fetchone() == (0,)
        assert database.execute("SELECT a, half FROM un ORDER BY fid").fetchall() == [(3.0, 1.5), (5.0, 2.5)]


def test_what_qgis_has_not_yet_written_back_is_read(tmp_path: Path) -> None:
    path = geopackage(tmp_path / "p.gpkg", un=layer(a=[3.0]))
    with closing(sqlite3.connect(path)) as qgis:
        qgis.execute("PRAGMA journal_mode = WAL")
        for trigger in qgis.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            qgis.execute(f'DROP TRIGGER "{trigger[0]}"')
        qgis.execute("INSERT INTO un (geom, a) SELECT geom, 5.0 FROM un")
        qgis.commit()
        before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
        assert set(before) == {"p.gpkg", "p.gpkg-wal", "p.gpkg-shm"}
        out = tmp_path / "out"
        out.mkdir()
        GeoPackageTable(path).extend(out / "o.gpkg", ["a"], ADDED, halves, geometry=False)
        assert {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()} == before
    assert [file.name for file in out.iterdir()] == ["o.gpkg"]
    with closing(sqlite3.connect(out / "o.gpkg")) as database:
        assert database.execute("SELECT a, half FROM un ORDER BY fid").fetchall() == [(3.0, 1.5), (5.0, 2.5)]
        assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_file_that_was_left_in_wal_mode_gets_nothing_beside_it(tmp_path: Path) -> None:
    path = geopackage(tmp_path / "p.gpkg", un=layer(a=[3.0]))
    execute(path, "PRAGMA journal_mode = WAL")
    extend(GeoPackageTable(path))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.gpkg", "p.gpkg"]


def test_an_output_is_replaced_only_if_it_may_be(tmp_path: Path) -> None:
    path, target = csv(tmp_path, "a"), tmp_path / "o.csv"
    check_target(path, target, force=False)
    with refused(ConfigurationError, "keeps the format of the input: its name ends with '.csv', not '.txt'"):
        check_target(path, tmp_path / "o.txt", force=True)
    with refused(ConfigurationError, "is the input"):
        check_target(path, path, force=True)
    target.mkdir()
    with refused(ConfigurationError, r"o\.csv exists: give --force"):
        check_target(path, target, force=False)
    with refused(ConfigurationError, r"is a folder, p\.csv is not"):
        check_target(path, target, force=True)
    with refused(ConfigurationError, r"is a file, o\.csv is not"):
        check_target(target, path, force=True)
    folder = tmp_path / "p.d"
    parquet(folder / "a.parquet", a=[1.0])
    other = shutil.copytree(folder, tmp_path / "o.d")
    check_target(folder, other, force=True)
    (other / "notes.md").write_text("mine")
    with refused(ConfigurationError, r"other files than Parquet ones \(notes\.md\): not replaced"):
        check_target(folder, other, force=True)


def test_a_result_takes_its_place_only_when_it_is_complete(tmp_path: Path) -> None:
    target = csv(tmp_path, "old")
    with replacing(target) as aside:
        aside.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    with pytest.raises(ZeroDivisionError), replacing(target) as aside:
        aside.write_text(str(1 / 0))
    with (
        refused(PublicationError, r"p\.csv: cannot be written \(No space left", "check the free space"),
        replacing(target),
    ):
        raise OSError(28, os.strerror(28))
    with refused(PublicationError, r"cannot be written \(ArrowInvalid\)"), replacing(target):
        raise pa.ArrowInvalid
    with pytest.raises(ContractError, match="explained"), replacing(target):
        raise ContractError("explained")
    assert target.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["p.csv"]
    with refused(PublicationError, "rien: cannot be written to"), replacing(tmp_path / "rien" / "p.csv"):
        pass
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "old").write_text("old")
    with replacing(folder) as aside:
        aside.mkdir()
    assert list(folder.iterdir()) == []
    assert stat.S_ISDIR(folder.stat().st_mode)
