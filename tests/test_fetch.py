import gzip
import hashlib
import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from qpv_geo.errors import ConfigurationError, SourceContentError, SourceUnavailableError
from qpv_geo.settings import Settings
from qpv_geo.sources.archive import read_member
from qpv_geo.sources.catalogue import Catalogue, TerritoryFileAddress, load_catalogue
from qpv_geo.sources.fetch import Policy, accept, fall_back, fetch, fetch_primary
from qpv_geo.sources.raw import RawFile, digest
from qpv_geo.territory import Territory
from tests.server import OfficialSites, zipped

OFFLINE = Policy(offline=True)
COMMUNES = (
    "https://geo.api.gouv.fr/epcis/242500361/communes?format=geojson&geometry=contour"
    "&fields=nom,code,population,codeEpci,codeDepartement,codeRegion"
)
REQUIRED = ["qpv_2024", "insee_population", "insee_filosofi"]

Get = Callable[..., RawFile | None]


@pytest.fixture
def get(catalogue: Catalogue, besancon: Territory, live: Settings) -> Get:
    def got(source_id: str, policy: Policy | None = None, settings: Settings = live) -> RawFile | None:
        return fetch(catalogue[source_id], besancon, settings, policy or Policy())

    return got


def accepted(get: Get, source_id: str, settings: Settings, policy: Policy | None = None) -> RawFile:
    raw = get(source_id, policy, settings)
    assert raw is not None
    accept([raw], settings)
    return raw


# ------------------------------------------------------------------ first hand


@pytest.mark.parametrize(
    ("source_id", "asked", "answered"),
    [
        (
            "qpv_2024",
            "https://www.data.gouv.fr/fr/datasets/r/942d4ee8-8142-4556-8ea1-335537ce1119",
            "https://static.data.gouv.fr/resources/qpv_2024/20260115-204323/qpv-2024.geojson",
        ),
        (
            "insee_filosofi",
            "https://www.insee.fr/fr/statistiques/8243167",
            "https://www.insee.fr/fr/statistiques/fichier/8243167/revenus_pauvrete_2021_qp24_v2_csv.zip",
        ),
        (
            "communes_epci",
            COMMUNES,
            COMMUNES,
        ),
    ],
)
def test_official_sites_are_asked_first(
    get: Get, sites: OfficialSites, source_id: str, asked: str, answered: str
) -> None:
    raw = get(source_id)
    assert raw is not None
    assert raw.path.read_bytes() == sites.data(source_id)
    assert raw.sha256 == hashlib.sha256(sites.data(source_id)).hexdigest()
    assert raw.size == len(sites.data(source_id))
    assert (raw.url, raw.resolved_url) == (asked, answered)
    assert (raw.origin, raw.provenance, raw.reason) == ("live", "live", "")
    assert raw.last_modified == datetime(2026, 1, 15, 20, 43, 23, tzinfo=UTC)
    assert raw.date == date(2026, 1, 15)
    assert raw.national


def test_a_second_run_costs_headers_only(get: Get, live: Settings, sites: OfficialSites) -> None:
    first = [accepted(get, source_id, live) for source_id in REQUIRED]
    sites.requests.clear()
    second = [get(source_id) for source_id in REQUIRED]
    assert second == first
    assert sum(request.body for request in sites.requests) == 0
    assert {request.status for request in sites.requests} == {302, 304}


def test_a_second_run_on_a_mirror_costs_headers_only(get: Get, live: Settings, sites: OfficialSites) -> None:
    policy = Policy(mirror=sites.mirror_url)
    first = [accepted(get, source_id, live, policy) for source_id in REQUIRED]
    sites.requests.clear()
    assert [get(source_id, policy) for source_id in REQUIRED] == first
    assert sum(request.body for request in sites.requests) == 0


def test_a_file_that_insee_issues_again_under_another_name_is_found(
    get: Get, live: Settings, sites: OfficialSites
) -> None:
    accepted(get, "insee_population", live)
    sites.publish("insee_population", b"codeQPV;popMuniQPV\nQN02503M;15700\n", name="pop_QPV24_v2.csv")
    raw = get("insee_population")
    assert raw is not None
    assert raw.path.name == "pop_QPV24_v2.csv"
    assert raw.path.read_bytes() == sites.data("insee_population")
    assert raw.date == date(2026, 1, 16)


