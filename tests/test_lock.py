"""The lock of a territory: real processes, really killed, and machines that share nothing but the folder."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qpv_geo.errors import LockedError, PublicationError
from qpv_geo.lock import territory_lock

HOLDER = ".lock-holder.json"
LEASE = 0.6

# Holds the lock until its standard input is closed. On "another machine", the operating system's lock is not
# shared (a share mounted without locks), and the kernel is another one.
CHILD = """
import sys
from contextlib import nullcontext
from pathlib import Path
from qpv_geo import lock
from qpv_geo.errors import LockedError, PublicationError

folder, machine, lease, wait = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
if machine:
    class Unshared:
        def __init__(self, *args, **options): pass
        def acquire(self): pass
        def release(self): pass
    lock.FileLock = Unshared
    lock._kernel = lambda: machine
try:
    with lock.territory_lock(folder, wait=wait, lease=lease) as hold:
        print("held", flush=True)
        sys.stdin.read()
        hold.confirm()
        print("confirmed", flush=True)
except LockedError as error:
    print(error, flush=True)
    sys.exit(6)
"""


def start(
    folder: Path, machine: str = "", *, lease: float = LEASE, wait: float = 0.0
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder), machine, str(lease), str(wait)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@contextmanager
def holding(folder: Path, machine: str = "", *, lease: float = LEASE) -> Iterator[subprocess.Popen[str]]:
    """Run a process that has the lock; whatever happens, it ends."""
    with start(folder, machine, lease=lease) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "held\n"
            yield child
        finally:
            child.kill()


def end(child: subprocess.Popen[str]) -> str:
    """Let a process finish and return what it said since."""
    return child.communicate(timeout=60)[0]


def holder(folder: Path) -> int:
    return int(json.loads((folder / HOLDER).read_text(encoding="utf-8"))["pid"])


def test_the_lock_is_free_again_after_the_run_and_leaves_no_name(tmp_path: Path) -> None:
    folder = tmp_path / "été à l'ombre" / "besancon"
    for _ in range(2):
        with territory_lock(folder) as hold:
            hold.confirm()
            assert holder(folder) == os.getpid()
        assert [path.name for path in folder.iterdir()] == [".lock"]


def test_an_error_in_the_run_lets_go_of_the_lock_and_stays_itself(tmp_path: Path) -> None:
    with pytest.raises(PermissionError, match="of the run itself"), territory_lock(tmp_path):
        raise PermissionError(13, "of the run itself", "some file")
    with territory_lock(tmp_path):
        pass


def test_a_second_process_leaves_and_says_who_holds_the_lock(tmp_path: Path) -> None:
    with (
        holding(tmp_path) as child,
        pytest.raises(LockedError, match=rf"\(process {child.pid} on .*--wait SECONDS"),
        territory_lock(tmp_path),
    ):
        pass


def test_a_second_process_waits_as_long_as_it_is_asked(tmp_path: Path) -> None:
    with holding(tmp_path) as child:
        with start(tmp_path, wait=60) as waiting:
            assert waiting.poll() is None
            assert end(child) == "confirmed\n"
            assert end(waiting) == "held\nconfirmed\n"
        assert waiting.returncode == 0


def test_a_second_process_waits_no_longer(tmp_path: Path) -> None:
    with (
        holding(tmp_path),
        pytest.raises(LockedError, match="another run holds the lock"),
        territory_lock(tmp_path, wait=0.2),
    ):
        pass


def test_of_ten_processes_at_once_one_has_the_lock(tmp_path: Path) -> None:
    children = [start(tmp_path) for _ in range(10)]
    told = []
    for child in children:
        assert child.stdout is not None
        told.append(child.stdout.readline())
    for child in children:
        child.communicate(timeout=60)
    assert told.count("held\n") == 1
    assert sorted(child.returncode for child in children) == [0] + [6] * 9


def test_ten_processes_that_wait_have_the_lock_one_after_another(tmp_path: Path) -> None:
    children = [start(tmp_path, wait=120) for _ in range(10)]
    for child in children:
        assert child.stdin is not None
        child.stdin.close()
    assert [child.wait(timeout=120) for child in children] == [0] * 10
    for child in children:
        assert child.stdout is not None
        child.stdout.close()


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    with holding(tmp_path, lease=1000) as child:
        child.send_signal(signal.SIGKILL)
        child.wait(timeout=60)
        assert holder(tmp_path) == child.pid
        with territory_lock(tmp_path, lease=1000) as hold:
            assert holder(tmp_path) == os.getpid()
            hold.confirm()


def test_a_stopped_process_of_this_machine_keeps_the_lock(tmp_path: Path) -> None:
    with holding(tmp_path) as child:
        child.send_signal(signal.SIGSTOP)
        time.sleep(2 * LEASE)
        with pytest.raises(LockedError, match=f"process {child.pid}"), territory_lock(tmp_path, lease=LEASE):
            pass
        child.send_signal(signal.SIGCONT)
        assert end(child) == "confirmed\n"


def test_a_process_number_that_is_used_again_does_not_matter(tmp_path: Path) -> None:
    """The dead holder's number is now that of a living process: this one."""
    with holding(tmp_path, lease=1000) as child:
        child.kill()
        child.wait(timeout=60)
    name = json.loads((tmp_path / HOLDER).read_text(encoding="utf-8"))
    (tmp_path / HOLDER).write_text(json.dumps(name | {"pid": os.getpid()}), encoding="utf-8")
    with territory_lock(tmp_path, lease=1000) as hold:
        hold.confirm()


