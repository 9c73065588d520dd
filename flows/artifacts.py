"""What a run leaves in Prefect: the report, the checks and the sources."""

import json
from collections.abc import Mapping
from typing import Any

import httpx
from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from qpv_geo.publish.release import Release
from qpv_geo.sources.raw import RawFile


def summarise(release: Release, raws: Mapping[str, RawFile | None]) -> dict[str, Any]:
    """Return what a run has to say, as plain data.

    Parameters
    ----------
    release
        The current release; its ``rapport.json`` holds the checks and the number of rows of each layer.
    raws
        Where each source came from in this run.
    """
    report = json.loads((release.path / "rapport.json").read_text(encoding="utf-8"))
    return {
        "release": release.id,
        "path": str(release.path),
        "published": release.published,
        "origin": release.origin,
        "layers": release.layers,
        "checks": report["controles"],
        "sources": [_describe(source_id, raw) for source_id, raw in raws.items()],
    }


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
    """Create the artifacts of a run: a markdown report, tables of the checks and of the sources.

    The release holds the same: a server that is gone by now does not make the run fail.
    """
    try:
        create_markdown_artifact(_markdown(summary), key="rapport", description="Rapport de publication")
        create_table_artifact(summary["checks"], key="controles", description="Contrôles")
        create_table_artifact(summary["sources"], key="sources", description="Sources")
    except httpx.TransportError as error:
        get_run_logger().warning("no artifacts, the Prefect server does not answer: %s", error)


def _markdown(summary: dict[str, Any]) -> str:
    state = "publiée" if summary["published"] else "inchangée, rien n'a été publié"
    warnings = [check for check in summary["checks"] if check["resultat"] == "avertissement"]
    lines = [
        f"# Version {summary['release']} ({state})",
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
