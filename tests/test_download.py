import hashlib
import io
import logging
import pickle
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
import stamina
from stamina.instrumentation import RetryDetails, get_on_retry_hooks, set_on_retry_hooks

from qpv_geo.errors import ConfigurationError, SourceContentError, SourceUnavailableError
from qpv_geo.settings import Settings
from qpv_geo.sources import http_client
from qpv_geo.sources.catalogue import Catalogue, Source
from qpv_geo.sources.download import Downloader, MissingError, Received, _conditions
from tests.server import OfficialSites

URL = "https://www.insee.fr/fr/statistiques/fichier/8210600/pop_QPV24.csv"
QPV = "https://www.data.gouv.fr/fr/datasets/r/942d4ee8-8142-4556-8ea1-335537ce1119"
LIMIT = 10 * 1024**2


@pytest.fixture
def source(catalogue: Catalogue) -> Source:
    return catalogue["insee_population"]


@pytest.fixture
def pauses() -> Iterator[list[float]]:
    """Collect what `stamina` was told to wait, without waiting for it."""
    waited: list[float] = []

    def note(details: RetryDetails) -> None:
        waited.append(details.wait_for)

    before = get_on_retry_hooks()
    set_on_retry_hooks([note])
    yield waited
    set_on_retry_hooks(before)


def get(source: Source, settings: Settings, url: str = URL, limit: int = LIMIT) -> tuple[bytes, Received]:
    body = io.BytesIO()
    with Downloader(source, settings) as downloader:
        received = downloader.get(url, body, limit)
    return body.getvalue(), received


def test_a_file_comes_with_what_is_known_of_it(source: Source, live: Settings, sites: OfficialSites) -> None:
    data, received = get(source, live)
    assert data == sites.data("insee_population")
    assert received.sha256 == hashlib.sha256(data).hexdigest()
    assert received.size == len(data)
    assert received.resolved_url == URL
    assert received.etag == f'"{received.sha256[:16]}"'
    assert received.last_modified == datetime(2026, 1, 15, 20, 43, 23, tzinfo=UTC)
    (request,) = sites.requests
    assert request.headers["user-agent"].startswith("qpv-geo/")
    assert request.headers["accept-encoding"] == "identity"
    assert "authorization" not in request.headers


def test_a_stable_address_redirects_to_the_current_edition(
    catalogue: Catalogue, live: Settings, sites: OfficialSites
) -> None:
    data, received = get(catalogue["qpv_2024"], live, QPV)
    assert data == sites.data("qpv_2024")
    assert received.resolved_url.endswith("/20260115-204323/qpv-2024.geojson")


def test_an_unchanged_file_costs_headers_only(source: Source, live: Settings, sites: OfficialSites) -> None:
    _, received = get(source, live)
    for known in (received, replace(received, etag=None), replace(received, last_modified=None)):
        body = io.BytesIO()
        with Downloader(source, live) as downloader:
            assert downloader.get(URL, body, LIMIT, known) is None
        assert body.getvalue() == b""
        assert (sites.requests[-1].status, sites.requests[-1].body) == (304, 0)


def test_a_changed_file_is_sent_again(source: Source, live: Settings, sites: OfficialSites) -> None:
    _, received = get(source, live)
    sites.publish("insee_population", b"codeQPV;popMuniQPV\n")
    body = io.BytesIO()
    with Downloader(source, live) as downloader:
        assert downloader.get(URL, body, LIMIT, received) is not None
    assert body.getvalue() == b"codeQPV;popMuniQPV\n"


def test_validators_go_to_no_other_address(
    catalogue: Catalogue, live: Settings, sites: OfficialSites
) -> None:
    known = Received("https://static.data.gouv.fr/resources/qpv_2024/old/qpv.geojson", '"x"', None, "", 0)
    with Downloader(catalogue["qpv_2024"], live) as downloader:
        assert downloader.get(QPV, io.BytesIO(), LIMIT, known) is not None
    assert not [request for request in sites.requests if "if-none-match" in request.headers]


def test_not_modified_without_a_condition_is_no_file(
    source: Source, live: Settings, sites: OfficialSites
) -> None:
    sites.misbehave(".csv", 304)
    with pytest.raises(SourceContentError, match="answered 304"):
        get(source, live)


