"""The kinds of files that hold members: each lists what it declares and streams one member.

They only read; `archive` judges what is found in them.
"""

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
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from qpv_geo.sources.file_kinds import kind_of
from qpv_geo.sources.raw import parts_of

if TYPE_CHECKING:
    import py7zr

_CHUNK = 1024**2
_START = 16
_NOT_DATA = re.compile(r"(.*/)?(__MACOSX/.*|\.DS_Store|Thumbs\.db)")


class DamagedError(Exception):
    """An archive cannot be read to its end."""


@contextmanager
def _reraise_damage(*errors: type[Exception]) -> Iterator[None]:
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


@dataclass(frozen=True)
class Container(ABC):
    """A file or a folder that holds members.

    `single` kinds hold one member, whose name is not the publisher's choice; `packed` kinds store members
    smaller than they are.
    """

    path: Path
    single = False
    packed = True

    @abstractmethod
    def entries(self) -> list[Entry]:
        """Return what is declared, without folders and without what operating systems leave behind."""

    @abstractmethod
    def chunks(self, entry: Entry) -> Iterator[bytes]:
        """Yield the bytes of a member."""

    def unpacked(self, entries: Sequence[Entry]) -> Iterator[bytes]:
        """Yield the bytes of members in turn, as far as they must be read to find damage."""
        for entry in entries:
            yield from self.chunks(entry)

    def close(self) -> None:  # noqa: B027 - most kinds keep nothing open
        """Close what was opened."""


class Bare(Container):
    """A file that is its own member."""

    single = True
    packed = False

    def entries(self) -> list[Entry]:
        """Return the file's own name and size."""
        return [Entry(self.path.name, self.path.stat().st_size)]

    def chunks(self, entry: Entry) -> Iterator[bytes]:  # noqa: ARG002 - it has one member
        """Yield the file."""
        return _stream(self.path)


class LooseFiles(Container):
    """Files that lie side by side: a Shapefile with its siblings, or an archive that was shipped unpacked."""

    packed = False

    def entries(self) -> list[Entry]:
        """Return the files that belong together."""
        return [
            Entry(name, file.stat().st_size, link=file.is_symlink())
            for name, file in sorted(parts_of(self.path).items())
            if not _NOT_DATA.fullmatch(name)
        ]

    def chunks(self, entry: Entry) -> Iterator[bytes]:
        """Yield one of them."""
        return _stream(parts_of(self.path)[entry.name])


class OpenGeoPackage(Container):
    """A GeoPackage that a program has open: SQLite keeps what was saved last in files beside it."""

    single = True
    packed = False

    def entries(self) -> list[Entry]:
        """Return the file's own name."""
        return [Entry(self.path.name, None)]

    def chunks(self, entry: Entry) -> Iterator[bytes]:
        """Yield the database as the program that has it open sees it; SQLite works on a copy."""
        with TemporaryDirectory() as folder, _reraise_damage(sqlite3.Error):
            for name, file in parts_of(self.path).items():
                shutil.copyfile(file, Path(folder) / name)
            copy = Path(folder) / entry.name
            with closing(sqlite3.connect(copy)) as database:
                database.execute("PRAGMA journal_mode = DELETE")
            yield from _stream(copy)


class Gzip(Container):
    """One compressed file."""

    single = True

    def entries(self) -> list[Entry]:
        """Return the content's name: the file's without ``.gz``."""
        return [Entry(self.path.name.removesuffix(".gz"), None)]

    def chunks(self, entry: Entry) -> Iterator[bytes]:  # noqa: ARG002 - it has one member
        """Unpack the content."""
        with (
            _reraise_damage(gzip.BadGzipFile, zlib.error, EOFError, struct.error),
            gzip.open(self.path) as stream,
        ):
            while chunk := stream.read(_CHUNK):
                yield chunk


class Zip(Container):
    """A zip archive."""

    # A table of contents that points outside the file makes a seek raise OSError.
    _DAMAGES = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, struct.error, ValueError,
                RuntimeError, OSError)  # fmt: skip

    @cached_property
    def _archive(self) -> zipfile.ZipFile:
        """The archive, whose table of contents is read once for all members."""
        return zipfile.ZipFile(self.path)

    @cached_property
    def _members(self) -> dict[str, zipfile.ZipInfo]:
        """The members by what the archive calls them, before the library makes it presentable.

        From Python 3.13 on it takes the name of an extra field (Unicode path), and knows no other.
        """
        return {info.orig_filename: info for info in self._archive.infolist()}

    def close(self) -> None:
        """Close the archive."""
        if "_archive" in vars(self):
            self._archive.close()

    def entries(self) -> list[Entry]:
        """Return the archive's table of contents."""
        with _reraise_damage(*self._DAMAGES):
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

    def chunks(self, entry: Entry) -> Iterator[bytes]:
        """Unpack one member."""
        with _reraise_damage(*self._DAMAGES), self._archive.open(self._members[entry.name]) as stream:
            while chunk := stream.read(_CHUNK):
                yield chunk


class SevenZip(Container):
    """A 7z archive; its library costs a tenth of a second, so it is loaded when one is met."""

    @contextmanager
    def _open(self) -> Iterator["py7zr.SevenZipFile"]:
        import py7zr  # noqa: PLC0415
        from py7zr.exceptions import ArchiveError  # noqa: PLC0415

        damages = (ArchiveError, lzma.LZMAError, zlib.error, EOFError, struct.error, ValueError, TypeError)
        with _reraise_damage(*damages), py7zr.SevenZipFile(self.path) as archive:
            yield archive

    def entries(self) -> list[Entry]:
        """Return the archive's table of contents."""
        with self._open() as archive:
            encrypted = archive.needs_password()
            return [
                Entry(info.filename, info.uncompressed, link=info.is_symlink, encrypted=encrypted)
                for info in archive.list()
                if not info.is_directory and not _NOT_DATA.fullmatch(info.filename)
            ]

    def chunks(self, entry: Entry) -> Iterator[bytes]:
        """Unpack one member at once: the library does not stream."""
        from py7zr.io import BytesIOFactory  # noqa: PLC0415

        # One byte more than declared is enough to tell that the declared size lies.
        factory = BytesIOFactory((entry.size or 0) + 1)
        with self._open() as archive:
            archive.extract(targets=[entry.name], factory=factory)
        data = factory.products[entry.name].read()
        if len(data) != entry.size:
            raise DamagedError(f"{entry.name} unpacks to {len(data)} bytes, {entry.size} were declared")
        yield data

    def unpacked(self, entries: Sequence[Entry]) -> Iterator[bytes]:  # noqa: ARG002 - the library reads them all
        """Yield nothing: the library checks all members in one pass, no further than the sizes declared."""
        with self._open() as archive:
            if damaged := archive.testzip():
                raise DamagedError(f"{damaged}: its checksum is not the one declared")
        return iter(())


_PACKED: dict[str, type[Container]] = {"zip": Zip, "gzip": Gzip, "7z": SevenZip}


def open_container(path: Path) -> Container:
    """Open a file or a folder; its kind is that of its first bytes."""
    if path.is_dir():
        return LooseFiles(path)
    with path.open("rb") as stream:
        kind = kind_of(stream.read(_START)).name
    if kind in _PACKED:
        return _PACKED[kind](path)
    if kind == "shp" and path.suffix.lower() == ".shp":
        return LooseFiles(path)
    if kind == "sqlite" and len(parts_of(path)) > 1:
        return OpenGeoPackage(path)
    return Bare(path)


def _stream(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk
