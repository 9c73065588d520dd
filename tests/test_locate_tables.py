"""Files of points without any release: what is refused, what is kept, how cells are added."""

import csv as csv_module
import gzip
import io
import os
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from qpv_geo.errors import ConfigurationError, ContractError, PublicationError, QpvGeoError
from qpv_geo.locate.coordinates import to_floats
from qpv_geo.locate.csv_dialect import Dialect
from qpv_geo.locate.csv_table import CsvTable
from qpv_geo.locate.geopackage_table import GeoPackageTable
from qpv_geo.locate.parquet_table import ParquetTable
from qpv_geo.locate.paths import check_target, files_of, open_table, points_crs, replacing, settle
from qpv_geo.locate.places import known_crs, same_crs
from qpv_geo.locate.points import Points
from qpv_geo.locate.tables import Chunk, PointTable

ADDED = pa.schema([("half", pa.float64()), ("mot", pa.string())])
XY = Points(x="a", y="b", crs=2154)


def halves(chunk: Chunk) -> pa.Table:
    """Answer with half of column `a`, and a word that needs quotes in some dialects."""
    half = to_floats(chunk.column("a"), "a") / 2
    words = [None if number != number else 'oui; non, "oui"' for number in half]  # noqa: PLR0124 - NaN
    return pa.table([pa.array(half, from_pandas=True), pa.array(words, pa.string())], schema=ADDED)


def extend(table: PointTable) -> Path:
    target = table.path.with_name(f"out{table.path.suffix}")
    table.extend(target, ADDED, halves)
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
    assert extend(CsvTable(csv(tmp_path, text), wanted=["a"])).read_text().splitlines() == lines


def test_line_ends_and_blank_lines_stay(tmp_path: Path) -> None:
    out = extend(CsvTable(csv(tmp_path, 'a;b\r\n\r\n;x\n;"é\ny"')))
    assert out.read_bytes() == 'a;b;half;mot\r\n\r\n;x;;\n;"é\ny";;'.encode()


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        (b"", ["p.csv", "the file is empty"]),
        (b"\n\n", ["the file is empty"]),
        ("a;b\n1;2\n".encode("utf-16") + b"\n", ["UTF-16", "give --encoding"]),
        (b"a;b\n1;\x00\n", ["binary data"]),
        (b"a;b\n1;\x81\n", ["UTF-16 or Windows-1252", "none of these"]),
    ],
)
def test_what_is_not_csv_text_is_refused(tmp_path: Path, content: bytes, facts: list[str]) -> None:
    with refused(ContractError, *facts):
        CsvTable(csv(tmp_path, content))


def named(chunk: Chunk) -> pa.Table:
    return pa.table({"mot": ["été"] * chunk.rows})


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_the_unicode_text_of_excel_stays_what_it_is(tmp_path: Path, encoding: str) -> None:
    text = 'Prénom\tb\r\n"Zoé\r\n😀"\t1,5\r\n\r\nœ\t'
    path = csv(tmp_path, f"\ufeff{text}".encode(encoding))
    table = CsvTable(path, wanted=["Prénom"])
    assert table.head().column("Prénom").to_pylist() == ["Zoé\r\n😀", "œ"]
    out = tmp_path / "out.csv"
    table.extend(out, pa.schema([("mot", pa.string())]), named)
    written = out.read_bytes().decode(encoding)
    assert written == '\ufeffPrénom\tb\tmot\r\n"Zoé\r\n😀"\t1,5\tété\r\n\r\nœ\t\tété'


@pytest.mark.parametrize(
    ("lines", "separator", "names"),
    [
        ("lon;lat\n6,02;47,24\n", ";", ["lon", "lat"]),
        ("Longitude, X;Latitude, Y\n6,02;47,24\n", ";", ["Longitude, X", "Latitude, Y"]),
        ('"lon, degrés",lat\n6.02,47.24\n', ",", ["lon, degrés", "lat"]),
        ('nom,"Coord\nX",y\na,1,2\n', ",", ["nom", "Coord\nX", "y"]),
        ('"a\r\n(m)";"b"\r\n1;2\r\n', ";", ["a\r\n(m)", "b"]),
        ("a\tb, c\n1,5\t2\n", "\t", ["a", "b, c"]),
        ("sep=,\na,b;c\n1,2\n", ",", ["a", "b;c"]),
        ("sep=;\r\na;b\r\n1;2\r\n", ";", ["a", "b"]),
        ("Liste, décembre\n\nlon;lat;nom\n1;2;x\n", ";", ["lon", "lat", "nom"]),
        ("Liste;;\n;;\nlon;lat;nom\n1;2;x\n", ";", ["lon", "lat", "nom"]),
        ("geo_point_2d\n47.2\n", ";", ["geo_point_2d"]),
        ('geo_point_2d\n"47.2, 6"\n', ",", ["geo_point_2d"]),
    ],
)
def test_separator_and_header_are_recognised(
    tmp_path: Path, lines: str, separator: str, names: list[str]
) -> None:
    path = csv(tmp_path, lines)
    table = CsvTable(path)
    assert list(table.columns) == names
    out = table.path.with_name("out.csv")
    table.extend(out, pa.schema([("half", pa.float64())]), nothing)
    before, after = path.read_text(), out.read_text()
    assert after.startswith(before[: before.index(lines.splitlines()[table.titles])])
    assert after.replace('"', "").count(f"{separator}half") == 1


