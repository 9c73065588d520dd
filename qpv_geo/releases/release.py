"""Releases: written aside, compared, verified, then made visible in one step and never changed again."""

import json
import logging
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from qpv_geo.audit.compare import compare_release
from qpv_geo.audit.verify import verify_release
from qpv_geo.checks import Check
from qpv_geo.errors import ConfigurationError, PublicationError
from qpv_geo.formats import Format
from qpv_geo.formats.changes_schema import Changes
from qpv_geo.formats.datapackage import DESCRIPTOR
from qpv_geo.formats.provenance import Raws
from qpv_geo.formats.report import REPORT_JSON
from qpv_geo.ingest.registry import Registry
from qpv_geo.releases.changes import compare_releases
from qpv_geo.releases.fingerprint import fingerprint
from qpv_geo.releases.ledger import By, Ledger, read_ledger, write_ledger
from qpv_geo.releases.placement import (
    HELD,
    LATEST,
    clear_held,
    explained,
    hold,
    is_intact,
    make_current,
    place,
    refuse_what_is_not_a_link,
    release_folders,
    seal,
    sweep,
    unfinished,
)
from qpv_geo.releases.published import PublishedRelease, read_published
from qpv_geo.releases.writing import Making, write_release
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import Catalogue
from qpv_geo.territory import Territory

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
        What has changed since the release before: the one before it when it was made or, for one that is
        made current again, the one whose place it takes. None for the first one.
    published
        Whether this run made it visible; False for a release that was there already.
    held
        Whether it waits in ``held/`` for somebody's decision.
    refused
        Id of the release that this run would have made if nobody had taken it back or dropped it.
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
    refused: str | None = None


def current_release(territory_id: str, settings: Settings) -> Release | None:
    """Return the release that ``latest`` points to, or None when there is none (or the link leads nowhere).

    Raises
    ------
    PublicationError
        If ``latest`` is not a link.
    """
    latest = settings.out_dir / territory_id / LATEST
    refuse_what_is_not_a_link(latest)
    return described(latest.resolve()) if latest.is_dir() else None


def list_releases(territory_id: str, settings: Settings) -> list[Release]:
    """Return the published releases of a territory, oldest sources first."""
    return [described(path) for path in release_folders(settings.out_dir / territory_id)]


def held_releases(territory_id: str, settings: Settings) -> list[Release]:
    """Return the releases of a territory that wait for somebody's decision; seldom more than one."""
    folder = settings.out_dir / territory_id / HELD
    return [replace(described(path), held=True) for path in release_folders(folder)]


