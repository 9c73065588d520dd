"""The whole job: official files in, a verified release out. Read it from top to bottom."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import flow
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.tasks import Task

from flows import parameters as form
from flows.fetching import fetch_as_tasks
from flows.notifications import notify_fallbacks
from flows.runs import create_artifacts, notify_crash, notify_failure, run_name, set_up_log, sweep_leftovers
from qpv_geo.parallel import collector_held_off
from qpv_geo.pipeline import steps
from qpv_geo.pipeline.one import conclude, find_existing, locked_folder, summarise
from qpv_geo.releases.decisions import held_error
from qpv_geo.releases.draft import publish_draft, verify_draft

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


def _step(name: str, function: Callable[_Given, _Result]) -> Task[_Given, _Result]:
    """Return a step as a task whose result stays in memory."""
    return Task(function, name=name, task_run_name=name, cache_policy=NO_CACHE, persist_result=False)


fetch = _step("fetch", fetch_as_tasks)
read = _step("read", steps.read)
join = _step("join", steps.join)
write = _step("write", steps.write)
verify = _step("verify", verify_draft)
publish = _step("publish", publish_draft)


@flow(
    name="refresh",
    flow_run_name=run_name,
    # Prefect's own runner does not match the invariant type that its decorator declares.
    task_runner=ThreadPoolTaskRunner(max_workers=8),  # type: ignore[arg-type]
    on_failure=[notify_failure],
    on_crashed=[notify_crash, sweep_leftovers],
    on_cancellation=[sweep_leftovers],
)
def refresh(
    *,
    territory: form.TerritoryName = "besancon",
    offline: form.Offline = False,
    mirror: form.Mirror = None,
    require_live: form.RequireLive = False,
    data: form.DataFolder = None,
    formats: form.Formats = (),
    force: form.Force = False,
    wait: form.Wait = form.WAIT,
) -> dict[str, Any]:
    """Refresh the release of a territory, and return a summary: release, sources, checks, layers.

    Raises `HeldError` if the release is held: its artifacts are there, and somebody has to decide.
    """
    set_up_log()
    policy: dict[str, Any] = {"offline": offline, "mirror": mirror, "require_live": require_live}
    job = form.job_of_form(territory, data, formats, force=force, wait=wait, **policy)
    with locked_folder(job) as lock:
        raws = fetch(job)
        spec = job.spec(raws)
        release = find_existing(job, spec, lock)
        if release is None:
            with collector_held_off():
                tables = read(spec)
                joined = join(tables, spec)
                draft = write(joined)
                verify(draft)
                release = publish(draft, lock.confirm)
        outcome = conclude(job, raws, release)
    if not offline:
        notify_fallbacks(job.territory, outcome.raws)
    summary = summarise(outcome)
    create_artifacts(summary)
    if outcome.release.held:
        raise held_error(outcome.release, job.territory, job.settings)
    return summary
