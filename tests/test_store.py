import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from filelock import FileLock

from qpv_geo.errors import ConfigurationError, LockedError, SourceContentError
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import Catalogue, Source
from qpv_geo.sources.fetch import Policy, accept, fetch, fetch_primary
from qpv_geo.sources.raw import RawFile, digest
from qpv_geo.sources.store import Copies, file_name
from qpv_geo.territory import Territory
from tests.server import OfficialSites

Fetch = Callable[[], RawFile]
HEADER = b"codeQPV;popMuniQPV\n"


@pytest.fixture
def source(catalogue: Catalogue) -> Source:
    return catalogue["insee_population"]


@pytest.fixture
def again(source: Source, besancon: Territory, live: Settings) -> Fetch:
    return lambda: fetch_primary(source, besancon, live, Policy())


@pytest.fixture
def shelf(live: Settings) -> Path:
    return live.store_dir / "live" / "insee_population"


def kept(shelf: Path) -> set[str]:
    """Return the names of the visible copies."""
    return {path.name for path in shelf.iterdir() if path.is_dir() and not path.name.startswith(".")}


def metadata(raw: RawFile) -> dict[str, object]:
    content = json.loads((raw.path.parent / "_raw.json").read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def test_a_copy_is_a_file_and_its_description(again: Fetch, shelf: Path, sites: OfficialSites) -> None:
    raw = again()
    assert raw.path == shelf / raw.sha256[:16] / "pop_QPV24.csv"
    assert raw.path.read_bytes() == sites.data("insee_population")
    assert sorted(path.name for path in raw.path.parent.iterdir()) == ["_raw.json", "pop_QPV24.csv"]
    description = metadata(raw)
    retrieved = description.pop("retrieved_at")
    assert isinstance(retrieved, str)
    assert datetime.fromisoformat(retrieved) == raw.retrieved_at
    assert description == {
        "source": "insee_population",
        "vintage": "2020",
        "file": "pop_QPV24.csv",
        "sha256": digest(raw.path)[0],
        "size": 441,
        "url": "https://www.insee.fr/fr/statistiques/8210600",
        "resolved_url": "https://www.insee.fr/fr/statistiques/fichier/8210600/pop_QPV24.csv",
        "etag": raw.etag,
        "last_modified": "2026-01-15T20:43:23Z",
        "accepted_at": None,
    }


def test_a_candidate_is_asked_for_again_until_it_is_accepted(
    again: Fetch, live: Settings, sites: OfficialSites
) -> None:
    first = again()
    second = again()
    assert [request.status for request in sites.asked("fichier/")] == [200, 200]
    assert (second.path, second.retrieved_at) == (first.path, first.retrieved_at)
    accept([second], live)
    third = again()
    assert sites.asked("fichier/")[-1].status == 304
    assert third == second


def test_accepting_twice_writes_nothing(again: Fetch, live: Settings, shelf: Path) -> None:
    raw = again()
    accept([raw], live)
    before = (raw.path.parent / "_raw.json").stat()
    accept([raw], live)
    after = (raw.path.parent / "_raw.json").stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)
    assert kept(shelf) == {raw.sha256[:16]}


def test_a_new_edition_does_not_replace_the_current_copy_before_it_is_accepted(
    source: Source, besancon: Territory, again: Fetch, live: Settings, sites: OfficialSites
) -> None:
    good = again()
    accept([good], live)
    sites.publish("insee_population", HEADER + b"QN02503M;-1\n")
    candidate = again()
    assert candidate.sha256 != good.sha256
    stored = fetch(source, besancon, live, Policy(offline=True))
    assert stored is not None
    assert (stored.sha256, stored.origin) == (good.sha256, "store")
    # Its ETag is not used either: a broken edition is downloaded, and refused, each time.
    again()
    assert [request.status for request in sites.asked("fichier/")] == [200, 200, 200]


def test_the_last_two_accepted_copies_are_kept(
    again: Fetch, live: Settings, shelf: Path, sites: OfficialSites
) -> None:
    editions = []
    for population in range(4):
        sites.publish("insee_population", HEADER + f"QN02503M;{population}\n".encode())
        editions.append(again())
        accept([editions[-1]], live)
    assert kept(shelf) == {raw.sha256[:16] for raw in editions[-2:]}


