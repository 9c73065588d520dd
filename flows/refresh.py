"""The whole job: official files in, a verified release out. Read it from top to bottom."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.task_runners import ThreadPoolTaskRunner

from flows.artifacts import create_artifacts, summarise
from flows.fetching import Raws, fetch_as_tasks, fetch_in_threads
from flows.hooks import sweep_leftovers, tell_crash, tell_failure
from flows.job import Job, job_for
from flows.logs import explain_failures
from flows.making import release_of
from flows.notifications import tell_fallbacks
from flows.parameters import (
    DataFolder,
    Force,
    Formats,
    Mirror,
    Offline,
    RequireLive,
    TerritoryName,
    Wait,
)
from qpv_geo.ingest.tables import read_tables
from qpv_geo.lock import territory_lock
from qpv_geo.publish.decisions import held_error
from qpv_geo.publish.formats import chosen_formats
from qpv_geo.publish.placement import explained, sweep
from qpv_geo.publish.release import Release
from qpv_geo.publish.retention import prune
from qpv_geo.settings import Settings, default_data_dir
from qpv_geo.sources.fetch import Policy, accept
from qpv_geo.sources.raw import RawFile
from qpv_geo.territory import load_territory


@flow(
    name="refresh",
    # Prefect's own runner does not match the invariant type that its decorator declares.
    task_runner=ThreadPoolTaskRunner(max_workers=8),  # type: ignore[arg-type]
    on_failure=[tell_failure],
    on_crashed=[tell_crash, sweep_leftovers],
    on_cancellation=[sweep_leftovers],
)
def refresh(
    *,
    territory: TerritoryName = "besancon",
    offline: Offline = False,
    mirror: Mirror = None,
    require_live: RequireLive = False,
    data: DataFolder = None,
    formats: Formats = (),
    force: Force = False,
    wait: Wait = 0.0,
) -> dict[str, Any]:
    """Refresh the release of a territory.

    Parameters
    ----------
    territory
        Name of a shipped territory, or path of a TOML file.
    offline
        Use no network: the store, then the shipped snapshot.
    mirror
        Folder or address laid out like the official sites, in their place.
    require_live
        Fail rather than fall back to an older copy of a source.
    data
        Folder that holds ``raw/`` and ``out/``.
    formats
        Formats to write beyond GeoPackage, GeoJSON and CSV.
    force
        Publish again even if nothing changed.
    wait
        Seconds to wait for another run of the territory.

    Returns
    -------
    dict
        Summary of the run: release, sources, checks, layers.

    Raises
    ------
    HeldError
        If the release is held: its artifacts are there, and somebody has to decide.
    QpvGeoError
        Whatever else went wrong, explained.
    """
    explain_failures()
    job = job_for(
        load_territory(territory),
        Settings(data_dir=Path(data) if data else default_data_dir()),
        Policy(offline=offline, mirror=mirror, require_live=require_live),
        formats=chosen_formats(formats),
        force=force,
        wait=wait,
    )
    outcome = run(job, fetch_as_tasks)
    for raw in outcome.raws.values():
        if raw and raw.reason:
            get_run_logger().warning("%s: %s from the %s", raw.source.id, raw.reason, raw.origin)
    if not offline:
        tell_fallbacks(job.territory, outcome.raws)
    summary = summarise(outcome.release, outcome.raws)
    create_artifacts(summary)
    if outcome.release.held:
        raise held_error(outcome.release, job.territory, job.settings)
    return summary


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
