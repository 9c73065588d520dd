"""A release for each EPCI that has a QPV: the pipeline does it, on the workers of Dask."""

from dataclasses import asdict
from typing import Any

import httpx
from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact

from flows.hooks import notify_crash, notify_failure
from flows.logs import set_up_log
from flows.names import run_name
from flows.parameters import (
    WAIT,
    DataFolder,
    Force,
    Formats,
    Mirror,
    Offline,
    Only,
    Pages,
    RequireLive,
    Wait,
    Workers,
    job_of_form,
)
from qpv_geo.pipeline import many
from qpv_geo.pipeline.workers import Result

_STATES = {"published": "publiée", "unchanged": "inchangée", "held": "retenue", "failed": "échec"}


@flow(name="refresh-all", flow_run_name=run_name, on_failure=[notify_failure], on_crashed=[notify_crash])
def refresh_all(  # noqa: PLR0913 - a flow's parameters are a form
    *,
    offline: Offline = False,
    mirror: Mirror = None,
    require_live: RequireLive = False,
    data: DataFolder = None,
    formats: Formats = (),
    pages: Pages = True,
    force: Force = False,
    wait: Wait = WAIT,
    only: Only = (),
    workers: Workers = 0,
) -> list[dict[str, Any]]:
    """Publish a release of each EPCI that has a QPV; the failure of one does not stop the others.

    Returns what became of each (see `workers.Result`), by territory.

    Raises
    ------
    TerritoriesError
        If some failed or are held.
    QpvGeoError
        If the national files cannot be had or read: then nothing was published.
    """
    set_up_log()
    policy: dict[str, Any] = {"offline": offline, "mirror": mirror, "require_live": require_live}
    job = job_of_form("france", data, formats, pages=pages, force=force, wait=wait, **policy)
    results = many.refresh_all(job, only=only, workers=workers)
    try:
        create_table_artifact(
            [_row(result) for result in results], key="territoires", description="Territoires"
        )
    except httpx.TransportError as error:
        get_run_logger().warning("no artifact, the Prefect server does not answer: %s", error)
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
