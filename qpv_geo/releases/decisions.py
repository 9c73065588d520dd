"""Decisions about releases: what need not be made, what is published, dropped, gone back to or removed.

Callers must hold the territory lock.
"""

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from qpv_geo.audit.verify import verify_release
from qpv_geo.errors import ConfigurationError, HeldError, PublicationError
from qpv_geo.formats.base import ReleaseSpec
from qpv_geo.releases.changes import PublishedRelease, compare_releases, read_published
from qpv_geo.releases.ledger import HELD, Ledger, age, is_intact, read_ledger, write_ledger
from qpv_geo.releases.placement import LATEST, discard, refuse_what_is_not_a_link, reraise_move_errors, sweep
from qpv_geo.releases.release import (
    Release,
    command_options,
    current_release,
    earlier_folders,
    find_release,
    held_releases,
    latest_release,
    ledger_matching_latest,
    list_releases,
    load_release,
    previous_release,
    switch_to,
)
from qpv_geo.settings import Settings
from qpv_geo.territory import Retention, Territory

_LOGGER = logging.getLogger(__name__)

_NAMED_AT_MOST = 20


def held_error(release: Release, territory: Territory, settings: Settings) -> HeldError:
    """Return the error that says why a release is held, what to look at and how to decide."""
    reasons = release.held_because
    more = [f"and {len(reasons) - _NAMED_AT_MOST} more"] if len(reasons) > _NAMED_AT_MOST else []
    listed = "\n".join(f"- {reason}" for reason in [*reasons[:_NAMED_AT_MOST], *more])
    before = f" since {release.differences.precedente}" if release.differences else ""
    options = command_options(territory.id, settings)
    return HeldError(
        f"release {release.id} is held: it is complete and verified, and somebody has to look at what changed"
        f"{before} before it is published:\n{listed}\n"
        f"Look at {release.path / 'rapport.html'} and at the layers beside it. Then either "
        f"`qpv-geo releases publish {release.id}{options}` publishes it, or "
        f"`qpv-geo releases drop {release.id}{options}` removes it"
    )


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


def publish_held(territory_id: str, release_id: str, settings: Settings) -> Release:
    """Publish a held release, or make an earlier one current again, whatever the guards say.

    `published` of the result is False if it was current already. Raises `ConfigurationError` if there is no
    such release, and `PublicationError` if it is damaged, or the release it was compared with is no longer
    current.
    """
    folder = settings.out_dir / territory_id
    refuse_what_is_not_a_link(folder / LATEST)
    release = find_release(territory_id, release_id, settings)
    _refuse_damaged(release, command_options(territory_id, settings))
    if release.held:
        before = comparable_release(folder, release.id)
        if release.compared_with != (before and before.fingerprint):
            raise PublicationError(
                f"release {release.id} was compared with another release than the current one"
                f"{f' ({before.id})' if before else ''}: run `qpv-geo refresh"
                f"{command_options(territory_id, settings)}` to have it made and compared again, or drop it"
            )
    with reraise_move_errors(folder):
        sweep(folder)
        aside = release.path if release.held else None
        return switch_to(folder, folder / release.id, ledger_matching_latest(folder), "publish", aside=aside)


def drop_held(territory_id: str, release_id: str, settings: Settings) -> Release:
    """Remove a held release. A run that would make it again publishes nothing.

    Raises `ConfigurationError` if no such release is held.
    """
    folder = settings.out_dir / territory_id
    held = {release.path.name: release for release in held_releases(territory_id, settings)}
    if release_id not in held:
        known = ", ".join(held) or "none"
        raise ConfigurationError(f"no release {release_id!r} is held in {folder / HELD}; there are: {known}")
    release = held[release_id]
    with reraise_move_errors(folder):
        write_ledger(
            folder, ledger_matching_latest(folder).with_refused(release.id, release.raw_files, "drop")
        )
        discard(release.path, folder)
    return release


