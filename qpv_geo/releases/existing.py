"""The releases that a new one is compared with, and those that need not be made because they are there."""

import logging
from dataclasses import replace
from pathlib import Path

from qpv_geo.errors import PublicationError
from qpv_geo.formats.base import ReleaseSpec
from qpv_geo.releases.changes import PublishedRelease, compare_releases, read_published
from qpv_geo.releases.ledger import is_intact, read_ledger
from qpv_geo.releases.placement import LATEST, refuse_what_is_not_a_link, reraise_move_errors
from qpv_geo.releases.release import (
    Release,
    current_release,
    earlier_folders,
    held_releases,
    latest_release,
    ledger_matching_latest,
    load_release,
    switch_to,
)

_LOGGER = logging.getLogger(__name__)


def comparable_release(folder: Path, release_id: str) -> PublishedRelease | None:
    """Return the release that a new one is compared with.

    That is the current one or, if the new release is the current one made again, or if the current one is
    damaged, the latest earlier one. None if no such release can be read.
    """
    current = latest_release(folder)
    earlier = earlier_folders(folder, release_id if current is None else current.id)
    for release in (current, *map(load_release, earlier)):
        if release and release.id != release_id and is_intact(release.path):
            try:
                return read_published(release.path)
            except PublicationError as error:
                _LOGGER.warning("no comparison with release %s: %s", release.id, error)
    return None


def existing_release(spec: ReleaseSpec) -> Release | None:
    """Return the existing release if nothing needs to be made, else None.

    That is the current release if it was made from the same inputs and code (`unchanged_release`); a held one
    if it was made from them and compared with the same release; the current one, with `refused`, if somebody
    refused what these inputs and code make.
    """
    if unchanged := unchanged_release(spec):
        return unchanged
    current = current_release(spec.territory.id, spec.settings)
    refusal = read_ledger(spec.folder).refusal(spec.id, spec.raw_files)
    if current and refusal and refusal.release == spec.id:
        return replace(current, refused=spec.id)
    for release in held_releases(spec.territory.id, spec.settings):
        if release.id == spec.id and is_intact(release.path):
            before = comparable_release(spec.folder, spec.id)
            if before and release.compared_with == before.fingerprint:
                return release
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
