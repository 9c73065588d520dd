"""A raw file: the bytes of a source as they came, and all that is known about their origin."""

import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Literal, Protocol

from qpv_geo.errors import SourceContentError
from qpv_geo.frozen import Frozen
from qpv_geo.sources.catalogue import Source

Origin = Literal["live", "mirror", "store", "snapshot", "local"]
Provenance = Literal["live", "mirror", "snapshot", "local"]

_SHAPEFILE = (".shp", ".shx", ".dbf", ".prj", ".cpg")
# What SQLite keeps beside a database: changes that are saved and not yet written into it, and those to undo.
_SQLITE = ("-wal", "-journal")


class Progress(Protocol):
    """Called as bytes arrive: source id, bytes so far, bytes in all (None if the server does not say)."""

    def __call__(self, source_id: str, done: int, total: int | None) -> None:
        """Take note of it."""


class Whole(Frozen):
    """What is known of a whole table: its rows, and which of the cells that were looked for no row has."""

    rows: int
    absent: tuple[str, ...] = ()


@dataclass(frozen=True)
class Extract:
    """The lines of a raw file that a territory needs (see `extracts`)."""

    source: str
    path: Path
    sha256: str
    whole: Whole


@dataclass(frozen=True)
class RawFile:
    """One source's bytes on this disk."""

    source: Source
    path: Path
    """A file, a folder where an archive was shipped unpacked, or the ``.shp`` of a Shapefile (`parts_of`)."""
    sha256: str
    size: int
    """Hexadecimal checksum and bytes; of several files, see `digest`."""
    origin: Origin
    provenance: Provenance
    """Where this run took it from, and where the bytes first came from: a copy from the store remembers
    it."""
    url: str | None = None
    resolved_url: str | None = None
    """Address that was asked (None for a file of the snapshot or of a mirror on disk), and the one that
    answered, after look-up and redirects."""
    etag: str | None = None
    last_modified: datetime | None = None
    """The server's, verbatim, and in UTC."""
    retrieved_at: datetime | None = None
    """When these bytes were first downloaded, in UTC; None for a file that was not downloaded."""
    reason: str = ""
    """French sentence that says why this is not the first choice, else empty."""
    defect: str = ""
    """What is wrong with an optional source that was reached and is bad, else empty; nothing of it is
    used."""
    extract: Extract | None = None
    """The lines that ingestion read in place of the whole table, if it did."""

    @property
    def date(self) -> date:
        """The server's date of the bytes, else the date of the edition that the catalogue declares."""
        return self.last_modified.date() if self.last_modified else self.source.published

    @property
    def national(self) -> bool:
        """Whether the file covers the country: the snapshot holds a single territory."""
        return self.provenance != "snapshot"

    @property
    def label(self) -> str:
        """How error messages name the file: source, file name, and where it came from."""
        return f"source {self.source.id}: {self.path.name} ({self.resolved_url or self.url or self.path})"

    def label_of(self, member: str) -> str:
        """How error messages name a file in an archive, or the file itself if it is bare."""
        return self.label if member == self.path.name else f"{self.label}, member {member}"


def raw_at(
    source: Source, path: Path, origin: Literal["mirror", "snapshot", "local"], reason: str = ""
) -> RawFile:
    """Return a file that lies on this disk, and was not downloaded."""
    sha256, size = digest(path)
    return RawFile(source, path, sha256, size, origin, origin, reason=reason)


def unusable(source: Source, defect: str) -> RawFile:
    """Return a stand-in for an optional source whose download is not the declared file."""
    return RawFile(source, Path(), "", 0, "live", "live", defect=defect)


def usable(raw: RawFile | None) -> bool:
    """Tell whether a raw file is there and sound."""
    return raw is not None and not raw.defect


def remedy(source: Source, advice: str) -> str:
    """Say what to do about a bad file: `advice`, or what its owner can do if it is the territory's."""
    if source.territory_key:
        return f"correct the file, or what '{source.territory_key}' says of it in the territory file"
    return advice


def unreadable(raw: RawFile, problem: str) -> SourceContentError:
    """Return the error of a file that cannot be read: damaged, truncated, or of another format."""
    what_to_do = remedy(raw.source, "run again to download it anew, and tell the publisher if it stays so")
    return SourceContentError(f"{problem}. What to do: {what_to_do}")


def catalogue_entry(source: Source) -> str:
    """Name the catalogue lines to change when a source is right and its declaration wrong."""
    return f"entry [{source.id}] of qpv_geo/sources/catalogue.toml"


def to_add(table: str, line: str) -> str:
    """Return the lines with which an administrator completes a declaration, as messages print them."""
    return (
        "add to the file that QPV_GEO_SOURCES names, or to the territory file (docs/exploitation.md):\n"
        f"      [{table}]\n      {line}"
    )


def parts_of(path: Path) -> dict[str, Path]:
    """Return the files of a raw file by relative name: those of a folder, a Shapefile, an open GeoPackage."""
    if path.is_dir():
        return {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    if path.suffix.lower() == ".shp":
        siblings = (file for file in path.parent.iterdir() if file.stem == path.stem and file.is_file())
        return {file.name: file for file in siblings if file.suffix.lower() in _SHAPEFILE}
    if path.suffix.lower() == ".gpkg":
        beside = [path.with_name(f"{path.name}{suffix}") for suffix in _SQLITE]
        found = [path, *(file for file in beside if file.is_file() and file.stat().st_size)]
        return {file.name: file for file in found}
    return {path.name: path}


def digest(path: Path) -> tuple[str, int]:
    r"""Return the SHA-256 (hexadecimal) and the size (bytes) of a raw file.

    The checksum of several files (see `parts_of`) is that of the lines ``<relative path> <sha256 of the
    file>\n`` of each, sorted by path; their size is the sum of theirs.
    """
    parts, digests = parts_of(path), {}
    for name, file in sorted(parts.items()):
        with file.open("rb") as stream:
            digests[name] = hashlib.file_digest(stream, "sha256").hexdigest()
    size = sum(file.stat().st_size for file in parts.values())
    if parts == {path.name: path}:
        return digests[path.name], size
    lines = "".join(f"{name} {sha256}\n" for name, sha256 in digests.items())
    return hashlib.sha256(lines.encode()).hexdigest(), size
