"""Every source as a Prefect task of its own: only this is tried again."""

from collections.abc import Mapping
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.runtime import task_run
from prefect.states import Completed
from prefect.tasks import Task

from flows.progress import ProgressArtifact
from qpv_geo.errors import SourceUnavailableError
from qpv_geo.formats.provenance import Raws
from qpv_geo.pipeline.fetching import ask, fetch_all, in_threads, progress_listener, settle
from qpv_geo.pipeline.job import Job
from qpv_geo.sources.plan import Wanted
from qpv_geo.sources.raw import RawFile

# Names of the states of a source that was not had at first hand, by where its copy comes from.
_COPIES: Mapping[str, str] = {"store": "Copie", "snapshot": "Données fournies"}


class _BusyError(Exception):
    """A site did not answer, and may do so a little later."""


def fetch_as_tasks(job: Job) -> Raws:
    """Fetch every source as a Prefect task of its own; raises as `pipeline.fetching.fetch` does."""
    return fetch_all(job, in_threads if job.policy.offline else _as_tasks)


def _as_tasks(choices: list[Wanted], job: Job) -> Raws:
    futures = [fetch_source.submit(wanted, job) for wanted in choices]
    return {wanted.key: future.result()[0] for wanted, future in zip(choices, futures, strict=True)}


def _is_busy(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    return isinstance(state.result(raise_on_failure=False), _BusyError)


@task(
    name="fetch-source",
    task_run_name="fetch-{wanted.key}",
    retries=1,
    retry_delay_seconds=5,
    retry_condition_fn=_is_busy,
    cache_policy=NO_CACHE,
)
def fetch_source(wanted: Wanted, job: Job) -> Any:  # noqa: ANN401 - Prefect takes a state or a result
    """Ask one official address; a run that can do without ends well, and its state says why it had to."""
    reasons = []

    def answer() -> RawFile:
        progress = ProgressArtifact(wanted.key, progress_listener.get())
        try:
            raw = ask(wanted, job, progress)
        except SourceUnavailableError as error:
            if error.transient and task_run.run_count == 1:
                raise _BusyError(str(error)) from error
            reasons.append(error.reason)
            raise
        progress.finish(raw.size)
        return raw

    raw = settle(wanted, job, answer)
    if raw is None:
        return Completed(name="Absente", message=f"Source facultative : {reasons[0]}", data=(raw,))
    if raw.defect:
        return Completed(name="Inutilisable", message=raw.defect, data=(raw,))
    if raw.reason:
        return Completed(name=_COPIES[raw.origin], message=raw.reason, data=(raw,))
    return (raw,)
