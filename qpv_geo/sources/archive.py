"""Members of a raw file: found by pattern in a zip, a 7z, a gzip, a folder, or the bare file itself.

Nothing is unpacked to the disk: members are read under limits, once names, sizes and kinds are checked.
"""

import io
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING

from qpv_geo.errors import SourceContentError
from qpv_geo.settings import Settings
from qpv_geo.sources.containers import Container, DamagedError, Entry, Stream, open_container, reraise_damage
from qpv_geo.sources.raw import RawFile, catalogue_entry, remedy, to_add, unreadable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BUFFER = 1024**2
# An archive that unpacks to less than this is harmless, however well it compresses.
_HARMLESS_BYTES = 16 * 1024**2
_LISTED = 20
_TABLE = re.compile(r".*\.(csv|txt|xlsx)", re.IGNORECASE)
_ESCAPES = re.compile(r"/|[A-Za-z]:|.*\\|.*\x00|(.*/)?\.\.(/|$)", re.DOTALL)


@dataclass(frozen=True)
class Member:
    """A file of an archive (or a bare file): its path in the archive and its bytes, unpacked."""

    name: str
    data: bytes


def read_member(raw: RawFile, pattern: str | None, settings: Settings) -> Member:
    """Return the one member whose path matches `pattern` in full; the only one if that is None.

    `raw` is a zip, a 7z, a gzip, a folder or a bare file. A bare file is the member whatever the pattern, and
    so is the content of a gzip: publishers zip and unzip the same file from one edition to the next. Raises
    `SourceContentError` if no member or more than one matches, or if the archive is damaged, encrypted, holds
    a name that leaves it, or unpacks beyond the limits of the settings.
    """
    with _opened(raw, settings) as opened:
        return opened.read(_only(opened, pattern))


@contextmanager
def open_member(
    raw: RawFile, pattern: str | None, settings: Settings
) -> Iterator[tuple[str, io.BufferedReader]]:
    """Give the name of the member that `read_member` would return, and its bytes as a file to be read once.

    For members that are too large for the memory. Raises as `read_member`, also while it is read.
    """
    with _opened(raw, settings) as opened:
        entry = _only(opened, pattern)
        with opened.bounded(opened.container.open(entry)) as stream:
            yield entry.name, stream


def read_tables_of(raw: RawFile, settings: Settings) -> list[Member]:
    """Return all CSV files and XLSX workbooks, sorted by path; raises as `read_member`, and without any."""
    with _opened(raw, settings) as opened:
        names = [entry.name for entry in opened.entries]
        # An XLSX workbook is a zip archive.
        if "[Content_Types].xml" in names and any(name.startswith("xl/") for name in names):
            return [Member(raw.path.name, raw.path.read_bytes())]
        if opened.container.single:
            return [opened.read(entry) for entry in opened.entries]
        found = [entry for entry in opened.entries if _TABLE.fullmatch(entry.name)]
        if not found:
            raise SourceContentError(
                f"{raw.label}: expected CSV files or XLSX workbooks; {_listing(opened.entries)}. Old .xls "
                "workbooks are not read: save them as XLSX"
            )
        members = [opened.read(entry) for entry in sorted(found, key=lambda entry: entry.name)]
        for member in members:
            opened.refuse_packed_bomb(member)
        return members


def read_members(raw: RawFile, pattern: str, settings: Settings) -> list[Member]:
    """Return all members whose path matches, under one limit; raises as `read_member`, and without any."""
    with _opened(raw, settings) as opened:
        found = opened.matching(pattern)
        if not found:
            raise SourceContentError(
                f"{raw.label}: no member matches '{pattern}'; {_listing(opened.entries)}. {_if_renamed(raw)}"
            )
        return [opened.read(entry) for entry in sorted(found, key=lambda entry: entry.name)]


def list_members(raw: RawFile, settings: Settings) -> list[str]:
    """Return the paths of all members; raises as `read_member` for archives that are damaged or refused."""
    with _opened(raw, settings) as opened:
        return [entry.name for entry in opened.entries]


def check_archive(raw: RawFile, settings: Settings) -> bool:
    """Return whether a file is an archive; if so, read it to its end, as `read_member` would."""
    with _opened(raw, settings) as opened:
        if opened.container.packed:
            for stream in opened.container.opened(opened.entries):
                for _ in opened.chunks(stream):
                    pass
        return opened.container.packed


