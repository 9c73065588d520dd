"""A release for each EPCI that has a QPV: the pipeline does it, on the workers of Dask."""

from dataclasses import asdict
from typing import Any

from prefect import flow
from prefect.artifacts import create_table_artifact

from flows import parameters as form
from flows.runs import notify_crash, notify_failure, run_name, server_may_be_gone, set_up_log
from qpv_geo.pipeline import many
from qpv_geo.pipeline.many import Result

_STATES = {"published": "publiée", "unchanged": "inchangée", "held": "retenue", "failed": "échec"}


@flow(name="refresh-all", flow_run_name=run_name, on_failure=[notify_failure], on_crashed=[notify_crash])
def refresh_all(  # noqa: PLR0913 - a flow's parameters are a form
    *,
    offline: form.Offline = False,
    mirror: form.Mirror = None,
    require_live: form.RequireLive = False,
    data: form.DataFolder = None,
    formats: form.Formats = (),
    pages: form.Pages = True,
    force: form.Force = False,
    wait: form.Wait = form.WAIT,
    only: form.Only = (),
    workers: form.Workers = 0,
) -> list[dict[str, Any]]:
    """Publish a release of each EPCI that has a QPV; the failure of one does not stop the others.

    Returns what became of each (see `workers.Result`), by territory. Raises `TerritoriesError` if some failed
    or are held, another `QpvGeoError` if the national files cannot be had or read: then nothing is published.
    """
    set_up_log()
    policy: dict[str, Any] = {"offline": offline, "mirror": mirror, "require_live": require_live}
    job = form.job_of_form("france", data, formats, pages=pages, force=force, wait=wait, **policy)
    results = many.refresh_all(job, only=only, workers=workers)
    with server_may_be_gone():
        rows = [_row(result) for result in results]
        create_table_artifact(rows, key="territoires", description="Territoires")
    many.raise_if_any_failed(results)
    return [asdict(result) for result in results]


def _row(result: Result) -> dict[str, Any]:
    """Return a result as the artifact shows it."""
    return {
        "territoire": result.territory,
        "nom": result.name,
        "epci": result.epci,
        "qpv": result.qpv,
        "etat": _STATES[result.state],
        "version": result.release,
        "secondes": round(result.seconds, 1),
        "message": result.message,
    }
