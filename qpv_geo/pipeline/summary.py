"""What a run has to say at its end: the same on the command line and in Prefect."""

import json
from pathlib import Path
from typing import Any, Literal

from qpv_geo.pipeline.one import Outcome
from qpv_geo.releases.changes_text import changes_markdown
from qpv_geo.releases.release import Release
from qpv_geo.sources.raw import RawFile

State = Literal["published", "unchanged", "held", "refused"]
ABSENT = "absente"
# What to open first in a release; that of France has no portraits.
_PAGES = ("portraits/index.html", "rapport.html")


def summarise(outcome: Outcome) -> dict[str, Any]:
    """Return what a run has to say, as plain data; rows of sources and checks as the report has them."""
    release = outcome.release
    report = json.loads((release.path / "rapport.json").read_text(encoding="utf-8"))
    return {
        "release": release.id,
        "path": str(release.path),
        "open": str(next(filter(Path.is_file, (release.path / name for name in _PAGES)), release.path)),
        "state": _state(release),
        "refused": release.refused,
        "differences": _differences(release),
        "origin": release.origin,
        "layers": dict(release.layers),
        "checks": report["controles"],
        "sources": [_source_row(key, raw) for key, raw in outcome.raws.items()],
    }


def _state(release: Release) -> State:
    if release.held:
        return "held"
    if release.refused:
        return "refused"
    return "published" if release.published else "unchanged"


def _differences(release: Release) -> str:
    """Say what this run changes, or would change, in French Markdown."""
    if release.published or release.held:
        first = "Première publication : il n'y en a pas d'autre à laquelle la comparer."
        return changes_markdown(release.differences) if release.differences else first
    return "Aucune différence : la publication en cours reste la même."


def _source_row(key: str, raw: RawFile | None) -> dict[str, str]:
    if raw is None:
        return {"source": key, "origine": ABSENT}
    return {
        "source": key,
        "origine": raw.origin,
        "millesime": raw.source.vintage,
        "date": raw.date.isoformat(),
        "fichier": raw.path.name,
        "sha256": raw.sha256,
        "motif": raw.reason,
    }
