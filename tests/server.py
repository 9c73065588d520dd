"""A real HTTP server that plays the official sites, well-behaved or not, from files laid out like the mirror.

Each host is a folder: ``http://127.0.0.1:PORT/www.insee.fr/fr/statistiques/8210600``. Give
`OfficialSites.url` to ``Settings(official_sites=…)``, or to a command as ``QPV_GEO_OFFICIAL_SITES``. The same
files are served as a mirror below ``/mirror``.
"""

import gzip
import hashlib
import io
import json
import os
import socket
import struct
import sys
import threading
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from qpv_geo.sources.catalogue import DataGouvAddress, InseePageAddress, NoAddress, Source, load_catalogue
from qpv_geo.sources.resolve import known_url, mirror_paths
from qpv_geo.territory import load_territory

_FIRST_EDITION = datetime(2026, 1, 15, 20, 43, 23, tzinfo=UTC)
WFS = "/data.geopf.fr/wfs/ows"
MAINTENANCE = b"<!DOCTYPE html>\n<html><head><title>Site en maintenance</title></head><body></body></html>\n"


@dataclass
class Request:
    """What was asked and what was answered: `body` is the number of bytes sent after the headers.

    It is written down before the bytes leave: whoever has read an answer finds it here.
    """

    path: str
    headers: dict[str, str]
    status: int = 0
    body: int = 0


@dataclass(frozen=True)
class _File:
    name: str
    data: bytes
    last_modified: datetime
    mirror_path: str

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.data).hexdigest()[:16]}"'


@dataclass
class _Fault:
    where: str
    how: str | int | bytes | dict[str, str]
    times: int | None
    retry_after: str | None


@dataclass(frozen=True)
class _Answer:
    """A body, or the address to redirect to."""

    data: bytes = b""
    content_type: str = "application/octet-stream"
    etag: str | None = None
    last_modified: datetime | None = None
    location: str | None = None


