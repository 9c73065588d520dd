import gzip
import io
import random
import re
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import py7zr
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpv_geo.errors import SourceContentError
from qpv_geo.settings import Settings
from qpv_geo.sources.archive import check_archive, open_member, read_member, read_members, read_tables_of
from qpv_geo.sources.catalogue import Catalogue
from qpv_geo.sources.containers import DamagedError, open_container
from qpv_geo.sources.raw import RawFile, digest

TABLE = r"(.*/)?.*_QP\.csv"
ROWS = b"codeQPV;popMuniQPV\nQN02503M;15603\n"

RawOf = Callable[[Path], RawFile]


@pytest.fixture
def raw_of(catalogue: Catalogue) -> RawOf:
    def make(path: Path) -> RawFile:
        sha256, size = digest(path)
        source = catalogue["insee_filosofi"]
        return RawFile(source, path, sha256, size, "mirror", "mirror")

    return make


def zip_of(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data, zipfile.ZIP_DEFLATED)
    return path


def seven_zip_of(path: Path, members: dict[str, bytes], password: str | None = None) -> Path:
    with py7zr.SevenZipFile(path, "w", password=password) as archive:
        for name, data in members.items():
            archive.writestr(data, name)
    return path


def test_the_same_member_is_read_from_every_kind_of_archive(
    tmp_path: Path, raw_of: RawOf, settings: Settings
) -> None:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "pop_QP.csv").write_bytes(ROWS)
    (folder / "meta_pop.csv").write_bytes(b"COD_VAR;LIB_VAR\n")
    bare = tmp_path / "another name.csv"
    bare.write_bytes(ROWS)
    packed = tmp_path / "pop.csv.gz"
    packed.write_bytes(gzip.compress(ROWS))
    members = {"sub/pop_QP.csv": ROWS, "meta_pop.csv": b"COD_VAR;LIB_VAR\n"}
    files = {
        zip_of(tmp_path / "pop.zip", *members.items()): "sub/pop_QP.csv",
        seven_zip_of(tmp_path / "pop.7z", members): "sub/pop_QP.csv",
        folder: "sub/pop_QP.csv",
        bare: "another name.csv",
        packed: "pop.csv",
    }
    for path, name in files.items():
        member = read_member(raw_of(path), TABLE, settings)
        assert (member.name, member.data) == (name, ROWS)


def test_only_packed_files_count_as_archives(tmp_path: Path, raw_of: RawOf, settings: Settings) -> None:
    bare = tmp_path / "pop.zip"
    bare.write_bytes(ROWS)
    assert not check_archive(raw_of(bare), settings)
    assert not check_archive(raw_of(tmp_path), settings)
    assert check_archive(raw_of(zip_of(tmp_path / "pop.csv", ("a_QP.csv", ROWS))), settings)
    assert check_archive(raw_of(seven_zip_of(tmp_path / "a.7z", {"a_QP.csv": ROWS})), settings)


def test_without_a_pattern_an_archive_holds_a_single_file(
    tmp_path: Path, raw_of: RawOf, settings: Settings
) -> None:
    one = zip_of(tmp_path / "one.zip", ("list.csv", ROWS))
    two = zip_of(tmp_path / "two.zip", ("list.csv", ROWS), ("lisez-moi.txt", b"."))
    assert read_member(raw_of(one), None, settings).name == "list.csv"
    with pytest.raises(SourceContentError, match=r"several members match .*lisez-moi\.txt, list\.csv"):
        read_member(raw_of(two), None, settings)


def test_a_missing_member_is_named_with_what_is_there(
    tmp_path: Path, raw_of: RawOf, settings: Settings
) -> None:
    path = zip_of(tmp_path / "pop.zip", ("pop_COM.csv", ROWS), ("meta_pop.csv", b"x"))
    with pytest.raises(SourceContentError) as caught:
        read_member(raw_of(path), TABLE, settings)
    message = str(caught.value)
    assert f"no member matches '{TABLE}'" in message
    assert "found: meta_pop.csv, pop_COM.csv" in message
    assert "[sources.insee_filosofi]" in message
    assert "member = " in message
    assert "pop.zip" in message


