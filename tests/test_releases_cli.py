"""``qpv-geo releases`` as an administrator uses it: processes, their output, their exit codes."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qpv_geo.lock import territory_lock
from qpv_geo.releases.release import Release, current_release, held_releases
from qpv_geo.settings import Settings
from tests.command_line import qpv_geo_here as qpv_geo
from tests.publishing import BESANCON, inhabitants, inputs, publish, set_inhabitants, snapshot_copy


def succeeds(*arguments: str | Path) -> str:
    done = qpv_geo(*arguments)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def fails(code: int, *arguments: str | Path) -> str:
    done = qpv_geo(*arguments)
    assert done.returncode == code, done.stdout + done.stderr
    assert "qpv-geo: " in done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder with two releases and one that is held."""
    base = tmp_path_factory.mktemp("prepared")
    settings, originals = Settings(data_dir=base / "data"), snapshot_copy(base / "originals")
    publish(settings, inputs())
    for figure in (15_700, 20_000):
        publish(settings, inhabitants(originals, figure))
    return settings.data_dir


@pytest.fixture
def data(prepared: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "données de l'agglo"
    shutil.copytree(prepared, folder, symlinks=True)
    return folder


@pytest.fixture
def settings(data: Path) -> Settings:
    return Settings(data_dir=data)


@pytest.fixture
def second(settings: Settings) -> Release:
    """Return the current release."""
    release = current_release(BESANCON.id, settings)
    assert release
    return release


@pytest.fixture
def first(second: Release) -> str:
    """Return the id of the release before."""
    assert second.differences
    return second.differences.precedente


@pytest.fixture
def held(settings: Settings) -> Release:
    (release,) = held_releases(BESANCON.id, settings)
    return release


def rows(text: str) -> dict[str, str]:
    """Return the state of each release in the table that `releases list` prints."""
    found = re.findall(r"│ ([a-z ]*?) *│ (\d{4}-\d\d-\d\d-[0-9a-f]{10}) │ (.{16})", text)
    return {release: state for state, release, _ in found}


def test_releases_are_listed_with_what_they_are(
    data: Path, first: str, second: Release, held: Release
) -> None:
    text = succeeds("releases", "list", "--data", data)
    assert rows(text) == {first: "before", second.id: "current", held.id: "held"}
    succeeds("releases", "rollback", "--data", data)
    assert rows(succeeds("releases", "list", "--data", data)) == {first: "current", second.id: "rolled back"}


def test_a_folder_without_releases_is_said_to_have_none(tmp_path: Path) -> None:
    text = " ".join(succeeds("releases", "list", "--data", tmp_path).split())
    assert f"no release in {tmp_path / 'out' / 'besancon'}" in text
    assert "--data or QPV_GEO_DATA" in text


def test_a_release_is_shown(data: Path, second: Release, held: Release) -> None:
    text = succeeds("releases", "show", "--data", data)
    for words in (
        f"Release {second.id} (current)",
        second.fingerprint,
        "Données fournies",
        "statistiques",
        "15\u202f700",
    ):
        assert words in text
    text = succeeds("releases", "show", held.id, "--data", data)
    assert f"Release {held.id} (held)" in text
    assert "Au-delà des bornes déclarées (2)" in text


def test_two_releases_are_compared(data: Path, first: str, second: Release, held: Release) -> None:
    text = succeeds("releases", "diff", first, held.id, "--data", data)
    assert f"# De {first} à {held.id}" in text
    assert "QN02503M : 15\u202f603 → 20\u202f000" in text
    assert "15\u202f603 → 15\u202f700" in succeeds("releases", "diff", first, "--data", data)
    assert f"Aucune différence avec la publication {second.id}" in succeeds(
        "releases", "diff", second.id, second.id, "--data", data
    )
    assert "1900-01-01-0000000000" in fails(2, "releases", "diff", "1900-01-01-0000000000", "--data", data)


def test_a_held_release_is_verified_and_published(data: Path, settings: Settings, held: Release) -> None:
    assert "every rule holds" in succeeds("releases", "verify", held.id, "--data", data)
    text = succeeds("releases", "publish", held.id, "--data", data)
    assert f"{held.id} is now the current release" in text
    current = current_release(BESANCON.id, settings)
    assert current
    assert current.id == held.id
    assert "is already the current release" in succeeds("releases", "publish", held.id, "--data", data)


def test_a_held_release_is_dropped(data: Path, settings: Settings, second: Release, held: Release) -> None:
    assert f"{held.id} is dropped" in succeeds("releases", "drop", held.id, "--data", data)
    assert held_releases(BESANCON.id, settings) == []
    assert current_release(BESANCON.id, settings) == second
    assert "there are: none" in fails(2, "releases", "drop", held.id, "--data", data)


def test_a_rollback_says_what_it_did(data: Path, settings: Settings, first: str, second: Release) -> None:
    text = succeeds("releases", "rollback", "--data", data)
    assert f"{first} is the current release again" in text
    assert f"{second.id} stays refused" in text
    current = current_release(BESANCON.id, settings)
    assert current
    assert current.id == first


def test_old_releases_are_pruned(
    data: Path, settings: Settings, first: str, second: Release, held: Release
) -> None:
    succeeds("releases", "publish", held.id, "--data", data)
    text = succeeds("releases", "prune", "--keep", "2", "--dry-run", "--data", data)
    assert f"would remove {settings.out_dir / BESANCON.id / first}" in text
    assert "1 releases would go" in text
    assert (settings.out_dir / BESANCON.id / first).is_dir()
    assert "removed" in succeeds("releases", "prune", "--older-than", "0", "--data", data)
    assert not (settings.out_dir / BESANCON.id / first).exists()
    assert second.path.is_dir()
    assert "[conservation]" in fails(2, "releases", "prune", "--data", data)
    assert qpv_geo("releases", "prune", "--keep", "1", "--data", data).returncode == 2


def test_decisions_wait_for_a_run_or_leave_with_code_6(data: Path, settings: Settings, held: Release) -> None:
    with territory_lock(settings.out_dir / BESANCON.id):
        for command in (("publish", held.id), ("drop", held.id), ("rollback",), ("prune", "--keep", "2")):
            assert f"process {os.getpid()}" in fails(6, "releases", *command, "--data", data)
        succeeds("releases", "list", "--data", data)
        succeeds("releases", "prune", "--keep", "2", "--dry-run", "--data", data)


def test_a_decision_waits_for_a_run_as_long_as_it_is_asked(
    data: Path, settings: Settings, first: str
) -> None:
    command = [sys.executable, "-m", "qpv_geo", "releases", "rollback", "--wait", "300", "--data", str(data)]
    with territory_lock(settings.out_dir / BESANCON.id):
        waiting = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(timeout=5)
    assert f"{first} is the current release again" in waiting.communicate(timeout=300)[0]
    assert waiting.returncode == 0


NO_SPACE = """
import resource, sys
from pathlib import Path
from qpv_geo.errors import PublicationError
from qpv_geo.releases.decisions import drop_held, publish_held, roll_back
from qpv_geo.settings import Settings
settings, held = Settings(data_dir=Path(sys.argv[1])), sys.argv[2]
resource.setrlimit(resource.RLIMIT_FSIZE, (8, 8))
for decide, release in ((publish_held, held), (drop_held, held), (roll_back, None)):
    try:
        decide("besancon", release, settings)
    except PublicationError as error:
        print(error)
"""


def test_a_disk_that_is_full_changes_nothing(
    data: Path, settings: Settings, second: Release, held: Release
) -> None:
    """The limit on the size of a file stands for the disk."""
    folder = settings.out_dir / BESANCON.id
    ledger = (folder / "releases.json").read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", NO_SPACE, str(data), held.id], capture_output=True, text=True, check=True
    )
    assert done.stdout.count("cannot be written") == 3
    assert current_release(BESANCON.id, settings) == second
    assert held_releases(BESANCON.id, settings) == [held]
    assert (folder / "releases.json").read_bytes() == ledger
    assert list(folder.glob(".tmp-*")) == []
    succeeds("releases", "publish", held.id, "--data", data)


