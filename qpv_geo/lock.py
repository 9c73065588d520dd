"""One run at a time for each territory, across the processes and machines that share its folder.

Two layers, because a shared folder does not always share its locks:

- ``.lock`` is locked through the operating system, which releases it however a process dies. That is enough
  among the processes of one machine, and among machines if the share passes locks on.
- ``.lock-holder.json`` names the holder, who touches it every few seconds, for runs on *other* machines. They
  compare its time with what they saw before, never with their own clock: a holder that stays silent for
  `LEASE` seconds counts as dead, and the lock is taken over.

A run that was suspended for longer may have lost the lock: it calls `Hold.confirm` before it publishes.
"""

import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from qpv_geo.errors import LockedError, PublicationError
from qpv_geo.files import unfinished

_LOGGER = logging.getLogger(__name__)

# Seconds without a sign of life after which a holder on another machine counts as dead; longer than the
# minute for which an NFS client may cache the file.
LEASE = 90.0
_BEATS_IN_A_LEASE = 6

_LOCK, _HOLDER = ".lock", ".lock-holder.json"


@dataclass(frozen=True)
class _Run:
    """Who holds the lock; `kernel` tells apart machines, and one machine before and after a restart."""

    host: str
    pid: int
    started: str
    kernel: str
    token: str = field(default_factory=lambda: secrets.token_hex(16))

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.started}"


@dataclass(frozen=True)
class _Seen:
    """The holder's file at one moment; if two differ, the holder is alive."""

    content: bytes
    modified: int

    @property
    def run(self) -> _Run | None:
        """Who wrote it; None if it was left half-written."""
        try:
            return _Run(**json.loads(self.content))
        except (ValueError, TypeError):
            return None


class Hold:
    """The lock while `run` holds it, giving signs of life in the file `holder`."""

    def __init__(self, holder: Path, run: _Run, lease: float) -> None:
        self._holder = holder
        self._run = run
        self._over = threading.Event()
        self._heart = threading.Thread(
            target=self._beat, args=(lease / _BEATS_IN_A_LEASE,), name="territory-lock", daemon=True
        )
        self._heart.start()

    def confirm(self) -> None:
        """Raise `LockedError` if a run on another machine took the lock, having seen no sign of life."""
        if not self._is_ours():
            raise LockedError(
                f"{self._holder.parent}: this run was suspended for so long that another one took the lock. "
                "Nothing was published; run again"
            )

    def _is_ours(self) -> bool:
        seen = _look(self._holder)
        return seen is not None and seen.run == self._run

    def _beat(self, pause: float) -> None:
        while not self._over.wait(pause):
            try:
                if not self._is_ours():
                    return
                os.utime(self._holder)
            except OSError as error:
                # A share may be out of reach for a moment; `confirm` has the last word.
                _LOGGER.warning("%s: no sign of life could be given: %s", self._holder, error)

    def release(self) -> None:
        """Stop giving signs of life and remove the holder's file."""
        self._over.set()
        self._heart.join()
        with suppress(OSError):
            if self._is_ours():
                self._holder.unlink()


@contextmanager
def territory_lock(folder: Path, *, wait: float = 0.0, lease: float = LEASE) -> Iterator[Hold]:
    """Hold the lock of the territory whose releases are in a folder, which is created if missing.

    `wait` is how many seconds to wait for another run to finish, `lease` after how many without a sign of
    life a holder on another machine counts as dead: so long it may take to see whether it is alive. All runs
    that share the folder have the same. Raises `LockedError` if another run holds the lock, which the message
    names, and `PublicationError` if the folder cannot be written or does not support locks.
    """
    deadline = time.monotonic() + wait
    lock = FileLock(folder / _LOCK, timeout=wait, fallback_to_soft=False)
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
            stack.callback(lock.release)
            hold = Hold(folder / _HOLDER, _claim(folder, deadline, lease), lease)
        except Timeout:
            raise _locked(folder, _look(folder / _HOLDER)) from None
        except OSError as error:
            raise PublicationError(
                f"{error.filename or folder}: cannot be written or locked ({error.strerror or error}). Check "
                "the rights and the free space; a network share must be mounted with file locks"
            ) from error
        stack.callback(hold.release)
        yield hold


def _claim(folder: Path, deadline: float, lease: float) -> _Run:
    """Name this run as the holder as soon as no run on another machine holds the lock."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    holder, run = folder / _HOLDER, _Run(socket.gethostname(), os.getpid(), started, _kernel())
    last: _Seen | None = None
    since, alive = 0.0, False
    while True:
        seen = _look(holder)
        if seen is None:
            with suppress(FileExistsError):
                return _create(holder, run)
            continue
        # We hold this machine's lock, so a run of this machine named there is dead.
        if seen.run is not None and seen.run.kernel == run.kernel:
            return _replace(holder, run)
        now = time.monotonic()
        if seen != last:
            alive = last is not None
            last, since = seen, now
        elif now - since >= lease:
            _LOGGER.warning("%s: no sign of life of %s for %.0f s, taken over", folder, seen.run, lease)
            return _replace(holder, run)
        if alive and now >= deadline:
            raise _locked(folder, seen)
        time.sleep(min(1.0, lease / _BEATS_IN_A_LEASE / 2))


def _look(holder: Path) -> _Seen | None:
    """Read the holder's file; opening it makes an NFS client ask the server instead of its cache."""
    try:
        with holder.open("rb") as stream:
            return _Seen(stream.read(), os.fstat(stream.fileno()).st_mtime_ns)
    except FileNotFoundError:
        return None


def _create(holder: Path, run: _Run) -> _Run:
    """Create the holder's file, which only one of two machines that start at once can do."""
    with holder.open("x", encoding="utf-8") as stream:
        try:
            json.dump(asdict(run), stream)
            stream.flush()
            os.fsync(stream.fileno())
        except OSError:
            holder.unlink()
            raise
    return run


def _replace(holder: Path, run: _Run) -> _Run:
    """Replace a dead holder by this run; if two runs do so at once, the last one holds the lock."""
    aside = unfinished(holder.parent)
    aside.write_text(json.dumps(asdict(run)), encoding="utf-8")
    aside.replace(holder)
    return run


def _kernel() -> str:
    """Identify the running kernel: containers share it, and with it the operating system's locks."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return socket.gethostname()


def _locked(folder: Path, seen: _Seen | None) -> LockedError:
    run = (seen and seen.run) or "unknown process"
    return LockedError(
        f"{folder}: another run holds the lock ({run}). Try again when it is over, or wait for it with "
        "`--wait SECONDS`"
    )