class _Bounded(io.RawIOBase):
    """A member that can be read once, as far as the limit of its archive: declared sizes may lie."""

    def __init__(self, stream: Stream, opened: "_Opened") -> None:
        self._stream = stream
        self._opened = opened

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        target = memoryview(buffer)
        with reraise_damage(*self._opened.container.damages):
            data = self._stream.read(len(target))
        target[: len(data)] = data
        self._opened.count(len(data))
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Opened:
    """An archive whose table of contents is harmless, and how much of it may still be unpacked."""

    def __init__(self, raw: RawFile, settings: Settings) -> None:
        self.raw = raw
        self.container: Container = open_container(raw.path)
        self.limit = settings.max_unpacked_bytes
        if self.container.packed:
            by_ratio = settings.max_unpacked_ratio * raw.path.stat().st_size
            self.limit = min(self.limit, max(_HARMLESS_BYTES, by_ratio))
        self.left = self.limit
        self.entries: list[Entry] = self.container.entries()

    def matching(self, pattern: str | None) -> list[Entry]:
        if self.container.single or pattern is None:
            return self.entries
        return [entry for entry in self.entries if re.fullmatch(pattern, entry.name)]

    def bounded(self, stream: Stream) -> io.BufferedReader:
        return io.BufferedReader(_Bounded(stream, self), _BUFFER)

    def read(self, entry: Entry) -> Member:
        return Member(entry.name, b"".join(self.chunks(self.container.open(entry))))

    def chunks(self, stream: Stream) -> Iterator[bytes]:
        with self.bounded(stream) as bounded:
            yield from iter(partial(bounded.read, _BUFFER), b"")

    def count(self, size: int, where: str = "") -> None:
        """Count what was unpacked, until the limit is reached."""
        self.left -= size
        if self.left < 0:
            too_big = self.too_big(self.limit - self.left)
            raise SourceContentError(f"{self.raw.label}: {where}refused: {too_big}")

    def refuse_packed_bomb(self, member: Member) -> None:
        """Count what a workbook in the archive unpacks to, since its parts are packed once more."""
        if not zipfile.is_zipfile(BytesIO(member.data)):
            return
        with zipfile.ZipFile(BytesIO(member.data)) as workbook:
            self.count(sum(part.file_size for part in workbook.infolist()), f"{member.name}: ")

    def too_big(self, size: int) -> str:
        return (
            f"it unpacks to {size:,} bytes or more, the limit for its size is {self.limit:,} "
            "(max_unpacked_bytes and max_unpacked_ratio of the settings)"
        )


def _only(opened: _Opened, pattern: str | None) -> Entry:
    found = opened.matching(pattern)
    if len(found) != 1:
        what = "several members match" if found else "no member matches"
        raise SourceContentError(
            f"{opened.raw.label}: {what} '{pattern or '.*'}', exactly one was expected; "
            f"{_listing(found or opened.entries)}. {_if_renamed(opened.raw)}"
        )
    return found[0]


@contextmanager
def _opened(raw: RawFile, settings: Settings) -> Iterator[_Opened]:
    try:
        opened = _Opened(raw, settings)
        with closing(opened.container):
            _refuse_harmful(opened)
            yield opened
    except DamagedError as error:
        raise unreadable(raw, f"{raw.label}: the file is damaged or truncated ({error})") from error


def _refuse_harmful(opened: _Opened) -> None:
    entries = opened.entries
    problems = [f"{entry.name!r} leaves the archive" for entry in entries if _ESCAPES.match(entry.name)]
    problems += [f"{entry.name!r} is a link" for entry in entries if entry.link]
    problems += [f"{entry.name!r} is encrypted" for entry in entries if entry.encrypted]
    names = Counter(entry.name for entry in entries)
    problems += [f"{name!r} is there {times} times" for name, times in names.items() if times > 1]
    declared = sum(entry.size or 0 for entry in entries)
    if declared > opened.limit:
        problems.append(opened.too_big(declared))
    if problems:
        source = opened.raw.source
        advice = (
            f"no official file is like this: look at where it came from, and at {catalogue_entry(source)}"
        )
        refused = "; ".join(problems[:_LISTED])
        raise SourceContentError(
            f"{opened.raw.label}: refused: {refused}. What to do: {remedy(source, advice)}"
        )


def _if_renamed(raw: RawFile) -> str:
    line = to_add(f"sources.{raw.source.id}", "member = '<pattern of its path>'")
    return f"What to do: {remedy(raw.source, f'if the publisher renamed its files, {line}')}"


def _listing(entries: list[Entry]) -> str:
    names = sorted(entry.name for entry in entries)
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"found: {', '.join(names[:_LISTED]) or 'nothing'}{more}"