@pytest.mark.parametrize("command", ["list", "show", "rollback"])
def test_latest_that_is_a_folder_is_explained(data: Path, settings: Settings, command: str) -> None:
    latest = settings.out_dir / BESANCON.id / "latest"
    latest.unlink()
    latest.mkdir()
    assert "expected a link to the current release, found a folder" in fails(
        5, "releases", command, "--data", data
    )


def test_a_link_that_leads_nowhere_is_told_and_repaired(
    data: Path, settings: Settings, first: str, second: Release
) -> None:
    shutil.rmtree(second.path)
    text = succeeds("releases", "list", "--data", data)
    assert "latest leads to no release" in text
    assert "there is no current release" in fails(2, "releases", "rollback", "--data", data)
    succeeds("releases", "publish", first, "--data", data)
    current = current_release(BESANCON.id, settings)
    assert current
    assert current.id == first


def test_a_refresh_that_is_held_from_the_first_run_to_the_last(tmp_path: Path) -> None:
    """The whole story, by commands alone; the originals are a snapshot of the data folder's own."""
    data = tmp_path / "data"
    snapshot = snapshot_copy(data / "raw" / "snapshot")
    refresh = ("refresh", "--offline", "--data", data)
    succeeds(*refresh)
    good = (data / "out" / "besancon" / "latest").readlink()

    set_inhabitants(snapshot, 20_000)
    told = fails(5, *refresh)
    (release,) = set(re.findall(r"`qpv-geo releases publish (\S+) --data", told))
    assert f"release {release} is held" in told
    assert "20" in told
    assert (data / "out" / "besancon" / "latest").readlink() == good
    folder = data / "out" / "besancon" / "held" / release
    made = folder.stat().st_mtime_ns
    assert f"release {release} is held" in fails(5, *refresh)
    assert folder.stat().st_mtime_ns == made, "it is not made again"

    succeeds("releases", "publish", release, "--data", data)
    assert "unchanged" in succeeds(*refresh)
    succeeds("releases", "rollback", "--data", data)
    assert (data / "out" / "besancon" / "latest").readlink() == good
    assert f"the sources make {release}, which was refused" in succeeds(*refresh)
    assert (data / "out" / "besancon" / "latest").readlink() == good

    set_inhabitants(snapshot, 15_700)
    assert "(published)" in succeeds(*refresh)
    report = json.loads((data / "out" / "besancon" / "latest" / "rapport.json").read_text(encoding="utf-8"))
    assert report["differences"]["precedente"] == str(good)
