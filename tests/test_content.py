import gzip
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpv_geo.errors import SourceContentError
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import Catalogue, Format
from qpv_geo.sources.content import _is_complete, check_content
from qpv_geo.sources.raw import RawFile, digest
from tests.raw_files import write_workbook, write_zip
from tests.server import MAINTENANCE, zipped

TABLE = b"codeQPV;popMuniQPV\nQN02503M;15603\n"
JSON = b'{"type": "FeatureCollection", "features": []}'

Check = Callable[..., None]


@pytest.fixture
def check(tmp_path: Path, catalogue: Catalogue, settings: Settings) -> Check:
    def checked(data: bytes, form: Format = "csv", name: str = "file", member: str | None = None) -> None:
        path = tmp_path / name
        path.write_bytes(data)
        source = catalogue["listeqp_2024"].model_copy(update={"format": form, "member": member})
        sha256, size = digest(path)
        raw = RawFile(source, path, sha256, size, "live", "live", "u", "https://x/f")
        check_content(raw, settings)

    return checked


def in_zip(tmp_path: Path, **members: bytes) -> bytes:
    folder = tmp_path / "to zip"
    folder.mkdir()
    for name, data in members.items():
        (folder / name).write_bytes(data)
    return zipped(folder)


@pytest.mark.parametrize(
    ("form", "data"),
    [
        ("csv", TABLE),
        ("csv", b"\xef\xbb\xbf" + TABLE),
        ("csv", "CODGEO;Libellé\n".encode("cp1252")),
        ("csv", gzip.compress(TABLE, mtime=0)),
        ("geojson", JSON),
        ("geojson", b"\n  " + JSON + b"\n"),
        ("geojson", gzip.compress(JSON, mtime=0)),
        ("json", b"[]"),
        ("table", TABLE),
        ("table", "codeQPV;Libellé\n".encode("cp1252")),
        ("table", gzip.compress(TABLE, mtime=0)),
    ],
)
def test_what_is_declared_is_accepted_bare_or_packed(check: Check, form: Format, data: bytes) -> None:
    check(data, form)


def test_a_member_of_the_declared_format_is_accepted(tmp_path: Path, check: Check) -> None:
    check(in_zip(tmp_path, data=JSON, other=TABLE), "geojson", member="data")


def test_tables_of_statistics_are_accepted_whatever_their_names(tmp_path: Path, check: Check) -> None:
    check(in_zip(tmp_path, **{"a.csv": TABLE, "B.TXT": TABLE, "lisez-moi.pdf": b"%PDF"}), "table")
    path = write_workbook(tmp_path / "demographie.xlsx", {"Données": [["codeGeo", "x"], ["QN02503M", 1.0]]})
    check(path.read_bytes(), "table", name="demographie.xlsx")
    check(write_zip(tmp_path / "x.zip", {"d.xlsx": path.read_bytes()}).read_bytes(), "table")


def test_a_geopackage_is_accepted(tmp_path: Path, check: Check) -> None:
    path = tmp_path / "empty.gpkg"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE gpkg_contents (table_name TEXT)")
    connection.commit()
    connection.close()
    check(path.read_bytes(), "gpkg")


