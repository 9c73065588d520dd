"""Whether a release is as it was published: by its checksums, and by what the ledger outside it remembers."""

from pathlib import Path
from typing import TYPE_CHECKING

from qpv_geo.formats.descriptions import DESCRIPTOR, checksum
from qpv_geo.releases.ledger import Seal, read_ledger

if TYPE_CHECKING:
    from qpv_geo.audit.rules.base import Finding

HELD = "held"


def is_intact(path: Path) -> bool:
    """Return whether the files of a release are those that were published, by their checksums."""
    # imported lazily: a list of releases checks none
    from qpv_geo.audit.rules import files  # noqa: PLC0415

    folder = files.Folder(path)
    rules = (files.checksums, files.nothing_else)
    return not (any(rule.findings(folder, ".") for rule in rules) or _is_edited(path, _seals(path)))


def seal_of(path: Path, release: str) -> Seal:
    """Return the seal of a finished release, which may not have its name yet."""
    return Seal(release=release, descriptor=checksum(path / DESCRIPTOR), read_only=not writable_files(path))


def seal_findings(path: Path) -> "list[Finding]":
    """Return how a release differs from its seal; nothing can be said of one that has none."""
    from qpv_geo.audit.rules.base import Finding  # noqa: PLC0415 - as above

    seals, findings = _seals(path), []
    if _is_edited(path, seals):
        message = "is not the one that was published: the ledger (releases.json) holds another SHA-256 of it"
        findings.append(Finding("SEAL01", DESCRIPTOR, message))
    if any(seal.read_only for seal in seals):
        message = "can be written to, and was published read-only: QGIS may have changed it"
        findings += [Finding("SEAL02", name, message) for name in writable_files(path)]
    return findings


def writable_files(path: Path) -> list[str]:
    """Return the files of a release that somebody may write to."""
    files = (file for file in sorted(path.rglob("*")) if file.is_file() and not file.is_symlink())
    return [file.relative_to(path).as_posix() for file in files if file.stat().st_mode & 0o222]


def _seals(path: Path) -> list[Seal]:
    folder = path.parent.parent if path.parent.name == HELD else path.parent
    return read_ledger(folder).seals_of(path.name)


def _is_edited(path: Path, seals: list[Seal]) -> bool:
    descriptor = path / DESCRIPTOR
    known = {seal.descriptor for seal in seals}
    return bool(seals) and not (descriptor.is_file() and checksum(descriptor) in known)