@pytest.mark.parametrize(("count", "more"), [(20, ""), (22, " and 2 more")])
def test_the_first_twenty_members_are_named_and_the_others_counted(
    tmp_path: Path, raw_of: RawOf, settings: Settings, count: int, more: str
) -> None:
    path = zip_of(tmp_path / "a.zip", *((f"{number:02}.txt", b"x") for number in range(count)))
    listed = ", ".join(f"{number:02}.txt" for number in range(20))
    with pytest.raises(SourceContentError, match=rf"found: {re.escape(listed + more)}\. "):
        read_member(raw_of(path), r"other\.csv", settings)


def test_an_empty_archive_has_no_member(tmp_path: Path, raw_of: RawOf, settings: Settings) -> None:
    with pytest.raises(SourceContentError, match="found: nothing"):
        read_member(raw_of(zip_of(tmp_path / "pop.zip")), TABLE, settings)


def test_a_double_member_is_refused(tmp_path: Path, raw_of: RawOf, settings: Settings) -> None:
    path = zip_of(tmp_path / "pop.zip", ("a/pop_QP.csv", ROWS), ("b/pop_QP.csv", ROWS))
    with pytest.raises(SourceContentError, match=r"several members match .*a/pop_QP\.csv, b/pop_QP\.csv"):
        read_member(raw_of(path), TABLE, settings)
    assert [member.name for member in read_tables_of(raw_of(path), settings)] == [
        "a/pop_QP.csv",
        "b/pop_QP.csv",
    ]


def test_the_same_name_twice_is_refused(tmp_path: Path, raw_of: RawOf, settings: Settings) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = zip_of(tmp_path / "pop.zip", ("pop_QP.csv", ROWS), ("pop_QP.csv", b"other"))
    with pytest.raises(SourceContentError, match=r"'pop_QP\.csv' is there 2 times"):
        read_member(raw_of(path), TABLE, settings)


def test_what_systems_leave_in_archives_is_not_a_member(
    tmp_path: Path, raw_of: RawOf, settings: Settings
) -> None:
    path = zip_of(
        tmp_path / "pop.zip",
        ("pop_QP.csv", ROWS),
        ("__MACOSX/._pop_QP.csv", b"\x00"),
        ("d/.DS_Store", b"\x00"),
    )
    assert read_member(raw_of(path), TABLE, settings).data == ROWS


def test_every_table_of_an_archive_is_read(tmp_path: Path, raw_of: RawOf, settings: Settings) -> None:
    files = [("pop_QP.csv", ROWS), ("meta_pop.csv", b"COD_VAR\n"), ("lisez_moi.pdf", b"%PDF")]
    found = read_tables_of(raw_of(zip_of(tmp_path / "pop.zip", *files)), settings)
    assert [(member.name, member.data) for member in found] == [files[1], files[0]]


def test_a_member_can_be_read_piece_by_piece(tmp_path: Path, raw_of: RawOf, settings: Settings) -> None:
    long = ROWS + b"QN02502M;3194\n" * 500_000
    members = {"sub/pop_QP.csv": long, "meta_pop.csv": b"x"}
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "pop_QP.csv").write_bytes(long)
    paths = [zip_of(tmp_path / "a.zip", *members.items()), seven_zip_of(tmp_path / "a.7z", members), folder]
    for path in paths:
        with open_member(raw_of(path), TABLE, settings) as (name, stream):
            assert name == "sub/pop_QP.csv"
            assert stream.read() == long
    with (
        pytest.raises(SourceContentError, match=r"no member matches 'x\\.csv'"),
        open_member(raw_of(folder), r"x\.csv", settings),
    ):
        pass


def test_a_member_read_piece_by_piece_is_held_to_the_limits(
    tmp_path: Path, raw_of: RawOf, settings: Settings
) -> None:
    path = zip_of(tmp_path / "a.zip", ("pop_QP.csv", ROWS))
    path.write_bytes(path.read_bytes()[:-30])
    with (
        pytest.raises(SourceContentError, match="the file is damaged or truncated"),
        open_member(raw_of(path), TABLE, settings) as (_, stream),
    ):
        stream.read()
    big = zip_of(tmp_path / "b.zip", ("pop_QP.csv", ROWS * 1000))
    with (
        pytest.raises(SourceContentError, match="refused: it unpacks to"),
        open_member(raw_of(big), TABLE, replace(settings, max_unpacked_bytes=1000)) as (_, stream),
    ):
        stream.read()


