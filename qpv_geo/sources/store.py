"""The store: copies of raw files on this disk, each complete and described, or not there at all.

``store/<live or mirror>/<key>/<first 16 hex of the sha256>/`` holds a file and its ``_raw.json``. The folder
is written under another name and renamed when both are on the disk. What comes from a mirror is kept apart:
it never stands in for the official sites.

A copy is a *candidate* until `accept` says that it passed every contract. Only accepted copies are offered as
a fallback or asked about in a conditional request; the last two of them are kept.

Under the lock of a key, an unfinished folder is what a dead run left.

``store/extracts/<source>/<needs>-<original>/`` holds the lines of a national table that a territory needs, as
the publisher wrote them, header first, and ``_extract.json``. Both parts of the name are the first 16 hex
digits of a sha256: of what the lines were chosen for, and of the raw file, which a release is made from.
"""

import json
import logging
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Literal, TypeVar

from filelock import FileLock, Timeout
from pydantic import AwareDatetime, Field, ValidationError

from qpv_geo.errors import ConfigurationError, LockedError, SourceContentError
from qpv_geo.files import replace_file, synchronise, unfinished
from qpv_geo.frozen import Frozen
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import Source
from qpv_geo.sources.raw import Extract, RawFile, Whole, digest
from qpv_geo.sources.resolve import Link, name_in, raw_key
from qpv_geo.territory import Territory

_LOGGER = logging.getLogger(__name__)
_METADATA = "_raw.json"
_LOOKUP = "_lookup.json"
_EXTRACT = "_extract.json"
_UNFINISHED = ".unfinished"
_KEPT = 2
# A candidate, or the extract of another original, may be in use by a run; after a day nobody reads it.
_LIFE = timedelta(days=1)

# What a copy remembers of the raw file that it is.
_REMEMBERED = {"sha256", "size", "url", "resolved_url", "etag", "last_modified", "retrieved_at"}

Shelf = Literal["live", "mirror"]
_Model = TypeVar("_Model", bound=Frozen)

Needs = Mapping[str, object]
"""What lines are chosen for, as JSON can hold it."""


