"""Releases of many territories from the same files, each read once in a process; without Prefect's engine."""

import gc
import time
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context
from threading import Lock
from typing import Literal

from qpv_geo.analysis.misplaced import refuse_misplaced
from qpv_geo.analysis.selection import declares
from qpv_geo.audit.originals import keep_originals
from qpv_geo.errors import QpvGeoError, SourceUnavailableError
from qpv_geo.formats.provenance import Raws
from qpv_geo.ingest.outside import may_hold
from qpv_geo.ingest.tables import Tables, read_tables
from qpv_geo.ingest.territory_communes import choose_communes
from qpv_geo.pipeline.job import Job
from qpv_geo.pipeline.new_territory import (
    Country,
    attributes_of,
    qpv_without_territory,
    territories_with_qpv,
)
from qpv_geo.pipeline.one import locked_folder, make_release
from qpv_geo.releases.decisions import held_error
from qpv_geo.territory import Territory, load_territory

State = Literal["inchangée", "publiée", "retenue", "échec"]

# Exit codes: what nobody foresaw, broken contracts, failed publications, sources, usage, locks.
_WORST_FIRST = (1, 4, 5, 3, 2, 6)


@dataclass(frozen=True)
class Result:
    """What became of one territory.

    Attributes
    ----------
    territory, nom, epci
        Which one.
    qpv
        Number of QPV.
    etat
        What was done.
    version
        Id of the current release, or of the one that is held; empty after a failure.
    secondes
        How long it took.
    exit_code, message
        0, or the exit code of the failure and what it says.
    """

    territory: str
    nom: str
    epci: str
    qpv: int
    etat: State = "échec"
    version: str = ""
    secondes: float = 0.0
    exit_code: int = 0
    message: str = ""


def worst(results: Iterable[Result]) -> int:
    """Return the exit code of the worst result, 0 if all went well."""
    codes = {result.exit_code for result in results}
    return next((code for code in _WORST_FIRST if code in codes), 0)


@dataclass(frozen=True)
class National:
    """The national files, read and checked.

    Attributes
    ----------
    tables
        Those of the territory France.
    """

    tables: Tables

    def of(self, territory: Territory) -> Tables:
        """Return the tables of an EPCI: what is drawn in Lambert-93 is of metropolitan France only.

        Raises
        ------
        ContractError
            If something is wrong with a feature that may be the territory's, or if a QPV that declares it
            lies elsewhere; the other territories have their releases all the same.
        """
        national = self.tables
        for aside in national.set_aside:
            aside.refuse(may_hold(territory, aside.places))
        metropolitan = territory.epsg == load_territory("france").epsg
        communes = national.communes if metropolitan else national.overseas[territory.epsg]
        found = choose_communes(communes, territory)
        if (qpv := national.contours.by_epsg.get(territory.epsg)) is not None:
            refuse_misplaced(qpv[declares(qpv, territory)], communes)
        tables = replace(national, communes=found.of_territory, around=None, overseas={})
        if not metropolitan:
            return tables.without_metropole()
        if national.iris is None:
            return tables
        iris = national.iris[national.iris["insee_com"].isin(found.codes)]
        return replace(tables, iris=iris.reset_index(drop=True) if len(iris) else None)


def read_national(job: Job, raws: Raws) -> National:
    """Read the national files.

    Parameters
    ----------
    job
        Of the territory France.
    raws
        By key.

    Raises
    ------
    SourceUnavailableError, SourceContentError, ContractError
        As `read_tables`.
    """
    france = load_territory("france")
    inputs = (job.catalogue, job.registry, job.settings)
    return National(read_tables(raws, france, *inputs, several=True))


def territories_of(national: National) -> list[Territory]:
    """Return a territory for each EPCI that has a QPV.

    Raises
    ------
    SourceUnavailableError
        If the composition of the EPCI was not read.
    """
    return territories_with_qpv(_country(national))


def qpv_left_out(national: National, territories: Iterable[Territory]) -> list[str]:
    """Return the QPV that are in none of the territories: on islands without EPCI, or with lapsed codes.

    Raises
    ------
    SourceUnavailableError
        As `territories_of`.
    """
    return qpv_without_territory(_country(national), territories)


def _country(national: National) -> Country:
    tables = national.tables
    if tables.epci_members is None:
        raise SourceUnavailableError("source cog_epci is absent, and it alone says which EPCI there are")
    named = [aside.features for aside in tables.set_aside if "communes" in aside.source.fills]
    communes = [tables.communes, *tables.overseas.values(), *named]
    return Country(attributes_of(communes), tables.epci_members, tables.contours.attributes)


