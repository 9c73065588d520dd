"""What every run has: its name, its log, its artifacts, and what follows when it does not end well."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow
from prefect.runtime import deployment
from prefect.runtime import flow_run as this_run
from prefect.utilities.urls import url_for

from flows.notifications import notify
from qpv_geo.errors import HeldError, LockedError, QpvGeoError
from qpv_geo.lock import territory_lock
from qpv_geo.releases.placement import sweep
from qpv_geo.settings import Settings, default_data_dir
from qpv_geo.territory import load_territory

_LOGGER = logging.getLogger(__name__)
_LOGGERS = ("prefect.flow_runs", "prefect.task_runs", "prefect.engine")
_PARIS = ZoneInfo("Europe/Paris")
_STATES = {
    "published": "publiée",
    "unchanged": "inchangée, rien n'a été publié",
    "held": "retenue, rien n'a été publié : quelqu'un doit la regarder",
    "refused": "inchangée, rien n'a été publié : les sources donnent {refused}, qui a été refusée",
}


def run_name() -> str:
    """Return the name of the run that begins: ``besancon · hebdomadaire · 2026-11-30``.

    Without a territory it is of all; without a deployment, of somebody who called the flow.
    """
    given = this_run.parameters or {}
    territory = Path(str(given["territory"])).stem if "territory" in given else "toutes"
    # Names of deployments end with what starts them, or the territory: refresh-hebdomadaire, veille-nord.
    trigger = (deployment.name or "direct").removesuffix(f"-{territory}").rpartition("-")[2]
    start = this_run.scheduled_start_time or datetime.now(_PARIS)
    return f"{territory} · {trigger} · {start.astimezone(_PARIS):%Y-%m-%d}"


def set_up_log() -> None:
    """Log what the pipeline does, and a failure that the project explains without its traceback."""
    logging.getLogger("qpv_geo.pipeline").setLevel(logging.INFO)
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_without_traceback)


def _without_traceback(record: logging.LogRecord) -> bool:
    if record.exc_info and isinstance(record.exc_info[1], QpvGeoError):
        record.msg, record.args, record.exc_info = str(record.exc_info[1]), (), None
    return True


def notify_failure(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Notify people that a run failed, and why; or that a release waits for a decision."""
    held = HeldError.__name__ in (state.message or "")
    _notify("publication retenue" if held else "échec", flow, flow_run, state)


def notify_crash(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Notify people that a run was interrupted: its process was killed, or its machine stopped."""
    _notify("interruption", flow, flow_run, state)


def sweep_leftovers(
    flow: Flow[..., Any],
    flow_run: FlowRun,
    state: State[Any],  # noqa: ARG001 - Prefect gives it by name
) -> None:
    """Remove what an interrupted run was writing, unless another run holds the lock: it has swept already."""
    chosen = _parameter("data", flow, flow_run)
    settings = Settings(data_dir=Path(chosen) if chosen else default_data_dir())
    try:
        folder = settings.out_dir / load_territory(f"{_parameter('territory', flow, flow_run)}").id
        if folder.is_dir():
            with territory_lock(folder):
                sweep(folder)
    except LockedError:
        _LOGGER.info("%s: another run is at work, it has swept", settings.out_dir)
    except (QpvGeoError, OSError) as error:
        _LOGGER.warning("%s: not swept: %s", settings.out_dir, error)


def _parameter(name: str, flow: Flow[..., Any], run: FlowRun) -> str | None:
    """Return a parameter of a run, or its default: Prefect does not remember defaults."""
    default = flow.parameters.properties.get(name, {}).get("default")
    value: str | None = run.parameters.get(name, default)
    return value


def _notify(what: str, flow: Flow[..., Any], run: FlowRun, state: State[Any]) -> None:
    # A run that another one started fails with it: one message is enough.
    if run.parent_task_run_id is not None:
        return
    territory = Path(_parameter("territory", flow, run) or "").stem
    lines = [state.message or "", "", "La publication en cours est intacte.", f"Exécution : {run.name}"]
    if url := url_for(run):
        lines.append(url)
    about = f"qpv-geo, {territory}" if territory else "qpv-geo"
    notify(f"{about} : {what} ({flow.name})", "\n".join(lines))


@contextmanager
def server_may_be_gone() -> Iterator[None]:
    """Go on without artifacts if the server is gone by now: they show what is in the release or the log."""
    try:
        yield
    except httpx.TransportError as error:
        get_run_logger().warning("no artifacts, the Prefect server does not answer: %s", error)


def create_artifacts(summary: dict[str, Any]) -> None:
    """Create the artifacts of a run: report and differences in Markdown, tables of the checks and sources."""
    differences = f"{_title(summary)}\n\n{summary['differences']}"
    about = "Différences avec la publication précédente"
    with server_may_be_gone():
        create_markdown_artifact(_markdown(summary), key="rapport", description="Rapport de publication")
        create_markdown_artifact(differences, key="differences", description=about)
        create_table_artifact(summary["checks"], key="controles", description="Contrôles")
        create_table_artifact(summary["sources"], key="sources", description="Sources")


def _title(summary: dict[str, Any]) -> str:
    return f"# Publication {summary['release']} ({_STATES[summary['state']].format_map(summary)})"


def _markdown(summary: dict[str, Any]) -> str:
    warnings = [check for check in summary["checks"] if check["resultat"] == "avertissement"]
    lines = [
        _title(summary),
        "",
        summary["origin"],
        "",
        f"À ouvrir : `{summary['open']}`",
        "",
        f"## Avertissements ({len(warnings)})",
        "",
        *(f"- **{check['controle']}**, {check['objet']} : {check['message']}" for check in warnings),
        "",
        "| Couche | Lignes |",
        "|---|---:|",
        *(f"| {layer} | {rows} |" for layer, rows in summary["layers"].items()),
    ]
    return "\n".join(lines)
