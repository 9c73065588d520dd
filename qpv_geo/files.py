"""Writing files: each is replaced in one step, and what the system refuses is explained in one way."""

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qpv_geo.errors import PublicationError, QpvGeoError

UNFINISHED = ".tmp-"
"""How the names begin of what is being written."""


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
        raise PublicationError(f"{place}: cannot be written ({reason}); {advice}") from error