def test_a_copy_goes_in_one_step(
    again: Fetch, live: Settings, shelf: Path, sites: OfficialSites, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(path: Path, **_options: object) -> None:
        if path.exists():
            raise KeyboardInterrupt

    for people in (b"1", b"2"):
        accept([again()], live)
        sites.publish("insee_population", HEADER + b"QN02503M;" + people + b"\n")
    last = again()
    before = kept(shelf)
    monkeypatch.setattr("qpv_geo.sources.store.shutil.rmtree", die)
    with pytest.raises(KeyboardInterrupt):
        accept([last], live)
    assert kept(shelf) < before
    assert last.sha256[:16] in kept(shelf)


def test_an_edition_that_comes_back_is_the_current_one_again(
    source: Source, besancon: Territory, again: Fetch, live: Settings, sites: OfficialSites
) -> None:
    first_data = sites.data("insee_population")
    accept([again()], live)
    sites.publish("insee_population", HEADER)
    accept([again()], live)
    sites.publish("insee_population", first_data)
    back = again()
    accept([back], live)
    stored = fetch(source, besancon, live, Policy(offline=True))
    assert stored is not None
    assert stored.sha256 == back.sha256
    assert stored.last_modified == back.last_modified


def test_candidates_that_nobody_accepted_go_away_after_a_day(
    again: Fetch, live: Settings, shelf: Path, sites: OfficialSites
) -> None:
    old = again()
    described = metadata(old)
    described["retrieved_at"] = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    (old.path.parent / "_raw.json").write_text(json.dumps(described), encoding="utf-8")
    sites.publish("insee_population", HEADER + b"QN02503M;1\n")
    recent = again()
    sites.publish("insee_population", HEADER + b"QN02503M;2\n")
    good = again()
    accept([good], live)
    assert kept(shelf) == {recent.sha256[:16], good.sha256[:16]}


def test_an_altered_copy_is_not_used_and_is_downloaded_anew(
    source: Source, besancon: Territory, again: Fetch, live: Settings, sites: OfficialSites
) -> None:
    raw = again()
    accept([raw], live)
    raw.path.write_bytes(raw.path.read_bytes().replace(b"15603", b"15604"))
    stored = fetch(source, besancon, live, Policy(offline=True))
    assert stored is not None
    assert stored.origin == "snapshot"
    assert stored.reason == (
        f"exécution hors ligne ; copie {raw.sha256[:16]} écartée : contenu altéré depuis son "
        "téléchargement, ou illisible"
    )
    repaired = again()
    assert "if-none-match" not in sites.asked("fichier/")[-1].headers
    assert digest(repaired.path)[0] == raw.sha256


def test_an_altered_current_copy_gives_way_to_the_one_before(
    source: Source, besancon: Territory, again: Fetch, live: Settings, sites: OfficialSites
) -> None:
    before = again()
    accept([before], live)
    sites.publish("insee_population", HEADER)
    current = again()
    accept([current], live)
    current.path.unlink()
    stored = fetch(source, besancon, live, Policy(offline=True))
    assert stored is not None
    assert (stored.origin, stored.sha256) == ("store", before.sha256)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"source": "insee_population"}',
        "\x00",
        '{"file": "../../../etc/passwd"}',
        '{"file": "pop_QPV24.csv", "accepted_at": "2026-01-15T20:43:23"}',
    ],
)
def test_a_description_that_cannot_be_read_sets_its_copy_aside(
    source: Source, besancon: Territory, again: Fetch, live: Settings, content: str
) -> None:
    raw = again()
    accept([raw], live)
    described = {**metadata(raw), **json.loads(content)} if content.startswith('{"file"') else content
    text = described if isinstance(described, str) else json.dumps(described)
    (raw.path.parent / "_raw.json").write_text(text, encoding="utf-8")
    stored = fetch(source, besancon, live, Policy(offline=True))
    assert stored is not None
    assert stored.origin == "snapshot"
    assert f"copie {raw.sha256[:16]} écartée : description illisible" in stored.reason
    accept([again()], live)
    mended = fetch(source, besancon, live, Policy(offline=True))
    assert mended is not None
    assert mended.origin == "store"


def test_a_remembered_page_that_cannot_be_read_is_read_again(
    again: Fetch, shelf: Path, sites: OfficialSites
) -> None:
    again()
    (shelf / "_lookup.json").write_text("{", encoding="utf-8")
    again()
    page = [request for request in sites.requests if request.path.endswith("/8210600")]
    assert [request.status for request in page] == [200, 200]


def test_a_copy_of_another_vintage_is_no_copy_of_this_one(
    source: Source, besancon: Territory, again: Fetch, live: Settings
) -> None:
    accept([again()], live)
    newer = source.model_copy(update={"vintage": "2021"})
    stored = fetch(newer, besancon, live, Policy(offline=True))
    assert stored is not None
    assert stored.origin == "snapshot"
    # The same bytes are a candidate again until they pass as this vintage.
    candidate = fetch_primary(newer, besancon, live, Policy())
    assert metadata(candidate)["accepted_at"] is None
    accept([candidate], live)
    stored = fetch(newer, besancon, live, Policy(offline=True))
    assert stored is not None
    assert stored.origin == "store"


def test_what_a_dead_run_left_is_cleared_away(again: Fetch, shelf: Path) -> None:
    left = shelf / ".unfinished"
    left.mkdir(parents=True)
    (left / "content").write_bytes(b"half a fi")
    raw = again()
    assert {path.name for path in shelf.iterdir()} == {".lock", "_lookup.json", raw.sha256[:16]}