def test_a_bare_table_is_the_only_one(tmp_path: Path, raw_of: RawOf, settings: Settings) -> None:
    bare = tmp_path / "pop_QP.csv"
    bare.write_bytes(ROWS)
    assert [member.data for member in read_tables_of(raw_of(bare), settings)] == [ROWS]


def test_a_shapefile_comes_with_its_siblings(tmp_path: Path, raw_of: RawOf, settings: Settings) -> None:
    names = ["SHP/QP.shp", "SHP/QP.dbf", "SHP/QP.prj", "SHP/AUTRE.shp"]
    raw = raw_of(zip_of(tmp_path / "qp.zip", *[(name, name.encode()) for name in names]))
    members = read_members(raw, r"SHP/QP\.\w+", settings)
    assert [member.name for member in members] == ["SHP/QP.dbf", "SHP/QP.prj", "SHP/QP.shp"]
    assert members[0].data == b"SHP/QP.dbf"
    with pytest.raises(SourceContentError, match=r"found: SHP/AUTRE\.shp"):
        read_members(raw, r"GPKG/.*", settings)


@pytest.mark.parametrize(
    "name",
    ["../pop_QP.csv", "a/../../pop_QP.csv", "/etc/pop_QP.csv", "C:/pop_QP.csv", "..\\pop_QP.csv", ".."],
)
def test_a_name_that_leaves_the_archive_is_refused(
    tmp_path: Path, raw_of: RawOf, settings: Settings, name: str
) -> None:
    path = zip_of(tmp_path / "pop.zip", (name, ROWS), ("good_QP.csv", ROWS))
    with pytest.raises(SourceContentError, match="leaves the archive"):
        read_member(raw_of(path), TABLE, settings)


def test_a_name_with_two_dots_that_stays_inside_is_fine(
    tmp_path: Path, raw_of: RawOf, settings: Settings
) -> None:
    path = zip_of(tmp_path / "pop.zip", ("a..b/pop.._QP.csv", ROWS))
    assert read_member(raw_of(path), TABLE, settings).data == ROWS


def test_links_are_refused(tmp_path: Path, raw_of: RawOf, settings: Settings) -> None:
    info = zipfile.ZipInfo("pop_QP.csv")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    in_zip = zip_of(tmp_path / "pop.zip", (info, b"/etc/passwd"))
    secret = tmp_path / "secret.csv"
    secret.write_bytes(ROWS)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "pop_QP.csv").symlink_to(secret)
    for path in (in_zip, folder):
        with pytest.raises(SourceContentError, match=r"'pop_QP\.csv' is a link"):
            read_member(raw_of(path), TABLE, settings)


def test_encrypted_members_are_refused(tmp_path: Path, raw_of: RawOf, settings: Settings) -> None:
    path = zip_of(tmp_path / "pop.zip", ("pop_QP.csv", ROWS))
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    locked = seven_zip_of(tmp_path / "pop.7z", {"pop_QP.csv": ROWS}, password="secret")  # noqa: S106
    for archive in (path, locked):
        with pytest.raises(SourceContentError, match="encrypted"):
            read_member(raw_of(archive), TABLE, settings)


def test_a_table_that_compresses_well_is_fine(tmp_path: Path, raw_of: RawOf, settings: Settings) -> None:
    rows = b"QN02503M;s;s;s;s;s;s\n" * 400_000
    path = zip_of(tmp_path / "pop.zip", ("pop_QP.csv", rows))
    assert len(rows) / path.stat().st_size > settings.max_unpacked_ratio
    assert read_member(raw_of(path), TABLE, settings).data == rows


def test_a_large_archive_that_hardly_compresses_is_fine(
    tmp_path: Path, raw_of: RawOf, settings: Settings
) -> None:
    noise = random.Random(1).randbytes(17 * 1024**2)  # noqa: S311 - to be the same each time
    path = zip_of(tmp_path / "pop.zip", ("pop_QP.csv", noise))
    assert read_member(raw_of(path), TABLE, settings).data == noise


