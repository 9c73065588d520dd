"""Folders of releases and how they move: in single steps, so that a run may die between any two.

``out/<territory>/`` holds a folder per release, the link ``latest`` to the current one, ``held/`` with what
waits for somebody's decision and, during a run, names that begin with ``.tmp-``. Callers must hold the
territory lock.
"""

import logging
import os
import re
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

from qpv_geo.errors import PublicationError
from qpv_geo.files import UNFINISHED, reraise_write_errors, synchronise, unfinished
from qpv_geo.formats.descriptions import DESCRIPTOR
from qpv_geo.releases.ledger import HELD, is_intact

_LOGGER = logging.getLogger(__name__)

LATEST = "latest"
# Files that are synchronised at a time.
_AT_ONCE = 8
_ID = re.compile(r"\d{4}-\d{2}-\d{2}-[0-9a-f]{10}")


def release_folders(folder: Path) -> list[Path]:
    """Return the folders named like a release, the oldest sources first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _ID.fullmatch(path.name) and path.is_dir())


def make_read_only(folder: Path) -> None:
    """Make the files of a release read-only, and wait until they and their folders are on the disk.

    QGIS would switch a writable GeoPackage to WAL mode, which changes it. Folders stay writable, so that
    releases can be removed.
    """
    paths = [*folder.rglob("*"), folder]
    for path in paths:
        if path.is_file():
            path.chmod(path.stat().st_mode & ~0o222)
    # Asked for all at once, the system writes its journal once, not once a file: a tenth of the time.
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(synchronise, paths))


def place(aside: Path, target: Path) -> bool:
    """Give a finished release its name; return whether that changed anything.

    A release of that name with other bytes is moved out of the way. If ``latest`` points to it, it points to
    a copy of the new one meanwhile, so that it never leads nowhere.
    """
    if not target.exists():
        aside.rename(target)
        return True
    if is_intact(target) and (aside / DESCRIPTOR).read_bytes() == (target / DESCRIPTOR).read_bytes():
        return False
    if leads_to(target.with_name(LATEST), target):
        bridge = unfinished(target.parent)
        shutil.copytree(aside, bridge)
        _point(target.with_name(LATEST), bridge)
    target.rename(unfinished(target.parent))
    aside.rename(target)
    return True


def make_current(target: Path) -> bool:
    """Point ``latest`` to a release; return whether that changed anything."""
    latest = target.with_name(LATEST)
    if leads_to(latest, target):
        return False
    _point(latest, target)
    return True


def leads_to(latest: Path, target: Path) -> bool:
    """Return whether a link leads to a release."""
    # `Path.resolve` refuses a link that leads to itself.
    return latest.is_symlink() and os.path.realpath(latest) == os.path.realpath(target)


def _point(latest: Path, target: Path) -> None:
    """Swap the link in one step. It is relative: the folder can be moved."""
    link = unfinished(latest.parent)
    link.symlink_to(target.name, target_is_directory=True)
    link.replace(latest)
    synchronise(latest.parent)


def hold(aside: Path, folder: Path, release_id: str) -> Path:
    """Move a finished release into ``held/``, in place of any other, and return its path."""
    held = folder / HELD
    held.mkdir(exist_ok=True)
    clear_held(folder)
    target = held / release_id
    aside.rename(target)
    synchronise(held)
    return target


def clear_held(folder: Path) -> None:
    """Remove what is held: a later release replaces it."""
    for path in release_folders(folder / HELD):
        discard(path, folder)


def discard(path: Path, folder: Path) -> None:
    """Remove a release: its name in one step, its files afterwards.

    The system may refuse (`OSError`) for lack of rights or (Windows, SMB) because a file is open.
    """
    aside = unfinished(folder)
    path.rename(aside)
    _remove(aside)


def sweep(folder: Path) -> None:
    """Remove what dead runs left, except what ``latest`` points to."""
    current = os.path.realpath(folder / LATEST)
    for path in folder.glob(f"{UNFINISHED}*"):
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif os.path.realpath(path) != current:
            _remove(path)


def _remove(path: Path) -> None:
    """Remove a folder with read-only files or folders; what cannot be removed stays for `sweep`."""
    try:
        for inside in (path, *path.rglob("*")):
            if not inside.is_symlink():
                inside.chmod(inside.stat().st_mode | (stat.S_IRWXU if inside.is_dir() else stat.S_IWUSR))
        shutil.rmtree(path)
    except OSError as error:
        _LOGGER.warning("%s: cannot be removed yet: %s", path, error)


def refuse_what_is_not_a_link(latest: Path) -> None:
    """Refuse a ``latest`` that is a folder or a file: some copying tools turn links into those."""
    if latest.exists() and not latest.is_symlink():
        raise PublicationError(
            f"{latest}: expected a link to the current release, found a "
            f"{'folder' if latest.is_dir() else 'file'}. Move it away and run again"
        )


def reraise_move_errors(folder: Path) -> AbstractContextManager[None]:
    """Explain what the system refuses while a territory's folder is changed."""
    advice = (
        f"Nothing was published: check the rights and the free space of {folder}, and that it may hold "
        "symbolic links"
    )
    return reraise_write_errors(folder, advice)
