"""Whether a source has changed: asked of real servers, for the price of headers."""

from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from qpv_geo.errors import SourceContentError, SourceUnavailableError
from qpv_geo.pipeline.fetching import ask_sources, fetch
from qpv_geo.pipeline.job import Job
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import Catalogue
from qpv_geo.sources.fetch import Policy, accept, fetch_primary, has_changed
from qpv_geo.territory import Territory
from tests.country import publish_country
from tests.server import OfficialSites

CSV = b"codeQPV;popMuniQPV\nQN02503M;15603\n"


@pytest.fixture
def known(live: Settings, sites: OfficialSites, besancon: Territory, catalogue: Catalogue) -> Settings:
    """Settings of a machine that has accepted the contours and the populations that are online."""
    publish_country(sites)
    for source_id in ("qpv_2024", "insee_population"):
        accept([fetch_primary(catalogue[source_id], besancon, live, Policy())], live)
    sites.requests.clear()
    return live


def bodies(sites: OfficialSites) -> int:
    return sum(request.body for request in sites.requests)


@pytest.mark.parametrize("source_id", ["qpv_2024", "insee_population"])
def test_what_is_unchanged_costs_headers(
    known: Settings, sites: OfficialSites, besancon: Territory, catalogue: Catalogue, source_id: str
) -> None:
    assert not has_changed(catalogue[source_id], besancon, known, Policy())
    assert bodies(sites) == 0


@pytest.mark.parametrize("source_id", ["qpv_2024", "insee_population"])
def test_a_new_edition_is_seen_and_not_downloaded(
    known: Settings, sites: OfficialSites, besancon: Territory, catalogue: Catalogue, source_id: str
) -> None:
    sites.publish(source_id, sites.data(source_id) + b"\n")
    stored = sorted(known.data_dir.rglob("*.csv"))
    assert has_changed(catalogue[source_id], besancon, known, Policy())
    assert sorted(known.data_dir.rglob("*.csv")) == stored


def test_what_was_never_accepted_counts_as_changed(
    live: Settings, sites: OfficialSites, besancon: Territory, catalogue: Catalogue
) -> None:
    publish_country(sites)
    assert has_changed(catalogue["qpv_2024"], besancon, live, Policy())
    fetch_primary(catalogue["qpv_2024"], besancon, live, Policy())
    assert has_changed(catalogue["qpv_2024"], besancon, live, Policy())


def test_a_mirror_at_an_address_is_asked_in_the_same_way(
    settings: Settings, sites: OfficialSites, besancon: Territory, catalogue: Catalogue
) -> None:
    policy, source = Policy(mirror=sites.mirror_url), catalogue["insee_population"]
    accept([fetch_primary(source, besancon, settings, policy)], settings)
    assert not has_changed(source, besancon, settings, policy)
    sites.publish("insee_population", CSV)
    assert has_changed(source, besancon, settings, policy)


class _Plain(BaseHTTPRequestHandler):
    """Serves a file without a word of its version."""

    body = CSV

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def plain() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Plain) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_without_etag_nor_date_the_bytes_decide_and_are_not_kept(
    settings: Settings,
    plain: str,
    besancon: Territory,
    catalogue: Catalogue,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    policy, source = Policy(mirror=plain), catalogue["insee_population"]
    accept([fetch_primary(source, besancon, settings, policy)], settings)
    assert not has_changed(source, besancon, settings, policy)
    monkeypatch.setattr(_Plain, "body", CSV + b"QN02504M;1636\n")
    assert has_changed(source, besancon, settings, policy)
    stored = [path for path in settings.store_dir.rglob("*") if path.suffix == ".csv"]
    assert [path.read_bytes() for path in stored] == [CSV]


def test_a_site_out_of_reach_is_neither_changed_nor_unchanged(
    known: Settings, sites: OfficialSites, besancon: Territory, catalogue: Catalogue
) -> None:
    sites.misbehave("www.insee.fr", 503)
    with pytest.raises(SourceUnavailableError, match="503"):
        has_changed(catalogue["insee_population"], besancon, known, Policy())


def test_the_answers_say_which_source_is_what(
    known: Settings, sites: OfficialSites, besancon: Territory
) -> None:
    sites.misbehave("fichier/8210600", 503)
    answers = {answer.key: answer for answer in ask_sources(Job(besancon, known))}
    assert answers["qpv_2024"].state == "unchanged"
    assert answers["insee_population"].state == "unreachable"
    assert "503" in answers["insee_population"].reason
    assert answers["insee_filosofi"].state == "changed"


def test_a_page_that_no_longer_links_the_file_is_for_the_refresh_to_judge(
    known: Settings, sites: OfficialSites, besancon: Territory
) -> None:
    sites.withdraw("insee_population")
    job = Job(besancon, known)
    answers = {answer.key: answer for answer in ask_sources(job)}
    assert answers["insee_population"].state == "changed"
    assert "no link matches" in answers["insee_population"].reason
    with pytest.raises(SourceContentError, match="no link matches"):
        fetch(job)


def test_no_source_at_all_is_a_failure_of_the_watch(settings: Settings, besancon: Territory) -> None:
    nowhere = replace(settings, official_sites="http://127.0.0.1:9")
    with pytest.raises(SourceUnavailableError, match=r"none of the \d+ sources could be reached"):
        ask_sources(Job(besancon, nowhere))