def test_a_bomb_is_refused_by_its_declared_size(tmp_path: Path, raw_of: RawOf, settings: Settings) -> None:
    zeros = bytes(20 * 1024**2)
    archives = [
        zip_of(tmp_path / "bomb.zip", ("pop_QP.csv", zeros)),
        # Each member alone is within the limit.
        zip_of(tmp_path / "many.zip", *[(f"{i}_QP.csv", zeros[: 1024**2]) for i in range(20)]),
        seven_zip_of(tmp_path / "bomb.7z", {"pop_QP.csv": zeros}),
    ]
    for path in archives:
        with pytest.raises(SourceContentError, match="it unpacks to 20,971,520 bytes or more"):
            read_tables_of(raw_of(path), settings)


def test_a_workbook_in_an_archive_is_refused_by_what_it_unpacks_to(
    tmp_path: Path, raw_of: RawOf, settings: Settings
) -> None:
    inner = zip_of(tmp_path / "book.xlsx", ("[Content_Types].xml", b"x"), ("xl/a.xml", bytes(20 * 1024**2)))
    path = zip_of(tmp_path / "pop.zip", ("book.xlsx", inner.read_bytes()))
    with pytest.raises(SourceContentError, match=r"book\.xlsx: refused: it unpacks to 20,9"):
        read_tables_of(raw_of(path), settings)


def test_a_bomb_is_refused_by_its_actual_size(tmp_path: Path, raw_of: RawOf, settings: Settings) -> None:
    path = tmp_path / "pop.csv.gz"
    path.write_bytes(gzip.compress(bytes(40 * 1024**2)))
    for reader in (lambda raw: read_member(raw, TABLE, settings), lambda raw: check_archive(raw, settings)):
        with pytest.raises(SourceContentError, match="refused: it unpacks to 17,825,792 bytes or more"):
            reader(raw_of(path))


def test_the_limit_in_bytes_holds_for_every_kind(tmp_path: Path, raw_of: RawOf, settings: Settings) -> None:
    small = replace(settings, max_unpacked_bytes=10)
    bare = tmp_path / "pop_QP.csv"
    bare.write_bytes(ROWS)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "pop_QP.csv").write_bytes(ROWS)
    for path in (bare, tmp_path / "folder", zip_of(tmp_path / "pop.zip", ("pop_QP.csv", ROWS))):
        with pytest.raises(SourceContentError, match="the limit for its size is 10 "):
            read_member(raw_of(path), TABLE, small)


def test_a_declared_size_that_lies_is_found_out(tmp_path: Path, raw_of: RawOf, settings: Settings) -> None:
    zeros = bytes(20 * 1024**2)
    path = zip_of(tmp_path / "pop.zip", ("pop_QP.csv", zeros))
    data = path.read_bytes()
    lie = len(zeros).to_bytes(4, "little"), (100).to_bytes(4, "little")
    path.write_bytes(data.replace(*lie))
    assert path.read_bytes() != data
    with pytest.raises(SourceContentError, match="damaged or truncated"):
        read_member(raw_of(path), TABLE, settings)


def test_a_7z_member_of_another_size_than_declared_is_damaged(tmp_path: Path) -> None:
    container = open_container(seven_zip_of(tmp_path / "pop.7z", {"pop_QP.csv": ROWS}))
    (entry,) = container.entries()
    assert container.open(entry).read() == ROWS
    for size in (len(ROWS) - 1, len(ROWS) + 1):
        with pytest.raises(DamagedError, match=f"{size} were declared"):
            container.open(replace(entry, size=size))


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_archive_is_refused(
    tmp_path: Path, raw_of: RawOf, settings: Settings, kept: float
) -> None:
    rows = zlib.compress(ROWS) * 3000
    whole = {
        "zip": zip_of(tmp_path / "whole.zip", ("pop_QP.csv", rows)).read_bytes(),
        "gz": gzip.compress(rows),
        "7z": seven_zip_of(tmp_path / "whole.7z", {"pop_QP.csv": rows}).read_bytes(),
    }
    for kind, data in whole.items():
        path = tmp_path / f"pop.{kind}"
        path.write_bytes(data[: int(len(data) * kept)])
        with pytest.raises(SourceContentError, match="damaged or truncated"):
            check_archive(raw_of(path), settings)


