"""Text of vector files and tables that cannot be published is a contract error that names where it is."""

import gzip
import json
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import geopandas as gpd
import pyogrio
import pytest
import xlsxwriter
from hypothesis import given
from hypothesis import strategies as st

from qpv_geo.characters import forbidden_character
from qpv_geo.errors import ContractError
from qpv_geo.ingest.cog import read_epci_members
from qpv_geo.ingest.communes import read_communes
from qpv_geo.ingest.contours import read_contours
from qpv_geo.ingest.contracts import Problems
from qpv_geo.ingest.delimited import read_delimited
from qpv_geo.ingest.vector import read_properties
from qpv_geo.ingest.workbook import read_sheets
from qpv_geo.settings import Settings
from qpv_geo.sources.archive import Member
from qpv_geo.sources.catalogue import load_catalogue
from qpv_geo.territory import Territory
from tests.raw_files import Json, raw_file, set_property, six_qpv, some_communes, write_json, write_zip

HOSTILE = ["\x00", "\x07", "\x1b", "\ufffe", "\uffff", "\ud800", "\udc00"]


def refused(read: Callable[[], object], *parts: str) -> None:
    with pytest.raises(ContractError) as error:
        read()
    message = str(error.value)
    assert error.value.exit_code == 4
    assert not forbidden_character(message)
    for part in parts:
        assert part in message, f"{part!r} is not in: {message}"


def contours(path: Path, collection: Json | str, territory: Territory, settings: Settings) -> object:
    text = collection if isinstance(collection, str) else json.dumps(collection)
    path.write_text(text, encoding="utf-8")
    return read_contours(raw_file("qpv_2024", path), territory, settings)


