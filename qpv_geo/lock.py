"""One run at a time for each territory."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from qpv_geo.errors import LockedError, PublicationError


@contextmanager
def territory_lock(folder: Path, *, wait: float = 0.0) -> Iterator[None]:
    """Hold the lock of the territory whose releases are in a folder.

    The operating system releases the lock of a process that dies, however it dies.

    Parameters
    ----------
    folder
        The territory's folder of releases; created when there is none.
    wait
        Seconds to wait for another run; 0 does not wait.

    Raises
    ------
    LockedError
        If another run holds the lock; the message says which.
    PublicationError
        If the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=wait)
        with lock:
            holder = folder / ".lock-holder.json"
            holder.write_text(json.dumps(_this_run()), encoding="utf-8")
            yield
            holder.unlink(missing_ok=True)
    except Timeout as error:
        raise LockedError(
            f"{folder}: another run holds the lock ({_holder(folder)}). Wait until it is over and try again"
        ) from error
    except PermissionError as error:
        raise PublicationError(f"{error.filename}: cannot be written. Give this user write access") from error


def _this_run() -> dict[str, str | int]:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    return {"host": socket.gethostname(), "pid": os.getpid(), "started": started}


def _holder(folder: Path) -> str:
    try:
        run = json.loads((folder / ".lock-holder.json").read_text(encoding="utf-8"))
        return f"process {run['pid']} on {run['host']}, since {run['started']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "unknown process"