@pytest.mark.parametrize("how", [500, 502, 503, 429, 408, "reset", "down", "truncated"])
def test_what_may_pass_is_tried_again(
    source: Source, live: Settings, sites: OfficialSites, how: str | int
) -> None:
    sites.misbehave(".csv", how, times=2)
    data, received = get(source, live)
    assert data == sites.data("insee_population")
    assert received.size == len(data)
    assert len(sites.requests) == 3


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_site_that_stays_down_is_unavailable(
    source: Source, live: Settings, sites: OfficialSites, status: int
) -> None:
    sites.misbehave(".csv", status)
    with pytest.raises(SourceUnavailableError, match=f"answered {status} to each attempt") as caught:
        get(source, live)
    assert caught.value.reason == f"site injoignable : www.insee.fr a répondu {status}"
    assert caught.value.transient
    assert len(sites.requests) == live.attempts


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_file_that_is_not_there_is_not_asked_twice(
    source: Source, live: Settings, sites: OfficialSites, status: int
) -> None:
    sites.misbehave(".csv", status)
    with pytest.raises(MissingError, match=f"answered {status}") as caught:
        get(source, live)
    assert caught.value.reason == f"site injoignable : www.insee.fr a répondu {status}"
    assert not caught.value.transient
    assert len(sites.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 418])
def test_a_refusal_is_not_asked_twice(
    source: Source, live: Settings, sites: OfficialSites, status: int
) -> None:
    sites.misbehave(".csv", status)
    with pytest.raises(SourceUnavailableError, match=f"answered {status}"):
        get(source, live)
    assert len(sites.requests) == 1


@pytest.mark.parametrize("status", [201, 204, 206, 300])
def test_a_success_that_is_no_file_is_bad_content(
    source: Source, live: Settings, sites: OfficialSites, status: int
) -> None:
    sites.misbehave(".csv", status)
    with pytest.raises(SourceContentError, match=f"answered {status} .*200 was expected"):
        get(source, live)


def test_nobody_listening_is_unavailable(source: Source, settings: Settings) -> None:
    with pytest.raises(SourceUnavailableError, match="refused") as caught:
        get(source, settings)
    assert caught.value.reason == "site injoignable : connexion à www.insee.fr impossible ou interrompue"


@pytest.mark.parametrize("how", ["reset", "down"])
def test_a_broken_connection_is_unavailable(
    source: Source, live: Settings, sites: OfficialSites, how: str
) -> None:
    sites.misbehave(".csv", how)
    with pytest.raises(SourceUnavailableError) as caught:
        get(source, live)
    assert "connexion à www.insee.fr impossible ou interrompue" in caught.value.reason
    assert caught.value.transient
    assert len(sites.requests) == live.attempts


def test_a_file_cut_short_each_time_is_bad_content(
    source: Source, live: Settings, sites: OfficialSites
) -> None:
    sites.misbehave(".csv", "truncated")
    with pytest.raises(
        SourceContentError, match=r"cut short at each attempt .*received 220 bytes, expected 442"
    ):
        get(source, live)
    assert len(sites.requests) == live.attempts


def test_a_file_compressed_for_the_transfer_is_refused(
    source: Source, live: Settings, sites: OfficialSites
) -> None:
    """It was not asked for, and 1,827 bytes can become gigabytes."""
    sites.misbehave(".csv", "encoded")
    with pytest.raises(SourceContentError, match="sends Content-Encoding 'gzip', not asked for"):
        get(source, live)
    assert len(sites.requests) == 1


def test_a_silent_site_is_unavailable(source: Source, live: Settings, sites: OfficialSites) -> None:
    sites.misbehave(".csv", "silent")
    with pytest.raises(SourceUnavailableError, match="ReadTimeout") as caught:
        get(source, replace(live, read_timeout=0.5, attempts=2))
    assert caught.value.reason == "site injoignable : www.insee.fr ne répond pas"
    assert caught.value.transient
    assert len(sites.requests) == 2


def test_bytes_that_trickle_in_do_not_outlast_the_deadline(
    source: Source, live: Settings, sites: OfficialSites
) -> None:
    sites.misbehave(".csv", "drip")
    with pytest.raises(SourceUnavailableError, match=r"not complete after 0\.2 s") as caught:
        get(source, replace(live, download_deadline=0.2))
    assert caught.value.reason == "site injoignable : www.insee.fr trop lent (plus de 0.2 s)"
    assert len(sites.requests) == 1


@pytest.mark.parametrize("how", ["headers", "interim", "extensions", "silent"])
def test_nothing_that_a_server_sends_outlasts_the_deadline(
    source: Source, live: Settings, sites: OfficialSites, how: str
) -> None:
    sites.misbehave(".csv", how)
    start = time.monotonic()
    with pytest.raises(SourceUnavailableError, match=r"not complete after 1 s"):
        get(source, replace(live, download_deadline=1.0))
    assert time.monotonic() - start < 2
    assert len(sites.requests) == 1


