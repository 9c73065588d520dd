"""The sources of a run, fetched concurrently: only this touches the network."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context

from qpv_geo.errors import SourceContentError, SourceUnavailableError
from qpv_geo.pipeline.job import Job
from qpv_geo.sources.catalogue import TerritoryFileAddress
from qpv_geo.sources.fetch import Progress, fall_back, fetch_primary
from qpv_geo.sources.plan import Wanted, first_choices, ignored, second_choices
from qpv_geo.sources.raw import RawFile, unusable

Raws = dict[str, RawFile | None]

# Who is told how far a download is. A flow's parameters are plain data, so it cannot be one of them.
progress_listener: ContextVar[Progress | None] = ContextVar("progress_listener", default=None)


def fetch_in_threads(job: Job) -> Raws:
    """Fetch every source that the pipeline reads, in plain threads.

    Returns
    -------
    dict
        By key (see `plan.Wanted`); None for an optional source that could not be had, or is ignored.

    Raises
    ------
    SourceUnavailableError
        If a required source can be had from nowhere.
    SourceContentError
        If a required source was reached and sent something else than what is declared.
    ConfigurationError
        If the territory ignores a source that is required, or declares a file that is not there.
    """
    return fetch_all(job, in_threads)


def fetch_all(job: Job, together: Callable[[list[Wanted], Job], Raws]) -> Raws:
    """Fetch the first choices, then the second choices of those that could not be had."""
    raws: Raws = dict.fromkeys(ignored(job.catalogue, job.territory))
    raws |= together(first_choices(job.catalogue, job.territory), job)
    return raws | together(second_choices(job.catalogue, job.territory, raws), job)


def in_threads(choices: list[Wanted], job: Job) -> Raws:
    """Fetch some sources at the same time, in threads of this process."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        attempts = [pool.submit(copy_context().run, _ask, wanted, job) for wanted in choices]
    return {
        wanted.key: settle(wanted, job, attempt.result)
        for wanted, attempt in zip(choices, attempts, strict=True)
    }


def _ask(wanted: Wanted, job: Job) -> RawFile:
    return fetch_primary(wanted.source, wanted.territory, job.settings, job.policy, progress_listener.get())


def settle(wanted: Wanted, job: Job, result: Callable[[], RawFile]) -> RawFile | None:
    """Take what came, or the fallback of a source that could not be reached.

    A source that was reached and is bad stops the run if it is required, and is left out otherwise.
    """
    try:
        return result()
    except SourceUnavailableError as error:
        return fall_back(wanted.source, wanted.territory, job.settings, job.policy, error.reason)
    except SourceContentError as error:
        if wanted.source.required or isinstance(wanted.source.address, TerritoryFileAddress):
            raise
        # The sentence is published: it names the file, not where it lies on this machine.
        return unusable(wanted.source, str(error).replace(f"{job.policy.mirror_folder}/", ""))
