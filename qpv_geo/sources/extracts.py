"""Extracts of national tables: the lines that a territory needs, kept in the store for its next runs.

``store/extracts/<source>/<needs>-<original>/`` holds the lines as the publisher wrote them, header first, and
``_extract.json``. Both parts of the name are the first 16 hex digits of a sha256: of what the lines were
chosen for, and of the raw file. The raw file stays what a release is made from and what it names.
"""

import json
import logging
import shutil
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from pydantic import Field

from qpv_geo.files import replace_file, synchronise, unfinished
from qpv_geo.frozen import Frozen
from qpv_geo.settings import Settings
from qpv_geo.sources.raw import Extract, RawFile, Whole, digest
from qpv_geo.sources.store import read_metadata, writable_folder

_LOGGER = logging.getLogger(__name__)
_METADATA = "_extract.json"
# Seconds after which nobody reads the extract of another original any more.
_LIFE = 86_400.0

Needs = Mapping[str, object]
"""What lines are chosen for, as JSON can hold it."""


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
        self._needs = json.dumps(needs, sort_keys=True)
        name = f"{sha256(self._needs.encode()).hexdigest()[:16]}-{raw.sha256[:16]}"
        self.folder = settings.store_dir / "extracts" / raw.source.id / name

    def kept(self) -> Extract | None:
        """Return the extract of an earlier run; None if there is none, or it is damaged."""
        path = self._path(self.folder)
        metadata = read_metadata(self.folder / _METADATA, ExtractMetadata)
        if metadata is None:
            return None
        with suppress(OSError):
            same = (metadata.original, metadata.needs) == (self._raw.sha256, self._needs)
            if same and digest(path) == (metadata.sha256, metadata.size):
                return Extract(metadata.source, path, metadata.sha256, metadata.whole)
        _LOGGER.warning("%s is damaged: it is made again from %s", path, self._raw.path)
        return None

    def keep(self, lines: Iterable[bytes], whole: Whole) -> Extract:
        """Keep lines, header first, and what is known of the whole table.

        Raises `ConfigurationError` if the store cannot be written.
        """
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
                replace_file(aside / _METADATA, metadata.model_dump_json(indent=2) + "\n")
                synchronise(path)
                self._put(aside)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
            synchronise(self.folder.parent)
        return Extract(source, self._path(self.folder), checksum, whole)

    def _put(self, aside: Path) -> None:
        """Move a finished folder into place, unless another run has kept the same meanwhile and reads it."""
        if self.kept() is not None:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        try:
            aside.rename(self.folder)
        except OSError:
            if self.kept() is None:
                raise

    def _path(self, folder: Path) -> Path:
        return folder / f"{self._raw.source.id}.csv"

    def _prune(self) -> None:
        """Remove what dead runs left, and the extracts of originals that were replaced."""
        horizon = time.time() - _LIFE
        for other in self.folder.parent.iterdir():
            old = not other.name.endswith(self.folder.name[-17:]) and other.stat().st_mtime < horizon
            if old:
                shutil.rmtree(other, ignore_errors=True)
