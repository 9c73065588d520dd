"""A release in the making: written aside, compared with what was read, verified, then published or held."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import geopandas as gpd
import pandas as pd

from qpv_geo.audit.compare import compare_release
from qpv_geo.audit.geopackage import StoredTable, read_geopackage
from qpv_geo.audit.verify import verify_release
from qpv_geo.checks import Check
from qpv_geo.errors import PublicationError
from qpv_geo.files import unfinished
from qpv_geo.formats.base import Content, ReleaseSpec
from qpv_geo.formats.datapackage import write_datapackage
from qpv_geo.formats.dcat import write_dcat
from qpv_geo.formats.fields import as_held, published_layers, with_decimals
from qpv_geo.formats.frames import conform
from qpv_geo.formats.geojson import to_wgs84
from qpv_geo.formats.geopackage import geopackage_name
from qpv_geo.formats.provenance import checks_table, sources_table
from qpv_geo.formats.report import write_report
from qpv_geo.formats.report_schema import Changes
from qpv_geo.french import french_date
from qpv_geo.releases.changes import PublishedRelease, compare_releases
from qpv_geo.releases.decisions import comparable_release
from qpv_geo.releases.guards import overruns
from qpv_geo.releases.ledger import read_ledger, seal_of, write_ledger
from qpv_geo.releases.placement import (
    LATEST,
    hold,
    make_read_only,
    refuse_what_is_not_a_link,
    reraise_move_errors,
)
from qpv_geo.releases.release import Release, ledger_matching_latest, load_release, switch_to


@dataclass(frozen=True)
class Draft:
    """A release that nobody sees yet: its folder, what it should hold, and what its GeoPackage holds."""

    path: Path
    content: Content
    tables: Mapping[str, StoredTable]


def write_draft(layers: Mapping[str, pd.DataFrame], checks: Iterable[Check], spec: ReleaseSpec) -> Draft:
    """Write every file of a release into a folder of its own. Callers must hold the territory lock.

    The layers, by name, are those made from `spec`, without ``sources`` and ``controles``. Raises
    `PublicationError` if they are not as declared or a file cannot be written.
    """
    content = build_content(layers, checks, spec)
    with reraise_move_errors(spec.folder):
        spec.folder.mkdir(parents=True, exist_ok=True)
        refuse_what_is_not_a_link(spec.folder / LATEST)
        folder = unfinished(spec.folder)
        folder.mkdir()
        for data in (each for each in spec.formats if each.written != "with_pages"):
            data.write(folder, content)
        tables = read_geopackage(folder / geopackage_name(spec.territory.id))
        changes = _changes(tables, spec)
        content = replace(content, changes=changes, held_because=_reasons_to_hold(changes, spec))
        write_report(folder, content)
        for pages in (each for each in spec.formats if each.written == "with_pages"):
            pages.write(folder, content)
        write_dcat(folder, content)
        write_datapackage(folder, content)
    return Draft(folder, content, tables)


def build_content(layers: Mapping[str, pd.DataFrame], checks: Iterable[Check], spec: ReleaseSpec) -> Content:
    """Conform the layers, round them for GeoJSON, and add the tables of sources and checks."""
    declared = published_layers(spec.registry)
    conformed = conform(layers, declared, spec.territory.published_epsg)
    spatial = {name for name, frame in conformed.items() if isinstance(frame, gpd.GeoDataFrame)}
    held = as_held(declared, spatial)
    rounded, rounding_checks = to_wgs84(conformed, held)
    checks = [*checks, *rounding_checks]
    tables = {"sources": sources_table(spec.raws, spec.catalogue, checks), "controles": checks_table(checks)}
    conformed |= conform(tables, held, spec.territory.published_epsg)
    frames = {name: conformed[name] for name in held if name in conformed}
    return Content(spec, frames, rounded, with_decimals(held, frames, spec.registry))


def _changes(tables: Mapping[str, StoredTable], spec: ReleaseSpec) -> Changes | None:
    before = comparable_release(spec.folder, spec.id)
    if before is None:
        return None
    changes = compare_releases(before, PublishedRelease(spec.id, spec.fingerprint, tables))
    return changes.model_copy(update={"depassements": overruns(changes, spec.territory.garde)})


def _reasons_to_hold(changes: Changes | None, spec: ReleaseSpec) -> tuple[str, ...]:
    """Say what changed beyond the territory's bounds, and that somebody refused the raw files before."""
    reasons = [overrun.message for overrun in changes.depassements] if changes else []
    if refusal := read_ledger(spec.folder).refusal(spec.id, spec.raw_files):
        deed = "abandonnée" if refusal.by == "drop" else "retirée"
        reasons.append(
            f"La publication {refusal.release}, faite des mêmes fichiers bruts, a été {deed} le "
            f"{french_date(refusal.at.date())}."
        )
    return tuple(reasons)


def verify_draft(draft: Draft) -> None:
    """Compare what was written with what was read, apply every quick rule, and make the files read-only.

    Raises `PublicationError` if a value is not what was read, and names it, or if a rule is broken.
    """
    with reraise_move_errors(draft.content.spec.folder):
        compare_release(draft.path, draft.content, draft.tables)
        if findings := verify_release(draft.path, quick=True):
            raise PublicationError(
                "nothing is published, the release breaks its own rules: report this error of qpv-geo\n- "
                + "\n- ".join(str(finding) for finding in findings)
            )
        make_read_only(draft.path)


def publish_draft(draft: Draft, confirm: Callable[[], None]) -> Release:
    """Give a verified draft its name and make it current, or hold it.

    It is held if `Content.held_because` gives a reason, unless it was current before. If a release of the
    same name is there with the same bytes, its files stay. If its bytes differ (`--force` makes a release
    again, and the origin of a source may be another), the draft takes its place.

    Before anything moves `confirm` is called, which raises if the territory lock is lost. After a
    `PublicationError`, since a folder cannot be moved, the last release and ``latest`` are as they were.
    """
    spec = draft.content.spec
    confirm()
    with reraise_move_errors(spec.folder):
        ledger = ledger_matching_latest(spec.folder)
        if draft.content.held_because and not ledger.was_current(spec.id):
            write_ledger(spec.folder, ledger.with_seal(seal_of(draft.path, spec.id)))
            return replace(load_release(hold(draft.path, spec.folder, spec.id)), held=True)
        return switch_to(spec.folder, spec.folder / spec.id, ledger, "refresh", aside=draft.path)