def test_a_new_edition_at_data_gouv_is_found(get: Get, live: Settings, sites: OfficialSites) -> None:
    before = accepted(get, "qpv_2024", live)
    sites.publish("qpv_2024", sites.data("qpv_2024").replace(b"Planoise", b"Planoise 2"))
    raw = get("qpv_2024")
    assert raw is not None
    assert (
        raw.resolved_url == "https://static.data.gouv.fr/resources/qpv_2024/20260116-204323/qpv-2024.geojson"
    )
    assert raw.sha256 != before.sha256


def test_the_contours_may_come_zipped_or_bare(
    get: Get, catalogue: Catalogue, live: Settings, sites: OfficialSites, tmp_path: Path
) -> None:
    bare = sites.data("qpv_2024")
    folder = tmp_path / "zip" / "GEOJSON"
    folder.mkdir(parents=True)
    (folder / "QP2024_France_Hexagonale_Outre_Mer_WGS84.geojson").write_bytes(bare)
    sites.publish("qpv_2024", zipped(folder.parent), name="qpv-2024-geojson.zip")
    raw = get("qpv_2024")
    assert raw is not None
    assert read_member(raw, catalogue["qpv_2024"].member, live).data == bare


def test_a_resource_found_through_the_api(
    catalogue: Catalogue, besancon: Territory, live: Settings, sites: OfficialSites
) -> None:
    sites.publish("listeqp_2024", "code_qp;lib_qp\n".encode("utf-8-sig"))
    source = catalogue["listeqp_2024"]
    raw = fetch_primary(source, besancon, live, Policy())
    assert raw.path.read_bytes() == sites.data("listeqp_2024")
    accept([raw], live)
    sites.requests.clear()
    assert fetch_primary(source, besancon, live, Policy()) == raw
    assert [(request.status, request.body) for request in sites.requests] == [(304, 0), (304, 0)]


def test_a_page_without_the_file_is_bad_content(get: Get, sites: OfficialSites) -> None:
    sites.publish("insee_population", b"x", name="population_qpv.csv")
    with pytest.raises(SourceContentError, match=r"no link matches .*seen: population_qpv\.csv"):
        get("insee_population")


def test_a_description_that_is_a_page_is_bad_content(
    catalogue: Catalogue, besancon: Territory, live: Settings, sites: OfficialSites
) -> None:
    sites.misbehave("/api/1/", "html")
    with pytest.raises(SourceContentError, match="expected to describe a dataset"):
        fetch_primary(catalogue["listeqp_2024"], besancon, live, Policy())


def test_progress_reaches_the_caller(catalogue: Catalogue, besancon: Territory, live: Settings) -> None:
    calls: list[tuple[str, int, int | None]] = []
    fetch_primary(catalogue["qpv_2024"], besancon, live, Policy(), lambda *call: calls.append(call))
    assert calls[-1] == ("qpv_2024", 23855, 23855)


# ------------------------------------------------------------------ not reached: what was kept


@pytest.mark.parametrize("how", [403, 404, 410, 500, 503, 429, "down", "reset", "loop"])
def test_a_site_that_is_not_reached_gives_way_to_the_last_accepted_copy(
    get: Get, live: Settings, sites: OfficialSites, how: str | int
) -> None:
    good = accepted(get, "qpv_2024", live)
    sites.misbehave("data.gouv.fr", how)
    raw = get("qpv_2024")
    assert raw is not None
    assert raw.reason.startswith("site injoignable : ")
    assert raw == replace(good, origin="store", reason=raw.reason)
    assert raw.provenance == "live"
    assert raw.national


def test_without_a_copy_the_shipped_snapshot_is_used(get: Get, sites: OfficialSites, snapshot: Path) -> None:
    sites.misbehave("www.insee.fr", 503)
    raw = get("insee_filosofi")
    assert raw is not None
    assert raw.path == snapshot / "insee" / "revenus_pauvrete_2021_qp24_v2_csv"
    assert (raw.sha256, raw.size) == digest(raw.path)
    assert (raw.origin, raw.provenance) == ("snapshot", "snapshot")
    assert raw.reason == "site injoignable : www.insee.fr a répondu 503"
    assert (raw.url, raw.resolved_url, raw.etag, raw.last_modified, raw.retrieved_at) == (None,) * 5
    assert raw.date == raw.source.published
    assert not raw.national


