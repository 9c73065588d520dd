"""What a territory's folder remembers of its releases: which were current, which were refused.

``releases.json`` is replaced in one step, *before* the move that it tells of: a run that dies in between
leaves a line about what did not happen, which `Ledger.settled` takes away, and never a release that this does
not know. The link ``latest`` alone says which release is current.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from qpv_geo.errors import PublicationError
from qpv_geo.files import replace_file

LEDGER = "releases.json"
# A refusal matters until the source changes; the oldest of so many does not any more.
_REFUSALS = 50

By = Literal["refresh", "publish", "rollback"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Turn(_Part):
    """A release became current: when, and by which command."""

    release: str
    since: AwareDatetime
    by: By


class Refusal(_Part):
    """A release that somebody took back or dropped: a run that would make it again publishes nothing.

    Attributes
    ----------
    raw_files
        Checksums of the raw files, sorted: what other code makes of the same is held.
    by
        Which command.
    """

    release: str
    raw_files: tuple[str, ...]
    at: AwareDatetime
    by: Literal["rollback", "drop"]


class Ledger(_Part):
    """All of it, the oldest first."""

    ledger: Literal["qpv-geo/releases/1"] = "qpv-geo/releases/1"
    turns: tuple[Turn, ...] = ()
    refusals: tuple[Refusal, ...] = ()

    def before(self, release: str | None) -> list[str]:
        """Return the releases that were current before one was, the latest first, each once.

        One that never was, as far as this knows, comes after all the others.
        """
        order = [turn.release for turn in self.turns]
        if release in order:
            order = order[: len(order) - 1 - order[::-1].index(release)]
        return [earlier for earlier in dict.fromkeys(reversed(order)) if earlier != release]

    def settled(self, current: str, since: datetime) -> Self:
        """Return a ledger that ends with the release that is really current.

        A run that died may have left turns that never came; a release may be older than the ledger.
        """
        order = [turn.release for turn in self.turns]
        if current not in order:
            first = Turn(release=current, since=since, by="refresh")
            return self.model_copy(update={"turns": (*self.turns, first)})
        return self.model_copy(update={"turns": self.turns[: len(order) - order[::-1].index(current)]})

    def turned(self, release: str, by: By) -> Self:
        """Return a ledger in which a release is current from now on, and no longer refused."""
        kept = tuple(refusal for refusal in self.refusals if refusal.release != release)
        stays = bool(self.turns) and self.turns[-1].release == release
        turns = self.turns if stays else (*self.turns, Turn(release=release, since=_now(), by=by))
        return self.model_copy(update={"turns": turns, "refusals": kept})

    def refused(self, release: str, raw_files: tuple[str, ...], by: Literal["rollback", "drop"]) -> Self:
        """Return a ledger in which a release is refused."""
        others = [refusal for refusal in self.refusals if refusal.release != release]
        refusal = Refusal(release=release, raw_files=raw_files, at=_now(), by=by)
        return self.model_copy(update={"refusals": (*others, refusal)[-_REFUSALS:]})

    def refusal(self, release: str, raw_files: tuple[str, ...]) -> Refusal | None:
        """Return the refusal of a release, else one of what was made from the same raw files."""
        same = [refusal for refusal in self.refusals if refusal.release == release]
        alike = [refusal for refusal in self.refusals if refusal.raw_files == raw_files != ()]
        return next(iter(reversed(same or alike)), None)

    def was_current(self, release: str) -> bool:
        """Return whether a release was published and nobody took it back since."""
        refused = any(refusal.release == release for refusal in self.refusals)
        return not refused and any(turn.release == release for turn in self.turns)

    def without(self, releases: set[str]) -> Self:
        """Return a ledger that has forgotten when releases were current."""
        kept = tuple(turn for turn in self.turns if turn.release not in releases)
        return self.model_copy(update={"turns": kept})

    def published_at(self, release: str) -> datetime | None:
        """Return when a release last became current, None if this does not know."""
        return next((turn.since for turn in reversed(self.turns) if turn.release == release), None)

    def superseded_at(self, release: str) -> datetime | None:
        """Return when another release last took its place, None if this does not know or none did."""
        for turn, following in reversed(list(zip(self.turns, self.turns[1:], strict=False))):
            if turn.release == release != following.release:
                return following.since
        return None


def read_ledger(folder: Path) -> Ledger:
    """Read the ledger of a territory's folder; an empty one if there is none.

    Raises
    ------
    PublicationError
        If it cannot be read.
    """
    path = folder / LEDGER
    try:
        return Ledger.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Ledger()
    except (OSError, ValidationError) as error:
        raise PublicationError(
            f"{path}: cannot be read ({error}). Restore it from a backup, or move it away: what is lost then "
            "is in which order releases were published, and which were refused"
        ) from error


def write_ledger(folder: Path, ledger: Ledger) -> None:
    """Replace the ledger of a territory's folder in one step.

    Raises
    ------
    OSError
        If it cannot be written; the one before stays.
    """
    replace_file(folder / LEDGER, ledger.model_dump_json(indent=1) + "\n")


def age(since: datetime) -> timedelta:
    """Return how long ago something was; negative if the clock was set back."""
    return _now() - since


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
