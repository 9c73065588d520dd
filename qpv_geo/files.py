"""Writing files: each is replaced in one step, and what the system refuses is explained in one way."""

import os
import secrets
import shutil
import sqlite3
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from qpv_geo.errors import PublicationError, QpvGeoError

UNFINISHED = ".tmp-"
"""How the names begin of what is being written."""
_TEMPORARY = "qpv_geo-"
_STARTING = 60.0
_LONGEST_REASON = 300


def unfinished(folder: Path) -> Path:
    """Return a new path in a folder for something that is not finished."""
    return folder / f"{UNFINISHED}{secrets.token_hex(6)}"


def replace_file(path: Path, text: str) -> None:
    """Write a file in one step: whatever happens, readers see the old one or the new one.

    Only one process at a time may do so: callers hold a lock.
    """
    aside = path.with_name(f"{UNFINISHED}{path.name}")
    try:
        aside.write_text(text, encoding="utf-8")
        synchronise(aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    synchronise(path.parent)


def synchronise(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def swept_temporary_files() -> Iterator[None]:
    """Keep temporary files in one folder, removed at the end, and first remove what killed processes left.

    Processes that are started meanwhile keep theirs there as well. Where none can be made, there are none.
    """
    if os.name != "posix":
        yield
        return
    parent = Path(tempfile.gettempdir())
    for left in parent.glob(f"{_TEMPORARY}*"):
        with suppress(OSError), _held(left):
            # A process that is just starting has its folder before it has the lock.
            if time.time() - left.stat().st_mtime > _STARTING:
                shutil.rmtree(left, ignore_errors=True)
    try:
        folder = Path(tempfile.mkdtemp(prefix=_TEMPORARY))
    except OSError:
        yield
        return
    before = tempfile.tempdir, os.environ.get("TMPDIR")
    with _held(folder):
        tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
        try:
            yield
        finally:
            tempfile.tempdir = before[0]
            del os.environ["TMPDIR"]
            os.environ |= {"TMPDIR": before[1]} if before[1] else {}
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, or raise an `OSError`; systemd leaves what is locked, however old it is."""
    # imported lazily: Windows has none
    import fcntl  # noqa: PLC0415

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


@contextmanager
def reraise_write_errors(path: Path, advice: str = "check the free space and the rights") -> Iterator[None]:
    """Turn what the system, SQLite or GDAL refuses to write into an error that says what to do."""
    try:
        yield
    except QpvGeoError:
        raise  # some are OSErrors as well
    # GDAL's errors, as pyogrio raises them, are RuntimeErrors.
    except (OSError, sqlite3.Error, RuntimeError) as error:
        place, reason = path, str(error)
        if isinstance(error, OSError):
            place, reason = error.filename or path, error.strerror or reason
        # GDAL quotes the whole of a table's declaration.
        reason = textwrap.shorten(reason, _LONGEST_REASON, placeholder=" …")
        raise PublicationError(f"{place}: cannot be written ({reason}); {advice}") from error
