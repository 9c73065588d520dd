"""The kinds of files that hold members: each lists and opens its members, and `archive` judges them."""

import errno
import gzip
import lzma
import re
import shutil
import sqlite3
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING

from qpv_geo.sources.file_kinds import kind_of
from qpv_geo.sources.raw import parts_of

if TYPE_CHECKING:
    import py7zr

Stream = IO[bytes] | gzip.GzipFile
_START = 16
_NOT_DATA = re.compile(r"(.*/)?(__MACOSX/.*|\.DS_Store|Thumbs\.db)")


class DamagedError(Exception):
    """An archive cannot be read to its end."""


@contextmanager
def reraise_damage(*errors: type[Exception]) -> Iterator[None]:
    """Raise `DamagedError` for whatever a library raises on a damaged archive."""
    try:
        yield
    except errors as error:
        # A seek outside the file is EINVAL; what else the system refuses is not the file's fault.
        if isinstance(error, OSError) and error.errno not in {None, errno.EINVAL}:
            raise
        raise DamagedError(str(error) or type(error).__name__) from error


@dataclass(frozen=True)
class Entry:
    """What an archive declares of a member; `size` is None where the format does not say it."""

    name: str
    size: int | None
    link: bool = False
    encrypted: bool = False


class Container:
    """A file that is its own member; the other kinds hold members, some of them packed.

    `single` kinds hold one member, whose name is not the publisher's choice; `packed` kinds store members
    smaller than they are.
    """

    single = True
    packed = False
    damages: tuple[type[Exception], ...] = ()
    """What a library raises where a damaged member is read (see `reraise_damage`)."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self) -> list[Entry]:
        """Return what is declared, without folders and without what operating systems leave behind."""
        return [Entry(self.path.name, self.path.stat().st_size)]

    def open(self, entry: Entry) -> Stream:  # noqa: ARG002 - it has one member
        """Open a member, to be read once."""
        return self.path.open("rb")

    def opened(self, entries: Sequence[Entry]) -> Iterator[Stream]:
        """Open members in turn, as far as they must be read to find damage."""
        return map(self.open, entries)

    def close(self) -> None:
        """Close what was opened."""


class _LooseFiles(Container):
    """Files that lie side by side: a Shapefile with its siblings, or an archive that was shipped unpacked."""

    single = False

    def entries(self) -> list[Entry]:
        return [
            Entry(name, file.stat().st_size, link=file.is_symlink())
            for name, file in sorted(parts_of(self.path).items())
            if not _NOT_DATA.fullmatch(name)
        ]

    def open(self, entry: Entry) -> Stream:
        return parts_of(self.path)[entry.name].open("rb")


class _OpenGeoPackage(Container):
    """A GeoPackage that a program has open: SQLite keeps what was saved last in files beside it."""

    def open(self, entry: Entry) -> Stream:
        """Open the database as the program that has it open sees it; SQLite works on a copy."""
        with TemporaryDirectory() as folder, reraise_damage(sqlite3.Error):
            for name, file in parts_of(self.path).items():
                shutil.copyfile(file, Path(folder) / name)
            copy = Path(folder) / entry.name
            with closing(sqlite3.connect(copy)) as database:
                database.execute("PRAGMA journal_mode = DELETE")
            return BytesIO(copy.read_bytes())


class _Gzip(Container):
    """One compressed file, whose name is that of its content with ``.gz``."""

    packed = True
    damages = (gzip.BadGzipFile, zlib.error, EOFError, struct.error)

    def entries(self) -> list[Entry]:
        return [Entry(self.path.name.removesuffix(".gz"), None)]

    def open(self, entry: Entry) -> Stream:  # noqa: ARG002 - it has one member
        return gzip.open(self.path)


class _Zip(Container):
    """A zip archive, whose table of contents is read once for all members."""

    single = False
    packed = True
    # A table of contents that points outside the file makes a seek raise OSError.
    damages = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, struct.error, ValueError,
               RuntimeError, OSError)  # fmt: skip

    @cached_property
    def _archive(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(self.path)

    @cached_property
    def _members(self) -> dict[str, zipfile.ZipInfo]:
        """The members by what the archive calls them, before the library makes it presentable.

        From Python 3.13 on it takes the name of an extra field (Unicode path), and knows no other.
        """
        return {info.orig_filename: info for info in self._archive.infolist()}

    def close(self) -> None:
        if "_archive" in vars(self):
            self._archive.close()

    def entries(self) -> list[Entry]:
        with reraise_damage(*self.damages):
            return [
                Entry(
                    info.orig_filename,
                    info.file_size,
                    link=stat.S_ISLNK(info.external_attr >> 16),
                    encrypted=bool(info.flag_bits & 0x1),
                )
                for info in self._archive.infolist()
                if not info.is_dir() and not _NOT_DATA.fullmatch(info.filename)
            ]

    def open(self, entry: Entry) -> Stream:
        with reraise_damage(*self.damages):
            return self._archive.open(self._members[entry.name])


class _SevenZip(Container):
    """A 7z archive; its library costs a tenth of a second, so it is loaded when one is met."""

    single = False
    packed = True

    @contextmanager
    def _archive(self) -> Iterator["py7zr.SevenZipFile"]:
        import py7zr  # noqa: PLC0415
        from py7zr.exceptions import ArchiveError  # noqa: PLC0415

        damages = (ArchiveError, lzma.LZMAError, zlib.error, EOFError, struct.error, ValueError, TypeError)
        with reraise_damage(*damages), py7zr.SevenZipFile(self.path) as archive:
            yield archive

    def entries(self) -> list[Entry]:
        with self._archive() as archive:
            encrypted = archive.needs_password()
            return [
                Entry(info.filename, info.uncompressed, link=info.is_symlink, encrypted=encrypted)
                for info in archive.list()
                if not info.is_directory and not _NOT_DATA.fullmatch(info.filename)
            ]

    def open(self, entry: Entry) -> Stream:
        """Unpack one member at once: the library does not stream."""
        from py7zr.io import BytesIOFactory  # noqa: PLC0415

        # One byte more than declared is enough to tell that the declared size lies.
        factory = BytesIOFactory((entry.size or 0) + 1)
        with self._archive() as archive:
            archive.extract(targets=[entry.name], factory=factory)
        data = factory.products[entry.name].read()
        if len(data) != entry.size:
            raise DamagedError(f"{entry.name} unpacks to {len(data)} bytes, {entry.size} were declared")
        return BytesIO(data)

    def opened(self, entries: Sequence[Entry]) -> Iterator[Stream]:  # noqa: ARG002 - the library reads them all
        """Open nothing: the library checks all members in one pass, no further than the sizes declared."""
        with self._archive() as archive:
            if damaged := archive.testzip():
                raise DamagedError(f"{damaged}: its checksum is not the one declared")
        return iter(())


_PACKED: dict[str, type[Container]] = {"zip": _Zip, "gzip": _Gzip, "7z": _SevenZip}


def open_container(path: Path) -> Container:
    """Open a file or a folder; its kind is that of its first bytes."""
    if path.is_dir():
        return _LooseFiles(path)
    with path.open("rb") as stream:
        kind = kind_of(stream.read(_START)).name
    if kind in _PACKED:
        return _PACKED[kind](path)
    if kind == "shp" and path.suffix.lower() == ".shp":
        return _LooseFiles(path)
    if kind == "sqlite" and len(parts_of(path)) > 1:
        return _OpenGeoPackage(path)
    return Container(path)