def test_a_candidate_is_no_fallback(get: Get, sites: OfficialSites) -> None:
    assert get("qpv_2024") is not None
    sites.misbehave("data.gouv.fr", 503)
    raw = get("qpv_2024")
    assert raw is not None
    assert raw.origin == "snapshot"


def test_an_optional_source_is_left_out(
    get: Get, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert get("cog_epci", None, settings) is None
    assert "source cog_epci is left out: no copy of it was kept" in caplog.text


def test_a_snapshot_that_lacks_a_required_source_is_said_to_hold_none_of_it(
    catalogue: Catalogue, besancon: Territory, settings: Settings
) -> None:
    shipped = settings.data_dir / "raw" / "snapshot"
    shipped.mkdir(parents=True)
    (shipped / "territoire.toml").write_text('epci = "242500361"')
    with pytest.raises(SourceUnavailableError, match=r"and none of anct/qpv-2024.* in .*snapshot\. Run"):
        fetch(catalogue["qpv_2024"], besancon, settings, Policy())


def test_a_required_source_of_which_nothing_was_kept_is_an_error(
    catalogue: Catalogue, besancon: Territory, settings: Settings
) -> None:
    elsewhere = besancon.model_copy(update={"epci": "200042398"})
    with pytest.raises(SourceUnavailableError) as caught:
        fetch(catalogue["qpv_2024"], elsewhere, settings, Policy())
    message = str(caught.value)
    assert message.startswith("source qpv_2024: ")
    assert "it is required, no copy of it is in " in message
    assert "injoignable" not in message
    assert "holds the EPCI 242500361 alone, not Grand Besançon Métropole (200042398)" in message
    assert caught.value.exit_code == 3
    assert caught.value.reason.startswith("site injoignable")


def test_a_host_that_takes_no_connection_is_not_asked_for_the_next_source(
    get: Get, settings: Settings, live: Settings, sites: OfficialSites, caplog: pytest.LogCaptureFixture
) -> None:
    policy = Policy()
    with caplog.at_level(logging.INFO):
        first = get("insee_population", policy, settings)
        assert caplog.text.count("attempt failed: [Errno") == settings.attempts
        # By now the sites answer, but this run does not ask them.
        second = get("insee_filosofi", policy, live)
    assert first is not None
    assert second is not None
    assert (
        first.reason
        == second.reason
        == "site injoignable : connexion à www.insee.fr impossible ou interrompue"
    )
    assert sites.requests == []
    assert "source insee_filosofi: https://www.insee.fr/fr/statistiques/8243167 was not asked" in caplog.text
    asked = get("qpv_2024", policy, live)
    assert asked is not None
    assert asked.origin == "live"


@pytest.mark.parametrize("how", [503, "down", "reset", "silent"])
def test_a_host_that_took_a_connection_is_asked_for_the_next_source(
    get: Get, live: Settings, sites: OfficialSites, how: str | int
) -> None:
    policy = Policy()
    sites.misbehave("statistiques/8210600", how)
    impatient = replace(live, read_timeout=0.05)
    assert [raw and raw.origin for raw in (get("insee_population", policy, impatient),)] == ["snapshot"]
    assert [raw and raw.origin for raw in (get("insee_filosofi", policy, live),)] == ["live"]


def test_require_live_forbids_any_fallback(get: Get, live: Settings, sites: OfficialSites) -> None:
    policy = Policy(require_live=True)
    assert accepted(get, "qpv_2024", live, policy).origin == "live"
    sites.misbehave("data.gouv.fr", 503)
    with pytest.raises(SourceUnavailableError, match="--require-live forbids"):
        get("qpv_2024", policy)
    sites.misbehave("unpkg.com", 503)
    assert get("cog_epci", policy) is None


def test_offline_asks_nobody(get: Get, live: Settings, sites: OfficialSites) -> None:
    good = accepted(get, "insee_population", live)
    sites.requests.clear()
    stored = get("insee_population", OFFLINE)
    assert stored == replace(good, origin="store", reason="exécution hors ligne")
    shipped = get("qpv_2024", OFFLINE)
    assert shipped is not None
    assert shipped.origin == "snapshot"
    assert get("cog_epci", OFFLINE) is None
    assert not sites.requests


def test_a_fallback_gives_the_reason_that_it_was_given(
    catalogue: Catalogue, besancon: Territory, settings: Settings
) -> None:
    raw = fall_back(
        catalogue["qpv_2024"],
        besancon,
        settings,
        Policy(),
        SourceUnavailableError("source qpv_2024: refused", reason="site injoignable : essai"),
    )
    assert raw is not None
    assert raw.reason == "site injoignable : essai"


# ------------------------------------------------------------------ reached and bad: stop


@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        ("html", "an HTML page titled 'Site en maintenance'"),
        ("empty", "is empty"),
        ("truncated", "cut short at each attempt"),
        ("cut", "is truncated"),
        ("short", "is truncated"),
        ("endless", "the limit is"),
        ("huge", "the limit is"),
        ("elsewhere", "leads to https://example.org"),
        (204, "200 was expected"),
    ],
)
def test_a_bad_answer_stops_the_run_and_replaces_nothing(
    get: Get, live: Settings, sites: OfficialSites, how: str | int, complaint: str
) -> None:
    good = accepted(get, "qpv_2024", live)
    sites.publish("qpv_2024", sites.data("qpv_2024").replace(b"Planoise", b"Planoise 2"))
    sites.misbehave("static.data.gouv.fr", how)
    with pytest.raises(SourceContentError, match=complaint) as caught:
        get("qpv_2024")
    assert caught.value.exit_code == 3
    sites.behave()
    stored = get("qpv_2024", OFFLINE)
    assert stored is not None
    assert (stored.origin, stored.sha256) == ("store", good.sha256)