def find_release(territory_id: str, release_id: str | None, settings: Settings) -> Release:
    """Return a release by its id, published or held; the current one without.

    Raises
    ------
    ConfigurationError
        If there is none such; the message lists those that there are.
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


def reference(folder: Path, release_id: str) -> PublishedRelease | None:
    """Return the release that a new one of a territory is compared with: the current one.

    If that is the release itself, which is made again, or if it is damaged, one that was current before; None
    if there is none that can be read.
    """
    latest = folder / LATEST
    current = described(latest.resolve()) if latest.is_dir() else None
    ledger = read_ledger(folder)
    start = release_id if current is None else current.id
    earlier = (folder / name for name in ledger.before(start))
    for release in (current, *(described(path) for path in earlier if path.is_dir())):
        if release and release.id != release_id and is_intact(release.path):
            try:
                return read_published(release.path)
            except PublicationError as error:
                _LOGGER.warning("no comparison with release %s: %s", release.id, error)
    return None


def standing_release(
    raws: Raws,
    territory: Territory,
    catalogue: Catalogue,
    registry: Registry,
    settings: Settings,
    *,
    formats: tuple[Format, ...] = (),
    pages: bool = True,
) -> Release | None:
    """Return what there is to say without making a release; None if one is to be made.

    Parameters
    ----------
    raws, territory, catalogue, registry, settings, formats, pages
        As `publish_release` takes them.

    Returns
    -------
    Release
        The current release if it was made from the same inputs and code (see `unchanged_release`); the held
        one if that was, with the same release to compare with; the current one, with `refused`, if what these
        inputs and code make was taken back or dropped.
    """
    inputs = (raws, territory, catalogue, registry)
    if unchanged := unchanged_release(*inputs, settings, formats=formats, pages=pages):
        return unchanged
    folder = settings.out_dir / territory.id
    current, waiting = current_release(territory.id, settings), held_releases(territory.id, settings)
    if current is None and not waiting:
        return None
    made_from = fingerprint(*inputs, formats, pages=pages)
    making = Making(made_from, *inputs, settings, formats, pages=pages)
    refusal = read_ledger(folder).refusal(making.id, making.raw_files)
    if current and refusal and refusal.release == making.id:
        return replace(current, refused=making.id)
    before = reference(folder, making.id)
    for held in waiting:
        compared = held.differences and held.differences.empreinte_precedente
        if held.id == making.id and before and compared == before.fingerprint and is_intact(held.path):
            return held
    return None


def unchanged_release(
    raws: Raws,
    territory: Territory,
    catalogue: Catalogue,
    registry: Registry,
    settings: Settings,
    *,
    formats: tuple[Format, ...] = (),
    pages: bool = True,
) -> Release | None:
    """Return the current release if it was made from the same inputs and code, and is still intact.

    It must have been made in the same further formats as well, with pages or without.

    A damaged one (a file changed, missing or added) is not returned, so that it is made again; nor is the
    copy that ``latest`` points to where a run died while it replaced a release.
    """
    current = current_release(territory.id, settings)
    if current is None or current.path.name != current.id:
        return None
    if current.fingerprint != fingerprint(raws, territory, catalogue, registry, formats, pages=pages):
        return None
    return current if is_intact(current.path) else None


def publish_release(  # noqa: PLR0917 - what a run has made, in the order in which it made it
    layers: Mapping[str, pd.DataFrame],
    checks: Iterable[Check],
    raws: Raws,
    territory: Territory,
    catalogue: Catalogue,
    registry: Registry,
    settings: Settings,
    *,
    formats: tuple[Format, ...] = (),
    pages: bool = True,
    force: bool = False,
    confirm: Callable[[], None] = lambda: None,
) -> Release:
    """Write, compare, verify and publish a release, or hold it.

    Everything is written to a folder of its own, beside the releases. What was written is compared with the
    raw files and verified; then the folder gets its name and ``latest`` is swapped, one step each. Whatever
    fails before leaves the last release and ``latest`` as they were. The caller holds the territory's lock.

    A release that changed beyond the bounds of the territory's `Guard`, or that other code makes of refused
    raw files, goes to ``held/`` instead. One that was current before may be so again.

    Parameters
    ----------
    layers
        By name, without ``sources`` and ``controles``.
    checks
        What ingestion and joins found.
    raws, territory, catalogue, registry
        What the layers were made from.
    settings
        Where releases are.
    formats
        Formats beyond GeoPackage, GeoJSON and CSV (`formats.chosen_formats`).
    pages
        Whether it holds portraits; without, it is data alone.
    force
        Make a release again that is there and intact. If the same bytes come out, the old files stay; else
        the new ones take their place, which happens where only the origin of a source changed (the store in
        place of the site). Without `force`, an intact release of the same inputs is made current as it is.
        Guards are not forced.
    confirm
        Called before anything is written and before anything moves; raises if the territory's lock is lost.

    Raises
    ------
    PublicationError
        If the layers are not as declared, a file cannot be written, or what was written is not what was read;
        the message says which value, or what to do.
    """
    confirm()
    inputs = (raws, territory, catalogue, registry)
    made_from = fingerprint(*inputs, formats, pages=pages)
    making = Making(made_from, *inputs, settings, formats, pages=pages)
    folder = settings.out_dir / territory.id
    target = folder / making.id
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        refuse_what_is_not_a_link(folder / LATEST)
        sweep(folder)
        ledger = settled_ledger(folder)
        before = reference(folder, making.id)
        if not force and ledger.was_current(making.id) and is_intact(target):
            changes = compare_releases(before, read_published(target)) if before else None
            return replace(turn(folder, target, ledger, "refresh"), differences=changes)
        aside = unfinished(folder)
        try:
            aside.mkdir()
            written = write_release(aside, making, layers, checks, before)
            compare_release(aside, written, raws, territory=territory, registry=registry, settings=settings)
            _verify(aside)
            seal(aside)
            confirm()
            if not ledger.was_current(making.id) and _waits(described(aside), ledger, making):
                return replace(described(hold(aside, folder, making.id)), held=True)
            return turn(folder, target, ledger, "refresh", aside=aside)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _waits(release: Release, ledger: Ledger, making: Making) -> bool:
    """Return whether somebody has to look at a release before it is published."""
    beyond = release.differences is not None and bool(release.differences.depassements)
    return beyond or ledger.refusal(making.id, making.raw_files) is not None


def settled_ledger(folder: Path) -> Ledger:
    """Return the ledger of a territory's folder, ending with the release that is really current."""
    ledger, latest = read_ledger(folder), folder / LATEST
    if not latest.is_dir():
        return ledger
    since = datetime.fromtimestamp(latest.stat().st_mtime, UTC).replace(microsecond=0)
    return ledger.settled(described(latest.resolve()).id, since)


def turn(folder: Path, target: Path, ledger: Ledger, by: By, *, aside: Path | None = None) -> Release:
    """Make a release current, which supersedes whatever is held.

    Parameters
    ----------
    folder
        The territory's.
    target
        Where the release is, or belongs.
    ledger
        As `settled_ledger` returns it; written before anything moves.
    by
        Which command does so.
    aside
        Where the release is, if not yet at its place.

    Raises
    ------
    OSError
        If something cannot be written or moved.
    """
    turned = ledger.turned(target.name, by)
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
    return replace(described(target), published=changed)


def _verify(folder: Path) -> None:
    if findings := verify_release(folder, quick=True):
        raise PublicationError(
            "nothing is published, the release breaks its own rules: report this error of qpv-geo\n- "
            + "\n- ".join(str(finding) for finding in findings)
        )


def described(path: Path) -> Release:
    """Return what a release's own files say of it; a damaged one says nothing but its folder."""
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
        )
    except (OSError, ValueError, KeyError, TypeError):
        return Release(path.name, path, "", "", {})
