"""The artifacts of a run in Prefect: report, differences, checks and sources."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact

_STATES = {
    "published": "publiée",
    "unchanged": "inchangée, rien n'a été publié",
    "held": "retenue, rien n'a été publié : quelqu'un doit la regarder",
    "refused": "inchangée, rien n'a été publié : les sources donnent {refused}, qui a été refusée",
}


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
