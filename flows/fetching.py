"""Every source as a Prefect task of its own: only this is tried again."""

from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from flows.progress import ProgressArtifact
from qpv_geo.errors import SourceUnavailableError
from qpv_geo.pipeline.fetching import Raws, ask, fetch_all, in_threads, progress_listener, settle
from qpv_geo.pipeline.job import Job
from qpv_geo.sources.plan import Wanted
from qpv_geo.sources.raw import RawFile


def fetch_as_tasks(job: Job) -> Raws:
    """Fetch every source as a Prefect task of its own; raises as `pipeline.fetching.fetch` does."""
    return fetch_all(job, in_threads if job.policy.offline else _as_tasks)


def _as_tasks(choices: list[Wanted], job: Job) -> Raws:
    futures = [fetch_source.submit(wanted, job) for wanted in choices]
    raws: Raws = {}
    for wanted, future in zip(choices, futures, strict=True):
        future.wait()
        raws[wanted.key] = settle(wanted, job, future.result)
    return raws


def _is_worth_another_try(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    error = state.result(raise_on_failure=False)
    return isinstance(error, SourceUnavailableError) and error.transient


@task(
    name="fetch-source",
    task_run_name="fetch-{wanted.key}",
    retries=1,
    retry_delay_seconds=5,
    retry_condition_fn=_is_worth_another_try,
    cache_policy=NO_CACHE,
)
def fetch_source(wanted: Wanted, job: Job) -> RawFile:
    """Ask one official address."""
    progress = ProgressArtifact(wanted.key, progress_listener.get())
    raw = ask(wanted, job, progress)
    progress.finish(raw.size)
    return raw