def test_a_failed_download_leaves_nothing(again: Fetch, shelf: Path, sites: OfficialSites) -> None:
    sites.misbehave(".csv", "html")
    with pytest.raises(SourceContentError, match="HTML"):
        again()
    assert sorted(path.name for path in shelf.iterdir()) == [".lock", "_lookup.json"]


def test_a_run_killed_while_it_downloads_leaves_nothing_visible(
    again: Fetch, live: Settings, shelf: Path, sites: OfficialSites
) -> None:
    good = again()
    accept([good], live)
    sites.publish("insee_population", HEADER)
    sites.misbehave(".csv", "drip")
    program = (
        "from qpv_geo.settings import Settings\n"
        "from qpv_geo.sources.catalogue import load_catalogue\n"
        "from qpv_geo.sources.fetch import Policy, fetch_primary\n"
        "from qpv_geo.territory import load_territory\n"
        "source = load_catalogue()['insee_population']\n"
        "fetch_primary(source, load_territory('besancon'), Settings(), Policy())\n"
    )
    environment = {
        **os.environ,
        "QPV_GEO_DATA": str(live.data_dir),
        "QPV_GEO_OFFICIAL_SITES": sites.url,
    }
    run = subprocess.Popen([sys.executable, "-c", program], env=environment)
    while not (shelf / ".unfinished" / "content").exists():
        assert run.poll() is None
        time.sleep(0.01)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    assert (shelf / ".unfinished").exists()
    assert kept(shelf) == {good.sha256[:16]}
    sites.behave()
    assert again().path.read_bytes() == HEADER
    assert not (shelf / ".unfinished").exists()


def test_runs_that_meet_on_one_source_take_turns(again: Fetch, live: Settings, shelf: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        raws = list(pool.map(lambda _: again(), range(8)))
    assert len({raw.path for raw in raws}) == 1
    accept(raws, live)
    assert kept(shelf) == {raws[0].sha256[:16]}


def test_a_lock_that_is_not_let_go_is_said(
    source: Source, besancon: Territory, live: Settings, shelf: Path
) -> None:
    shelf.mkdir(parents=True)
    with FileLock(shelf / ".lock"), pytest.raises(LockedError, match="another run has held"):
        fetch_primary(source, besancon, replace(live, download_deadline=0.02), Policy())


def test_a_store_that_cannot_be_written_is_said(source: Source, besancon: Territory, live: Settings) -> None:
    live.data_dir.parent.mkdir(parents=True, exist_ok=True)
    live.data_dir.write_text("a file where a folder was due", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"the store cannot be written: .*--data or QPV_GEO_DATA"):
        fetch_primary(source, besancon, live, Policy())


def test_a_copy_that_changed_during_the_run_is_not_accepted(again: Fetch, live: Settings) -> None:
    raw = again()
    (raw.path.parent / "_raw.json").unlink()
    with pytest.raises(SourceContentError, match="changed during the run"):
        accept([raw], live)


def test_what_was_not_downloaded_is_not_accepted_into_the_store(
    source: Source, besancon: Territory, settings: Settings, snapshot: Path
) -> None:
    shipped = fetch(source, besancon, settings, Policy(offline=True))
    from_mirror = fetch(source, besancon, settings, Policy(mirror=str(snapshot)))
    assert shipped is not None
    assert from_mirror is not None
    accept([shipped, from_mirror], settings)
    assert not settings.store_dir.exists()


def test_a_copy_that_serves_again_stays_as_it_was_accepted(again: Fetch, live: Settings, shelf: Path) -> None:
    raw = again()
    accept([raw], live)
    state = {path: path.read_bytes() for path in shelf.rglob("*") if path.is_file()}
    accept([replace(raw, origin="store", reason="site injoignable")], live)
    assert {path: path.read_bytes() for path in shelf.rglob("*") if path.is_file()} == state


def test_the_state_of_a_source_is_on_the_disk(
    source: Source, besancon: Territory, again: Fetch, live: Settings
) -> None:
    raw = again()
    accept([raw], live)
    copies = Copies(source, besancon, "live", live)
    assert list(copies.accepted()) == [raw]
    assert copies.damaged() == []


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://x/a/qpv-2024-geojson.zip", "qpv-2024-geojson.zip"),
        ("https://x/a/donn%C3%A9es%20csv.zip?v=2", "donn_es_csv.zip"),
        ("https://x/epcis/242500361/communes?format=geojson", "insee_population.table"),
        ("https://x/", "insee_population.table"),
        ("https://x/..%2F..%2Fetc%2Fpasswd.csv", "etc_passwd.csv"),
        ("https://x/.htaccess.csv", "htaccess.csv"),
        ("https://x/_raw.json", "raw.json"),
        ("https://x/" + "a" * 300 + ".csv", "a" * 116 + ".csv"),
    ],
)
def test_names_on_the_disk_are_plain(source: Source, url: str, name: str) -> None:
    assert file_name(source, url) == name