class OfficialSites:
    """The official sites, from a folder laid out like the snapshot or the mirror.

    ``with OfficialSites(snapshot) as sites:`` starts the server on a free port of this machine.

    Attributes
    ----------
    url
        Where the official sites are played.
    mirror_url
        Where the same files are laid out like the mirror.
    requests
        All requests so far, the oldest first.
    wfs
        What answers the queries to the WFS of the Géoplateforme, if anything does; see `tests.city`.
    """

    def __init__(self, root: Path, territory: str = "besancon") -> None:
        self._territory = load_territory(territory)
        self._sources = {source.id: source for source in load_catalogue().sources}
        self._files = {
            source.id: file for source in self._sources.values() if (file := self._load(root, source))
        }
        self._faults: list[_Fault] = []
        self.stopped = threading.Event()
        self._server = _Server(self)
        self.requests: list[Request] = []
        self.wfs: Callable[[dict[str, str]], bytes] | None = None
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.mirror_url = f"{self.url}/mirror"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()
        assert not self._server.errors, self._server.errors

    def publish(self, source_id: str, data: bytes, name: str | None = None) -> None:
        """Put a new edition of a source's file online, a day after the one before."""
        before = self._files.get(source_id)
        mirror_path = (
            before.mirror_path if before else mirror_paths(self._sources[source_id], self._territory)[0]
        )
        date = before.last_modified + timedelta(days=1) if before else _FIRST_EDITION
        name = name or (before.name if before else Path(mirror_path).name)
        self._files[source_id] = _File(name, data, date, mirror_path)

    def withdraw(self, source_id: str) -> None:
        """Take a source's file offline: its address answers 404."""
        del self._files[source_id]

    def publishes(self, source_id: str) -> bool:
        """Tell whether a source's file is online."""
        return source_id in self._files

    def data(self, source_id: str) -> bytes:
        """Return the bytes that are online for a source."""
        return self._files[source_id].data

    def misbehave(
        self,
        where: str,
        how: str | int | bytes | dict[str, str],
        *,
        times: int | None = None,
        retry_after: str | None = None,
    ) -> None:
        """Answer badly to requests whose path holds `where`, `times` times or until `behave`.

        Parameters
        ----------
        where
            Part of a path, the host's folder included: ``www.insee.fr``, ``fichier/8210600``, ``/mirror/``.
        how
            A status (403, 429, 503, …), or ``html`` (a page with status 200), ``empty``, ``truncated``
            (closed before the declared length), ``cut`` (half the file, no length), ``short`` (half the
            length is declared), ``reset`` (connection reset half-way), ``down`` (closed without an answer),
            ``silent`` (no answer), ``drip`` (a byte from time to time), ``endless``, ``huge`` (a declared
            length of a terabyte), ``encoded`` (compressed for the transfer), ``headers`` (of which a byte
            comes from time to time), ``interim`` (103 again and again), ``extensions`` (a chunk whose first
            line has no end), ``loop``, ``elsewhere`` (a redirect to an undeclared host),
            ``downgrade`` (to http), ``credentials`` (to an address with a password), ``underscore`` (to a
            name that begins with one), ``malformed`` (to what is no address). Or the bytes of another answer,
            or headers in the place of the good answer's.
        """
        self._faults.insert(0, _Fault(where, how, times, retry_after))

    def behave(self) -> None:
        """Forget every misbehaviour."""
        self._faults.clear()

    def asked(self, where: str) -> list[Request]:
        """Return the requests whose path holds `where`."""
        return [request for request in self.requests if where in request.path]

    def _load(self, root: Path, source: Source) -> _File | None:
        for path in mirror_paths(source, self._territory):
            found = root / path
            if found.is_dir():
                # Sites ship as a zip what the snapshot holds as a folder.
                packed = mirror_paths(source, self._territory)[0]
                return _File(Path(packed).name, zipped(found), _FIRST_EDITION, packed)
            if found.is_file():
                return _File(found.name, found.read_bytes(), _FIRST_EDITION, path)
        return None

    def fault_at(self, path: str) -> _Fault | None:
        """Return how to misbehave at a path, if at all."""
        for fault in self._faults:
            if fault.where in path and fault.times != 0:
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None

    def answer(self, path: str) -> _Answer | None:
        """Return what a well-behaved site answers, None for 404."""
        if path.startswith("/mirror/"):
            files = [file for file in self._files.values() if f"/mirror/{file.mirror_path}" == path]
            return _file_answer(files[0], files[0].data) if files else None
        for source_id, file in self._files.items():
            if answer := self._of_source(self._sources[source_id], file, path):
                return answer
        return self._of_page(path)

    def _of_source(self, source: Source, file: _File, path: str) -> _Answer | None:
        data = file.data
        match source.address:
            case InseePageAddress(page=page):
                addresses = {f"/www.insee.fr/fr/statistiques/fichier/{page}/{file.name}"}
            case DataGouvAddress(resource=resource):
                static = _static_url(source, file)
                if path == f"/www.data.gouv.fr/fr/datasets/r/{resource}":
                    return _Answer(location=static)
                addresses = {"/" + static.removeprefix("https://")}
            case NoAddress():
                return None
            case _:
                parts = urlsplit(known_url(source, self._territory))
                addresses = {f"/{parts.netloc}{parts.path}"}
                if parts.path.endswith(".json") and file.name.endswith(".gz"):
                    data = gzip.decompress(data)
        return _file_answer(file, data) if path in addresses else None

    def _of_page(self, path: str) -> _Answer | None:
        host_and_page = path.strip("/").rsplit("/", 1)
        online = [(self._sources[source_id], file) for source_id, file in self._files.items()]
        if host_and_page[0] == "www.insee.fr/fr/statistiques":
            names = [file.name for source, file in online if _page(source) == host_and_page[1]]
            return _page_answer(_insee_page(host_and_page[1], names), "text/html; charset=utf-8")
        if host_and_page[0] == "www.data.gouv.fr/api/1/datasets":
            resources = [
                {
                    "id": source.id,
                    "title": source.title,
                    "format": source.format,
                    "url": _static_url(source, file),
                }
                for source, file in online
                if isinstance(source.address, DataGouvAddress) and source.address.dataset == host_and_page[1]
            ]
            return _page_answer(json.dumps({"resources": resources}).encode(), "application/json")
        return None