class CopyMetadata(Frozen):
    """What ``_raw.json`` says of the copy beside it; `accepted_at` is None for a candidate."""

    source: str
    vintage: str
    file: str = Field(pattern=r"^[A-Za-z0-9-][A-Za-z0-9._-]*$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int
    url: str
    resolved_url: str
    etag: str | None
    last_modified: AwareDatetime | None
    retrieved_at: AwareDatetime
    accepted_at: AwareDatetime | None = None


class Lookup(Frozen):
    """The links that a publisher's page held, so that an unchanged page costs headers only."""

    url: str
    etag: str | None
    last_modified: AwareDatetime | None
    links: tuple[Link, ...]

    @property
    def resolved_url(self) -> str:
        """The page's own address: such pages do not redirect."""
        return self.url


class Copies:
    """The copies of one raw file, in a folder named by its key; the shelf is where they come from."""

    def __init__(self, source: Source, territory: Territory, shelf: Shelf, settings: Settings) -> None:
        self._source = source
        self.shelf: Shelf = shelf
        self._settings = settings
        self.folder = settings.store_dir / shelf / raw_key(source, territory)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the key's lock, and remove what a dead run left; raises as `_locked`."""
        with _locked(self.folder, self._settings):
            shutil.rmtree(self.folder / _UNFINISHED, ignore_errors=True)
            yield

    def accepted(self) -> Iterator[RawFile]:
        """Yield the sound accepted copies of the declared vintage, the newest first."""
        for folder, metadata in _complete_copies(self.folder):
            if metadata.accepted_at is None or metadata.vintage != self._source.vintage:
                continue
            if (raw := self._sound(folder, metadata)) is not None:
                yield raw

    def damaged(self) -> list[str]:
        """Return in French what is wrong with the copies that are not sound."""
        problems = []
        for folder in _folders(self.folder):
            metadata = read_metadata(folder / _METADATA, CopyMetadata)
            if metadata is None:
                problems.append(f"copie {folder.name} écartée : description illisible")
            elif metadata.accepted_at and self._sound(folder, metadata) is None:
                problems.append(
                    f"copie {folder.name} écartée : contenu altéré depuis son téléchargement, ou illisible"
                )
        return problems

    def _sound(self, folder: Path, metadata: CopyMetadata) -> RawFile | None:
        """Return a copy, or None if its bytes are not those that were downloaded, or cannot be read."""
        path = folder / metadata.file
        try:
            same = path.is_file() and digest(path) == (metadata.sha256, metadata.size)
        except OSError as error:
            _LOGGER.warning("%s cannot be read and is left aside: %s", path, error)
            return None
        if not same:
            _LOGGER.warning("%s does not have the sha256 that %s gives: it is left aside", path, _METADATA)
            return None
        remembered = metadata.model_dump(include=_REMEMBERED)
        return RawFile(self._source, path, origin=self.shelf, provenance=self.shelf, **remembered)

    def lookup(self, url: str) -> Lookup | None:
        """Return what a page held when it was last read; None if that is unknown."""
        remembered = read_metadata(self.folder / _LOOKUP, Lookup)
        return remembered if remembered and remembered.url == url else None

    def remember(self, lookup: Lookup) -> None:
        """Keep what a page held. Needs the lock."""
        replace_file(self.folder / _LOOKUP, lookup.model_dump_json(indent=2) + "\n")

    @contextmanager
    def unfinished(self) -> Iterator[Path]:
        """Yield a folder to download into; it goes away unless `keep` took its file. Needs the lock."""
        folder = self.folder / _UNFINISHED
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def keep(self, raw: RawFile) -> RawFile:
        """Make a downloaded and checked file of `unfinished` a candidate, in one step. Needs the lock.

        Of bytes that are there already, only what the server now says of them is written.
        """
        final = self.folder / raw.sha256[:16]
        remembered = {name: getattr(raw, name) for name in _REMEMBERED}
        metadata = CopyMetadata(
            source=raw.source.id, vintage=raw.source.vintage, file=raw.path.name, **remembered
        )
        there = read_metadata(final / _METADATA, CopyMetadata)
        if there and (sound := self._sound(final, there)) is not None:
            # Contracts that were passed for another vintage say nothing of this one.
            accepted_at = there.accepted_at if there.vintage == metadata.vintage else None
            metadata = metadata.model_copy(
                update={"file": there.file, "retrieved_at": there.retrieved_at, "accepted_at": accepted_at}
            )
            if metadata != there:
                replace_file(final / _METADATA, metadata.model_dump_json(indent=2) + "\n")
            return replace(raw, path=sound.path, retrieved_at=there.retrieved_at)
        unfinished = raw.path.parent
        replace_file(unfinished / _METADATA, metadata.model_dump_json(indent=2) + "\n")
        synchronise(raw.path)
        if final.exists():
            shutil.rmtree(final)
        unfinished.rename(final)
        synchronise(self.folder)
        return replace(raw, path=final / raw.path.name)


def file_name(source: Source, url: str) -> str:
    """Return a plain file name for what an address serves: its own if it has one, else the source's id."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", name_in(url)).lstrip("._")
    return name[-120:] if "." in name else f"{source.id}.{source.format}"


def mark_accepted(raw: RawFile, settings: Settings) -> None:
    """Make a file of the store its key's current copy, and drop the copies that are no longer kept."""
    folder = raw.path.parent
    copies = folder.parent
    with _locked(copies, settings):
        complete = _complete_copies(copies)
        current = next((metadata for _, metadata in complete if metadata.accepted_at), None)
        if current and current.sha256 == raw.sha256:
            return
        metadata = read_metadata(folder / _METADATA, CopyMetadata)
        if metadata is None or metadata.sha256 != raw.sha256:
            raise SourceContentError(f"{raw.label}: {folder} changed during the run; run again")
        now = datetime.now(UTC)
        if current and current.accepted_at:
            # The clock may have been set back since.
            now = max(now, current.accepted_at + timedelta(microseconds=1))
        accepted = metadata.model_copy(update={"accepted_at": now})
        replace_file(folder / _METADATA, accepted.model_dump_json(indent=2) + "\n")
        _prune(copies)


def _prune(copies: Path) -> None:
    complete = _complete_copies(copies)
    kept = [folder for folder, metadata in complete if metadata.accepted_at][:_KEPT]
    horizon = datetime.now(UTC) - _LIFE
    candidates = ((folder, metadata) for folder, metadata in complete if not metadata.accepted_at)
    kept += [folder for folder, metadata in candidates if metadata.retrieved_at > horizon]
    for folder in _folders(copies):
        if folder not in kept:
            _discard(folder)


def _discard(folder: Path) -> None:
    """Remove a copy. It is renamed first: a run that dies meanwhile leaves no half of it. Needs the lock."""
    aside = folder.with_name(_UNFINISHED)
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)
    shutil.rmtree(aside)


