"""The password of the server that ``qpv-geo serve`` starts: made once, readable by its account alone."""

import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from qpv_geo.errors import ConfigurationError
from qpv_geo.files import UNFINISHED

FILE_NAME = "qpv-geo.password"
_LINE = re.compile(r"[!-9;-~]+:[!-~]{20,}")


def server_password(home: Path) -> str:
    """Return ``user:password``, as Prefect's settings and its pages take it.

    It is kept in `home`, ``PREFECT_HOME``, beside the server's database with the secrets of notifications.
    Raises `ConfigurationError` if another account could read or replace either of them.
    """
    path = home / FILE_NAME
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        _require_private(home.stat(), home, 0o700)
        if not os.path.lexists(path):
            _write(path)
        text = _read(path)
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename or path}: cannot be used for the server's password ({error.strerror}); "
            f"{path.name} must be a plain file in a folder of this account"
        ) from error
    if not _LINE.fullmatch(text):
        raise ConfigurationError(
            f"{path}: expected one line user:password, the password of 20 ASCII characters or more; "
            "remove the file, and the next start writes a new one"
        )
    return text


def _write(path: Path) -> None:
    # Mode 0600 from the first moment, and complete before it has its name.
    with NamedTemporaryFile("w", encoding="ascii", dir=path.parent, prefix=UNFINISHED) as file:
        file.write(f"qpv-geo:{secrets.token_urlsafe(32)}\n")
        file.flush()
        os.fsync(file.fileno())
        # If another start was quicker, its password counts.
        with suppress(FileExistsError):
            os.link(file.name, path)


def _read(path: Path) -> str:
    # Neither follows a link nor waits for somebody to write into a pipe.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigurationError(f"{path}: not a plain file; remove it, and the next start writes one")
        _require_private(status, path, 0o600)
        return os.read(handle, 1000).decode("ascii", errors="replace").strip()
    finally:
        os.close(handle)


def _require_private(status: os.stat_result, path: Path, allowed: int) -> None:
    user, mode = os.geteuid(), stat.S_IMODE(status.st_mode)
    if status.st_uid != user:
        raise ConfigurationError(
            f"{path}: belongs to user {status.st_uid}, and this is user {user}: run `qpv-geo serve` as its "
            "owner, or set PREFECT_HOME to a folder of this account"
        )
    if mode & ~allowed:
        raise ConfigurationError(
            f"{path}: mode {mode:04o} lets other accounts at the server's password or database: run "
            f"`chmod {allowed:o} {path}`; if they may have read the password, remove {FILE_NAME} as well, "
            "and the next start writes a new one"
        )