def test_a_living_run_of_another_machine_holds_the_lock_where_locks_are_not_shared(tmp_path: Path) -> None:
    with holding(tmp_path, "another machine") as child:
        with pytest.raises(LockedError, match=f"process {child.pid}"), territory_lock(tmp_path, lease=LEASE):
            pass
        assert holder(tmp_path) == child.pid
        assert end(child) == "confirmed\n"
    with territory_lock(tmp_path, lease=LEASE):
        pass


def test_waiting_for_another_machine_ends_when_its_run_does(tmp_path: Path) -> None:
    with holding(tmp_path, "another machine") as child:
        with start(tmp_path, wait=60) as waiting:
            time.sleep(2 * LEASE)
            assert waiting.poll() is None
            assert end(child) == "confirmed\n"
            assert end(waiting) == "held\nconfirmed\n"
        assert waiting.returncode == 0


def test_a_dead_run_of_another_machine_is_recognised_without_asking_to_wait(tmp_path: Path) -> None:
    with holding(tmp_path, "another machine") as child:
        child.send_signal(signal.SIGKILL)
        child.wait(timeout=60)
    with territory_lock(tmp_path, lease=LEASE) as hold:
        assert holder(tmp_path) == os.getpid()
        hold.confirm()


@pytest.mark.parametrize("years", [-30, 30])
def test_clocks_that_differ_decide_nothing(tmp_path: Path, years: int) -> None:
    """The holder's file bears a time far from ours: alive, it holds; dead, it does not."""
    skewed = time.time() + years * 365 * 86_400
    with holding(tmp_path, "another machine") as child:
        os.utime(tmp_path / HOLDER, (skewed, skewed))
        with pytest.raises(LockedError), territory_lock(tmp_path, lease=LEASE):
            pass
        child.kill()
        child.wait(timeout=60)
    os.utime(tmp_path / HOLDER, (skewed, skewed))
    with territory_lock(tmp_path, lease=LEASE) as hold:
        hold.confirm()


def test_a_run_that_slept_through_its_lease_does_not_publish(tmp_path: Path) -> None:
    with holding(tmp_path, "another machine") as child:
        child.send_signal(signal.SIGSTOP)
        with territory_lock(tmp_path, lease=LEASE) as hold:
            child.send_signal(signal.SIGCONT)
            assert "suspended for so long that another one took the lock" in end(child)
            assert child.returncode == 6
            hold.confirm()
            assert holder(tmp_path) == os.getpid(), "the late one leaves the name of the other"