@pytest.mark.parametrize(
    ("form", "data", "found"),
    [
        ("csv", MAINTENANCE, "an HTML page titled 'Site en maintenance'"),
        ("csv", b"\xef\xbb\xbf\r\n <HTML><body>", "an HTML page that begins with"),
        ("csv", b"<?xml version='1.0'?><Error><Code>NoSuchKey", "XML that begins with"),
        ("csv", b'{"error": "quota"}', """JSON that begins with '{"error": "quota"}'"""),
        ("csv", b"", "is empty"),
        ("csv", b" \n\n", "is blank"),
        ("csv", b"%PDF-1.7\n", "a PDF"),
        ("csv", TABLE.decode().encode("utf-16"), "text in UTF-16"),
        ("csv", b"\x00\x01\x02\x03\x04\x05\x06\x07\x08", "binary data that begins with 0x0001020304050607"),
        ("geojson", MAINTENANCE, "an HTML page"),
        ("geojson", TABLE, "text that begins with 'codeQPV;popMuniQPV"),
        ("geojson", b"", "is empty"),
        ("json", MAINTENANCE, "an HTML page"),
        ("table", MAINTENANCE, "an HTML page titled 'Site en maintenance'"),
        ("table", JSON, "JSON that begins with"),
        ("table", b"", "is empty"),
        ("table", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504), "an old .xls workbook (save it as XLSX)"),
        ("gpkg", JSON, "JSON that begins with"),
        ("shp", JSON, "JSON that begins with"),
    ],
)
def test_another_content_is_refused_and_described(
    check: Check, form: Format, data: bytes, found: str
) -> None:
    with pytest.raises(SourceContentError) as caught:
        check(data, form)
    message = str(caught.value)
    assert found in message
    assert "was expected" in message
    assert "source listeqp_2024: file (https://x/f)" in message
    assert "https://www.data.gouv.fr/datasets/" in message
    assert "entry [listeqp_2024] of qpv_geo/sources/catalogue.toml" in message


def test_a_page_inside_an_archive_is_refused_as_well(tmp_path: Path, check: Check) -> None:
    with pytest.raises(SourceContentError, match="an HTML page titled 'Site en maintenance'"):
        check(gzip.compress(MAINTENANCE), "geojson")
    with pytest.raises(SourceContentError, match="data is an HTML page"):
        check(in_zip(tmp_path, data=MAINTENANCE), "csv", member="data")


def test_a_workbook_in_place_of_a_table_shows_by_its_members(tmp_path: Path, check: Check) -> None:
    workbook = in_zip(tmp_path, **{"[Content_Types].xml": b"<x/>", "workbook.xml": b"<x/>"})
    with pytest.raises(
        SourceContentError, match=r"no member matches .*\[Content_Types\]\.xml, workbook\.xml"
    ):
        check(workbook, "csv", member=r".*\.csv")


def test_an_archive_without_a_table_of_statistics(tmp_path: Path, check: Check) -> None:
    with pytest.raises(
        SourceContentError, match=r"expected CSV files or XLSX workbooks; found: lisez-moi\.pdf"
    ):
        check(in_zip(tmp_path, **{"lisez-moi.pdf": b"%PDF"}), "table")
    with pytest.raises(SourceContentError, match=r"b\.csv is an HTML page"):
        check(write_zip(tmp_path / "x.zip", {"a.csv": TABLE, "b.csv": MAINTENANCE}).read_bytes(), "table")


@pytest.mark.parametrize("kept", [1, 20, 40, len(JSON) - 1])
def test_truncated_json_is_refused(check: Check, kept: int) -> None:
    with pytest.raises(SourceContentError, match="is truncated: it ends with"):
        check(JSON[:kept], "geojson")
    with pytest.raises(SourceContentError, match="is truncated: it ends with"):
        check(gzip.compress(JSON[:kept]), "geojson")


def trees(alphabet: str) -> st.SearchStrategy[object]:
    text = st.text(alphabet=alphabet)
    leaves = st.none() | st.booleans() | st.integers() | text
    tree = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(text, inner), max_leaves=20)
    return st.dictionaries(text, tree) | st.lists(tree)


@given(trees('ab{}[]"\\ é'))
def test_complete_json_is_complete_whatever_its_strings(tree: object) -> None:
    assert _is_complete(json.dumps(tree, ensure_ascii=False).encode())


@given(trees('ab"\\ é'), st.data())
def test_the_beginning_of_json_is_not_complete(tree: object, data: st.DataObject) -> None:
    text = json.dumps(tree, ensure_ascii=False).encode()
    assert not _is_complete(text[: data.draw(st.integers(0, len(text) - 1))])