def test_the_table_of_contents_is_read_once_however_many_members_there_are(
    tmp_path: Path, raw_of: RawOf, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = {f"{number}.csv": b"" for number in range(300)}
    opened = Counter[str]()

    def count(kind: type) -> None:
        def opening(self: object, *args: object, **options: object) -> None:
            opened[kind.__name__] += 1
            begin(self, *args, **options)

        begin = kind.__init__
        monkeypatch.setattr(kind, "__init__", opening)

    archives = [zip_of(tmp_path / "a.zip", *members.items()), seven_zip_of(tmp_path / "a.7z", members)]
    count(zipfile.ZipFile)
    count(py7zr.SevenZipFile)
    assert all(check_archive(raw_of(path), settings) for path in archives)
    assert opened == {"ZipFile": 1, "SevenZipFile": 2}


def test_a_changed_byte_is_found_by_the_checksum_of_the_archive(
    tmp_path: Path, raw_of: RawOf, settings: Settings
) -> None:
    noise = bytes(range(256)) * 20
    path = tmp_path / "pop.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("pop_QP.csv", noise)
        archive.writestr("meta_pop.csv", b"COD_VAR")
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    with pytest.raises(SourceContentError, match="damaged or truncated"):
        check_archive(raw_of(path), settings)
    assert read_member(raw_of(path), "meta_.*", settings).data == b"COD_VAR"


@given(data=st.data())
def test_no_damage_brings_another_error_than_ours(
    tmp_path: Path, raw_of: RawOf, settings: Settings, data: st.DataObject
) -> None:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("sub/pop_QP.csv", ROWS * 20)
        archive.writestr("meta_pop.csv", b"COD_VAR;LIB_VAR\n")
    kinds = [whole.getvalue(), gzip.compress(ROWS * 20)]
    damaged = bytearray(data.draw(st.sampled_from(kinds)))
    for position in data.draw(st.lists(st.integers(4, len(damaged) - 1), max_size=4)):
        damaged[position] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged"
    path.write_bytes(damaged[: data.draw(st.integers(6, len(damaged)))])
    for reader in (lambda raw: read_member(raw, TABLE, settings), lambda raw: check_archive(raw, settings)):
        with suppress(SourceContentError):
            reader(raw_of(path))


def test_nothing_is_unpacked_to_the_disk(tmp_path: Path, raw_of: RawOf, settings: Settings) -> None:
    for path in (
        zip_of(tmp_path / "pop.zip", ("pop_QP.csv", ROWS)),
        seven_zip_of(tmp_path / "pop.7z", {"pop_QP.csv": ROWS}),
    ):
        check_archive(raw_of(path), settings)
        read_member(raw_of(path), TABLE, settings)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pop.7z", "pop.zip"]


def test_the_checksum_of_a_folder_tells_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.csv").write_bytes(b"2")
    (tmp_path / "a.csv").write_bytes(b"1")
    before, size = digest(tmp_path)
    assert size == 2
    (tmp_path / "a.csv").write_bytes(b"2")
    (tmp_path / "sub" / "b.csv").write_bytes(b"1")
    swapped, _ = digest(tmp_path)
    (tmp_path / "a.csv").write_bytes(b"1")
    (tmp_path / "sub" / "b.csv").write_bytes(b"2")
    assert digest(tmp_path) == (before, size)
    (tmp_path / "sub" / "b.csv").rename(tmp_path / "sub" / "c.csv")
    assert len({before, swapped, digest(tmp_path)[0]}) == 3


def test_a_member_with_a_unicode_path_is_read(tmp_path: Path) -> None:
    """What archivers write where a name does not fit the old encoding; Python 3.13 prefers it."""
    old, name = b"donn_es.csv", "données.csv".encode()
    field = struct.pack("<BL", 1, zlib.crc32(old)) + name
    info = zipfile.ZipInfo(old.decode())
    info.extra = struct.pack("<HH", 0x7075, len(field)) + field
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(info, b"a;b\n1;2\n")
    with closing(open_container(tmp_path / "x.zip")) as container:
        (entry,) = container.entries()
        assert container.open(entry).read() == b"a;b\n1;2\n"