@pytest.mark.parametrize("how", ["html", "cut", "truncated"])
def test_a_bad_archive_stops_the_run(get: Get, sites: OfficialSites, how: str) -> None:
    sites.misbehave("fichier/8243167", how)
    with pytest.raises(SourceContentError, match="source insee_filosofi"):
        get("insee_filosofi")


def test_an_optional_source_that_is_bad_stops_the_run_as_well(get: Get, sites: OfficialSites) -> None:
    sites.publish("cog_epci", b"[]", name="epci.json")
    sites.misbehave("unpkg.com", "html")
    with pytest.raises(SourceContentError, match="JSON was expected"):
        get("cog_epci")


def test_an_archive_without_the_declared_member_is_bad(
    get: Get, sites: OfficialSites, tmp_path: Path
) -> None:
    (tmp_path / "zip").mkdir()
    (tmp_path / "zip" / "communes.geojson").write_bytes(b"{}")
    sites.publish("qpv_2024", zipped(tmp_path / "zip"), name="qpv-2024-geojson.zip")
    with pytest.raises(SourceContentError, match=r"no member matches .*found: communes\.geojson"):
        get("qpv_2024")


def test_a_bomb_is_bad(get: Get, sites: OfficialSites) -> None:
    sites.publish("qpv_2024", gzip.compress(bytes(40 * 1024**2)), name="qpv.geojson.gz")
    with pytest.raises(SourceContentError, match="it unpacks to"):
        get("qpv_2024")


def test_a_file_over_the_declared_limit_is_bad(
    catalogue: Catalogue, besancon: Territory, live: Settings
) -> None:
    source = catalogue["qpv_2024"].model_copy(update={"max_bytes": 1000})
    with pytest.raises(SourceContentError, match=r"declares 23,855 bytes, the limit is 1,000"):
        fetch(source, besancon, live, Policy())


# ------------------------------------------------------------------ mirrors


def test_a_mirror_on_disk_is_read_in_place(get: Get, settings: Settings, snapshot: Path) -> None:
    raw = get("communes_epci", Policy(mirror=str(snapshot)), settings)
    assert raw is not None
    assert raw.path == snapshot / "geo-api" / "epcis" / "242500361" / "communes.geojson"
    assert (raw.origin, raw.provenance, raw.reason) == ("mirror", "mirror", "")
    assert (raw.sha256, raw.size) == digest(raw.path)
    assert raw.retrieved_at is None
    assert raw.date == raw.source.published
    assert raw.national
    assert not settings.data_dir.exists()


def test_a_mirror_on_disk_needs_no_network(get: Get, settings: Settings, snapshot: Path) -> None:
    raw = get("qpv_2024", Policy(mirror=str(snapshot), offline=True), settings)
    assert raw is not None
    assert raw.origin == "mirror"


