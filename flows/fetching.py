"""Every source as a Prefect task of its own, whose progress Prefect shows: only this is tried again."""

import time
from collections.abc import Mapping
from typing import Any, cast
from uuid import UUID

from prefect import get_run_logger, task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.runtime import task_run
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Completed
from prefect.tasks import Task

from qpv_geo.errors import SourceUnavailableError
from qpv_geo.formats.provenance import Raws
from qpv_geo.pipeline.fetching import ask, fetch_all, in_threads, progress_listener, settle
from qpv_geo.pipeline.job import Job
from qpv_geo.sources.plan import Wanted
from qpv_geo.sources.raw import Progress, RawFile

# Names of the states of a source that was not had at first hand, by where its copy comes from.
_COPIES: Mapping[str, str] = {"store": "Copie", "snapshot": "Données fournies"}
# Seconds between two updates of one artifact: the server has better to do.
_PAUSE = 2.0


class _ProgressArtifact:
    """Shows the download of one raw file, and passes its progress on to another listener."""

    def __init__(self, key: str, other: Progress | None = None) -> None:
        self._key = key
        self._other = other
        self._artifact: UUID | None = None
        self._updated = 0.0
        self._complete = False
        self._lost = False

    def __call__(self, source_id: str, done: int, total: int | None) -> None:
        """Show the bytes so far."""
        if self._other:
            self._other(source_id, done, total)
        if not self._lost and (done == total or time.monotonic() - self._updated >= _PAUSE):
            self._updated = time.monotonic()
            self._show(done, total)

    def finish(self, size: int) -> None:
        """Show that all bytes are there, also if the site did not say how many there would be."""
        if self._artifact and not self._complete and not self._lost:
            self._show(size, size)

    def _show(self, done: int, total: int | None) -> None:
        # Without a total there is no percentage: the description says how much came.
        self._complete = done == total
        percent = 100.0 * done / total if total else 0.0
        size = f"{done / 1e6:.1f} Mo" + (f" sur {total / 1e6:.1f} Mo" if total else "")
        description = f"{self._key} : {size}".replace(".", ",")
        try:
            # The download waits meanwhile: do not ask a server twice that is gone.
            with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
                if self._artifact:
                    update_progress_artifact(self._artifact, percent, description=description)
                    return
                key = f"telechargement-{self._key.replace('_', '-').lower()}"
                # Declared as a coroutine as well, it only is one where it is called from one.
                artifact = create_progress_artifact(percent, key=key, description=description)
                self._artifact = cast("UUID", artifact)
        except Exception as error:  # noqa: BLE001 - a download does not need the server that shows it
            self._lost = True
            get_run_logger().warning("%s: progress is no longer shown: %s", self._key, type(error).__name__)


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
        progress = _ProgressArtifact(wanted.key, progress_listener.get())
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
