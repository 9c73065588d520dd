"""The release of one territory: official files in, a verified release out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from qpv_geo.analysis.layers import build_layers
from qpv_geo.formats.provenance import Raws
from qpv_geo.ingest.tables import Tables, read_tables
from qpv_geo.lock import territory_lock
from qpv_geo.parallel import collector_held_off
from qpv_geo.pipeline.fetching import fetch_in_threads
from qpv_geo.pipeline.job import Job
from qpv_geo.releases.placement import explained, sweep
from qpv_geo.releases.release import Release, publish_release, standing_release
from qpv_geo.releases.retention import prune
from qpv_geo.sources.fetch import accept
from qpv_geo.sources.raw import RawFile


def release_of(
    job: Job,
    raws: Raws,
    read: Callable[[], Tables],
    confirm: Callable[[], None],
) -> Release:
    """Return the standing release of a territory, or make one from its tables.

    Parameters
    ----------
    job
        Territory, folders, what to write.
    raws
        What the release is made from, by key.
    read
        Reads the tables; not called where nothing is to be made.
    confirm
        Makes sure that the territory's lock, which the caller holds, is not lost.

    Raises
    ------
    QpvGeoError
        Whatever went wrong; the last published release is untouched.
    """
    with collector_held_off():
        inputs = (raws, job.territory, job.catalogue, job.registry)
        if not job.force:
            standing = standing_release(*inputs, job.settings, formats=job.formats, pages=job.pages)
            if standing is not None:
                return standing
        tables = read()
        layers, found = build_layers(tables, job.territory, job.registry)
        published = {
            key: replace(raw, defect=tables.defects.get(key, "")) if raw else None
            for key, raw in raws.items()
        }
        return publish_release(
            layers,
            (*tables.checks, *found),
            published,
            *inputs[1:],
            job.settings,
            formats=job.formats,
            pages=job.pages,
            force=job.force,
            confirm=confirm,
        )


@dataclass(frozen=True)
class Outcome:
    """What a run did: the release that is current now or held, and the raw files that were fetched."""

    release: Release
    raws: Mapping[str, RawFile | None]


def run(job: Job, fetch_all: Callable[[Job], Raws] = fetch_in_threads) -> Outcome:
    """Do the whole job, in order, holding the territory's lock.

    A release that changed beyond the declared bounds comes out held, and its raw files count as good: they
    kept every contract.

    Parameters
    ----------
    job
        Territory, folders, policy.
    fetch_all
        How the sources are fetched: in plain threads, or as Prefect tasks.

    Raises
    ------
    QpvGeoError
        Whatever went wrong, explained; the last published release is untouched.
    """
    folder = job.settings.out_dir / job.territory.id
    with territory_lock(folder, wait=job.wait) as lock:
        with explained(folder):
            sweep(folder)
        raws = fetch_all(job)
        inputs = (raws, job.territory, job.catalogue, job.registry)
        release = release_of(job, raws, lambda: read_tables(*inputs, job.settings), lock.confirm)
        # Only now: a file that breaks a contract never becomes the last good copy.
        accept((raw for raw in raws.values() if raw and raw.sha256 in release.raw_files), job.settings)
        if release.published:
            prune(job.territory.id, job.territory.conservation, job.settings)
    return Outcome(release, raws)