def roll_back(territory_id: str, release_id: str | None, settings: Settings) -> Release:
    """Make an earlier release current. A run that would publish the one left behind publishes nothing.

    Without an id, it is the latest earlier release that nobody refused. Raises `ConfigurationError` if there
    is no such release, or none is current, and `PublicationError` if the release to go back to is damaged.
    """
    folder = settings.out_dir / territory_id
    current = current_release(territory_id, settings)
    if current is None:
        raise ConfigurationError(f"{folder}: there is no current release to go back from")
    ledger = ledger_matching_latest(folder)
    if release_id is None:
        refused = {refusal.release for refusal in ledger.refusals}
        before = (path.name for path in earlier_folders(folder, current.id))
        release_id = next((name for name in before if name not in refused), None)
        if release_id is None:
            raise ConfigurationError(f"{folder}: no release was current before {current.id}, or it is gone")
    target = find_release(territory_id, release_id, settings)
    if target.held or target.id == current.id:
        state = "held" if target.held else "the current one"
        raise ConfigurationError(f"release {target.id} is {state}: give an earlier one")
    _refuse_damaged(target, command_options(territory_id, settings))
    with reraise_move_errors(folder):
        sweep(folder)
        ledger = ledger.with_refused(current.id, current.raw_files, "rollback")
        return switch_to(folder, target.path, ledger, "rollback")


def _refuse_damaged(release: Release, options: str) -> None:
    """Refuse a release that breaks a quick rule, before it becomes current."""
    findings = [] if is_intact(release.path) else ["its files are not those that were published"]
    findings += [str(finding) for finding in verify_release(release.path, quick=True)]
    if findings:
        raise PublicationError(
            f"release {release.id} is damaged and cannot become current; `qpv-geo refresh --force{options}` "
            "makes again what its sources still give:\n- " + "\n- ".join(findings)
        )


def prunable(territory_id: str, retention: Retention, settings: Settings) -> list[Release]:
    """Return the releases that may be removed, the oldest first.

    `nombre` keeps that many of the releases that were current last, `jours` those that were current within
    that many days. A release stays if either keeps it; with neither, all stay. If there are releases and none
    is current, users may have any of them: this is a `ConfigurationError`.
    """
    releases = list_releases(territory_id, settings)
    if not releases or (retention.nombre is None and retention.jours is None):
        return []
    current, previous = current_release(territory_id, settings), previous_release(territory_id, settings)
    folder = settings.out_dir / territory_id
    if current is None:
        options = command_options(territory_id, settings)
        raise ConfigurationError(
            f"{folder / LATEST} leads to no release: run `qpv-geo refresh{options}`, or make one current "
            f"with `qpv-geo releases publish ID{options}`, before old ones are removed"
        )
    ledger = read_ledger(folder)
    releases.sort(key=lambda release: (_last_current(release.path, ledger), release.path.name))
    kept = {current.path.resolve()} | ({previous.path.resolve()} if previous else set())
    others = [release for release in releases if release.path.resolve() not in kept]
    if retention.nombre is not None:
        spare = max(retention.nombre - len(kept), 0)
        others = others[: max(len(others) - spare, 0)]
    if retention.jours is not None:
        limit = timedelta(days=retention.jours)
        others = [release for release in others if age(_last_current(release.path, ledger)) > limit]
    return others


def prune(territory_id: str, retention: Retention, settings: Settings) -> list[Release]:
    """Remove the releases that `prunable` returns, and return those that are gone.

    Files that somebody has open stay readable; where the system refuses to move them (SMB, Windows), the
    release stays until the next time. Raises `PublicationError` if ``latest`` is not a link or the ledger
    cannot be written.
    """
    folder = settings.out_dir / territory_id
    gone = []
    for release in prunable(territory_id, retention, settings):
        try:
            discard(release.path, folder)
        except OSError as error:
            _LOGGER.warning("%s: cannot be removed yet: %s", release.path, error)
        else:
            gone.append(release)
    if gone:
        with reraise_move_errors(folder):
            write_ledger(folder, read_ledger(folder).without({release.path.name for release in gone}))
    return gone


def _last_current(path: Path, ledger: Ledger) -> datetime:
    """Return when a release was last current, or when its folder was made if the ledger does not know."""
    turns = pairwise(ledger.turns)
    ends = [later.since for turn, later in turns if turn.release == path.name != later.release]
    moment = ends[-1] if ends else ledger.published_at(path.name)
    return moment or datetime.fromtimestamp(path.stat().st_mtime, UTC)