# UTF-8 holds no half of a surrogate pair.
@pytest.mark.parametrize(
    ("character", "escaped"), [*((one, True) for one in HOSTILE), *((one, False) for one in HOSTILE[:5])]
)
def test_a_character_of_a_geojson_feature(
    character: str, *, escaped: bool, tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    collection = six_qpv()
    set_property("lib_qp", f"Plan{character}oise", 1)(collection)
    text = json.dumps(collection, ensure_ascii=escaped)
    if not escaped:
        # json.dumps escapes control characters all the same.
        text = text.replace(json.dumps(character)[1:-1], character)
    refused(
        lambda: contours(tmp_path / "qpv.geojson", text, besancon, settings),
        "qpv.geojson",
        "lib_qp: expected text without control characters",
        f"(U+{ord(character):04X}) at feature 2 (QN02503M)",
    )


def test_a_code_is_text_as_well(tmp_path: Path, besancon: Territory, settings: Settings) -> None:
    collection = six_qpv()
    set_property("code_qp", "QN02503M\x00", 1)(collection)
    refused(
        lambda: contours(tmp_path / "qpv.geojson", collection, besancon, settings),
        r"code_qp: expected text without control characters, which XML cannot hold; found 'QN02503M\x00'",
    )


def test_what_is_not_published_may_hold_anything(
    tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    collection = six_qpv()
    for order, character in enumerate(HOSTILE[:6]):
        set_property("note", f"a{character}b", order)(collection)
    assert contours(tmp_path / "qpv.geojson", collection, besancon, settings)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (12, "'12', a number at feature 3 (QN02504M)"),
        (1.5, "'1.5', a number"),
        (True, "'True', a boolean"),
        ({"fr": "Montrapon"}, "an object at feature 3 (QN02504M)"),
        (["Montrapon"], "a list at feature 3 (QN02504M)"),
    ],
)
def test_a_label_that_is_not_text(
    value: object, found: str, tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    collection = six_qpv()
    set_property("lib_qp", value, 2)(collection)
    refused(
        lambda: contours(tmp_path / "qpv.geojson", collection, besancon, settings),
        "lib_qp: expected text; found",
        found,
    )


@pytest.mark.parametrize("suffix", ["gpkg", "shp"])
def test_a_column_of_labels_that_holds_numbers(
    suffix: str, tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    frame = gpd.GeoDataFrame.from_features(six_qpv()["features"], crs=4326).drop(columns="fid")
    pyogrio.write_dataframe(frame.assign(lib_qp=range(6)), tmp_path / f"qpv.{suffix}")
    raw = raw_file("qpv_2024", tmp_path / f"qpv.{suffix}", format=suffix, member=r".*\.shp")
    refused(lambda: read_contours(raw, besancon, settings), "lib_qp: expected text; found '0', a number at")


@pytest.mark.parametrize("character", ["\x00", "\x07", "\ufffe"])
def test_a_character_of_a_geopackage(
    character: str, tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    frame = gpd.GeoDataFrame.from_features(six_qpv()["features"], crs=4326).drop(columns="fid")
    path = tmp_path / "qpv.gpkg"
    pyogrio.write_dataframe(frame, path, layer="qpv", spatial_index=False)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "UPDATE qpv SET lib_qp = ? WHERE code_qp = 'QN02505M'", (f"Clairs{character}Soleil",)
        )
    raw = raw_file("qpv_2024", path, format="gpkg")
    refused(
        lambda: read_contours(raw, besancon, settings), f"(U+{ord(character):04X}) at feature 4 (QN02505M)"
    )


def test_a_character_of_a_shapefile(tmp_path: Path, besancon: Territory, settings: Settings) -> None:
    frame = gpd.GeoDataFrame.from_features(six_qpv()["features"], crs=4326).drop(columns="fid")
    frame.loc[3, "lib_qp"] = "Clairs\x07Soleil"
    pyogrio.write_dataframe(frame, tmp_path / "qpv.shp", encoding="UTF-8")
    raw = raw_file("qpv_2024", tmp_path / "qpv.shp", format="shp", member=r".*\.shp")
    refused(lambda: read_contours(raw, besancon, settings), "(U+0007) at feature 4 (QN02505M)")


def test_communes_keep_the_same_rule(tmp_path: Path, settings: Settings) -> None:
    for value, part in (
        ("Bes\ud800ançon", "(U+D800) at feature 2"),
        (25, "expected text; found '25', a number"),
    ):
        collection = some_communes()
        set_property("nom", value, 1)(collection)
        path = tmp_path / "communes.geojson"
        path.write_text(json.dumps(collection), encoding="utf-8")
        raw = raw_file("communes_epci", path)
        refused(lambda raw=raw: read_communes(raw, settings, 2154)[2154], "communes.geojson", "nom", part)


# ---------------------------------------------------------------- keys that are there twice


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        (
            '"lib_qp": "Battant"',
            '"lib_qp": "Battant", "lib_qp": "Autre"',
            "'lib_qp' twice at feature 6 (QN02517N)",
        ),
        ('"insee_com": "25056"', '"insee_com": "25056", "note": 1, "note": 2', "'note' twice at feature 1"),
        (
            '"type": "Feature"',
            '"type": "Feature", "geometry": null',
            "'geometry' twice at feature 1 (QN02502M)",
        ),
        (
            '"type": "MultiPolygon"',
            '"type": "MultiPolygon", "coordinates": []',
            "'coordinates' twice at feature 1",
        ),
        (
            '"properties": {',
            '"properties": {}, "properties": {',
            "'properties' twice at feature 1 (QN02502M)",
        ),
        ('"features":', '"features": [], "features":', "expected each key once; found 'features' twice"),
    ],
)
def test_a_key_that_is_there_twice(
    old: str, new: str, part: str, *, tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    text = json.dumps(six_qpv(), ensure_ascii=False)
    before, after = text.split('"features":')
    changed = before + ('"features":' + after).replace(old, new, 1)
    assert changed != text
    refused(lambda: contours(tmp_path / "qpv.geojson", changed, besancon, settings), "qpv.geojson", part)


def test_keys_of_another_level_are_not_doubles(
    tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    collection = six_qpv()
    nested = {
        "properties": {"geometry": None},
        "coordinates": "x",
        "features": '"properties": {"a": 1, "a": 2}',
    }
    set_property("note", nested, 0)(collection)
    # Programs that write the CRS last put one more "properties" behind the features.
    collection["crs"] = collection.pop("crs")
    assert contours(tmp_path / "qpv.geojson", collection, besancon, settings)


values = st.none() | st.booleans() | st.integers(-5, 5) | st.text(st.characters(), max_size=5)
properties = st.dictionaries(
    st.sampled_from(["a", "properties", "geometry", "features", 'q"x']),
    values | st.just({"properties": {}}),
    max_size=4,
)


@given(rows=st.lists(properties | st.none(), min_size=1, max_size=4), ascii_only=st.booleans())
def test_properties_are_those_that_json_reads(*, rows: list[Json | None], ascii_only: bool) -> None:
    document = {
        "type": "FeatureCollection",
        "features": [{"type": "Feature", "properties": row, "geometry": None} for row in rows],
        "crs": {"type": "name", "properties": {"name": "EPSG:4326"}},
    }
    problems = Problems("x.geojson", load_catalogue()["qpv_2024"])
    text = json.dumps(document, ensure_ascii=ascii_only)
    assert list(read_properties(text, len(rows), problems)) == [row or {} for row in rows]
    assert not problems


# ---------------------------------------------------------------- tables


@pytest.mark.parametrize("character", ["\x00", "\x07", "\ufffe"])
def test_a_character_of_a_csv_cell(character: str, tmp_path: Path) -> None:
    rows = ["codeQPV;libQPV;popMuniQPV", "QN02503M;Planoise;15603", f"QN02504M;Montra{character}pon;1636"]
    data = "\r\n".join(rows).encode() + b"\r\n"
    path = tmp_path / "pop_QPV24.csv"
    path.write_bytes(data)
    raw = raw_file("insee_population", path)
    refused(
        lambda: read_delimited(raw, Member("pop_QPV24.csv", data)),
        "pop_QPV24.csv",
        "libQPV: expected text without control characters, which XML cannot hold; found 'Montra",
        f"(U+{ord(character):04X}) at line 3",
    )


def test_a_character_of_a_header(tmp_path: Path) -> None:
    data = b"codeQPV;lib\x07QPV;popMuniQPV\r\nQN02503M;Planoise;15603\r\n"
    path = tmp_path / "pop_QPV24.csv"
    path.write_bytes(data)
    raw = raw_file("insee_population", path)
    refused(
        lambda: read_delimited(raw, Member("pop_QPV24.csv", data)), r"'lib\x07QPV' (U+0007) at the header"
    )


@pytest.mark.parametrize("written", ["_x0007_", "&#7;"])
def test_a_character_of_a_workbook(written: str, tmp_path: Path) -> None:
    path = tmp_path / "estimations.xlsx"
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet("QPV")
        sheet.write_row(0, 0, ["codeGeo", "libGeo", "partPopEt"])
        sheet.write_row(1, 0, ["QN02503M", "PlanMARKoise", "12,3"])
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name).replace(b"MARK", written.encode()) for name in archive.namelist()}
    write_zip(path, parts)
    raw = raw_file("insee_population", path)
    refused(
        lambda: read_sheets(raw, Member(path.name, path.read_bytes())),
        "estimations.xlsx",
        "sheet QPV",
        r"libGeo: expected text without control characters, which XML cannot hold; found 'Plan\x07oise'",
        "(U+0007) at row 2",
    )


@pytest.mark.parametrize("character", HOSTILE)
def test_a_character_of_the_geographic_code(character: str, tmp_path: Path, settings: Settings) -> None:
    name = f"Besan{character}çon"
    members = [{"code": "242500361", "nom": "GBM", "type": "CU", "membres": [{"code": "25056", "nom": name}]}]
    path = tmp_path / "epci.json.gz"
    path.write_bytes(gzip.compress(json.dumps(members).encode()))
    raw = raw_file("cog_epci", path)
    refused(lambda: read_epci_members(raw, settings), path.name, f"(U+{ord(character):04X}) at entry 1")


def test_a_name_of_the_geographic_code_that_is_not_text(tmp_path: Path, settings: Settings) -> None:
    members = [{"code": "242500361", "nom": "GBM", "type": "CU", "membres": [{"code": "25056", "nom": 7}]}]
    path = write_json(tmp_path / "epci.json", members)
    refused(
        lambda: read_epci_members(raw_file("cog_epci", path), settings),
        "nom_com: expected text; found '7', a number at entry 1 (242500361)",
    )
