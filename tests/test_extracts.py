"""The lines of a national table that a territory needs: found without parsing, kept, and made again."""

import csv
import json
import os
from pathlib import Path

import geopandas as gpd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely import box

from qpv_geo.errors import SourceContentError
from qpv_geo.ingest.facilities import FacilityTable, read_facilities
from qpv_geo.ingest.line_filter import LineFilter
from qpv_geo.settings import Settings
from qpv_geo.sources.raw import Extract, RawFile, Whole
from qpv_geo.sources.store import Extracts
from tests.raw_files import raw_file, write_csv

# Which lines are kept

cell = st.sampled_from(
    ["25056", "2505", "2A05", "125056", "2A004", "39001", "25", "", "D106", "XD106", "été"]
)
rows_of_cells = st.lists(st.lists(cell, min_size=3, max_size=3), max_size=30)


@given(rows_of_cells, st.sampled_from(["{}", '"{}"']), st.sampled_from(["\n", "\r\n"]), st.integers(9, 200))
def test_lines_are_those_that_have_such_a_cell(
    rows: list[list[str]], quoted: str, ending: str, size: int
) -> None:
    lines = [";".join(map(quoted.format, row)) + ending for row in rows]
    # The last line may have no end.
    data = "".join(lines).encode()[: -len(ending)]
    line_filter = LineFilter(["25", "2A"], ["D106", "D265"])
    kept = line_filter.lines(data[at : at + size] for at in range(0, len(data), size))
    found = [line.decode().strip() for line in kept]
    pairs = zip(lines, rows, strict=True)
    assert found == [line.strip() for line, row in pairs if {"25056", "2A004"} & set(row)]
    assert line_filter.rows == len(rows)
    met = any("D106" in row for row in rows)
    assert line_filter.absent == (("D265",) if met else ("D106", "D265"))


# What is kept of them

HEADER = ["TYPEQU", "DEPCOM", "LAMBERT_X", "LAMBERT_Y", "EPSG", "QUALITE_GEOLOC"]
OURS = ["D265", "25056", "924500", "6687500", "2154", "11"]
NEIGHBOUR = ["D307", "70001", "931000", "6692000", "2154", "12"]
POSTAL = ["D307", "21001", "931000", "6792000", "2154", "25000"]
FAR = ["D302", "75056", "651000", "6862000", "2154", "11"]


@pytest.fixture
def communes() -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(
        {"insee_com": ["25056"]}, geometry=[box(920000, 6680000, 930000, 6690000)], crs=2154
    )


@pytest.fixture
def raw(tmp_path: Path) -> RawFile:
    return national(tmp_path, OURS, NEIGHBOUR, POSTAL, FAR)


def national(folder: Path, *rows: list[str]) -> RawFile:
    return raw_file("bpe", write_csv(folder / "BPE25.csv", [HEADER, *rows], "utf-8"))


def read(raw: RawFile, communes: gpd.GeoDataFrame, settings: Settings) -> tuple[FacilityTable, Extract]:
    table, _ = read_facilities(raw, communes, settings)
    assert table.extract
    return table, table.extract


def test_the_extract_holds_the_lines_of_the_territory_and_around_it(
    raw: RawFile, communes: gpd.GeoDataFrame, settings: Settings
) -> None:
    table, extract = read(raw, communes, settings)
    kept = csv.reader(extract.path.read_text(encoding="utf-8").splitlines(), delimiter=";")
    assert list(kept) == [HEADER, OURS, NEIGHBOUR]
    assert table.points["insee_com"].tolist() == ["25056", "70001"]
    # The types of the whole country are known from it all the same.
    assert extract.whole.rows == 4
    assert {"D265", "D307", "D302"}.isdisjoint(extract.whole.absent)
    # The original's checksum stands beside its own.
    described = json.loads(extract.path.with_name("_extract.json").read_text(encoding="utf-8"))
    assert (described["original"], described["sha256"]) == (raw.sha256, extract.sha256)


def test_the_next_run_reads_the_extract_alone(
    raw: RawFile, communes: gpd.GeoDataFrame, settings: Settings
) -> None:
    first, extract = read(raw, communes, settings)
    raw.path.write_bytes(b"")
    again, same = read(raw, communes, settings)
    assert same == extract
    assert again.points.equals(first.points)


def test_another_file_or_territory_has_an_extract_of_its_own(
    tmp_path: Path, raw: RawFile, communes: gpd.GeoDataFrame, settings: Settings
) -> None:
    _, extract = read(raw, communes, settings)
    (tmp_path / "next").mkdir()
    newer, _ = read(national(tmp_path / "next", OURS, OURS), communes, settings)
    assert len(newer.points) == 2
    wider = communes.assign(geometry=communes.buffer(2000, cap_style="square", join_style="mitre"))
    assert read(raw, wider, settings)[1].path.parent != extract.path.parent


@pytest.mark.parametrize("damage", ["lines", "metadata", "nothing but metadata"])
def test_a_damaged_extract_is_made_again(
    damage: str, raw: RawFile, communes: gpd.GeoDataFrame, settings: Settings
) -> None:
    first, extract = read(raw, communes, settings)
    if damage == "lines":
        extract.path.write_bytes(extract.path.read_bytes().replace(b"D265", b"D281"))
    elif damage == "metadata":
        extract.path.with_name("_extract.json").write_text("{", encoding="utf-8")
    else:
        extract.path.unlink()
    again, made = read(raw, communes, settings)
    assert made == extract
    assert made.path.is_file()
    assert again.points.equals(first.points)


def test_what_another_run_kept_meanwhile_stays_where_it_reads_it(raw: RawFile, settings: Settings) -> None:
    ours, theirs = (Extracts(raw, {"communes": ["25056"]}, settings) for _ in range(2))
    first = theirs.keep([b"a;b\n", b"1;2\n"], Whole(rows=1))
    with first.path.open("rb") as stream:
        again = ours.keep([b"a;b\n", b"1;2\n"], Whole(rows=1))
        assert again == first == ours.kept()
        assert os.fstat(stream.fileno()).st_ino == again.path.stat().st_ino
        assert [path.name for path in first.path.parent.parent.glob("[0-9a-f]*")] == [first.path.parent.name]


def test_of_a_file_that_is_not_whole_no_extract_is_kept(
    tmp_path: Path, communes: gpd.GeoDataFrame, settings: Settings
) -> None:
    path = tmp_path / "BPE25.csv"
    path.write_text("<html></html>", encoding="utf-8")
    with pytest.raises(SourceContentError):
        read(raw_file("bpe", path), communes, settings)
    assert not list(settings.store_dir.rglob("_extract.json"))
