"""Releases: written aside, compared, verified, then made visible in one step and never changed again."""

import json
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from qpv_geo.checks import Check
from qpv_geo.errors import ConfigurationError, PublicationError
from qpv_geo.ingest.registry import Registry
from qpv_geo.publish.compare import compare_release
from qpv_geo.publish.datapackage import DESCRIPTOR
from qpv_geo.publish.fingerprint import fingerprint
from qpv_geo.publish.formats import Format
from qpv_geo.publish.placement import (
    LATEST,
    explained,
    is_intact,
    make_current,
    place,
    refuse_what_is_not_a_link,
    seal,
    sweep,
    unfinished,
)
from qpv_geo.publish.provenance import Raws
from qpv_geo.publish.report import REPORT_JSON
from qpv_geo.publish.verify import verify_release
from qpv_geo.publish.writing import Making, write_release
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import Catalogue
from qpv_geo.territory import Territory

_ID = re.compile(r"\d{4}-\d{2}-\d{2}-[0-9a-f]{10}")


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
    published
        Whether this run made it visible; False for a release that was there already.
    """

    id: str
    path: Path
    fingerprint: str
    origin: str
    layers: Mapping[str, int]
    published: bool = False


def current_release(territory_id: str, settings: Settings) -> Release | None:
    """Return the release that ``latest`` points to, or None when there is none (or the link leads nowhere).

    Raises
    ------
    PublicationError
        If ``latest`` is not a link.
    """
    latest = settings.out_dir / territory_id / LATEST
    refuse_what_is_not_a_link(latest)
    return _described(latest.resolve()) if latest.is_dir() else None


def list_releases(territory_id: str, settings: Settings) -> list[Release]:
    """Return the published releases of a territory, oldest sources first."""
    folder = settings.out_dir / territory_id
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if _ID.fullmatch(path.name) and path.is_dir()]
    return [_described(path) for path in sorted(found)]


def find_release(territory_id: str, release_id: str | None, settings: Settings) -> Release:
    """Return a release by its id; the current one without.

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
    releases = {release.id: release for release in list_releases(territory_id, settings)}
    if release_id not in releases:
        known = ", ".join(releases) or "none"
        raise ConfigurationError(f"no release {release_id!r} of {territory_id!r}; there are: {known}")
    return releases[release_id]


def unchanged_release(
    raws: Raws,
    territory: Territory,
    catalogue: Catalogue,
    registry: Registry,
    settings: Settings,
    *,
    formats: tuple[Format, ...] = (),
) -> Release | None:
    """Return the current release if it was made from the same inputs and code, and is still intact.

    It must have been made in the same further formats as well.

    A damaged one (a file changed, missing or added) is not returned, so that it is made again.
    """
    current = current_release(territory.id, settings)
    if current is None or current.fingerprint != fingerprint(raws, territory, catalogue, registry, formats):
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
    force: bool = False,
) -> Release:
    """Write, compare, verify and publish a release.

    Everything is written to a folder of its own, beside the releases. What was written is compared with the
    raw files and verified; then the folder gets its name and ``latest`` is swapped, one step each. Whatever
    fails before leaves the last release and ``latest`` as they were. The caller holds the territory's lock.

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
    force
        Make a release again that is there and intact. If the same bytes come out, the old files stay; else
        the new ones take their place, which happens where only the origin of a source changed (the store in
        place of the site). Without `force`, an intact release of the same inputs is made current as it is.

    Raises
    ------
    PublicationError
        If the layers are not as declared, a file cannot be written, or what was written is not what was read;
        the message says which value, or what to do.
    """
    made_from = fingerprint(raws, territory, catalogue, registry, formats)
    making = Making(made_from, raws, territory, catalogue, registry, settings, formats)
    folder = settings.out_dir / territory.id
    target = folder / making.id
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        refuse_what_is_not_a_link(folder / LATEST)
        sweep(folder)
        if not force and target.is_dir() and is_intact(target):
            return replace(_described(target), published=make_current(target))
        aside = unfinished(folder)
        try:
            aside.mkdir()
            written = write_release(aside, making, layers, checks)
            compare_release(aside, written, raws, territory=territory, registry=registry, settings=settings)
            _verify(aside)
            seal(aside)
            changed = place(aside, target)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        changed |= make_current(target)
        sweep(folder)
    return replace(_described(target), published=changed)


def _verify(folder: Path) -> None:
    if findings := verify_release(folder, quick=True):
        raise PublicationError(
            "nothing is published, the release breaks its own rules: report this error of qpv-geo\n- "
            + "\n- ".join(str(finding) for finding in findings)
        )


def _described(path: Path) -> Release:
    """Return what a release's own files say of it; a damaged one says nothing but where it is."""
    try:
        descriptor = json.loads((path / DESCRIPTOR).read_text(encoding="utf-8"))
        report = json.loads((path / REPORT_JSON).read_text(encoding="utf-8"))
        layers = {layer["nom"]: int(layer["lignes"]) for layer in report["couches"]}
        return Release(path.name, path, str(descriptor["fingerprint"]), str(report["origine"]), layers)
    except (OSError, ValueError, KeyError, TypeError):
        return Release(path.name, path, "", "", {})