def zipped(folder: Path) -> bytes:
    """Return a folder as the bytes of a zip, the same each time."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.writestr(zipfile.ZipInfo(file.relative_to(folder).as_posix()), file.read_bytes())
    return packed.getvalue()


def _page(source: Source) -> str | None:
    return source.address.page if isinstance(source.address, InseePageAddress) else None


def _static_url(source: Source, file: _File) -> str:
    """Return the address of an edition, which carries the time of its publication."""
    stamp = file.last_modified.strftime("%Y%m%d-%H%M%S")
    return f"https://static.data.gouv.fr/resources/{source.id}/{stamp}/{quote(file.name)}"


def _file_answer(file: _File, data: bytes) -> _Answer:
    return _Answer(data, etag=file.etag, last_modified=file.last_modified)


def _page_answer(data: bytes, content_type: str) -> _Answer:
    return _Answer(data, content_type, etag=f'W/"{hashlib.sha256(data).hexdigest()[:16]}"')


def _insee_page(page: str, names: list[str]) -> bytes:
    """Return a page that links its files among other links, twice, with a workbook beside each."""
    links = []
    for name in names:
        twin = name.replace("_csv", "_xlsx").replace(".csv", ".xlsx")
        links += [
            f'<li><a class="fichier" href="/fr/statistiques/fichier/{page}/{quote(linked)}">{linked}</a></li>'
            for linked in dict.fromkeys([name, twin])
        ] * 2
    body = "\n".join(['<a href="/fr/accueil">Accueil</a>', '<a href="#top">Haut</a>', *links])
    return f"<!DOCTYPE html>\n<html lang='fr'><body>\n{body}\n</body></html>\n".encode()


class _Server(ThreadingHTTPServer):
    """Listens on a free port; keeps what went wrong in a handler for the end of the test."""

    def __init__(self, sites: OfficialSites) -> None:
        self.sites = sites
        self.errors: list[BaseException] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        """Clients that hang up are what some tests are about."""
        error = sys.exception()
        if error and not isinstance(error, ConnectionError):
            self.errors.append(error)


# Answers that never come to their point: how they begin, and what follows again and again.
_TRICKLES = {
    "headers": (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"1"),
    "interim": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "extensions": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1", b";a"),
}


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args: object) -> None:
        """Requests are kept, not printed."""

    def do_GET(self) -> None:
        sites = self.server.sites
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._request = Request(self.path, headers)
        sites.requests.append(self._request)
        fault = sites.fault_at(self.path)
        parts = urlsplit(self.path)
        answer = sites.answer(unquote(parts.path))
        if sites.wfs and parts.path == WFS and "BDTOPO" in parts.query:
            answer = _Answer(sites.wfs(dict(parse_qsl(parts.query))), "application/json")
        if fault and answer and isinstance(fault.how, dict):
            self._serve(answer, fault.how)
        elif fault:
            self._misbehave(fault, answer.data if answer else b"")
        elif answer is None:
            self._reply(404, {"Content-Length": "0"})
        elif answer.location:
            self._reply(302, {"Location": answer.location, "Content-Length": "0"})
        else:
            self._serve(answer)

    def _serve(self, answer: _Answer, others: dict[str, str] | None = None) -> None:
        headers = {"Content-Type": answer.content_type}
        if answer.etag:
            headers["ETag"] = answer.etag
        if answer.last_modified:
            headers["Last-Modified"] = format_datetime(answer.last_modified, usegmt=True)
        headers |= others or {}
        asked = self.headers.get("If-None-Match")
        since = self.headers.get("If-Modified-Since")
        if asked == answer.etag if asked else (since is not None and since == headers.get("Last-Modified")):
            self._reply(304, headers)
            return
        self._reply(200, headers | {"Content-Length": str(len(answer.data))}, answer.data)

    def _reply(self, status: int, headers: dict[str, str], data: bytes = b"") -> None:
        self._request.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self._send(data)

    def _send(self, data: bytes) -> None:
        self._request.body += len(data)
        self.wfile.write(data)

    def _misbehave(self, fault: _Fault, data: bytes) -> None:
        if isinstance(fault.how, int):
            pause = {"Retry-After": fault.retry_after} if fault.retry_after else {}
            self._reply(fault.how, {"Content-Length": "0"} | pause)
            return
        self.close_connection = True
        if isinstance(fault.how, bytes):
            self._reply(200, {"Content-Length": str(len(fault.how))}, fault.how)
            return
        assert isinstance(fault.how, str)
        half = data[: len(data) // 2]
        official = "https:/" + self.path
        redirects = {
            "loop": official,
            "elsewhere": "https://example.org/file.zip",
            "downgrade": official.replace("https://", "http://"),
            "underscore": "https://_depot.insee.fr/file.csv",
            "malformed": "http://[",
            "credentials": official.replace("https://", "https://user:secret@"),
        }
        bodies = {  # the declared length, the body
            "html": (len(MAINTENANCE), MAINTENANCE),
            "empty": (0, b""),
            "truncated": (len(data) + 1, half),
            "cut": (None, half),
            "short": (len(half), data),
            "reset": (len(data) + 1, half),
            "drip": (None, b""),
            "endless": (None, b""),
            "huge": (1024**4, b""),
            "encoded": (None, gzip.compress(data)),
        }
        if fault.how in redirects:
            self._reply(302, {"Location": redirects[fault.how], "Content-Length": "0"})
        elif fault.how in bodies:
            length, body = bodies[fault.how]
            headers = {} if length is None else {"Content-Length": str(length)}
            if fault.how == "encoded":
                headers["Content-Encoding"] = "gzip"
            self._reply(200, headers, body)
            self._go_on(fault.how)
        elif fault.how in _TRICKLES:
            begin, again = _TRICKLES[fault.how]
            self._send(begin)
            while not self.server.sites.stopped.wait(0.01):
                self._send(again)
        elif fault.how == "silent":
            self.server.sites.stopped.wait()
        elif fault.how != "down":
            raise ValueError(f"no such misbehaviour: {fault.how}")

    def _go_on(self, how: str) -> None:
        if how in {"drip", "endless"}:
            self._pour(slowly=how == "drip")
        elif how == "reset":
            self._reset()

    def _pour(self, *, slowly: bool) -> None:
        while not self.server.sites.stopped.wait(0.01 if slowly else 0):
            self._send(b"1" if slowly else b"1;2;3\n" * 10_000)

    def _reset(self) -> None:
        """Abort the connection: the other side's system says so, a mere end would look like a short file."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())
