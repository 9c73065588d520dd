"""Disks that are full, read-only or not ours: real ones, which takes root for some."""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

_VERSION_3 = 0x20080522
# CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER: what lets root ignore the rights of files.
_ABOVE_RIGHTS = 0b1110


def _mount(*arguments: str | Path) -> None:
    done = subprocess.run(
        ["mount", *map(str, arguments)],  # noqa: S607 - wherever the system has it
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"needs the right to mount a file system (root): {done.stderr.strip()}")


@contextmanager
def small_disk(folder: Path, free: int) -> Iterator[Path]:
    """Put a folder on a file system of its own that has `free` bytes left; yield the file that fills it."""
    if os.geteuid() != 0:
        pytest.skip("needs the right to mount a file system (root)")
    aside = folder.with_name(f"{folder.name} aside")
    shutil.copytree(folder, aside, symlinks=True)
    _mount("-t", "tmpfs", "-o", "size=64m", "none", folder)
    try:
        shutil.copytree(aside, folder, symlinks=True, dirs_exist_ok=True)
        filler = folder / ".lock-filler"
        with filler.open("wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, shutil.disk_usage(folder).free - free)
        yield filler
    finally:
        _unmount(folder)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Make the file system of a folder read-only."""
    if os.geteuid() != 0:
        pytest.skip("needs the right to mount a file system (root)")
    _mount("--bind", folder, folder)
    try:
        _mount("-o", "remount,ro,bind", folder)
        yield
    finally:
        _unmount(folder)


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S607 - as above


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


@contextmanager
def ordinary_rights() -> Iterator[None]:
    """Have the rights of files count for root as well, in this thread and those that it starts."""
    library = ctypes.CDLL(None, use_errno=True)
    header, sets = _Header(_VERSION_3, 0), (_Sets * 2)()
    assert library.capget(ctypes.byref(header), ctypes.byref(sets)) == 0
    before = sets[0].effective
    sets[0].effective &= ~_ABOVE_RIGHTS
    assert library.capset(ctypes.byref(header), ctypes.byref(sets)) == 0
    try:
        yield
    finally:
        sets[0].effective = before
        assert library.capset(ctypes.byref(header), ctypes.byref(sets)) == 0


@contextmanager
def mode(path: Path, bits: int) -> Iterator[None]:
    """Give a file or a folder other rights, which count for root as well."""
    before = path.stat().st_mode
    path.chmod(bits)
    try:
        with ordinary_rights():
            yield
    finally:
        with suppress(FileNotFoundError):
            path.chmod(before)
