"""A release for each EPCI that has a QPV: sources fetched once, and read once by each Dask worker."""

import gc
import logging
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cached_property
from threading import Lock
from typing import Literal, cast

import dask
from distributed import Client, Future, KilledWorker, LocalCluster, WorkerPlugin, as_completed, get_worker

from qpv_geo.audit.originals import keep_originals
from qpv_geo.errors import ConfigurationError, QpvGeoError, TerritoriesError
from qpv_geo.formats.provenance import Raws
from qpv_geo.ingest.tables import Tables
from qpv_geo.pipeline.country import country_of, read_national, tables_of
from qpv_geo.pipeline.fetching import fetch
from qpv_geo.pipeline.job import Job
from qpv_geo.pipeline.new_territory import CODE_FORMS, qpv_without_territory, territories_with_qpv, to_toml
from qpv_geo.pipeline.one import locked_folder, make_release, prune_if_published
from qpv_geo.releases.decisions import held_error
from qpv_geo.settings import Settings
from qpv_geo.sources.fetch import accept
from qpv_geo.territory import Territory
from qpv_geo.zones import department_of

_LOGGER = logging.getLogger(__name__)

# Exit codes: what nobody foresaw, broken contracts, failed publications, sources, usage, locks.
_WORST_FIRST = (1, 4, 5, 3, 2, 6)
_SIREN_OR_DEPARTMENT = re.compile(f"{CODE_FORMS['epci']}|{CODE_FORMS['departement']}")
_REWRITTEN = "# `qpv-geo refresh --all-territories` writes this file at each run: change a copy of it.\n"
# QPV of a department that are named one by one.
_NAMED_AT_MOST = 5

_DEAD = "each worker that tried died: is there enough memory?"
# Only one territory at a time in a process, whatever its threads: GDAL's configuration is the process's.
_ALONE = Lock()
DASK = "QPV_GEO_DASK"

# How often a task may have been on a worker that died before Dask gives it up.
_DEATHS = 1
_CONNECT = "10s"
# How long tasks wait where no worker starts any more, as when the code is replaced during a run.
_WITHOUT_WORKERS = "300s"
# How long a worker that died has to start again before Dask does without it: a busy machine takes its time.
_TO_START_AGAIN = "200s"


State = Literal["unchanged", "published", "held", "failed"]


@dataclass(frozen=True)
class Result:
    """What became of one territory.

    `release` is the id of the current one, or of the one that is held; empty after a failure. `exit_code` and
    `message` are 0 and empty, or those of the failure.
    """

    territory: str
    name: str
    epci: str
    qpv: int
    state: State = "failed"
    release: str = ""
    seconds: float = 0.0
    exit_code: int = 0
    message: str = ""


# Called with each territory that is done, and their number. A flow's parameters are plain data, so it cannot
# be one of them.
results_listener: ContextVar[Callable[[Result, int], None] | None] = ContextVar(
    "results_listener", default=None
)


def refresh_all(job: Job, *, only: Iterable[str] = (), workers: int = 0) -> list[Result]:
    """Publish a release of each EPCI that has a QPV; the failure of one does not stop the others.

    `job` is of the territory France. `only` are SIREN and departments of the EPCI to publish; empty for all.
    If the national files cannot be had or read, their error is raised and nothing was published.
    """
    codes = checked_codes(only)
    raws = fetch(job)
    with dask_client(workers) as client, national_files(client, job, raws) as files:
        every, left_out, defects = survey(client, files)
        accept((raw for key, raw in raws.items() if raw and key not in defects), job.settings)
        if left_out and not codes:
            _LOGGER.warning(left_out_message(left_out))
        territories = chosen_territories(every, codes)
        write_territory_files(territories, job.settings)
        results = _reported(publish_all(client, files, territories), len(territories))
        return sorted(results, key=lambda result: result.territory)


def checked_codes(only: Iterable[str]) -> frozenset[str]:
    """Return the SIREN and departments that a run is to keep to; refuse what has the form of neither."""
    codes = frozenset(only)
    if wrong := sorted(code for code in codes if not _SIREN_OR_DEPARTMENT.fullmatch(code)):
        raise ConfigurationError(
            f"--only {','.join(wrong)}: give SIREN of EPCI (9 digits) or departments (25, 2A, 974)"
        )
    return codes


