"""Download of one file over HTTP: bounded in time and size, on declared hosts only, retried when it helps.

Answers cut short are retried, and what `http_client` says. A host that takes no connection is remembered, and
asked for no other source.
"""

import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar
from urllib.parse import urlsplit

import httpx

from qpv_geo.errors import SourceContentError, SourceUnavailableError
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import Source
from qpv_geo.sources.http_client import (
    RetryableStatusError,
    http_date,
    official_client,
    origin_of,
    plain_client,
    raise_if_retryable,
    retrying,
    should_retry,
)
from qpv_geo.sources.raw import Progress, RawFile, catalogue_entry, to_add
from qpv_geo.sources.store import Lookup

_LOGGER = logging.getLogger(__name__)
_REDIRECTS = 5
_MISSING = {403, 404, 410}
# RFC 9110, 8.8.3, without the bytes beyond ASCII.
_ETAG = re.compile(r'(W/)?"[\x21\x23-\x7e]*"')
_Taken = TypeVar("_Taken")


class MissingError(SourceUnavailableError):
    """The server answered that there is no such file (403, 404, 410)."""


class _TruncatedError(Exception):
    """The connection was closed in good order before the body was complete."""


class _DeadlineError(Exception):
    """The download took longer than it may."""


@dataclass(frozen=True)
class Received:
    """What a complete download was."""

    resolved_url: str
    etag: str | None
    last_modified: datetime | None
    sha256: str
    size: int


Known = Received | RawFile | Lookup
"""What a server said before of a file that it may still have."""


