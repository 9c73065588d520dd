"""A run that is killed, at whatever moment, damages nothing: ``kill -9`` at every stage."""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qpv_geo.analysis.layers import build_layers
from qpv_geo.audit.compare import compare_release
from qpv_geo.audit.verify import verify_release
from qpv_geo.formats.report import write_report
from qpv_geo.ingest.tables import read_tables
from qpv_geo.pipeline import one, steps
from qpv_geo.pipeline.job import Job
from qpv_geo.pipeline.one import Outcome, run
from qpv_geo.releases import draft as drafting
from qpv_geo.releases import release as releasing
from qpv_geo.releases.decisions import existing_release
from qpv_geo.releases.draft import publish_draft, verify_draft, write_draft
from qpv_geo.releases.formats import chosen_formats
from qpv_geo.releases.ledger import is_intact
from qpv_geo.releases.placement import make_current, make_read_only, place
from qpv_geo.settings import Settings
from qpv_geo.sources.fetch import accept
from qpv_geo.sources.raw import digest
from tests.faults.processes import start
from tests.faults.world import (
    duplicate,
    leftovers,
    new_edition,
    open_sites,
    quick,
    territory,
    visible_releases,
)
from tests.server import OfficialSites

# What separates two stages of a run: a function, and the module that calls it.
STAGES: tuple[tuple[str, Callable[..., object]], ...] = (
    (one.__name__, existing_release),
    (steps.__name__, read_tables),
    (steps.__name__, build_layers),
    (steps.__name__, write_draft),
    (drafting.__name__, verify_draft),
    (drafting.__name__, publish_draft),
    (one.__name__, accept),
    (drafting.__name__, write_report),
    (drafting.__name__, compare_release),
    (drafting.__name__, verify_release),
    (drafting.__name__, make_read_only),
    (releasing.__name__, place),
    (releasing.__name__, make_current),
)
# What changes the disk.
_CHANGES = {
    "os.rename",
    "os.mkdir",
    "os.symlink",
    "os.remove",
    "os.rmdir",
    "os.chmod",
    "shutil.rmtree",
    "open",
}
_EACH = {"os.rename", "os.symlink"}
# HYPOTHESIS_PROFILE=long kills more than a hundred times, at twice as many moments.
LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
KILLS, MOMENTS = (100, 40) if LONG else (50, 20)


# As the matrix of faults, `.ci/run` runs them by themselves.
pytestmark = pytest.mark.matrix


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refresh(settings: Settings) -> Outcome:
    """Do the whole job but for the pages, which are half of its time and are moved as all other files are."""
    return run(Job(territory(), settings, formats=chosen_formats(pages=False)))


def refresh_until_stage(settings: Settings, name: str, original: Callable[..., object], moment: str) -> None:
    """Do the whole job, and die before or after a module calls a function."""
    module = sys.modules[name]
    assert getattr(module, original.__name__) is original

    def deadly(*arguments: object, **options: object) -> None:
        if moment == "before":
            die()
        original(*arguments, **options)
        die()

    setattr(module, original.__name__, deadly)
    refresh(settings)


def refresh_until_change(settings: Settings, nth: int, log: Path) -> None:
    """Do the whole job, and die before the nth change of the data folder; 0 only writes them down."""
    changes: list[str] = []

    def count(event: str, arguments: tuple[object, ...]) -> None:
        if event not in _CHANGES:
            return
        # What a link points to comes first.
        path = arguments[event == "os.symlink"]
        if not isinstance(path, str | os.PathLike) or not os.fspath(path).startswith(str(settings.data_dir)):
            return
        if event == "open" and not int(str(arguments[2])) & (os.O_WRONLY | os.O_RDWR):
            return
        changes.append(event)
        if len(changes) == nth:
            die()

    sys.addaudithook(count)
    refresh(settings)
    log.write_text(json.dumps(changes), encoding="utf-8")