def test_a_handshake_that_trickles_does_not_either(source: Source, live: Settings) -> None:
    def trickle() -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            # The head of a TLS record that says that 16,384 bytes follow.
            connection.sendall(b"\x16\x03\x03\x40\x00")
            while not over.wait(0.01):
                connection.sendall(b"\x00")

    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=trickle)
        server.start()
        origin = f"https://127.0.0.1:{listener.getsockname()[1]}"
        start = time.monotonic()
        with (
            Downloader(source, replace(live, download_deadline=1.0), frozenset({origin})) as downloader,
            pytest.raises(SourceUnavailableError, match="not complete after 1 s"),
        ):
            downloader.get(f"{origin}/pop.csv", io.BytesIO(), 1000)
        assert time.monotonic() - start < 2
        over.set()
        server.join()


@pytest.mark.parametrize("etag", ['"é"', "sans guillemets", '"a"b"', 'W/"x', '"a\nb"'])
def test_an_etag_that_is_none_is_not_sent_back(etag: str) -> None:
    known = Received("https://www.insee.fr/a", etag, None, "", 0)
    assert _conditions(known, httpx.URL(known.resolved_url)) == {}
    sent = _conditions(replace(known, etag='W/"a-1"'), httpx.URL(known.resolved_url))
    assert sent == {"If-None-Match": 'W/"a-1"'}


def test_nothing_is_asked_once_the_deadline_has_passed(
    source: Source,
    live: Settings,
    sites: OfficialSites,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Prefect, once it has run in this process, keeps what the project logs from other listeners.
    logger = logging.getLogger("qpv_geo.sources.download")
    monkeypatch.setattr(logger, "disabled", False)
    monkeypatch.setattr(logger, "handlers", [caplog.handler])
    with (
        caplog.at_level(logging.INFO, logger=logger.name),
        pytest.raises(SourceUnavailableError, match="not complete after 1e-09 s"),
    ):
        get(source, replace(live, download_deadline=1e-9))
    assert not sites.requests
    # An error without a message is named: an attempt never fails for nothing.
    assert "attempt failed: _DeadlineError" in caplog.text


def test_a_body_without_end_stops_at_the_limit(source: Source, live: Settings, sites: OfficialSites) -> None:
    sites.misbehave(".csv", "endless")
    with pytest.raises(SourceContentError, match=r"the limit is 1,000; .*'max_bytes' in entry \[insee_pop"):
        get(source, live, limit=1000)
    assert len(sites.requests) == 1


def test_a_declared_length_beyond_the_limit_is_not_downloaded(
    source: Source, live: Settings, sites: OfficialSites
) -> None:
    sites.misbehave(".csv", "huge")
    with pytest.raises(SourceContentError, match="declares 1,099,511,627,776 bytes"):
        get(source, live)
    assert len(sites.requests) == 1


def test_the_limit_itself_is_allowed(source: Source, live: Settings, sites: OfficialSites) -> None:
    size = len(sites.data("insee_population"))
    assert get(source, live, limit=size)[1].size == size
    with pytest.raises(SourceContentError, match="the limit is"):
        get(source, live, limit=size - 1)


def test_an_endless_chain_of_redirects_is_unavailable(
    source: Source, live: Settings, sites: OfficialSites
) -> None:
    sites.misbehave(".csv", "loop")
    with pytest.raises(SourceUnavailableError, match="redirects more than 5 times") as caught:
        get(source, live)
    assert caught.value.reason == "site injoignable : www.insee.fr redirige sans fin"
    assert not caught.value.transient
    assert len(sites.requests) == 6


@pytest.mark.parametrize(
    ("how", "origin"),
    [
        ("elsewhere", "https://example.org"),
        ("downgrade", "http://www.insee.fr"),
        ("credentials", "https://www.insee.fr"),
    ],
)
def test_a_redirect_out_of_the_declared_hosts_is_not_followed(
    source: Source, live: Settings, sites: OfficialSites, how: str, origin: str
) -> None:
    sites.misbehave(".csv", how)
    with pytest.raises(
        SourceContentError, match=rf"leads to {origin}, only https://www\.insee\.fr"
    ) as caught:
        get(source, live)
    # Another host may be where the publisher moved to; the same without encryption is not.
    assert ('hosts = ["www.insee.fr", "example.org"]' in str(caught.value)) is (how == "elsewhere")
    assert len(sites.requests) == 1


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/x.csv",
        "https://www.insee.fr.example.org/x.csv",
        "https://www.insee.fr:8443/x.csv",
        "https://www.insee.fr@example.org/x.csv",
        "file:///etc/passwd",
    ],
)
def test_an_address_out_of_the_declared_hosts_is_not_asked(
    source: Source, live: Settings, sites: OfficialSites, url: str
) -> None:
    with pytest.raises(SourceContentError, match="leads to"):
        get(source, live, url)
    assert not sites.requests


