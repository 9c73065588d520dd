"""Releases of a territory: which there are, which is current, and which a run need not make."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from qpv_geo.errors import ConfigurationError, PublicationError
from qpv_geo.formats.base import ReleaseSpec
from qpv_geo.formats.changes_schema import Changes
from qpv_geo.formats.datapackage import DESCRIPTOR
from qpv_geo.formats.report import REPORT_JSON
from qpv_geo.releases.changes import compare_releases
from qpv_geo.releases.ledger import By, Ledger, read_ledger, write_ledger
from qpv_geo.releases.placement import (
    HELD,
    LATEST,
    clear_held,
    is_intact,
    make_current,
    place,
    refuse_what_is_not_a_link,
    release_folders,
    reraise_move_errors,
    sweep,
)
from qpv_geo.releases.published import PublishedRelease, read_published
from qpv_geo.settings import Settings

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Release:
    """A published release.

    Attributes
    ----------
    id
        Date of its newest source and beginning of its fingerprint.
    path
        Its folder.
    fingerprint
        What it was made from (see `fingerprint`); empty if its descriptor cannot be read.
    origin
        French sentence that says where its data come from.
    layers
        Rows by layer.
    raw_files
        Checksums of the raw files that it was made from, sorted.
    differences
        What changed since the release before it, or since the one that it replaces if it is made current
        again. None for the first one.
    published
        Whether this run made it current.
    held
        Whether it waits in ``held/`` for somebody's decision.
    held_because
        French sentences that say why it was held when it was made; empty if it was not.
    refused
        Id of the release that this run would have made if nobody had rolled it back or dropped it.
    """

    id: str
    path: Path
    fingerprint: str
    origin: str
    layers: Mapping[str, int]
    raw_files: tuple[str, ...] = ()
    differences: Changes | None = None
    published: bool = False
    held: bool = False
    held_because: tuple[str, ...] = ()
    refused: str | None = None


def current_release(territory_id: str, settings: Settings) -> Release | None:
    """Return the release that ``latest`` points to, None if it points to none.

    Raises
    ------
    PublicationError
        If ``latest`` is not a link.
    """
    latest = settings.out_dir / territory_id / LATEST
    refuse_what_is_not_a_link(latest)
    return load_release(latest.resolve()) if latest.is_dir() else None


def list_releases(territory_id: str, settings: Settings) -> list[Release]:
    """Return the published releases of a territory, oldest sources first."""
    return [load_release(path) for path in release_folders(settings.out_dir / territory_id)]


def held_releases(territory_id: str, settings: Settings) -> list[Release]:
    """Return the releases of a territory that wait for somebody's decision."""
    folder = settings.out_dir / territory_id / HELD
    return [replace(load_release(path), held=True) for path in release_folders(folder)]


def find_release(territory_id: str, release_id: str | None, settings: Settings) -> Release:
    """Return a release by its id, published or held; the current one if `release_id` is None.

    Raises
    ------
    ConfigurationError
        If no release has this id; the message lists the known ids.
    """
    if release_id is None:
        current = current_release(territory_id, settings)
        if current is None:
            raise ConfigurationError(
                f"no release of {territory_id!r} in {settings.out_dir}: run `qpv-geo refresh`, or give --data"
            )
        return current
    found = [*held_releases(territory_id, settings), *list_releases(territory_id, settings)]
    releases = {release.path.name: release for release in found}
    if release_id not in releases:
        known = ", ".join(sorted(releases)) or "none"
        raise ConfigurationError(f"no release {release_id!r} of {territory_id!r}; there are: {known}")
    return releases[release_id]


def comparable_release(folder: Path, release_id: str) -> PublishedRelease | None:
    """Return the release that a new one is compared with.

    That is the current one or, if the new release is the current one made again, or if the current one is
    damaged, the latest earlier one. None if no such release can be read.
    """
    latest = folder / LATEST
    current = load_release(latest.resolve()) if latest.is_dir() else None
    start = release_id if current is None else current.id
    earlier = (folder / name for name in read_ledger(folder).before(start))
    for release in (current, *(load_release(path) for path in earlier if path.is_dir())):
        if release and release.id != release_id and is_intact(release.path):
            try:
                return read_published(release.path)
            except PublicationError as error:
                _LOGGER.warning("no comparison with release %s: %s", release.id, error)
    return None


