"""Releases: written aside, compared, verified, then made visible in one step and never changed again."""

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from qpv_geo import __version__
from qpv_geo.checks import Check
from qpv_geo.errors import ConfigurationError, PublicationError
from qpv_geo.ingest.registry import Registry
from qpv_geo.publish.compare import Written, compare_release
from qpv_geo.publish.datapackage import DESCRIPTOR, write_datapackage
from qpv_geo.publish.fields import published_layers
from qpv_geo.publish.fingerprint import environment, fingerprint
from qpv_geo.publish.frames import conform
from qpv_geo.publish.geojson import to_wgs84, write_geojson
from qpv_geo.publish.geopackage import geopackage_name, write_geopackage
from qpv_geo.publish.provenance import Raws, checks_table, newest_date, origin_sentence, sources_table
from qpv_geo.publish.qgis.content import Content
from qpv_geo.publish.qgis.metadata import add_metadata
from qpv_geo.publish.qgis.project import write_project
from qpv_geo.publish.qgis.styles import add_styles
from qpv_geo.publish.report import REPORT_JSON, build_report, write_report
from qpv_geo.publish.report_schema import Publication
from qpv_geo.publish.rules import files
from qpv_geo.publish.tabular import write_csv
from qpv_geo.publish.verify import verify_release
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import Catalogue
from qpv_geo.territory import Territory

_LATEST = "latest"
_UNFINISHED = ".tmp-"
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
    latest = settings.out_dir / territory_id / _LATEST
    _refuse_what_is_not_a_link(latest)
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
    raws: Raws, territory: Territory, catalogue: Catalogue, registry: Registry, settings: Settings
) -> Release | None:
    """Return the current release if it was made from the same inputs and code, and is still intact.

    A damaged one (a file changed, missing or added) is not returned, so that it is made again.
    """
    current = current_release(territory.id, settings)
    if current is None or current.fingerprint != fingerprint(raws, territory, catalogue, registry):
        return None
    return current if is_intact(current.path) else None


def is_intact(path: Path) -> bool:
    """Return whether the files of a release are those that were published, by their checksums."""
    folder = files.Folder(path)
    rules = (files.Checksums(), files.NothingElse())
    return not any(rule.findings(folder, ".", files.UNREADABLE) for rule in rules)


def publish_release(  # noqa: PLR0917 - what a run has made, in the order in which it made it
    layers: Mapping[str, pd.DataFrame],
    checks: Iterable[Check],
    raws: Raws,
    territory: Territory,
    catalogue: Catalogue,
    registry: Registry,
    settings: Settings,
    *,
    force: bool = False,
) -> Release:
    """Write, compare, verify and publish a release.

    Everything is written to a folder of its own, beside the releases. What was written is compared with the
    raw files and verified; then the folder gets its name and ``latest`` is swapped, one step each. Whatever
    fails before leaves the last release and ``latest`` as they were. The caller holds the territory's lock.

    Published files are read-only: QGIS turns a GeoPackage that it may write to WAL mode, which changes it.
    Their folder stays writable, so that releases can be removed.

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
    made_from = fingerprint(raws, territory, catalogue, registry)
    making = _Making(made_from, raws, territory, catalogue, registry, settings)
    folder = settings.out_dir / territory.id
    target = folder / making.id
    with _explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _refuse_what_is_not_a_link(folder / _LATEST)
        _sweep(folder)
        if not force and target.is_dir() and is_intact(target):
            return _make_current(target)
        aside = folder / f"{_UNFINISHED}{secrets.token_hex(6)}"
        try:
            aside.mkdir()
            written = _write(aside, making, layers, list(checks))
            compare_release(aside, written, raws, territory=territory, registry=registry, settings=settings)
            _verify(aside)
            _seal(aside)
            changed = _place(aside, target)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        release = _make_current(target)
        _sweep(folder)
    return replace(release, published=release.published or changed)


@dataclass(frozen=True)
class _Making:
    """What a release is made from."""

    fingerprint: str
    raws: Raws
    territory: Territory
    catalogue: Catalogue
    registry: Registry
    settings: Settings

    @property
    def id(self) -> str:
        return f"{newest_date(self.raws)}-{self.fingerprint[:10]}"


def _write(folder: Path, making: _Making, layers: Mapping[str, pd.DataFrame], checks: list[Check]) -> Written:
    """Write every file of a release and return what they should hold."""
    raws, territory, registry = making.raws, making.territory, making.registry
    declared = published_layers(registry)
    conformed = conform(layers, declared, territory.epsg)
    rounded, found = to_wgs84(conformed, declared)
    checks = [*checks, *found]
    provenance = {
        "sources": sources_table(raws, making.catalogue, checks),
        "controles": checks_table(checks),
    }
    conformed |= conform(provenance, declared, territory.epsg)
    frames = {name: conformed[name] for name in declared if name in conformed}
    origin, newest = origin_sentence(raws), newest_date(raws)
    package = folder / geopackage_name(territory.id)
    write_geopackage(package, frames, declared, epsg=territory.epsg, newest=newest, origin=origin)
    content = Content(frames, declared, territory, newest, origin)
    add_styles(package, content)
    add_metadata(package, content)
    write_project(folder, content)
    write_geojson(folder / "geojson", rounded, declared, origin)
    write_csv(folder / "csv", frames, declared)
    software = f"qpv-geo {__version__}"
    publication = Publication(
        id=making.id,
        empreinte=making.fingerprint,
        territoire=territory.id,
        nom=territory.nom,
        epci=territory.epci,
        logiciel=software,
        environnement=environment(),
    )
    write_report(folder, build_report(publication, frames, declared, raws, registry), frames, registry)
    release = {"version": making.id, "fingerprint": making.fingerprint, "software": software}
    write_datapackage(folder, release, frames, declared, raws=raws, territory=territory)
    return Written(frames, rounded, declared)


def _verify(folder: Path) -> None:
    if findings := verify_release(folder, quick=True):
        raise PublicationError(
            "nothing is published, the release breaks its own rules: report this error of qpv-geo\n- "
            + "\n- ".join(str(finding) for finding in findings)
        )


def _seal(folder: Path) -> None:
    """Make files read-only and see to it that they are on the disk, then their folders."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file():
            path.chmod(path.stat().st_mode & ~0o222)
        _synchronise(path)
    _synchronise(folder)


