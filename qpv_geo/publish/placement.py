"""Folders of releases and how they move: each move is one step, and whatever dies between two is made good.

``out/<territory>/`` holds a folder per release, the link ``latest`` to the current one, and for the time of a
run what begins with ``.tmp-``. Who moves anything holds the territory's lock.
"""

import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qpv_geo.errors import PublicationError
from qpv_geo.publish.datapackage import DESCRIPTOR
from qpv_geo.publish.rules import files

LATEST = "latest"
_UNFINISHED = ".tmp-"


def is_intact(path: Path) -> bool:
    """Return whether the files of a release are those that were published, by their checksums."""
    folder = files.Folder(path)
    rules = (files.Checksums(), files.NothingElse())
    return not any(rule.findings(folder, ".", files.UNREADABLE) for rule in rules)


def unfinished(folder: Path) -> Path:
    """Return a path in a territory's folder for what is not finished; `sweep` removes what stays there."""
    return folder / f"{_UNFINISHED}{secrets.token_hex(6)}"


def seal(folder: Path) -> None:
    """Make the files of a release read-only and see to it that they are on the disk, then their folders.

    Read-only because QGIS turns a GeoPackage that it may write to WAL mode, which changes it. Folders stay
    writable, so that releases can be removed.
    """
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file():
            path.chmod(path.stat().st_mode & ~0o222)
        synchronise(path)
    synchronise(folder)


def synchronise(path: Path) -> None:
    """See to it that a file or the entries of a folder are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def place(aside: Path, target: Path) -> bool:
    """Give a finished release its name; return whether that changed anything.

    A release that is there and is not the same is moved out of the way. In the meantime ``latest``, if it
    points there, points to a copy of the new one: at no time does it lead nowhere.
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
    return latest.is_symlink() and latest.resolve() == target.resolve()


def _point(latest: Path, target: Path) -> None:
    """Swap the link in one step; it is relative, so that the folder can be moved."""
    link = unfinished(latest.parent)
    link.symlink_to(target.name, target_is_directory=True)
    link.replace(latest)
    synchronise(latest.parent)


def sweep(folder: Path) -> None:
    """Remove what runs that died left, but for what ``latest`` points to."""
    current = (folder / LATEST).resolve()
    for path in folder.glob(f"{_UNFINISHED}*"):
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.resolve() != current:
            remove(path)


def remove(path: Path) -> None:
    """Remove a folder whose files, and perhaps folders, are read-only.

    Whoever has a file of it open can go on reading it, but for Windows and SMB, which refuse.
    """
    for inside in (path, *path.rglob("*")):
        if not inside.is_symlink():
            inside.chmod(inside.stat().st_mode | (stat.S_IRWXU if inside.is_dir() else stat.S_IWUSR))
    shutil.rmtree(path)


def refuse_what_is_not_a_link(latest: Path) -> None:
    """Explain that ``latest`` is a folder or a file, which some copying tools make of a link."""
    if latest.exists() and not latest.is_symlink():
        raise PublicationError(
            f"{latest}: expected a link to the current release, found a "
            f"{'folder' if latest.is_dir() else 'file'}. Move it away and run again"
        )


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn what the system refuses into an error that says what to do."""
    try:
        yield
    except OSError as error:
        raise PublicationError(
            f"{error.filename or folder}: cannot be written ({error.strerror or error}). Nothing was "
            f"published: check the rights and the free space of {folder}, and that it may hold symbolic links"
        ) from error
