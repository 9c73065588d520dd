"""What a territory's folder remembers of its releases: which were current, which were refused.

``releases.json`` is written *before* a release moves. A run that dies in between leaves an entry for a move
that never happened, which `Ledger.matching` removes; no release is ever missing from it. Only the link
``latest`` says which release is current. It lies outside the releases, and its seals show whether one was
edited.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import AwareDatetime, ValidationError

from qpv_geo.errors import PublicationError
from qpv_geo.files import replace_file
from qpv_geo.formats.descriptions import DESCRIPTOR, checksum
from qpv_geo.frozen import Frozen

if TYPE_CHECKING:
    from qpv_geo.audit.rules.base import Finding

LEDGER = "releases.json"
# A refusal matters until its source changes: the oldest of this many no longer does.
_REFUSALS = 50

By = Literal["refresh", "publish", "rollback"]
HELD = "held"


class Turn(Frozen):
    """A release became current: when, and by which command."""

    release: str
    since: AwareDatetime
    by: By


class Refusal(Frozen):
    """A release that somebody rolled back or dropped: a run that would make it again publishes nothing."""

    release: str
    raw_files: tuple[str, ...]
    """Checksums of the raw files, sorted. What another version of the code makes of them is held."""
    at: AwareDatetime
    by: Literal["rollback", "drop"]


class Seal(Frozen):
    """A release as it was published or held."""

    release: str
    descriptor: str
    """SHA-256 of its ``datapackage.json``, which holds those of all other files."""
    read_only: bool
    """Whether its files could be made so: some shares do not hold modes."""


class Ledger(Frozen):
    """Turns, refusals and seals, the oldest first."""

    ledger: Literal["qpv-geo/releases/1"] = "qpv-geo/releases/1"
    turns: tuple[Turn, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    seals: tuple[Seal, ...] = ()

    def before(self, release: str | None) -> list[str]:
        """Return the releases that were current before a given one, the latest first, each once.

        If the ledger does not know the release, it is taken to follow all others.
        """
        order = [turn.release for turn in self.turns]
        if release in order:
            order = order[: len(order) - 1 - order[::-1].index(release)]
        return [earlier for earlier in dict.fromkeys(reversed(order)) if earlier != release]

    def matching(self, current: str, since: datetime) -> Self:
        """Return the ledger without turns that never happened, ending with the release that is current.

        A current release that is older than the ledger is added.
        """
        order = [turn.release for turn in self.turns]
        if current not in order:
            first = Turn(release=current, since=since, by="refresh")
            return self.model_copy(update={"turns": (*self.turns, first)})
        return self.model_copy(update={"turns": self.turns[: len(order) - order[::-1].index(current)]})

    def with_current(self, release: str, by: By) -> Self:
        """Return a ledger in which a release is current from now on, and no longer refused."""
        kept = tuple(refusal for refusal in self.refusals if refusal.release != release)
        stays = bool(self.turns) and self.turns[-1].release == release
        turns = self.turns if stays else (*self.turns, Turn(release=release, since=_now(), by=by))
        return self.model_copy(update={"turns": turns, "refusals": kept})

    def with_refused(self, release: str, raw_files: tuple[str, ...], by: Literal["rollback", "drop"]) -> Self:
        """Return a ledger in which a release is refused."""
        others = [refusal for refusal in self.refusals if refusal.release != release]
        refusal = Refusal(release=release, raw_files=raw_files, at=_now(), by=by)
        return self.model_copy(update={"refusals": (*others, refusal)[-_REFUSALS:]})

    def with_seal(self, seal: Seal) -> Self:
        """Return a ledger with the seal of a release; one made again with other bytes has several."""
        others = tuple(other for other in self.seals if other != seal)
        return self.model_copy(update={"seals": (*others, seal)})

    def refusal(self, release: str, raw_files: tuple[str, ...]) -> Refusal | None:
        """Return the refusal of a release, or of another one made from the same raw files."""
        same = [refusal for refusal in self.refusals if refusal.release == release]
        alike = [refusal for refusal in self.refusals if refusal.raw_files == raw_files != ()]
        return next(iter(reversed(same or alike)), None)

    def was_current(self, release: str) -> bool:
        """Return whether a release was published and not refused since."""
        refused = any(refusal.release == release for refusal in self.refusals)
        return not refused and any(turn.release == release for turn in self.turns)

    def without(self, releases: set[str]) -> Self:
        """Return a ledger without the turns and the seals of some releases."""
        turns = tuple(turn for turn in self.turns if turn.release not in releases)
        seals = tuple(seal for seal in self.seals if seal.release not in releases)
        return self.model_copy(update={"turns": turns, "seals": seals})

    def published_at(self, release: str) -> datetime | None:
        """Return when a release last became current, if known."""
        return next((turn.since for turn in reversed(self.turns) if turn.release == release), None)


def read_ledger(folder: Path) -> Ledger:
    """Read the ledger of a territory's folder; an empty one if there is none."""
    path = folder / LEDGER
    try:
        return Ledger.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Ledger()
    except OSError as error:
        raise PublicationError(f"{path}: cannot be read ({error.strerror}); check the rights") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise PublicationError(
            f"{path}: not a ledger of releases ({where}: {first['msg']}). Restore it from a backup, or move "
            "it away: then only the order of publication, the refusals and the seals are lost"
        ) from error


def write_ledger(folder: Path, ledger: Ledger) -> None:
    """Replace the ledger of a territory's folder in one step; after an `OSError` the one before stays."""
    replace_file(folder / LEDGER, ledger.model_dump_json(indent=1) + "\n")


def age(since: datetime) -> timedelta:
    """Return the time since a moment; negative if the clock was set back."""
    return _now() - since


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


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
    return [seal for seal in read_ledger(folder).seals if seal.release == path.name]


def _is_edited(path: Path, seals: list[Seal]) -> bool:
    descriptor = path / DESCRIPTOR
    known = {seal.descriptor for seal in seals}
    return bool(seals) and not (descriptor.is_file() and checksum(descriptor) in known)