def _complete_copies(copies: Path) -> list[tuple[Path, CopyMetadata]]:
    """Return the copies whose metadata can be read: accepted ones first, the newest of them first."""
    found = [
        (folder, metadata)
        for folder in _folders(copies)
        if (metadata := read_metadata(folder / _METADATA, CopyMetadata))
    ]
    oldest = datetime.min.replace(tzinfo=UTC)
    return sorted(found, key=lambda pair: pair[1].accepted_at or oldest, reverse=True)


def _folders(copies: Path) -> list[Path]:
    return sorted(folder for folder in copies.glob("*") if re.fullmatch(r"[0-9a-f]{16}", folder.name))


def read_metadata(path: Path, model: type[_Model]) -> _Model | None:
    """Read what a file of the store says; None if it is not there, or cannot be read, which is logged."""
    try:
        return model.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        _LOGGER.warning("%s cannot be read and is left aside: %s", path, error)
        return None


@contextmanager
def _locked(folder: Path, settings: Settings) -> Iterator[None]:
    """Create the folder of a key and hold its lock.

    Raises `LockedError` if another run does not let go of it, `ConfigurationError` if it cannot be written.
    """
    patience = 2 * settings.download_deadline
    try:
        with writable_folder(folder), FileLock(folder / ".lock", timeout=patience):
            yield
    except Timeout as error:
        raise LockedError(f"another run has held {folder} for more than {patience:g} s; try again") from error


@contextmanager
def writable_folder(folder: Path) -> Iterator[None]:
    """Create a folder and say what to do when the disk refuses."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except (ConnectionError, TimeoutError):
        raise
    except OSError as error:
        raise ConfigurationError(
            f"the store cannot be written: {error}; check the space left and the rights on {folder}, or give "
            "another folder with --data or QPV_GEO_DATA"
        ) from error


class ExtractMetadata(Frozen):
    """What ``_extract.json`` says: checksums of the raw file and of the lines, and what these are for."""

    source: str
    original: str = Field(pattern=r"^[0-9a-f]{64}$")
    needs: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int
    whole: Whole


class Extracts:
    """The extract of one raw file for one purpose."""

    def __init__(self, raw: RawFile, needs: Needs, settings: Settings) -> None:
        self._raw = raw
        self._settings = settings
        self._needs = json.dumps(needs, sort_keys=True)
        name = f"{sha256(self._needs.encode()).hexdigest()[:16]}-{raw.sha256[:16]}"
        self.folder = settings.store_dir / "extracts" / raw.source.id / name

    def kept(self) -> Extract | None:
        """Return the extract of an earlier run; None if there is none, or it is damaged."""
        path = self._path(self.folder)
        metadata = read_metadata(self.folder / _EXTRACT, ExtractMetadata)
        if metadata is None:
            return None
        with suppress(OSError):
            same = (metadata.original, metadata.needs) == (self._raw.sha256, self._needs)
            if same and digest(path) == (metadata.sha256, metadata.size):
                return Extract(metadata.source, path, metadata.sha256, metadata.whole)
        _LOGGER.warning("%s is damaged: it is made again from %s", path, self._raw.path)
        return None

    def keep(self, lines: Iterable[bytes], whole: Whole) -> Extract:
        """Keep lines, header first, and what is known of the whole table; raises as `_locked`."""
        with writable_folder(self.folder.parent):
            self._prune()
            aside = unfinished(self.folder.parent)
            aside.mkdir()
            try:
                path = self._path(aside)
                with path.open("wb") as stream:
                    stream.writelines(lines)
                checksum, size = digest(path)
                source = self._raw.source.id
                metadata = ExtractMetadata(
                    source=source,
                    original=self._raw.sha256,
                    needs=self._needs,
                    sha256=checksum,
                    size=size,
                    whole=whole,
                )
                replace_file(aside / _EXTRACT, metadata.model_dump_json(indent=2) + "\n")
                synchronise(path)
                with _locked(self.folder.parent, self._settings):
                    # Another run may have kept the same meanwhile, and reads it.
                    if self.kept() is None:
                        shutil.rmtree(self.folder, ignore_errors=True)
                        aside.rename(self.folder)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
            synchronise(self.folder.parent)
        return Extract(source, self._path(self.folder), checksum, whole)

    def _path(self, folder: Path) -> Path:
        return folder / f"{self._raw.source.id}.csv"

    def _prune(self) -> None:
        """Remove what dead runs left, and the extracts of originals that were replaced."""
        horizon = time.time() - _LIFE.total_seconds()
        for other in self.folder.parent.iterdir():
            old = not other.name.endswith(self.folder.name[-17:]) and other.stat().st_mtime < horizon
            if old:
                shutil.rmtree(other, ignore_errors=True)