def existing_release(spec: ReleaseSpec) -> Release | None:
    """Return the existing release if nothing needs to be made, else None.

    Returns
    -------
    Release
        The current release if it was made from the same inputs and code (`unchanged_release`); a held one if
        it was made from them and compared with the same release; the current one, with `refused`, if somebody
        refused what these inputs and code make.
    """
    if unchanged := unchanged_release(spec):
        return unchanged
    territory_id, settings = spec.territory.id, spec.settings
    current, waiting = current_release(territory_id, settings), held_releases(territory_id, settings)
    if current is None and not waiting:
        return None
    refusal = read_ledger(spec.folder).refusal(spec.id, spec.raw_files)
    if current and refusal and refusal.release == spec.id:
        return replace(current, refused=spec.id)
    before = comparable_release(spec.folder, spec.id)
    for held in waiting:
        compared = held.differences and held.differences.empreinte_precedente
        if held.id == spec.id and before and compared == before.fingerprint and is_intact(held.path):
            return held
    return None


def unchanged_release(spec: ReleaseSpec) -> Release | None:
    """Return the current release if it was made from the same inputs and code, and is still intact.

    A damaged one (a file changed, missing or added) is made again, and so is the copy that ``latest`` points
    to if a run died while it replaced a release.
    """
    current = current_release(spec.territory.id, spec.settings)
    if current is None or current.path.name != current.id or current.fingerprint != spec.fingerprint:
        return None
    return current if is_intact(current.path) else None


def restored_release(spec: ReleaseSpec) -> Release | None:
    """Make an earlier, intact release of the same inputs and code current again; None if there is none.

    Callers must hold the territory lock.

    Raises
    ------
    PublicationError
        If something cannot be moved.
    """
    with reraise_move_errors(spec.folder):
        spec.folder.mkdir(parents=True, exist_ok=True)
        refuse_what_is_not_a_link(spec.folder / LATEST)
        ledger, target = ledger_matching_latest(spec.folder), spec.folder / spec.id
        if not (ledger.was_current(spec.id) and is_intact(target)):
            return None
        before = comparable_release(spec.folder, spec.id)
        changes = compare_releases(before, read_published(target)) if before else None
        return replace(switch_to(spec.folder, target, ledger, "refresh"), differences=changes)


def ledger_matching_latest(folder: Path) -> Ledger:
    """Return the ledger of a territory's folder, corrected by what ``latest`` points to."""
    ledger, latest = read_ledger(folder), folder / LATEST
    if not latest.is_dir():
        return ledger
    since = datetime.fromtimestamp(latest.stat().st_mtime, UTC).replace(microsecond=0)
    return ledger.matching(load_release(latest.resolve()).id, since)


def switch_to(folder: Path, target: Path, ledger: Ledger, by: By, *, aside: Path | None = None) -> Release:
    """Make a release current, and remove whatever is held.

    Parameters
    ----------
    folder
        The territory's.
    target
        Where the release is or will be.
    ledger
        As `ledger_matching_latest` returns it.
    by
        The command that does so.
    aside
        Where the release is now, if not at its place.

    Raises
    ------
    OSError
        If something cannot be written or moved.
    """
    turned = ledger.with_current(target.name, by)
    if turned != read_ledger(folder):
        write_ledger(folder, turned)
    changed = place(aside, target) if aside else False
    changed |= make_current(target)
    try:
        clear_held(folder)
        sweep(folder)
    except OSError as error:
        # It is published: what cannot be removed now will be next time.
        _LOGGER.warning("%s: cannot be removed: %s", error.filename, error)
    return replace(load_release(target), published=changed)


def load_release(path: Path) -> Release:
    """Read a release from its own files; of a damaged one, only its folder is known."""
    try:
        descriptor = json.loads((path / DESCRIPTOR).read_text(encoding="utf-8"))
        report = json.loads((path / REPORT_JSON).read_text(encoding="utf-8"))
        differences = report.get("differences")
        return Release(
            id=str(descriptor["version"]),
            path=path,
            fingerprint=str(descriptor["fingerprint"]),
            origin=str(report["origine"]),
            layers={layer["nom"]: int(layer["lignes"]) for layer in report["couches"]},
            raw_files=tuple(sorted(source["sha256"] for source in descriptor["sources"])),
            differences=differences and Changes.model_validate(differences),
            held_because=tuple(report.get("retenue", ())),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return Release(path.name, path, "", "", {})
