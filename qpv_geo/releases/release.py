"""Releases of a territory: which there are, and which is current."""

import json
import logging
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from qpv_geo.errors import ConfigurationError, PublicationError
from qpv_geo.formats.descriptions import DESCRIPTOR, REPORT_JSON
from qpv_geo.formats.report_schema import Changes
from qpv_geo.releases.ledger import HELD, By, Ledger, read_ledger, seal_of, write_ledger
from qpv_geo.releases.placement import (
    LATEST,
    clear_held,
    make_current,
    place,
    refuse_what_is_not_a_link,
    release_folders,
    sweep,
)
from qpv_geo.settings import Settings, default_data_dir
from qpv_geo.territory import territory_names

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Release:
    """A published release."""

    id: str
    """Date of its newest source and beginning of its fingerprint."""
    path: Path
    fingerprint: str
    """What it was made from (see `fingerprint`); empty if its descriptor cannot be read."""
    origin: str
    """French sentence that says where its data come from."""
    layers: Mapping[str, int]
    """Rows by layer."""
    raw_files: tuple[str, ...] = ()
    """Checksums of the raw files that it was made from, sorted."""
    differences: Changes | None = None
    """What changed since the release before it, or since the one that it replaces if it is made current
    again. None for the first one."""
    published: bool = False
    """Whether this run made it current."""
    held: bool = False
    """Whether it waits in ``held/`` for somebody's decision."""
    held_because: tuple[str, ...] = ()
    """French sentences that say why it was held when it was made; empty if it was not."""
    refused: str | None = None
    """Id of the release that this run would have made if nobody had rolled it back or dropped it."""

    @property
    def compared_with(self) -> str | None:
        """Fingerprint of the release that it was compared with."""
        return self.differences.empreinte_precedente if self.differences else None

    @property
    def geopackage(self) -> Path:
        """Its GeoPackage; a `PublicationError` if there is not exactly one."""
        paths = list(self.path.glob("*.gpkg"))
        if len(paths) != 1:
            raise PublicationError(
                f"{self.path}: expected one GeoPackage, found {len(paths)}; refresh the territory"
            )
        return paths[0]


def command_options(territory_id: str, settings: Settings) -> str:
    """Return the options that point a command to a territory and a folder, with a space before each."""
    options = []
    generated = settings.territories_dir / f"{territory_id}.toml"
    if territory_id not in territory_names():
        options += ["--territory", str(generated) if generated.is_file() else f"FILE OF {territory_id}"]
    elif territory_id != "besancon":
        options += ["--territory", territory_id]
    if settings.data_dir != default_data_dir():
        options += ["--data", str(settings.data_dir)]
    return "".join(f" {shlex.quote(option)}" for option in options)


def current_release(territory_id: str, settings: Settings) -> Release | None:
    """Return the release that ``latest`` points to, None if it points to none.

    Raises `PublicationError` if ``latest`` is not a link.
    """
    folder = settings.out_dir / territory_id
    refuse_what_is_not_a_link(folder / LATEST)
    return latest_release(folder)


def latest_release(folder: Path) -> Release | None:
    """Return the release that ``latest`` of a territory's folder leads to, if it leads to one."""
    latest = folder / LATEST
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

    If no release has this id, a `ConfigurationError` lists the known ids.
    """
    if release_id is None:
        current = current_release(territory_id, settings)
        if current is None:
            raise ConfigurationError(
                f"no release of {territory_id!r} in {settings.out_dir}: run `qpv-geo refresh"
                f"{command_options(territory_id, settings)}`, or give --data"
            )
        return current
    candidates = [*held_releases(territory_id, settings), *list_releases(territory_id, settings)]
    releases = {release.path.name: release for release in candidates}
    if release_id not in releases:
        known = ", ".join(sorted(releases)) or "none"
        raise ConfigurationError(f"no release {release_id!r} of {territory_id!r}; there are: {known}")
    return releases[release_id]


def previous_release(territory_id: str, settings: Settings) -> Release | None:
    """Return the release that was current before the current one, if it is still there."""
    folder = settings.out_dir / territory_id
    current = current_release(territory_id, settings)
    earlier = earlier_folders(folder, current.id) if current else []
    return next(map(load_release, earlier), None)


def earlier_folders(folder: Path, release_id: str) -> list[Path]:
    """Return the folders of the releases that were current before a given one, the latest first."""
    paths = (folder / name for name in read_ledger(folder).before(release_id))
    return [path for path in paths if path.is_dir()]


def ledger_matching_latest(folder: Path) -> Ledger:
    """Return the ledger of a territory's folder, corrected by what ``latest`` points to."""
    ledger, current = read_ledger(folder), latest_release(folder)
    if current is None:
        return ledger
    since = datetime.fromtimestamp(current.path.stat().st_mtime, UTC).replace(microsecond=0)
    return ledger.matching(current.id, since)


def switch_to(folder: Path, target: Path, ledger: Ledger, by: By, *, aside: Path | None = None) -> Release:
    """Make a release current by a command, and remove whatever is held.

    `target` is its place in the territory's folder, `aside` where it is now, if not there; `ledger` is that
    of `ledger_matching_latest`. What cannot be written or moved is an `OSError`.
    """
    updated = ledger.with_current(target.name, by).with_seal(seal_of(aside or target, target.name))
    if updated != read_ledger(folder):
        write_ledger(folder, updated)
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
    # Whatever JSON may be in place of what was written: a list, numbers, brackets without end.
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Release(path.name, path, "", "", {})
