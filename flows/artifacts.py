"""The artifacts of a run in Prefect: report, differences, checks and sources."""

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


def create_artifacts(summary: dict[str, Any]) -> None:
    """Create the artifacts of a run: report and differences in Markdown, tables of the checks and sources.

    The release holds the same: a server that is gone by now does not make the run fail.
    """
    try:
        create_markdown_artifact(_markdown(summary), key="rapport", description="Rapport de publication")
        create_markdown_artifact(
            f"{_title(summary)}\n\n{summary['differences']}",
            key="differences",
            description="Différences avec la publication précédente",
        )
        create_table_artifact(summary["checks"], key="controles", description="Contrôles")
        create_table_artifact(summary["sources"], key="sources", description="Sources")
    except httpx.TransportError as error:
        get_run_logger().warning("no artifacts, the Prefect server does not answer: %s", error)


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