class Downloader(AbstractContextManager["Downloader"]):
    """The requests that one source needs, over one client.

    Requests go to `origins` (``scheme://host[:port]``) alone, redirects included; without them, to the
    official ones, ``https://`` and each of the source's hosts. `unreachable` are the hosts that took no
    connection during this run, with the reason in French; the downloads of a run share it and add to it.
    """

    def __init__(
        self,
        source: Source,
        settings: Settings,
        origins: frozenset[str] | None = None,
        progress: Progress | None = None,
        unreachable: dict[str, str] | None = None,
    ) -> None:
        self._source = source
        self._settings = settings
        self._unreachable = {} if unreachable is None else unreachable
        self._origins = origins or frozenset(f"https://{host}" for host in source.hosts)
        self._progress = progress
        self._client = official_client(settings) if origins is None else plain_client()

    def __exit__(self, *error: object) -> None:
        """Close the connections."""
        self._client.close()

    def get(self, url: str, sink: BinaryIO, max_bytes: int, known: Known | None = None) -> Received | None:
        """Download a file into `sink`, or return None if it is still the one that `known` describes.

        Raises `SourceUnavailableError` if it could not be had: no connection, no answer in time, a status of
        failure, endless redirects; `MissingError` if the server says that there is no such file;
        `SourceContentError` if the answer is not a file: another status, a body cut short each time or beyond
        `max_bytes`, a redirect to a host that the catalogue does not declare.
        """

        def take(response: httpx.Response, deadline: float) -> Received:
            sink.seek(0)
            sink.truncate()
            return self._receive(response, sink, max_bytes, deadline)

        return self._ask(url, known, take)

    def is_another(self, url: str, max_bytes: int, copy: RawFile | None) -> bool:
        """Tell whether a file is another than a copy of it; without a copy, any file is.

        Headers are all that is read, unless the server gives neither an ETag nor a date to go by: then the
        bytes are read, compared and forgotten. Raises as `get`.
        """

        def take(response: httpx.Response, deadline: float) -> bool:
            if copy is None:
                return True
            etag, modified = response.headers.get("ETag"), http_date(response.headers.get("Last-Modified"))
            if etag and copy.etag:
                return bool(etag != copy.etag)
            if modified and copy.last_modified:
                return modified != copy.last_modified
            with Path(os.devnull).open("wb") as nowhere:
                return self._receive(response, nowhere, max_bytes, deadline).sha256 != copy.sha256

        return bool(self._ask(url, copy, take))

    def _ask(
        self, url: str, known: Known | None, take: Callable[[httpx.Response, float], _Taken]
    ) -> _Taken | None:
        """Ask until an answer is good, within bounds; return what was taken from it, None if unchanged."""
        limit = self._settings.download_deadline
        deadline = time.monotonic() + limit
        with self._reraise_errors(url), self._client.ended_after(limit):
            attempt = partial(self._follow, url, known, deadline, take)
            return retrying(self._settings, limit)(self._should_retry, _in_time, attempt, deadline)

    def _should_retry(self, error: Exception) -> bool | float:
        _LOGGER.info("source %s: attempt failed: %s", self._source.id, str(error) or type(error).__name__)
        # The system has asked several times before it gives up connecting.
        if isinstance(error, httpx.ConnectTimeout):
            return False
        return isinstance(error, _TruncatedError) or should_retry(error, self._settings)

    def _follow(
        self, url: str, known: Known | None, deadline: float, take: Callable[[httpx.Response, float], _Taken]
    ) -> _Taken | None:
        target = httpx.URL(url)
        for _ in range(_REDIRECTS + 1):
            self._refuse_elsewhere(target, url)
            self._refuse_unreachable(target)
            conditions = _conditions(known, target) if known else {}
            timeouts = self._timeouts(deadline)
            with self._client.stream("GET", target, headers=conditions, timeout=timeouts) as response:
                if response.next_request is not None:
                    target = response.next_request.url
                    continue
                if response.status_code == httpx.codes.NOT_MODIFIED and conditions:
                    return None
                self._refuse_status(response)
                return take(response, deadline)
        host = target.host
        raise SourceUnavailableError(
            f"source {self._source.id}: {url} redirects more than {_REDIRECTS} times, last to {target}",
            reason=f"site injoignable : {host} redirige sans fin",
        )

    def _timeouts(self, deadline: float) -> httpx.Timeout:
        """Return how long a connection and each read may take: never beyond what is left of the deadline."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise _DeadlineError
        settings = self._settings
        return httpx.Timeout(min(settings.read_timeout, left), connect=min(settings.connect_timeout, left))

    def _refuse_elsewhere(self, target: httpx.URL, url: str) -> None:
        origin = origin_of(target)
        if origin in self._origins and not target.userinfo:
            return
        allowed = ", ".join(sorted(self._origins))
        message = f"source {self._source.id}: {url} leads to {origin}, only {allowed} may be asked"
        if target.host not in self._source.hosts:
            hosts = f"hosts = {json.dumps([*self._source.hosts, target.host])}"
            message += f"; if the publisher moved there, {to_add(f'sources.{self._source.id}', hosts)}"
        raise SourceContentError(message)

    def _refuse_unreachable(self, target: httpx.URL) -> None:
        if reason := self._unreachable.get(target.host):
            raise SourceUnavailableError(
                f"source {self._source.id}: {target} was not asked: {target.host} took no connection from "
                "another source of this run",
                reason=reason,
            )

    def _refuse_status(self, response: httpx.Response) -> None:
        status, url = response.status_code, response.request.url
        if status == httpx.codes.OK:
            self._refuse_encoded(response)
            return
        raise_if_retryable(response)
        message = f"source {self._source.id}: {url} answered {status} {response.reason_phrase}"
        reason = f"site injoignable : {url.host} a répondu {status}"
        if status in _MISSING:
            raise MissingError(f"{message}; look at {self._source.page}", reason=reason)
        if status >= httpx.codes.BAD_REQUEST:
            raise SourceUnavailableError(message, reason=reason)
        raise SourceContentError(f"{message}, 200 was expected; look at {self._source.page}")

    def _refuse_encoded(self, response: httpx.Response) -> None:
        """Refuse a compressed answer, which was not asked for: a few bytes can unpack to gigabytes."""
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding.lower() != "identity":
            url, page = response.request.url, self._source.page
            raise SourceContentError(
                f"source {self._source.id}: {url} sends Content-Encoding {encoding!r}, not asked for (Accept-"
                f"Encoding: identity); tell the publisher ({page})"
            )

    def _receive(self, response: httpx.Response, sink: BinaryIO, max_bytes: int, deadline: float) -> Received:
        declared = response.headers.get("Content-Length", "")
        total = int(declared) if declared.isdecimal() else None
        if total is not None and total > max_bytes:
            raise self._too_big(response, f"declares {total:,} bytes", max_bytes)
        checksum, size = hashlib.sha256(), 0
        for chunk in _body_of(response):
            size += len(chunk)
            if size > max_bytes:
                raise self._too_big(response, f"sends {size:,} bytes or more", max_bytes)
            if time.monotonic() > deadline:
                raise _DeadlineError
            checksum.update(chunk)
            sink.write(chunk)
            if self._progress:
                self._progress(self._source.id, size, total)
        return Received(
            resolved_url=str(response.request.url),
            etag=response.headers.get("ETag"),
            last_modified=http_date(response.headers.get("Last-Modified")),
            sha256=checksum.hexdigest(),
            size=size,
        )

    def _too_big(self, response: httpx.Response, what: str, max_bytes: int) -> SourceContentError:
        return SourceContentError(
            f"source {self._source.id}: {response.request.url} {what}, the limit is {max_bytes:,}; if the "
            f"publisher's file has grown so much, raise 'max_bytes' in {catalogue_entry(self._source)}"
        )

    @contextmanager
    def _reraise_errors(self, url: str) -> Iterator[None]:
        """Turn what the last attempt met into the project's errors."""
        message = f"source {self._source.id}: {url}: "
        try:
            yield
        except httpx.InvalidURL as error:
            raise SourceContentError(
                f"{message}not an address ({error}); look at {self._source.page}, then correct 'address' in "
                f"{catalogue_entry(self._source)}"
            ) from error
        except RetryableStatusError as error:
            raise SourceUnavailableError(
                f"{message}{error.host} answered {error.status} to each attempt",
                reason=f"site injoignable : {error.host} a répondu {error.status}",
                transient=True,
            ) from error
        except _TruncatedError as error:
            raise SourceContentError(
                f"{message}the answer was cut short at each attempt ({error}); run again later, and tell the "
                f"publisher if it stays so ({self._source.page})"
            ) from error
        except _DeadlineError as error:
            limit = self._settings.download_deadline
            raise SourceUnavailableError(
                f"{message}not complete after {limit:g} s",
                reason=f"site injoignable : {urlsplit(url).hostname} trop lent (plus de {limit:g} s)",
            ) from error
        except httpx.TimeoutException as error:
            raise self._unavailable(
                error, f"{message}no answer in time ({type(error).__name__})", "{host} ne répond pas"
            ) from error
        except httpx.TransportError as error:
            what = str(error) or type(error).__name__
            raise self._unavailable(error, f"{message}{what}", _cause(error)) from error

    def _unavailable(self, error: httpx.TransportError, message: str, cause: str) -> SourceUnavailableError:
        """Return the error of a failing network, and remember a host that took no connection."""
        host = error.request.url.host
        reason = f"site injoignable : {cause.format(host=host)}"
        no_connection = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError)
        if no_connection:
            self._unreachable[host] = reason
        return SourceUnavailableError(message, reason=reason, transient=not no_connection)