def test_what_is_no_address_is_said_to_be_none(source: Source, live: Settings) -> None:
    with pytest.raises(SourceContentError, match="not an address"):
        get(source, live, "https://www.insee.fr:port/x.csv")


def test_the_pause_that_a_server_asks_for_is_granted(
    source: Source, live: Settings, sites: OfficialSites, pauses: list[float]
) -> None:
    sites.misbehave(".csv", 429, times=1, retry_after="0")
    sites.misbehave(".csv", 503, times=1, retry_after="1")
    assert get(source, live)[0] == sites.data("insee_population")
    assert pauses == [1.0, 0.0]


def test_a_pause_may_be_asked_for_as_a_date(
    source: Source, live: Settings, sites: OfficialSites, pauses: list[float]
) -> None:
    past = format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)
    sites.misbehave(".csv", 429, times=1, retry_after=past)
    get(source, live)
    assert pauses == [0.0]


@pytest.mark.parametrize("pause", ["3600", format_datetime(datetime(2999, 1, 1, tzinfo=UTC), usegmt=True)])
def test_too_long_a_pause_is_not_granted(
    source: Source, live: Settings, sites: OfficialSites, pause: str
) -> None:
    sites.misbehave(".csv", 429, retry_after=pause)
    with pytest.raises(SourceUnavailableError, match="answered 429"):
        get(source, live)
    assert len(sites.requests) == 1


@pytest.mark.parametrize("pause", ["soon", "\N{SUPERSCRIPT TWO}", "Fri, 31 Dec 9999 23:59:59 -0100"])
def test_without_a_pause_asked_for_waits_grow(
    source: Source, live: Settings, sites: OfficialSites, pauses: list[float], pause: str
) -> None:
    sites.misbehave(".csv", 429, retry_after=pause)
    with pytest.raises(SourceUnavailableError):
        get(source, replace(live, attempts=4, backoff=0.01))
    first, second, third = pauses
    assert 0.01 <= first <= 0.02
    assert 0.02 <= second <= 0.03
    assert 0.04 <= third <= 0.05


def test_retries_go_through_the_library(source: Source, live: Settings, sites: OfficialSites) -> None:
    sites.misbehave(".csv", 503)
    stamina.set_active(False)
    try:
        with pytest.raises(SourceUnavailableError):
            get(source, live)
    finally:
        stamina.set_active(True)
    assert len(sites.requests) == 1


def test_an_error_keeps_its_reason_from_one_process_to_another() -> None:
    error = MissingError("message", reason="raison", transient=True)
    copied = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (str(copied), copied.reason, copied.transient) == ("message", "raison", True)


def test_progress_is_told(catalogue: Catalogue, live: Settings, sites: OfficialSites) -> None:
    calls: list[tuple[str, int, int | None]] = []
    source = catalogue["communes_epci"]
    url = "https://geo.api.gouv.fr/epcis/242500361/communes"
    with Downloader(source, live, progress=lambda *call: calls.append(call)) as downloader:
        downloader.get(url, io.BytesIO(), LIMIT)
    total = len(sites.data("communes_epci"))
    assert calls[-1] == ("communes_epci", total, total)
    done = [call[1] for call in calls]
    assert done == sorted(set(done))


def test_playing_the_official_sites_is_said_aloud(
    source: Source, live: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Prefect, once it has run in this process, keeps what the project logs from other listeners.
    logger = logging.getLogger("qpv_geo.sources.http_client")
    http_client._announce.cache_clear()  # an address is told of once, and a port may serve twice
    monkeypatch.setattr(logger, "disabled", False)
    monkeypatch.setattr(logger, "handlers", [caplog.handler])
    with caplog.at_level(logging.WARNING, logger=logger.name):
        get(source, live)
    assert f"the official sites are played by {live.official_sites}" in caplog.text


@pytest.mark.parametrize(
    "address",
    [
        "http://192.168.1.1:80",
        "https://127.0.0.1:1",
        "http://example.org",
        "http://127.0.0.1:1/x",
        "http://127.0.0.1:port",
        "http://[",
        "localhost",
    ],
)
def test_only_this_machine_may_play_the_official_sites(settings: Settings, address: str) -> None:
    with pytest.raises(ConfigurationError, match="only a server of this machine"):
        replace(settings, official_sites=address)
