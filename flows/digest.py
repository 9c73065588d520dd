"""The digest that people who ask for it get: how the runs of the last seven days ended."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterEndTime
from prefect.client.schemas.objects import FlowRun

from flows.notifications import notify
from flows.runs import run_name

_DAYS = 7
_STATES = {"Completed": "bien finies", "Failed": "échecs", "Crashed": "interrompues", "Cancelled": "annulées"}


@flow(name="digest", flow_run_name=run_name)
def digest() -> str:
    """Notify people of how the runs of the last seven days ended, and return the message."""
    since = datetime.now(UTC) - timedelta(days=_DAYS)
    recent = FlowRunFilter(end_time=FlowRunFilterEndTime(after_=since))
    with get_client(sync_client=True) as client:
        # A run that another one started is counted with it.
        runs = [run for run in client.read_flow_runs(flow_run_filter=recent) if not run.parent_task_run_id]
    message = text_of(runs)
    notify(f"qpv-geo : bilan des {_DAYS} derniers jours", message)
    return message


def text_of(runs: list[FlowRun]) -> str:
    """Return a French text on some runs: how many ended how, then each that did not end well."""
    counted = Counter(run.state_name or "" for run in runs)
    lines = [f"{len(runs)} exécutions"]
    lines += [f"- {_STATES.get(name, name)} : {number}" for name, number in counted.most_common()]
    for run in runs:
        if run.state and not run.state.is_completed():
            why = (run.state.message or "").partition("\n")[0]
            lines += ["", f"{run.name}, {_STATES.get(run.state.name or '', run.state.name)} : {why}"]
    return "\n".join(lines)
