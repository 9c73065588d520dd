"""The release of one territory: official files in, a verified release out."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pandas as pd

from qpv_geo.analysis.layers import build_layers
from qpv_geo.checks import Check
from qpv_geo.formats.base import ReleaseSpec
from qpv_geo.formats.provenance import Raws
from qpv_geo.ingest.tables import Tables, read_tables
from qpv_geo.lock import Hold, territory_lock
from qpv_geo.parallel import collector_held_off
from qpv_geo.pipeline.fetching import fetch_in_threads
from qpv_geo.pipeline.job import Job
from qpv_geo.releases.draft import Draft, publish_draft, verify_draft, write_draft
from qpv_geo.releases.placement import reraise_move_errors, sweep
from qpv_geo.releases.release import Release, existing_release, restored_release
from qpv_geo.releases.retention import prune
from qpv_geo.sources.fetch import accept


@dataclass(frozen=True)
class JoinedLayers:
    """The layers of a release, what was checked on the way, and what they were made from."""

    layers: dict[str, pd.DataFrame]
    checks: tuple[Check, ...]
    spec: ReleaseSpec


@dataclass(frozen=True)
class Outcome:
    """What a run did: the release that is current now or held, and the raw files that were fetched."""

    release: Release
    raws: Raws


def run(job: Job, fetch: Callable[[Job], Raws] = fetch_in_threads) -> Outcome:
    """Do the whole job, in order, holding the territory's lock.

    A release that changed beyond the declared bounds comes out held, and its raw files count as good: they
    kept every contract.

    Parameters
    ----------
    job
        Territory, folders, policy.
    fetch
        How the sources are fetched: in plain threads, or as Prefect tasks.

    Raises
    ------
    QpvGeoError
        Whatever went wrong; the last published release is untouched.
    """
    with locked_folder(job) as lock:
        raws = fetch(job)
        release = make_release(job, raws, read, lock)
        # Only now: a file that breaks a contract never becomes the last good copy.
        accept((raw for raw in raws.values() if raw and raw.sha256 in release.raw_files), job.settings)
    return Outcome(release, raws)


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


def make_release(job: Job, raws: Raws, read: Callable[[ReleaseSpec], Tables], lock: Hold) -> Release:
    """Return the existing release of some raw files, or make it and publish or hold it.

    Parameters
    ----------
    job, raws
        What the release is made from.
    read
        Reads the tables; not called where nothing needs to be made.
    lock
        Of the territory.

    Raises
    ------
    QpvGeoError
        Whatever went wrong; the last published release is untouched.
    """
    spec = job.spec(raws)
    with collector_held_off():
        lock.confirm()
        release = None if job.force else existing_release(spec) or restored_release(spec)
        if release is None:
            draft = write(join(read(spec), spec))
            verify(draft)
            release = publish(draft, lock)
    if release.published:
        prune(job.territory.id, job.territory.conservation, job.settings)
    return release


def read(spec: ReleaseSpec) -> Tables:
    """Read and check the raw files."""
    return read_tables(spec.raws, spec.territory, spec.catalogue, spec.registry, spec.settings)


def join(tables: Tables, spec: ReleaseSpec) -> JoinedLayers:
    """Join tables into layers; a raw file that turned out bad carries its defect from here on."""
    layers, checks = build_layers(tables, spec.territory, spec.registry)
    raws = {
        key: replace(raw, defect=tables.defects.get(key, "")) if raw else None
        for key, raw in spec.raws.items()
    }
    return JoinedLayers(layers, (*tables.checks, *checks), replace(spec, raws=raws))


def write(joined: JoinedLayers) -> Draft:
    """Write a release aside."""
    return write_draft(joined.layers, joined.checks, joined.spec)


def verify(draft: Draft) -> None:
    """Compare what was written with what was read, and apply the rules of every file."""
    verify_draft(draft)


def publish(draft: Draft, lock: Hold) -> Release:
    """Make a verified draft current, or hold it."""
    return publish_draft(draft, lock.confirm)
