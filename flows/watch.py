"""The daily watch: ask each source whether it has changed, and refresh only then."""

from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact

from flows import parameters as form
from flows.refresh import refresh
from flows.runs import notify_crash, notify_failure, run_name, set_up_log
from qpv_geo.pipeline.fetching import ask_sources

_STATES = {"unchanged": "inchangée", "changed": "changée", "unreachable": "injoignable"}


@flow(name="watch", flow_run_name=run_name, on_failure=[notify_failure], on_crashed=[notify_crash])
def watch(
    *,
    territory: form.TerritoryName = "besancon",
    mirror: form.MirrorAddress = None,
    data: form.DataFolder = None,
    formats: form.Formats = (),
) -> dict[str, Any]:
    """Ask each source whether it has changed since the last accepted copy; refresh if one has.

    Returns the ids of the sources that changed, and the summary of the refresh, None if there was none.
    Raises `SourceUnavailableError` if no source at all could be asked, and what stopped the refresh.
    """
    set_up_log()
    job = form.job_of_form(territory, data, formats, mirror=mirror)
    answers = ask_sources(job)
    for answer in answers:
        get_run_logger().info("%s: %s %s", answer.key, answer.state, answer.reason)
    create_table_artifact(
        [{"source": a.key, "etat": _STATES[a.state], "motif": a.reason} for a in answers],
        key="veille",
        description="Veille des sources",
    )
    changed = [answer.key for answer in answers if answer.state == "changed"]
    if not changed:
        return {"changed": [], "refresh": None}
    summary = refresh(territory=territory, mirror=mirror, data=data, formats=formats)
    return {"changed": changed, "refresh": summary}