def chosen_territories(territories: list[Territory], codes: frozenset[str]) -> list[Territory]:
    """Return the territories that have one of some SIREN or departments; all of them without codes."""
    known = {code for territory in territories for code in (territory.code, territory.departement)}
    if unknown := sorted(codes - known):
        raise ConfigurationError(
            f"--only {','.join(unknown)}: no EPCI with a QPV has this SIREN or department"
        )
    return [one for one in territories if not codes or codes & {one.code, one.departement}]


def left_out_message(codes: list[str]) -> str:
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


def write_territory_files(territories: Iterable[Territory], settings: Settings) -> None:
    """Write the file of each territory into ``<data>/territories``, for the commands that ask for one.

    The numbers that they expect are those of the sources: each run writes them again, and each file says so.
    """
    folder = settings.territories_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for territory in territories:
            path = folder / f"{territory.id}.toml"
            path.write_text(_REWRITTEN + to_toml(territory), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{folder}: cannot be written ({error})") from error


def raise_if_any_failed(results: list[Result]) -> None:
    """Raise `TerritoriesError`, with the exit code of the worst result, if some failed or are held."""
    codes = {result.exit_code for result in results}
    if worst := next((code for code in _WORST_FIRST if code in codes), 0):
        bad = [f"{result.territory} ({result.state})" for result in results if result.exit_code]
        raise TerritoriesError(
            f"{len(bad)} of {len(results)} territories were not published: {', '.join(bad)}. The log and the "
            "closing table say why; the others are published",
            worst,
        )


def _reported(results: Iterable[Result], total: int) -> Iterator[Result]:
    """Pass results on, and tell of each in the log and to the listener."""
    listener = results_listener.get()
    for number, result in enumerate(results, start=1):
        level = logging.ERROR if result.exit_code else logging.INFO
        what = result.message or result.release
        _LOGGER.log(level, "%d of %d: %s, %s, %s", number, total, result.territory, result.state, what)
        if listener:
            listener(result, total)
        yield result


@contextmanager
def dask_client(workers: int = 0) -> Iterator[Client]:
    """Connect to the scheduler that ``QPV_GEO_DASK`` names, or start a cluster of processes on this machine.

    The cluster has `workers` processes; if 0, as many as the variable says (``local:4``), else one per core.
    Raises `ConfigurationError` if the variable is not understood, or the scheduler does not answer.
    """
    where = os.environ.get(DASK, "")
    number = where.removeprefix("local:")
    if "://" in where:
        try:
            client = Client(where, timeout=_CONNECT, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{DASK}={where}: no scheduler answers there ({error})") from error
        with client:
            yield client
        return
    if where and not (number != where and number.isdecimal() and int(number)):
        raise ConfigurationError(f"{DASK}={where}: give a scheduler's address (tcp://host:8786) or local:4")
    settings = {
        "distributed.scheduler.allowed-failures": _DEATHS,
        "distributed.scheduler.no-workers-timeout": _WITHOUT_WORKERS,
        "distributed.deploy.lost-worker-timeout": _TO_START_AGAIN,
        "distributed.scheduler.worker-saturation": 1,
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=workers or int(number or 0) or os.cpu_count(),
            # One at a time in a process: GDAL's configuration is the process's.
            threads_per_worker=1,
            # A worker whose territory needs more than its share is not killed for it.
            memory_limit=0,
            dashboard_address="127.0.0.1:0",
            silence_logs="CRITICAL",
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


class NationalFiles(WorkerPlugin):
    """What territories are published from, on each worker; read by the first task that needs it."""

    def __init__(self, job: Job, raws: Raws) -> None:
        self.job = job
        self.raws = raws

    @cached_property
    def national(self) -> Tables:
        """The national files, read once in a process."""
        keep_originals()
        national = read_national(self.job, self.raws)
        gc.freeze()
        return national


Survey = tuple[list[Territory], list[str], dict[str, str]]
"""A territory for each EPCI that has a QPV, the QPV that are in none, and the defects of raw files by key."""


@contextmanager
def national_files(client: Client, job: Job, raws: Raws) -> Iterator[str]:
    """Give a job and its raw files to every worker, replacements of dead ones included; yield their name."""
    name = f"qpv-geo-{secrets.token_hex(4)}"
    client.register_plugin(NationalFiles(job, raws), name=name)
    try:
        yield name
    finally:
        client.unregister_worker_plugin(name)


def survey(client: Client, files: str) -> Survey:
    """Read the national files on every worker and say what they hold; raises as `read_tables`."""
    answer = client.submit(_survey, files, pure=False)
    # The other workers read them meanwhile: those are lost if nobody holds their futures.
    reading = [client.submit(_read, files, pure=False) for _ in client.nthreads()][1:]
    try:
        result: Survey = answer.result()
    except KilledWorker as error:
        raise QpvGeoError(f"the national files cannot be read: {_DEAD}") from error
    finally:
        for future in reading:
            future.release()
    return result


def publish_all(client: Client, files: str, territories: Iterable[Territory]) -> Iterator[Result]:
    """Publish territories on the workers, those that take longest first; yield results as they come."""
    ordered = sorted(territories, key=lambda territory: (-territory.expected.qpv, territory.id))
    futures = {client.submit(_publish, files, territory, pure=False): territory for territory in ordered}
    suspects: list[Territory] = []
    for future in as_completed(list(futures), loop=client.loop):
        try:
            yield _result(future, futures[future])
        except KilledWorker:
            suspects.append(futures[future])
    # Dask suspects all tasks of a worker that dies, also those that were only waiting there: alone, each
    # shows whether it is the one that kills.
    for territory in suspects:
        try:
            yield _result(client.submit(_publish, files, territory, pure=False), territory)
        except KilledWorker:
            yield failed(territory, 1, _DEAD)


def _result(future: "Future[Result]", territory: Territory) -> Result:
    try:
        return future.result()
    except KilledWorker:
        raise
    except Exception as error:  # noqa: BLE001 - a scheduler that is gone fails what is left, not what is done
        return _failed_by(error, territory, cause="its task failed: ")


def _files(name: str) -> NationalFiles:
    return cast("NationalFiles", get_worker().plugins[name])


def _read(files: str) -> Tables:
    with _ALONE:
        return _files(files).national


def _survey(files: str) -> Survey:
    national = _read(files)
    country = country_of(national)
    territories = territories_with_qpv(country)
    return territories, qpv_without_territory(country, territories), dict(national.defects)


def _publish(files: str, territory: Territory) -> Result:
    given, national = _files(files), _read(files)
    with _ALONE:
        return publish_one(replace(given.job, territory=territory), given.raws, national)


def publish_one(job: Job, raws: Raws, national: Tables) -> Result:
    """Publish the release of a job's territory; a failure is a result like another."""
    start = time.monotonic()
    territory = job.territory
    try:
        with locked_folder(job) as lock:
            release = make_release(job, raws, lock, lambda _: tables_of(territory, national))
            prune_if_published(job, release)
    except Exception as error:  # noqa: BLE001 - one territory's surprise must not stop four hundred others
        return replace(_failed_by(error, territory), seconds=time.monotonic() - start)
    state: State = "published" if release.published else "unchanged"
    result = replace(_about(territory), state=state, release=release.id, seconds=time.monotonic() - start)
    if release.held:
        held = held_error(release, territory, job.settings)
        return replace(result, state="held", exit_code=held.exit_code, message=str(held))
    return result


def failed(territory: Territory, exit_code: int, message: str) -> Result:
    """Return the result of a territory that has no new release because something went wrong."""
    return replace(_about(territory), exit_code=exit_code, message=message)


def _failed_by(error: Exception, territory: Territory, cause: str = "") -> Result:
    if isinstance(error, QpvGeoError):
        return failed(territory, error.exit_code, str(error))
    return failed(territory, 1, f"{cause}{type(error).__name__}: {error}")


def _about(territory: Territory) -> Result:
    return Result(territory.id, territory.nom, territory.code, territory.expected.qpv)