def test_a_lease_that_is_no_longer_held_is_not_confirmed(tmp_path: Path) -> None:
    with territory_lock(tmp_path) as hold:
        hold.confirm()
        name = json.loads((tmp_path / HOLDER).read_text(encoding="utf-8"))
        for lost in (None, json.dumps(name | {"token": "another run"}), "half a na"):
            (tmp_path / HOLDER).unlink(missing_ok=True)
            if lost is not None:
                (tmp_path / HOLDER).write_text(lost, encoding="utf-8")
            with pytest.raises(LockedError) as error:
                hold.confirm()
            assert str(tmp_path) in str(error.value)
            assert "Nothing was published" in str(error.value)
    assert (tmp_path / HOLDER).read_text(encoding="utf-8") == "half a na", "it is not this run's to remove"


def test_the_holder_gives_signs_of_life_until_the_lock_is_not_its_own(tmp_path: Path) -> None:
    with territory_lock(tmp_path, lease=LEASE) as hold:
        os.utime(tmp_path / HOLDER, (0, 0))
        time.sleep(2 * LEASE)
        assert (tmp_path / HOLDER).stat().st_mtime > 0
        hold.confirm()
        (tmp_path / HOLDER).write_text("{}", encoding="utf-8")
        os.utime(tmp_path / HOLDER, (0, 0))
        time.sleep(2 * LEASE)
        assert (tmp_path / HOLDER).stat().st_mtime == 0, "the other's file is left alone"


def test_an_unreachable_share_is_only_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with territory_lock(tmp_path, lease=LEASE) as hold:
        content = (tmp_path / HOLDER).read_bytes()
        (tmp_path / HOLDER).unlink()
        (tmp_path / HOLDER).mkdir()
        time.sleep(2 * LEASE)
        (tmp_path / HOLDER).rmdir()
        (tmp_path / HOLDER).write_bytes(content)
        os.utime(tmp_path / HOLDER, (0, 0))
        time.sleep(2 * LEASE)
        assert (tmp_path / HOLDER).stat().st_mtime > 0, "it goes on when the share is back"
        hold.confirm()
    assert "no sign of life could be given" in caplog.text


def test_a_dead_run_that_is_replaced_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    name = {"host": "elsewhere", "pid": 3, "started": "then", "kernel": "another", "token": "t"}
    (tmp_path / HOLDER).write_text(json.dumps(name), encoding="utf-8")
    with territory_lock(tmp_path, lease=LEASE):
        assert holder(tmp_path) == os.getpid()
    assert "no sign of life of process 3 on elsewhere, since then" in caplog.text
    assert "taken over" in caplog.text


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 3}'])
def test_a_half_written_name_is_that_of_a_dead_run(tmp_path: Path, content: str) -> None:
    (tmp_path / HOLDER).write_text(content, encoding="utf-8")
    with territory_lock(tmp_path, lease=LEASE) as hold:
        hold.confirm()


def test_a_folder_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file where the folder should be", encoding="utf-8")
    with (
        pytest.raises(PublicationError, match="cannot be written or locked"),
        territory_lock(tmp_path / "out"),
    ):
        pass


def test_a_lock_file_that_is_a_folder_is_explained(tmp_path: Path) -> None:
    (tmp_path / ".lock").mkdir()
    with (
        pytest.raises(PublicationError, match=r"\.lock: cannot be written or locked"),
        territory_lock(tmp_path),
    ):
        pass


NO_SPACE = """
import resource, sys
from pathlib import Path
from qpv_geo.errors import PublicationError
from qpv_geo.lock import territory_lock
resource.setrlimit(resource.RLIMIT_FSIZE, (8, 8))
try:
    with territory_lock(Path(sys.argv[1])):
        print("held")
except PublicationError as error:
    print(error)
"""


def test_a_disk_that_is_full_is_explained_and_leaves_no_half_written_name(tmp_path: Path) -> None:
    """The limit on the size of a file stands for the disk."""
    done = subprocess.run(
        [sys.executable, "-c", NO_SPACE, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "cannot be written or locked" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