@given(st.text(alphabet='a1;,"\n\r é', max_size=60))
def test_whatever_the_rows_are_each_gets_its_cells_in_its_columns(
    tmp_path_factory: pytest.TempPathFactory, body: str
) -> None:
    """Text is written in quotes as it should be, or not at all as it should."""
    path = tmp_path_factory.mktemp("csv") / "p.csv"
    path.write_bytes(f"a;b\n{body}".encode())
    written = extend(CsvTable(path, Dialect(separator=";"))).read_bytes().decode()
    rows = [row for row in csv_module.reader(io.StringIO(written, newline=""), delimiter=";") if row]
    assert {len(row) for row in rows} == {4}
    assert all(row[3] in {"", 'oui; non, "oui"'} for row in rows[1:])
    kept = [sign for sign in body if sign in "a1é"]
    assert sorted(sign for row in rows[1:] for cell in row[:2] for sign in cell if sign in "a1é") == sorted(
        kept
    )


def nothing(chunk: Chunk) -> pa.Table:
    return pa.table([pa.nulls(chunk.rows, pa.float64())], schema=pa.schema([("half", pa.float64())]))


def test_a_title_of_two_cells_is_told_by_the_columns_or_the_user(tmp_path: Path) -> None:
    path = csv(tmp_path, "Commune;Besançon\na;b\n1;2\n")
    assert list(CsvTable(path).columns) == ["Commune", "Besançon"]
    table = CsvTable(path, wanted=["a"])
    assert (list(table.columns), table.notes) == (
        ["a", "b"],
        ["p.csv: the header is row 2; --skip-rows says otherwise"],
    )
    assert list(CsvTable(path, Dialect(skip_rows=1)).columns) == ["a", "b"]
    accents = csv(tmp_path, "Commune;Besançon\né;è\n1;2\n", "q.csv")
    assert list(CsvTable(accents, wanted=["è"]).columns) == ["é", "è"]
    assert CsvTable(path, Dialect(skip_rows=1)).notes == []
    with refused(ContractError, "the file is empty"):
        CsvTable(path, Dialect(skip_rows=9))


def test_what_the_user_says_of_the_dialect_counts(tmp_path: Path) -> None:
    path = csv(tmp_path, "a,b;c\n1,2;x\n")
    assert list(CsvTable(path, Dialect(separator=",")).columns) == ["a", "b;c"]
    dos = csv(tmp_path, "a;dépôt\n3;é\n".encode("cp850"))
    table = CsvTable(dos, Dialect(encoding="cp850", decimal="."))
    assert list(table.columns) == ["a", "dépôt"]
    assert extend(table).read_bytes() == 'a;dépôt;half;mot\n3;é;1.5;"oui; non, ""oui"""\n'.encode("cp850")
    marked = extend(CsvTable(csv(tmp_path, "a;b\n;x\n"), Dialect(encoding="utf-8-sig")))
    assert marked.read_bytes().startswith(b"\xef\xbb\xbfa;b;half")
    with refused(ContractError, "column 'a' is not in utf-8; give another --encoding"):
        extend(CsvTable(csv(tmp_path, b"a;b\n\xe9;x\n"), Dialect(encoding="utf-8")))
    for wrong in ({"separator": "--"}, {"decimal": ";"}, {"encoding": "utf-16"}, {"encoding": "nothing"}):
        with refused(ConfigurationError, f"--{next(iter(wrong))}"):
            Dialect(**wrong)


def test_a_cell_may_be_longer_than_python_expects(tmp_path: Path) -> None:
    long = "x" * 200_000
    assert extend(CsvTable(csv(tmp_path, f"a;b\n;{long}\n"))).read_text().splitlines()[1] == f";{long};;"


