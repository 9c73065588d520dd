"""The release of one territory: official files in, a verified release out, and what there is to say of it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qpv_geo.formats.base import ReleaseSpec
from qpv_geo.formats.provenance import Raws
from qpv_geo.lock import Hold, territory_lock
from qpv_geo.parallel import collector_held_off
from qpv_geo.pipeline.fetching import fetch
from qpv_geo.pipeline.job import Job
from qpv_geo.releases.changes_text import changes_markdown
from qpv_geo.releases.decisions import existing_release, prune, restored_release
from qpv_geo.releases.placement import reraise_move_errors, sweep
from qpv_geo.releases.release import Release
from qpv_geo.sources.fetch import accept
from qpv_geo.sources.raw import RawFile

if TYPE_CHECKING:
    from qpv_geo.ingest.tables import Tables

State = Literal["published", "unchanged", "held", "refused"]
ABSENT = "absente"
# What to open first in a release; that of France has no portraits.
_PAGES = ("portraits/index.html", "rapport.html")


@dataclass(frozen=True)
class Outcome:
    """What a run did: the release that is current now or held, and the raw files that were fetched."""

    release: Release
    raws: Raws


def run(job: Job) -> Outcome:
    """Do the whole job, in order, holding the territory's lock; `flows.refresh` does the same as tasks.

    A release that changed beyond the declared bounds comes out held, and its raw files count as good: they
    kept every contract. Whatever goes wrong, the last published release is untouched.
    """
    with locked_folder(job) as lock:
        raws = fetch(job)
        return conclude(job, raws, make_release(job, raws, lock))


@contextmanager
def locked_folder(job: Job) -> Iterator[Hold]:
    """Hold the lock of a job's territory; what dead runs left is removed first, what failed at the end."""
    folder = job.settings.out_dir / job.territory.id
    with territory_lock(folder, wait=job.wait) as lock:
        with reraise_move_errors(folder):
            sweep(folder)
        try:
            yield lock
        finally:
            with reraise_move_errors(folder):
                sweep(folder)


def make_release(
    job: Job, raws: Raws, lock: Hold, read: Callable[[ReleaseSpec], "Tables"] | None = None
) -> Release:
    """Return the existing release of some raw files, or make it and publish or hold it.

    `lock` is that of the territory; `read` gives the tables in place of the raw files.
    """
    spec = job.spec(raws)
    with collector_held_off():
        if existing := find_existing(job, spec, lock):
            return existing
        # imported lazily: unchanged runs skip it
        from qpv_geo.pipeline import steps  # noqa: PLC0415
        from qpv_geo.releases.draft import publish_draft, verify_draft  # noqa: PLC0415

        draft = steps.write(steps.join((read or steps.read)(spec), spec))
        verify_draft(draft)
        return publish_draft(draft, lock.confirm)


def find_existing(job: Job, spec: ReleaseSpec, lock: Hold) -> Release | None:
    """Return the release if nothing needs to be made, else None."""
    lock.confirm()
    return None if job.force else existing_release(spec) or restored_release(spec)


def conclude(job: Job, raws: Raws, release: Release) -> Outcome:
    """Keep the raw files of a release as good copies, and remove releases that are too old."""
    # Only now: a file that breaks a contract never becomes the last good copy.
    accept((raw for raw in raws.values() if raw and raw.sha256 in release.raw_files), job.settings)
    prune_if_published(job, release)
    return Outcome(release, raws)


def prune_if_published(job: Job, release: Release) -> None:
    """Remove releases that the territory no longer keeps, now that it has a new one."""
    if release.published:
        prune(job.territory.id, job.territory.conservation, job.settings)


def summarise(outcome: Outcome) -> dict[str, Any]:
    """Return what a run has to say, as plain data; rows of sources and checks as the report has them."""
    release = outcome.release
    report = json.loads((release.path / "rapport.json").read_text(encoding="utf-8"))
    return {
        "release": release.id,
        "path": str(release.path),
        "open": str(next(filter(Path.is_file, (release.path / name for name in _PAGES)), release.path)),
        "state": _state(release),
        "refused": release.refused,
        "differences": _differences(release),
        "origin": release.origin,
        "layers": dict(release.layers),
        "checks": report["controles"],
        "sources": [_source_row(key, raw) for key, raw in outcome.raws.items()],
    }


def _state(release: Release) -> State:
    if release.held:
        return "held"
    if release.refused:
        return "refused"
    return "published" if release.published else "unchanged"


def _differences(release: Release) -> str:
    """Say what this run changes, or would change, in French Markdown."""
    if release.published or release.held:
        first = "Première publication : il n'y en a pas d'autre à laquelle la comparer."
        return changes_markdown(release.differences) if release.differences else first
    return "Aucune différence : la publication en cours reste la même."


def _source_row(key: str, raw: RawFile | None) -> dict[str, str]:
    if raw is None:
        return {"source": key, "origine": ABSENT}
    return {
        "source": key,
        "origine": raw.origin,
        "millesime": raw.source.vintage,
        "date": raw.date.isoformat(),
        "fichier": raw.path.name,
        "sha256": raw.sha256,
        "motif": raw.reason,
    }
