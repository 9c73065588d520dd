"""A raw file: a source's bytes as they came, and everything that is known of where they came from."""

import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Literal

from qpv_geo.sources.catalogue import Source

Origin = Literal["live", "mirror", "store", "snapshot"]
Provenance = Literal["live", "mirror", "snapshot"]


@dataclass(frozen=True)
class RawFile:
    """One source's bytes on this disk.

    Attributes
    ----------
    source
        Its entry in the catalogue.
    path
        A file, or a folder where an archive was shipped unpacked.
    sha256
        Hexadecimal checksum of the file; of a folder, see `digest`.
    size
        Bytes.
    url
        Address that was asked; None for a file of the snapshot or of a mirror on disk.
    resolved_url
        Address that answered, after look-up and redirects.
    etag
        The server's, verbatim.
    last_modified
        The server's, in UTC.
    retrieved_at
        When these bytes were first downloaded, in UTC; None for a file that was not downloaded.
    origin
        Where this run took it from.
    provenance
        Where the bytes first came from: a copy from the store remembers it.
    reason
        French sentence that says why this is not the first choice, else empty.
    """

    source: Source
    path: Path
    sha256: str
    size: int
    url: str | None
    resolved_url: str | None
    etag: str | None
    last_modified: datetime | None
    retrieved_at: datetime | None
    origin: Origin
    provenance: Provenance
    reason: str = ""

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


def catalogue_entry(source: Source) -> str:
    """Name the lines to change when what a source sends is right and what is declared is not."""
    return f"entry [{source.id}] of qpv_geo/sources/catalogue.toml"


def digest(path: Path) -> tuple[str, int]:
    r"""Return the SHA-256 (hexadecimal) and the size (bytes) of a file or a folder.

    The checksum of a folder is that of the lines ``<relative path> <sha256 of the file>\n`` of its files,
    sorted by path; its size is the sum of theirs.
    """
    if path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest(), path.stat().st_size
    files = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    parts = {name: digest(file) for name, file in files.items()}
    lines = "".join(f"{name} {parts[name][0]}\n" for name in sorted(parts))
    return hashlib.sha256(lines.encode()).hexdigest(), sum(size for _, size in parts.values())