def largest_first(territories: Iterable[Territory]) -> list[Territory]:
    """Return territories in the order in which they are best begun: those that take longest first."""
    return sorted(territories, key=lambda territory: (-territory.expected.qpv, territory.id))


def failed(territory: Territory, exit_code: int, message: str, seconds: float = 0.0) -> Result:
    """Return the result of a territory that has no new release because something went wrong."""
    return replace(_about(territory), exit_code=exit_code, message=message, secondes=seconds)


def _about(territory: Territory) -> Result:
    return Result(territory.id, territory.nom, territory.code, territory.expected.qpv)


def publish_one(job: Job, raws: Raws, national: National) -> Result:
    """Publish the release of a job's territory; a failure is a result like another."""
    start = time.monotonic()
    territory = job.territory
    try:
        with locked_folder(job) as lock:
            release = make_release(job, raws, lambda _: national.of(territory), lock)
    except QpvGeoError as error:
        return failed(territory, error.exit_code, str(error), time.monotonic() - start)
    except Exception as error:  # noqa: BLE001 - one territory's surprise must not stop four hundred others
        return failed(territory, 1, f"{type(error).__name__}: {error}", time.monotonic() - start)
    state: State = "publiée" if release.published else "inchangée"
    result = replace(_about(territory), etat=state, version=release.id, secondes=time.monotonic() - start)
    if release.held:
        held = held_error(release, territory, job.settings)
        return replace(result, etat="retenue", exit_code=held.exit_code, message=str(held))
    return result


def publish_batch(territories: Iterable[Territory], job: Job, raws: Raws) -> list[Result]:
    """Publish several territories in this process, which reads the national files if it has not yet.

    One at a time, whatever the threads of the process: GDAL's configuration is the process's.

    Raises
    ------
    SourceUnavailableError, SourceContentError, ContractError
        As `read_national`.
    """
    with _ALONE:
        keep_originals()
        national = _NATIONAL.of(job, raws)
        return [publish_one(replace(job, territory=territory), raws, national) for territory in territories]


_ALONE = Lock()


class _LastRead:
    """The national files that this process read last, told apart by their checksums."""

    def __init__(self) -> None:
        self._files: dict[str, str] | None = None
        self._national: National | None = None

    def of(self, job: Job, raws: Raws) -> National:
        files = {key: raw.sha256 if raw else "" for key, raw in raws.items()}
        if self._national is None or files != self._files:
            self._national, self._files = read_national(job, raws), files
            gc.freeze()
        return self._national


_NATIONAL = _LastRead()


def started_processes(job: Job, raws: Raws, workers: int) -> ProcessPoolExecutor:
    """Start processes that read the national files at once, while this one finds out what is to be published.

    Parameters
    ----------
    job, raws
        As `publish_in_processes` takes them.
    workers
        Number of processes.
    """
    # Not by fork: this process has threads, Prefect's among them.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    for _ in range(workers):
        pool.submit(publish_batch, (), job, raws)
    return pool


def publish_in_processes(
    territories: Iterable[Territory],
    job: Job,
    raws: Raws,
    workers: int,
    started: ProcessPoolExecutor | None = None,
) -> Iterator[Result]:
    """Publish territories in processes of this machine, and yield what became of each as it ends.

    A process that dies takes all others of its pool with it. What they had not done is done again, first the
    territories that waited, then one by one those that were being made: what dies twice is a failure.

    Parameters
    ----------
    territories
        In any order.
    job, raws
        What they have in common.
    workers
        Number of processes.
    started
        As many, of `started_processes`; shut down at the end.
    """
    waiting = largest_first(territories)
    suspects: list[Territory] = []
    while waiting:
        pool = started or started_processes(job, raws, workers)
        started = None
        left = yield from _in_one_pool(pool, waiting, job, raws)
        # The pool takes them in order: those that were being made are the first that are left.
        suspects += left[: workers + 1]
        waiting = left[workers + 1 :]
    for territory in suspects:
        if (yield from _in_one_pool(started_processes(job, raws, 1), [territory], job, raws)):
            yield failed(territory, 1, "the process that made it died twice: is there enough memory?")


def _in_one_pool(
    pool: ProcessPoolExecutor, territories: list[Territory], job: Job, raws: Raws
) -> Generator[Result, None, list[Territory]]:
    """Yield results, and return the territories whose process died."""
    lost = []
    with pool:
        futures = {}
        for territory in territories:
            try:
                futures[pool.submit(publish_batch, [territory], job, raws)] = territory
            except BrokenProcessPool:
                lost.append(territory)
        for future in as_completed(futures):
            try:
                yield from future.result()
            except BrokenProcessPool:
                lost.append(futures[future])
            except QpvGeoError as error:
                yield failed(futures[future], error.exit_code, str(error))
    return sorted(lost, key=territories.index)
