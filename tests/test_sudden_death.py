"""Sudden death: a process is killed before each single move that a decision makes, and nothing is lost.

The child forks before each try, so that one start of Python serves all of them.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from qpv_geo.releases.release import held_releases
from qpv_geo.settings import Settings
from tests.publishing import BESANCON, inhabitants, inputs, publish, snapshot_copy

# As the matrix of faults, `.ci/run` runs them by themselves.
pytestmark = pytest.mark.matrix

ROOT = Path(__file__).parents[1]

CHILD = """
import os, shutil, signal, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from tests.publishing import BESANCON
from qpv_geo.releases.decisions import drop_held, prune, publish_held, roll_back
from qpv_geo.releases.ledger import read_ledger
from qpv_geo.files import unfinished
from qpv_geo.releases.placement import hold, make_read_only, sweep
from qpv_geo.releases.ledger import is_intact
from qpv_geo.releases.release import (
    current_release,
    held_releases,
    ledger_matching_latest,
    list_releases,
    switch_to,
)
from qpv_geo.settings import Settings
from qpv_geo.territory import Retention

prepared, scratch, operation = Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
settings = Settings(data_dir=scratch / "data")
folder = settings.out_dir / BESANCON.id
MOVES = {"os.rename", "os.symlink", "os.remove", "os.rmdir", "os.mkdir", "open"}

def operations():
    def publish():
        publish_held(BESANCON.id, HELD, settings)
    def drop():
        if held_releases(BESANCON.id, settings):
            drop_held(BESANCON.id, HELD, settings)
    def rollback():
        if current_release(BESANCON.id, settings).id == CURRENT:
            roll_back(BESANCON.id, PREVIOUS, settings)
    def retention():
        prune(BESANCON.id, Retention(nombre=2), settings)
    def replace():
        # A damaged current release is made again in its place.
        aside = unfinished(folder)
        shutil.copytree(prepared / "besancon" / CURRENT, aside)
        (folder / CURRENT / "csv" / "qpv.csv").unlink(missing_ok=True)
        switch_to(folder, folder / CURRENT, ledger_matching_latest(folder), "refresh", aside=aside)
    def holding():
        held = prepared / "besancon" / "held" / HELD
        aside = unfinished(folder)
        shutil.copytree(held, aside)
        hold(aside, folder, HELD)
    return locals()

def restore():
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(prepared / "besancon", folder, symlinks=True)

restore()
CURRENT = current_release(BESANCON.id, settings).id
PREVIOUS = read_ledger(folder).before(CURRENT)[0]
HELD = held_releases(BESANCON.id, settings)[0].id
GOOD = {path.name for path in (prepared / "besancon").iterdir() if path.is_dir()} | {HELD}
act = operations()[operation]

def near(path):
    # Moves of releases and of the ledger; what happens inside of a folder that is being removed is not one.
    try:
        parts = Path(os.fsdecode(path)).relative_to(folder).parts
    except (ValueError, TypeError):
        return False
    return len(parts) <= (2 if parts[:1] == ("held",) else 1)

def die_before(move):
    seen = 0
    def watch(event, arguments):
        nonlocal seen
        if event not in MOVES or not near(arguments[1 if event == "os.symlink" else 0]):
            return
        if event == "open" and not (arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            return
        seen += 1
        if seen == move:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(watch)

move = 0
while True:
    move += 1
    restore()
    child = os.fork()
    if not child:
        die_before(move)
        act()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0, status
        break
    current = current_release(BESANCON.id, settings)
    assert current and current.id in GOOD, (move, current)
    if operation == "replace":
        assert current.id == CURRENT
    else:
        assert is_intact(current.path), move
    read_ledger(folder)
    for release in held_releases(BESANCON.id, settings):
        assert is_intact(release.path), move
    act()
    sweep(folder)
    assert not list(folder.glob(".tmp-*")), move
    current = current_release(BESANCON.id, settings)
    assert is_intact(current.path)
    ends = {"publish": HELD, "rollback": PREVIOUS}
    assert current.id == ends.get(operation, CURRENT), (move, current.id)
    assert ledger_matching_latest(folder).turns[-1].release == current.id
    if operation in ("publish", "drop"):
        assert not held_releases(BESANCON.id, settings)
    if operation == "holding":
        assert [release.id for release in held_releases(BESANCON.id, settings)] == [HELD]
    if operation == "drop":
        assert read_ledger(folder).refusal(HELD, ())
    if operation == "retention":
        assert {release.id for release in list_releases(BESANCON.id, settings)} == {CURRENT, PREVIOUS}
print(move - 1)
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a territory with three releases, the last one current, and one that is held."""
    base = tmp_path_factory.mktemp("prepared")
    settings, originals = Settings(data_dir=base / "data"), snapshot_copy(base / "originals")
    publish(settings, inputs())
    for figure in (15_700, 15_800, 20_000):
        publish(settings, inhabitants(originals, figure))
    assert len(held_releases(BESANCON.id, settings)) == 1
    return settings.out_dir


@pytest.mark.parametrize("operation", ["publish", "drop", "rollback", "retention", "replace", "holding"])
def test_a_kill_before_any_move_leaves_a_release_and_the_next_try_finishes(
    prepared: Path, tmp_path: Path, operation: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(ROOT), str(prepared), str(tmp_path / "scratch"), operation],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) >= 3, "so many moves, so many deaths"
