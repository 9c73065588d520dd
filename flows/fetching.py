"""The sources of a run, fetched concurrently: only this touches the network, only this is tried again."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from flows.job import Job
from qpv_geo.errors import SourceUnavailableError
from qpv_geo.sources.catalogue import Source
from qpv_geo.sources.fetch import Progress, fall_back, fetch_primary
from qpv_geo.sources.raw import RawFile

Raws = dict[str, RawFile | None]

# Who is told how far a download is. A flow's parameters are plain data, so it cannot be one of them.
progress_listener: ContextVar[Progress | None] = ContextVar("progress_listener", default=None)


def fetch_in_threads(job: Job) -> Raws:
    """Fetch every source that the pipeline reads, in plain threads.

    Raises
    ------
    SourceUnavailableError
        If a required source can be had from nowhere.
    SourceContentError
        If a source was reached and sent something else than what is declared.
    """
    sources = list(job.catalogue.used())
    with ThreadPoolExecutor(max_workers=8) as pool:
        attempts = [pool.submit(copy_context().run, _ask, source, job) for source in sources]
    return {
        source.id: _settle(source, job, attempt.result)
        for source, attempt in zip(sources, attempts, strict=True)
    }


def fetch_as_tasks(job: Job) -> Raws:
    """Fetch every source as a Prefect task of its own; raises as `fetch_in_threads` does."""
    if job.policy.offline:
        return fetch_in_threads(job)
    sources = list(job.catalogue.used())
    futures = [fetch.submit(source, job) for source in sources]
    raws: Raws = {}
    for source, future in zip(sources, futures, strict=True):
        future.wait()
        raws[source.id] = _settle(source, job, future.result)
    return raws


def _is_worth_another_try(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    error = state.result(raise_on_failure=False)
    return isinstance(error, SourceUnavailableError) and error.transient


@task(
    task_run_name="fetch-{source.id}",
    retries=1,
    retry_delay_seconds=5,
    retry_condition_fn=_is_worth_another_try,
    cache_policy=NO_CACHE,
)
def fetch(source: Source, job: Job) -> RawFile:
    """Ask one official address."""
    raw = _ask(source, job)
    get_run_logger().info("%s: %s, %d bytes, %s", source.id, raw.path.name, raw.size, raw.origin)
    return raw


def _ask(source: Source, job: Job) -> RawFile:
    return fetch_primary(source, job.territory, job.settings, job.policy, progress_listener.get())


def _settle(source: Source, job: Job, result: Callable[[], RawFile]) -> RawFile | None:
    """Take what came, or the fallback of a source that could not be reached; anything else stops the run."""
    try:
        return result()
    except SourceUnavailableError as error:
        return fall_back(source, job.territory, job.settings, job.policy, error.reason)