def _synchronise(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _place(aside: Path, target: Path) -> bool:
    """Give a finished release its name; return whether that changed anything.

    A release that is there and is not the same is moved out of the way. In the meantime ``latest``, if it
    points there, points to a copy of the new one: at no time does it lead nowhere.
    """
    if not target.exists():
        aside.rename(target)
        return True
    if (aside / DESCRIPTOR).read_bytes() == (target / DESCRIPTOR).read_bytes() and is_intact(target):
        return False
    latest = target.with_name(_LATEST)
    if latest.is_symlink() and latest.resolve() == target.resolve():
        bridge = target.with_name(f"{_UNFINISHED}{secrets.token_hex(6)}")
        shutil.copytree(aside, bridge)
        _point(latest, bridge)
    target.rename(target.with_name(f"{_UNFINISHED}{secrets.token_hex(6)}"))
    aside.rename(target)
    return True


def _make_current(target: Path) -> Release:
    """Point ``latest`` to a release and return it; `published` says whether that changed anything."""
    latest = target.with_name(_LATEST)
    changed = not (latest.is_symlink() and latest.resolve() == target.resolve())
    if changed:
        _point(latest, target)
    return replace(_described(target), published=changed)


def _point(latest: Path, target: Path) -> None:
    """Swap the link in one step; it is relative, so that the folder can be moved."""
    link = latest.with_name(f"{_UNFINISHED}{secrets.token_hex(6)}")
    link.symlink_to(target.name, target_is_directory=True)
    link.replace(latest)
    _synchronise(latest.parent)


def _sweep(folder: Path) -> None:
    """Remove what runs that died left, but for what ``latest`` points to."""
    current = (folder / _LATEST).resolve()
    for path in folder.glob(f"{_UNFINISHED}*"):
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.resolve() != current:
            shutil.rmtree(path)


def _refuse_what_is_not_a_link(latest: Path) -> None:
    if latest.exists() and not latest.is_symlink():
        raise PublicationError(
            f"{latest}: expected a link to the current release, found a "
            f"{'folder' if latest.is_dir() else 'file'}. Move it away and run again"
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


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Turn what the system refuses into an error that says what to do."""
    try:
        yield
    except OSError as error:
        raise PublicationError(
            f"{error.filename or folder}: cannot be written ({error.strerror or error}). Nothing was "
            f"published: check the rights and the free space of {folder}, and that it may hold symbolic links"
        ) from error
