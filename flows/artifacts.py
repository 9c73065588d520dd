"""What a run leaves in Prefect: the report, the differences, the checks and the sources."""

import json
from collections.abc import Mapping
from typing import Any

import httpx
from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from qpv_geo.releases.changes_text import changes_markdown
from qpv_geo.releases.release import Release
from qpv_geo.sources.raw import RawFile


def summarise(release: Release, raws: Mapping[str, RawFile | None]) -> dict[str, Any]:
    """Return what a run has to say, as plain data.

    Parameters
    ----------
    release
        The release that is current or held; its ``rapport.json`` holds the checks and the rows of each layer.
    raws
        Where each source came from in this run.
    """
    report = json.loads((release.path / "rapport.json").read_text(encoding="utf-8"))
    return {
        "release": release.id,
        "path": str(release.path),
        "published": release.published,
        "held": release.held,
        "state": _state(release),
        "differences": _differences(release),
        "origin": release.origin,
        "layers": release.layers,
        "checks": report["controles"],
        "sources": [_describe(source_id, raw) for source_id, raw in raws.items()],
    }


def _state(release: Release) -> str:
    if release.held:
        return "retenue, rien n'a été publié : quelqu'un doit la regarder"
    if release.refused:
        return f"inchangée, rien n'a été publié : les sources donnent {release.refused}, qui a été refusée"
    return "publiée" if release.published else "inchangée, rien n'a été publié"


def _differences(release: Release) -> str:
    """Tell what this run changes, or would change, in Markdown."""
    if release.published or release.held:
        first = "Première version : il n'y en a pas d'autre à laquelle la comparer."
        return changes_markdown(release.differences) if release.differences else first
    return "Aucune différence : la version en cours reste la même."


def _describe(source_id: str, raw: RawFile | None) -> dict[str, str]:
    if raw is None:
        return {"source": source_id, "origine": "absente"}
    return {
        "source": source_id,
        "origine": raw.origin,
        "millesime": raw.source.vintage,
        "date": raw.date.isoformat(),
        "fichier": raw.path.name,
        "sha256": raw.sha256,
        "motif": raw.reason,
    }


def create_artifacts(summary: dict[str, Any]) -> None:
    """Create the artifacts of a run: report and differences in Markdown, tables of the checks and sources.

    The release holds the same: a server that is gone by now does not make the run fail.
    """
    try:
        create_markdown_artifact(_markdown(summary), key="rapport", description="Rapport de publication")
        create_markdown_artifact(
            f"# Version {summary['release']} ({summary['state']})\n\n{summary['differences']}",
            key="differences",
            description="Différences avec la version précédente",
        )
        create_table_artifact(summary["checks"], key="controles", description="Contrôles")
        create_table_artifact(summary["sources"], key="sources", description="Sources")
    except httpx.TransportError as error:
        get_run_logger().warning("no artifacts, the Prefect server does not answer: %s", error)


def _markdown(summary: dict[str, Any]) -> str:
    warnings = [check for check in summary["checks"] if check["resultat"] == "avertissement"]
    lines = [
        f"# Version {summary['release']} ({summary['state']})",
        "",
        summary["origin"],
        "",
        f"Dossier : `{summary['path']}`",
        "",
        "| Couche | Lignes |",
        "|---|---:|",
        *(f"| {layer} | {rows} |" for layer, rows in summary["layers"].items()),
        "",
        f"## Avertissements ({len(warnings)})",
        "",
        *(f"- **{check['controle']}**, {check['objet']} : {check['message']}" for check in warnings),
    ]
    return "\n".join(lines)
