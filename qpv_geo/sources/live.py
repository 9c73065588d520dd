"""One source at its official address, or at the mirror that replaces it, and its way into the store."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import BinaryIO, TypeVar, cast
from urllib.parse import quote

from qpv_geo.errors import SourceUnavailableError
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import NoAddress, Source, WfsAddress
from qpv_geo.sources.content import check_content
from qpv_geo.sources.download import Downloader, MissingError, Received
from qpv_geo.sources.fetch import Policy, absent_from_mirror
from qpv_geo.sources.http_client import origin_of
from qpv_geo.sources.raw import Progress, RawFile
from qpv_geo.sources.resolve import choose, known_url, links_of, lookup_url, mirror_paths
from qpv_geo.sources.store import Copies, Lookup, file_name
from qpv_geo.territory import Territory

_PAGE_BYTES = 20 * 1024**2
_Taken = TypeVar("_Taken")


@dataclass(frozen=True)
class LiveSource:
    """A source that may be asked for: the lock of its copies is held, and its connection is open."""

    source: Source
    territory: Territory
    settings: Settings
    mirror: str | None
    downloader: Downloader
    copies: Copies

    def download(self) -> RawFile:
        """Get its file into the store as a candidate, or the current copy if that is still it."""
        return self._ask(self._into_store)

    def has_another(self) -> bool:
        """Tell whether its file is another than the last accepted copy."""
        current = next(self.copies.accepted(), None)
        return self._ask(lambda _, url: self.downloader.is_another(url, self.source.max_bytes, current))

    def _ask(self, attempt: Callable[[str, str], _Taken]) -> _Taken:
        """Try the file's addresses; `attempt` is given the address that was known, and the file's own."""
        if self.mirror is None:
            page = lookup_url(self.source)
            url = self._linked(page) if page else known_url(self.source, self.territory)
            return attempt(page or url, url)
        paths = mirror_paths(self.source, self.territory)
        for path in paths:
            url = f"{self.mirror}/{quote(path)}"
            try:
                return attempt(url, url)
            except MissingError:
                continue
        raise absent_from_mirror(self.source, self.mirror, paths)

    def _linked(self, page: str) -> str:
        """Return the address that a page links; the page is sent again only if it changed."""
        body = BytesIO()
        remembered = self.copies.lookup(page)
        received = self.downloader.get(page, body, _PAGE_BYTES, remembered)
        if received is None:
            return choose(self.source, cast("Lookup", remembered).links).url
        links = links_of(self.source, body.getvalue())
        chosen = choose(self.source, links)
        self.copies.remember(
            Lookup(url=page, etag=received.etag, last_modified=received.last_modified, links=tuple(links))
        )
        return chosen.url

    def _into_store(self, asked: str, url: str) -> RawFile:
        """Download a file, unless the current copy is still it, check it and keep it as a candidate."""
        current = next(self.copies.accepted(), None)
        with self.copies.unfinished() as folder:
            path = folder / "content"
            with path.open("wb") as sink:
                received = self._receive(url, sink, current)
            if received is None:
                return cast("RawFile", current)
            name = file_name(self.source, received.resolved_url)
            raw = RawFile(
                source=self.source,
                path=path.rename(folder / name),
                url=asked,
                retrieved_at=datetime.now(UTC),
                origin=self.copies.shelf,
                provenance=self.copies.shelf,
                **asdict(received),
            )
            check_content(raw, self.settings)
            return self.copies.keep(raw)

    def _receive(self, url: str, sink: BinaryIO, current: RawFile | None) -> Received | None:
        """Download a file; None if the current copy is still it."""
        address = self.source.address
        if self.mirror is None and isinstance(address, WfsAddress):
            # imported lazily: most runs ask no WFS
            from qpv_geo.sources.wfs import download_features  # noqa: PLC0415

            return download_features(self.source, address, self.territory.epsg, self.downloader, sink)
        return self.downloader.get(url, sink, self.source.max_bytes, current)


@contextmanager
def live_source(
    source: Source, territory: Territory, settings: Settings, policy: Policy, progress: Progress | None = None
) -> Iterator[LiveSource]:
    """Lock the copies of a source and open a connection, if it has an address or a mirror."""
    mirror = policy.mirror_url
    if isinstance(source.address, NoAddress) and not mirror:
        raise SourceUnavailableError(
            f"source {source.id}: no official address of it is known; if you know one, declare it in the "
            "file of QPV_GEO_SOURCES",
            reason="aucune adresse officielle de ce fichier n'est connue",
        )
    copies = Copies(source, territory, policy.shelf, settings)
    origins = frozenset({origin_of(mirror)}) if mirror else None
    downloads = Downloader(source, settings, origins, progress, policy.unreachable)
    with copies.locked(), downloads as downloader:
        yield LiveSource(source, territory, settings, mirror, downloader, copies)
