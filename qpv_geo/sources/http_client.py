"""HTTP clients of the official sites: TLS, the server that may play the sites, and when to ask again.

What is retried, with exponential backoff: failures of the network, and the statuses 408, 425, 429 (after the
pause that the server asks for, within a bound) and 5xx.
"""

import logging
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any

import httpx
import stamina
from stamina.instrumentation import set_on_retry_hooks

import qpv_geo
from qpv_geo.settings import Settings

_LOGGER = logging.getLogger(__name__)
_RETRIED = {408, 425, 429}

# Failed attempts are logged by whoever asks, with the source's id, rather than by stamina.
set_on_retry_hooks([])


class RetryableStatusError(Exception):
    """An answer that may be another one a little later."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.host = response.request.url.host
        self.pause = _retry_after(response)
        super().__init__(f"status {self.status}")


def raise_if_retryable(response: httpx.Response) -> None:
    """Raise `RetryableStatusError` for a status after which it is worth asking again."""
    if response.status_code in _RETRIED or response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise RetryableStatusError(response)


def retrying(settings: Settings, timeout: float | None) -> stamina.RetryingCaller:
    """Return what calls again after failures, within a number of seconds in all."""
    return stamina.RetryingCaller(
        attempts=settings.attempts,
        timeout=timeout,
        wait_initial=settings.backoff,
        wait_jitter=settings.backoff,
        wait_max=settings.max_retry_after,
    )


def should_retry(error: Exception, settings: Settings) -> bool | float:
    """Tell stamina whether to ask again, and after how many seconds if the server said so."""
    if not isinstance(error, RetryableStatusError):
        return isinstance(error, httpx.TransportError)
    if error.pause is None:
        return True
    return error.pause if error.pause <= settings.max_retry_after else False


class BoundedClient(httpx.Client):
    """A client whose connections end at a deadline: a timeout of a read begins again with each byte."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - those of `httpx.Client`
        super().__init__(**options)
        self._sockets: list[socket.socket] = []

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:  # noqa: ANN401 - as above
        """Send a request, and note the connection that it opens."""
        request.extensions = {**request.extensions, "trace": self._note}
        return super().send(request, **options)

    @contextmanager
    def ended_after(self, seconds: float) -> Iterator[None]:
        """End every connection, in a block, after some seconds: whoever reads from one gets an error."""
        timer = threading.Timer(seconds, self._end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def close(self) -> None:
        """Close the connections."""
        super().close()
        for connection in self._sockets:
            connection.close()

    def _note(self, event: str, info: Mapping[str, Any]) -> None:
        if event.endswith("connect_tcp.complete"):
            # A handle of its own: TLS takes the first one over.
            self._sockets.append(info["return_value"].get_extra_info("socket").dup())

    def _end(self) -> None:
        for connection in self._sockets:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def official_client(settings: Settings) -> BoundedClient:
    """Return a client for official addresses, or for the server that plays them."""
    if not settings.official_sites:
        return plain_client()
    _announce(settings.official_sites)
    return plain_client(_PlayedSites(settings.official_sites))


def plain_client(transport: httpx.BaseTransport | None = None) -> BoundedClient:
    """Return a client that names the program and verifies certificates."""
    return BoundedClient(
        transport=transport,
        verify=_tls(),
        headers={"User-Agent": f"qpv-geo/{qpv_geo.__version__}", "Accept-Encoding": "identity"},
    )


class _PlayedSites(httpx.BaseTransport):
    """Takes requests for official addresses to a server of this machine, below a folder named after the host.

    Above it nothing changes: addresses, allowed hosts and redirects are the official ones.
    """

    def __init__(self, server: str) -> None:
        self._server = httpx.URL(server)
        self._inner = httpx.HTTPTransport(verify=_tls())

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        path = f"/{request.url.host}".encode() + request.url.raw_path
        headers = [(name, value) for name, value in request.headers.items() if name != "host"]
        played = httpx.Request(
            request.method,
            self._server.copy_with(raw_path=path),
            headers=[("Host", self._server.netloc.decode("ascii")), *headers],
            stream=request.stream,
            extensions=request.extensions,
        )
        return self._inner.handle_request(played)

    def close(self) -> None:
        self._inner.close()


def origin_of(url: str | httpx.URL) -> str:
    """Return ``scheme://host`` of an address, with its port if it is not the scheme's."""
    url = httpx.URL(url)
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


@cache
def _announce(server: str) -> None:
    """Say once what must never be taken for the official sites unawares."""
    _LOGGER.warning("the official sites are played by %s (QPV_GEO_OFFICIAL_SITES)", server)


@cache
def _tls() -> ssl.SSLContext:
    """Certificates are always verified; reading the trusted ones takes long enough to do it once."""
    return httpx.create_ssl_context()


def _retry_after(response: httpx.Response) -> float | None:
    """Return the pause that a server asks for in seconds, given as such or as a date."""
    value = response.headers.get("Retry-After", "")
    if value.isdecimal():
        return float(value)
    date = http_date(value)
    return max(0.0, (date - datetime.now(UTC)).total_seconds()) if date else None


def http_date(value: str | None) -> datetime | None:
    """Return a date of a header in UTC; None if it is none."""
    try:
        parsed = parsedate_to_datetime(value or "")
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