class Victim:
    """A data folder whose runs are killed, one after the other."""

    def __init__(self, data: Path, sites: OfficialSites) -> None:
        self.data = data
        self.sites = sites
        self.settings = quick(data, sites)
        self.people = 15604
        self.kills = 0
        self.whole: set[Path] = set()

    def kill(self, target: Callable[..., object], *arguments: object, after: float | None = None) -> None:
        """Run on a new edition until it is killed, then look at what is left."""
        self.people += 1
        new_edition(self.sites, self.people)
        process = start(target, self.settings, *arguments)
        process.join(after if after is not None else 120)
        process.kill()
        process.join(30)
        if process.exitcode == -signal.SIGKILL:
            self.kills += 1
        else:
            assert (process.exitcode, after is None) == (0, False), (
                f"{target.__name__} {arguments} did not die"
            )
        self.look()

    def look(self) -> None:
        """Assert that whoever looks now sees whole releases, and that kept copies are what they say."""
        latest = self.data / "out" / "besancon" / "latest"
        assert latest.is_symlink()
        assert is_intact(latest.resolve())
        for release in (*visible_releases(self.data), *latest.with_name("held").glob("*")):
            if release not in self.whole:
                assert is_intact(release)
                self.whole.add(release)
        if self.kills % 10 == 0:
            assert verify_release(latest.resolve()) == []
        for path in (self.data / "raw" / "store" / "live").glob("*/*/_raw.json"):
            if ".unfinished" not in path.parts:
                said = json.loads(path.read_text(encoding="utf-8"))
                assert digest(path.with_name(said["file"])) == (said["sha256"], said["size"])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("base") / "data"
    with open_sites() as sites:
        assert refresh(quick(data, sites)).release.published
    return data


def moments(changes: list[str], wanted: int) -> list[int]:
    """Choose changes to die before: every renaming and link, and others evenly spread."""
    each = {nth for nth, event in enumerate(changes, start=1) if event in _EACH}
    spread = {round(1 + step * (len(changes) - 1) / (wanted - 1)) for step in range(wanted)}
    return sorted(each | spread)


def test_kills_at_every_stage_damage_nothing(base: Path, tmp_path: Path) -> None:
    with open_sites() as sites:
        victim = Victim(duplicate(base, tmp_path / "data"), sites)
        # A run that is only watched says what there is to interrupt, and how long it takes.
        log = tmp_path / "changes.json"
        new_edition(sites, victim.people)
        began = time.monotonic()
        watched = start(refresh_until_change, victim.settings, 0, log)
        watched.join(120)
        lasted = time.monotonic() - began
        assert watched.exitcode == 0
        changes = json.loads(log.read_text(encoding="utf-8"))
        assert _EACH | {"os.mkdir", "os.chmod", "open"} <= set(changes)

        for name, function in STAGES:
            for moment in ("before", "after"):
                victim.kill(refresh_until_stage, name, function, moment)
        for nth in moments(changes, MOMENTS):
            victim.kill(refresh_until_change, nth, log)
        chosen = random.Random(5)  # noqa: S311 - moments, not secrets
        while victim.kills < KILLS:
            victim.kill(refresh, after=chosen.uniform(0.02, lasted))

        new_edition(sites, 15999)
        outcome = refresh(victim.settings)
        assert outcome.release.published
        assert verify_release(outcome.release.path) == []
        assert leftovers(victim.data) == []
        for release in visible_releases(victim.data):
            assert is_intact(release)


def test_a_kill_while_a_damaged_release_is_replaced_leaves_latest_leading_somewhere(
    base: Path, tmp_path: Path
) -> None:
    with open_sites() as sites:

        def damaged(name: str) -> Path:
            data = duplicate(base, tmp_path / name)
            table = data / "out" / "besancon" / "latest" / "csv" / "qpv.csv"
            table.chmod(0o644)
            table.write_text("abîmé", encoding="utf-8")
            return data

        log = tmp_path / "changes.json"
        start(refresh_until_change, quick(damaged("watched"), sites), 0, log).join(120)
        changes = json.loads(log.read_text(encoding="utf-8"))
        placed = [nth for nth, event in enumerate(changes, start=1) if event in _EACH]
        assert len(placed) >= 4
        for nth in placed[-8:]:
            data = damaged(f"data {nth}")
            process = start(refresh_until_change, quick(data, sites), nth, log)
            process.join(120)
            assert process.exitcode == -signal.SIGKILL
            latest = data / "out" / "besancon" / "latest"
            assert (latest / "datapackage.json").is_file()
            refresh(quick(data, sites))
            assert is_intact(latest.resolve())
            assert leftovers(data) == []