def test_compressed_text_comes_out_compressed_and_the_same_each_time(tmp_path: Path) -> None:
    path = tmp_path / "p.csv.gz"
    path.write_bytes(gzip.compress("a;b\n3;é\n".encode()))
    table = open_table(path, XY)
    assert table.suffix == ".csv.gz"
    first, second = tmp_path / "1" / "o.csv.gz", tmp_path / "2" / "o.csv.gz"
    for target in (first, second):
        target.parent.mkdir()
        table.extend(target, ADDED, halves)
    assert gzip.decompress(first.read_bytes()).decode().splitlines()[1].startswith("3;é;1,5;")
    assert first.read_bytes() == second.read_bytes()
    path.write_bytes(b"a;b\n")
    with refused(ContractError, r"p\.csv\.gz: cannot be read"):
        open_table(path, XY)


def test_a_letter_of_windows_1252_at_the_end_of_a_block_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qpv_geo.locate.csv_dialect._BLOCK", 4)
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
    table = GeoPackageTable(path, wanted=["a"])
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
    with closing(sqlite3.connect(extend(GeoPackageTable(path, "t", ["a"])))) as database:
        assert [row[0] for row in database.execute("SELECT half FROM t")] == [1.75, 2.0, None, None]


def test_the_layer_is_named_where_it_must_be(tmp_path: Path) -> None:
    path = geopackage(tmp_path / "p.gpkg", un=layer(a=[1.0]), deux=layer(a=[1.0]))
    with refused(ConfigurationError, "--layer; it has: ", "deux"):
        GeoPackageTable(path)
    with refused(ConfigurationError, "no layer 'trois'; it has: "):
        GeoPackageTable(path, "trois")
    assert GeoPackageTable(path, "deux").columns == ["a"]
    execute(path, "UPDATE gpkg_contents SET data_type = 'attributes' WHERE table_name = 'un'")
    assert extend(GeoPackageTable(path, wanted=["a"])).exists(), "of a layer and a table, the layer"
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


def test_a_geometry_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    path = geopackage(tmp_path / "p.gpkg", un=layer(a=[1.0, 2.0, 3.0]))
    with closing(sqlite3.connect(path)) as database, database:
        for trigger in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{trigger[0]}"')
        database.execute("UPDATE un SET geom = x'00' WHERE fid = 2")
    points = GeoPackageTable(path).head().geometries()
    assert points is not None
    np.testing.assert_array_equal(points.x, [0, np.nan, 2])


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
        ParquetTable(path).head().geometries()
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
    with refused(ConfigurationError, "--layer is for a GeoPackage or another"):
        open_table(path, Points(x="a", y="b", crs=2154, layer="l"))


def test_columns_are_there_once_and_do_not_clash(tmp_path: Path) -> None:
    with refused(ConfigurationError, r"p\.csv has no column 'b'; it has: a, c"):
        open_table(csv(tmp_path, "a;c\n"), XY)
    with refused(ConfigurationError, "several columns named 'b'"):
        open_table(csv(tmp_path, "a;b;b\n"), XY)
    with refused(ConfigurationError, "already has 'en_qpv', which would be added", "--prefix"):
        open_table(csv(tmp_path, "a;b;EN_QPV\n"), XY)
    with refused(ConfigurationError, r"p\.docx: \.docx is not a format", r"\.csv", r"\.gpkg", r"\.parquet"):
        open_table(csv(tmp_path, "a", "p.docx"), XY)
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
    with refused(ConfigurationError, r"p\.csv has no geometry", "it has: a, b"):
        settle(Points(crs=2154), [CsvTable(csv(tmp_path, "a;b\n"))], [])
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
    with closing(sqlite3.connect(extend(GeoPackageTable(path, wanted=["a"])))) as database:
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
        GeoPackageTable(path, wanted=["a"]).extend(out / "o.gpkg", ADDED, halves)
        assert {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()} == before
    assert [file.name for file in out.iterdir()] == ["o.gpkg"]
    with closing(sqlite3.connect(out / "o.gpkg")) as database:
        assert database.execute("SELECT a, half FROM un ORDER BY fid").fetchall() == [(3.0, 1.5), (5.0, 2.5)]
        assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_file_that_was_left_in_wal_mode_gets_nothing_beside_it(tmp_path: Path) -> None:
    path = geopackage(tmp_path / "p.gpkg", un=layer(a=[3.0]))
    execute(path, "PRAGMA journal_mode = WAL")
    extend(GeoPackageTable(path, wanted=["a"]))
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