def test_the_first_declared_path_of_a_mirror_wins(
    get: Get, settings: Settings, snapshot: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "mirror"
    shutil.copytree(snapshot / "insee", copy / "insee")
    folder = copy / "insee" / "revenus_pauvrete_2021_qp24_v2_csv"
    in_folder = get("insee_filosofi", Policy(mirror=str(copy)), settings)
    (copy / "insee" / f"{folder.name}.zip").write_bytes(zipped(folder))
    in_zip = get("insee_filosofi", Policy(mirror=str(copy)), settings)
    assert in_folder is not None
    assert in_zip is not None
    assert (in_folder.path.name, in_zip.path.name) == (folder.name, f"{folder.name}.zip")


def test_what_a_mirror_on_disk_lacks_is_said(
    get: Get, catalogue: Catalogue, besancon: Territory, settings: Settings, tmp_path: Path
) -> None:
    policy = Policy(mirror=str(tmp_path))
    with pytest.raises(SourceUnavailableError, match=r"holds none of anct/qpv-2024-geojson\.zip, anct/qpv"):
        fetch_primary(catalogue["qpv_2024"], besancon, settings, policy)
    raw = get("qpv_2024", policy, settings)
    assert raw is not None
    assert (raw.origin, raw.reason) == ("snapshot", "fichier absent du miroir")
    with pytest.raises(SourceUnavailableError, match="--require-live"):
        get("qpv_2024", replace(policy, require_live=True), settings)


def test_a_file_that_cannot_be_read_counts_as_not_reached(
    get: Get, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "insee").mkdir()
    # Reading the first page of one's own memory fails for every user, whatever the rights.
    (tmp_path / "insee" / "pop_QPV24.csv").symlink_to("/proc/self/mem")
    raw = get("insee_population", Policy(mirror=str(tmp_path)), settings)
    assert raw is not None
    assert (raw.origin, raw.reason) == ("snapshot", "fichier illisible dans le miroir")


def test_a_bad_file_in_a_mirror_on_disk_stops_the_run(get: Get, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "anct").mkdir()
    (tmp_path / "anct" / "qpv-2024-geojson.zip").write_bytes(b"<html><title>404</title></html>")
    with pytest.raises(SourceContentError, match=r"qpv-2024-geojson\.zip is an HTML page titled '404'"):
        get("qpv_2024", Policy(mirror=str(tmp_path)), settings)


def test_a_mirror_on_the_network_is_downloaded(get: Get, settings: Settings, sites: OfficialSites) -> None:
    raw = get("qpv_2024", Policy(mirror=sites.mirror_url), settings)
    assert raw is not None
    assert raw.path.read_bytes() == sites.data("qpv_2024")
    assert raw.path.is_relative_to(settings.store_dir / "mirror")
    assert (raw.origin, raw.provenance) == ("mirror", "mirror")
    assert raw.url == raw.resolved_url == f"{sites.mirror_url}/anct/qpv-2024.geojson"
    # The zip, declared first, is not in this mirror.
    assert [request.status for request in sites.requests] == [404, 200]


def test_what_a_mirror_on_the_network_lacks_is_said(
    get: Get, settings: Settings, sites: OfficialSites
) -> None:
    sites.withdraw("qpv_2024")
    raw = get("qpv_2024", Policy(mirror=sites.mirror_url), settings)
    assert raw is not None
    assert (raw.origin, raw.reason) == ("snapshot", "fichier absent du miroir")
    assert {request.status for request in sites.requests} == {404}
    assert len(sites.requests) == len(load_catalogue()["qpv_2024"].mirror)


def test_what_came_from_a_mirror_never_stands_in_for_the_official_sites(
    get: Get, settings: Settings, sites: OfficialSites
) -> None:
    accepted(get, "qpv_2024", settings, Policy(mirror=sites.mirror_url))
    for policy in (Policy(), OFFLINE):
        raw = get("qpv_2024", policy, settings)
        assert raw is not None
        assert raw.origin == "snapshot"


def test_a_mirror_that_is_down_gives_way_to_its_own_last_copy(
    get: Get, live: Settings, sites: OfficialSites, tmp_path: Path, snapshot: Path
) -> None:
    policy = Policy(mirror=f"{sites.mirror_url}/")
    good = accepted(get, "qpv_2024", live, policy)
    accepted(get, "qpv_2024", live)
    sites.misbehave("/mirror/", 503)
    raw = get("qpv_2024", policy)
    assert raw == replace(good, origin="store", reason="site injoignable : 127.0.0.1 a répondu 503")
    with OfficialSites(snapshot) as other:
        other.misbehave("/mirror/", 503)
        from_other = get("qpv_2024", Policy(mirror=other.mirror_url))
    assert from_other is not None
    assert from_other.origin == "snapshot"
    on_disk = get("qpv_2024", Policy(mirror=str(tmp_path)))
    assert on_disk is not None
    assert on_disk.origin == "snapshot"


def test_a_mirror_may_not_send_elsewhere(get: Get, settings: Settings, sites: OfficialSites) -> None:
    sites.misbehave("/mirror/", "elsewhere")
    with pytest.raises(SourceContentError, match=r"leads to https://example\.org"):
        get("qpv_2024", Policy(mirror=sites.mirror_url), settings)


# ------------------------------------------------------------------ what cannot be meant


@pytest.mark.parametrize(
    ("offline", "mirror", "require_live", "complaints"),
    [
        (True, None, True, ["--offline and --require-live contradict"]),
        (True, "https://example.org/m", False, ["--offline forbids the network"]),
        (False, "absent/folder", False, ["--mirror absent/folder: no such folder"]),
        (False, "https:///x", False, ["without credentials nor query"]),
        (False, "https://example.org/m?x=1", False, ["without credentials nor query"]),
        (False, "http://[", False, ["--mirror (malformed): give an address"]),
        (False, "http://me:secret@example.org:port/m", False, ["--mirror (malformed): give an address"]),
        (
            True,
            "HTTPS://me:secret@example.org/m",
            True,
            ["--require-live contradict", "forbids the network", "without credentials"],
        ),
    ],
)
def test_contradictions_are_refused_all_at_once(
    *, offline: bool, mirror: str | None, require_live: bool, complaints: list[str]
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Policy(offline=offline, mirror=mirror, require_live=require_live)
    message = str(caught.value)
    assert [complaint for complaint in complaints if complaint not in message] == []
    assert len(message.split("; ")) == len(complaints)
    assert "secret" not in message


# ------------------------------------------------------------------ the room's limits


def test_getting_sources_loads_no_table_library() -> None:
    program = (
        "import sys\n"
        "import qpv_geo.sources.fetch\n"
        "heavy = {'pandas', 'geopandas', 'pyogrio', 'py7zr', 'prefect'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_command_reaches_the_played_sites_through_its_environment(
    sites: OfficialSites, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import json\n"
        "from qpv_geo.settings import Settings\n"
        "from qpv_geo.sources.catalogue import load_catalogue\n"
        "from qpv_geo.sources.fetch import Policy, fetch\n"
        "from qpv_geo.territory import load_territory\n"
        "raw = fetch(load_catalogue()['qpv_2024'], load_territory('besancon'), Settings(), Policy())\n"
        "print(json.dumps([raw.origin, raw.sha256]))\n"
    )
    monkeypatch.setenv("QPV_GEO_OFFICIAL_SITES", sites.url)
    monkeypatch.setenv("QPV_GEO_DATA", str(tmp_path / "data"))
    run = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert json.loads(run.stdout) == ["live", hashlib.sha256(sites.data("qpv_2024")).hexdigest()]
    assert "the official sites are played by" in run.stderr


@pytest.mark.parametrize("through", ["folder", "url", "sites"])
def test_the_whole_mirror_is_fetched(
    catalogue: Catalogue, besancon: Territory, settings: Settings, mirror: Path, through: str
) -> None:
    with OfficialSites(mirror) as sites:
        played = replace(settings, official_sites=sites.url)
        policies = {
            "folder": Policy(mirror=str(mirror), require_live=True),
            "url": Policy(mirror=sites.mirror_url, require_live=True),
            "sites": Policy(require_live=True),
        }
        for source in catalogue.used():
            if isinstance(source.address, TerritoryFileAddress):
                continue
            raw = fetch(source, besancon, played, policies[through])
            if raw is None:
                assert not source.required
                continue
            assert raw.origin == ("live" if through == "sites" else "mirror")
            accept([raw], played)
            assert fetch(source, besancon, played, policies[through]) == raw
