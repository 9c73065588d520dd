"""A release for each EPCI that has a QPV: sources fetched once, territories in parallel, a table at the end.

By default on this machine's cores. With ``QPV_GEO_DASK`` (a scheduler's address, or ``local:4`` for a cluster
of four processes here) the same flow runs on Dask workers, which must see the same data folder.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from contextvars import ContextVar
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.futures import as_completed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows.hooks import tell_crash, tell_failure
from flows.logs import explain_failures
from flows.parameters import DataFolder, Force, Formats, Mirror, Offline, Pages, RequireLive, Wait, Workers
from qpv_geo.errors import ConfigurationError, TerritoriesError
from qpv_geo.formats.provenance import Raws
from qpv_geo.pipeline.fetching import fetch_in_threads
from qpv_geo.pipeline.job import Job, job_for
from qpv_geo.pipeline.many import (
    Result,
    failed,
    largest_first,
    publish_batch,
    publish_in_processes,
    qpv_left_out,
    read_national,
    started_processes,
    territories_of,
    worst,
)
from qpv_geo.pipeline.new_territory import to_toml
from qpv_geo.releases.formats import chosen_formats
from qpv_geo.settings import Settings, default_data_dir
from qpv_geo.sources.fetch import Policy, accept
from qpv_geo.territory import Territory, load_territory
from qpv_geo.zones import department_of

DASK = "QPV_GEO_DASK"

# Who is told of each territory that is done, and of how many there are.
results_listener: ContextVar[Callable[[Result, int], None] | None] = ContextVar(
    "results_listener", default=None
)

_REWRITTEN = "# `qpv-geo refresh --all-territories` writes this file at each run: change a copy of it.\n"

# QPV of a department that are named one by one.
_NAMED_AT_MOST = 5

# A task costs the server as much as a small territory costs the machine.
_PER_TASK = 8


def chosen_runner() -> TaskRunner[Any]:
    """Return the task runner that ``QPV_GEO_DASK`` asks for.

    Raises
    ------
    ConfigurationError
        If it asks for Dask and the extra ``dask`` is not installed, or is not understood.
    """
    where = os.environ.get(DASK, "")
    if not where:
        return ThreadPoolTaskRunner(max_workers=8)
    here = where.removeprefix("local:")
    local = here != where and here.isdigit() and int(here) > 0
    if not local and "://" not in where:
        raise ConfigurationError(f"{DASK}={where}: give a scheduler's address (tcp://host:8786) or local:4")
    try:
        from prefect_dask.task_runners import DaskTaskRunner  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError(
            f"{DASK}={where} asks for a Dask cluster: install qpv-geo[dask], or unset {DASK}"
        ) from error
    if not local:
        address: TaskRunner[Any] = DaskTaskRunner(address=where)
        return address
    options = {"n_workers": int(here), "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    runner: TaskRunner[Any] = DaskTaskRunner(cluster_kwargs=options)
    return runner


@flow(name="refresh-all", on_failure=[tell_failure], on_crashed=[tell_crash])
def refresh_all(
    *,
    offline: Offline = False,
    mirror: Mirror = None,
    require_live: RequireLive = False,
    data: DataFolder = None,
    formats: Formats = (),
    pages: Pages = True,
    force: Force = False,
    wait: Wait = 0.0,
    workers: Workers = 0,
) -> list[dict[str, Any]]:
    """Publish a release of each EPCI that has a QPV; the failure of one does not stop the others.

    Parameters
    ----------
    offline, mirror, require_live, data, formats, force, wait
        As of flow `refresh`.
    pages
        Write portraits as well; without, data formats alone.
    workers
        Number of processes of this machine; 0 for one per core.

    Returns
    -------
    list of dict
        What became of each (see `national.Result`), by territory.

    Raises
    ------
    TerritoriesError
        If some failed or are held; the others are published.
    QpvGeoError
        If the national files cannot be had or read: then nothing was published.
    """
    explain_failures()
    job = job_for(
        load_territory("france"),
        Settings(data_dir=Path(data) if data else default_data_dir()),
        Policy(offline=offline, mirror=mirror, require_live=require_live),
        formats=chosen_formats(formats, pages=pages),
        force=force,
        wait=wait,
    )
    raws = fetch_in_threads(job)
    if os.environ.get(DASK):
        territories = _territories(job, raws)
        done = _as_tasks(territories, job, raws)
    else:
        workers = workers or os.cpu_count() or 1
        with ExitStack() as stack:
            started = stack.enter_context(started_processes(job, raws, workers))
            territories = _territories(job, raws)
            stack.pop_all()
        done = publish_in_processes(territories, job, raws, workers, started)
    results = sorted(_told(done, len(territories)), key=lambda result: result.territory)
    rows = [asdict(result) for result in results]
    try:
        create_table_artifact(rows, key="territoires", description="Territoires")
    except httpx.TransportError as error:
        get_run_logger().warning("no artifact, the Prefect server does not answer: %s", error)
    if code := worst(results):
        bad = [f"{result.territory} ({result.etat})" for result in results if result.exit_code]
        raise TerritoriesError(
            f"{len(bad)} of {len(results)} territories were not published: {', '.join(bad)}. The log and the "
            "closing table say why; the others are published",
            code,
        )
    return rows


def _territories(job: Job, raws: Raws) -> list[Territory]:
    """Read the national files, and write down the territories that are to be published."""
    national = read_national(job, raws)
    territories = territories_of(national)
    if left_out := qpv_left_out(national, territories):
        get_run_logger().warning(told_left_out(left_out))
    defects = national.tables.defects
    accept((raw for key, raw in raws.items() if raw and key not in defects), job.settings)
    write_territory_files(territories, job.settings)
    return territories


def told_left_out(codes: list[str]) -> str:
    """Say which QPV no territory publishes; of a department that has many, how many."""
    by_department: dict[str, list[str]] = {}
    for code in sorted(codes):
        by_department.setdefault(department_of(code), []).append(code)
    listed = ", ".join(
        f"{len(some)} in {department}" if len(some) > _NAMED_AT_MOST else ", ".join(some)
        for department, some in by_department.items()
    )
    return (
        f"{len(codes)} QPV declare no EPCI and no commune of the COG, and are in no release but that of "
        f"France: {listed}"
    )


def _told(results: Iterable[Result], total: int) -> Iterator[Result]:
    """Pass results on, and tell of each in the log and to whoever listens."""
    listener = results_listener.get()
    for number, result in enumerate(results, start=1):
        get_run_logger().log(
            logging.ERROR if result.exit_code else logging.INFO,
            "%d of %d: %s, %s, %s",
            number,
            total,
            result.territory,
            result.etat,
            result.message or result.version,
        )
        if listener:
            listener(result, total)
        yield result


@task(task_run_name="publish-{first}", cache_policy=NO_CACHE, retries=1)
def publish(first: str, territories: list[Territory], job: Job, raws: Raws) -> list[Result]:  # noqa: ARG001 - `first` names the run
    """Publish some territories, on whichever worker runs this."""
    return publish_batch(territories, job, raws)


def _as_tasks(territories: list[Territory], job: Job, raws: Raws) -> Iterator[Result]:
    """Publish territories as tasks of the flow's runner; a task that fails fails each of its territories."""
    ordered = largest_first(territories)
    tasks = max(1, -(-len(ordered) // _PER_TASK))
    # Dealt out like cards: each gets large and small ones.
    batches = [ordered[first::tasks] for first in range(tasks)]
    futures = {publish.submit(batch[0].id, batch, job, raws): batch for batch in batches}
    for future in as_completed(list(futures)):
        try:
            yield from future.result()
        except Exception as error:  # noqa: BLE001 - a lost worker, an unreachable scheduler
            message = f"its task failed: {type(error).__name__}: {error}"
            yield from (failed(one, getattr(error, "exit_code", 1), message) for one in futures[future])


def write_territory_files(territories: Iterable[Territory], settings: Settings) -> None:
    """Write the file of each territory into ``<data>/territories``, for the commands that ask for one.

    The numbers that they expect are those of the sources: each run writes them again, and each file says so.

    Raises
    ------
    ConfigurationError
        If they cannot be written.
    """
    folder = settings.territories_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for territory in territories:
            path = settings.territories_dir / f"{territory.id}.toml"
            path.write_text(_REWRITTEN + to_toml(territory), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{folder}: cannot be written ({error})") from error