def _conditions(known: Known, target: httpx.URL) -> dict[str, str]:
    """Return the headers that let a server say that a file did not change, for the address that gave them."""
    headers: dict[str, str] = {}
    if httpx.URL(known.resolved_url or "") != target:
        return headers
    # Others sent back would be refused by the server, or cannot be sent.
    if known.etag and _ETAG.fullmatch(known.etag):
        headers["If-None-Match"] = known.etag
    if known.last_modified:
        headers["If-Modified-Since"] = format_datetime(known.last_modified, usegmt=True)
    return headers


def _in_time(attempt: Callable[[], _Taken], deadline: float) -> _Taken:
    """Return what an attempt takes; what fails at the deadline fails because of it."""
    try:
        taken = attempt()
    except (httpx.TransportError, _TruncatedError) as error:
        if time.monotonic() < deadline:
            raise
        raise _DeadlineError from error
    # The end of a connection may look like that of a body whose length nobody declared.
    if time.monotonic() > deadline:
        raise _DeadlineError
    return taken


def _body_of(response: httpx.Response) -> Iterator[bytes]:
    """Yield the body, and tell an answer that was cut short from a connection that broke."""
    try:
        yield from response.iter_raw()
    except httpx.RemoteProtocolError as error:
        raise _TruncatedError(str(error)) from error


def _cause(error: httpx.TransportError) -> str:
    """Say in French why there was no connection: a certificate is a matter for whoever keeps this machine."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return "le certificat que présente {host} n'est pas reconnu par cette machine"
    return "connexion à {host} impossible ou interrompue"
