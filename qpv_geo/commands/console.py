"""``qpv-geo refresh`` of one territory, and what it shows: downloads while they go, tables at the end."""

import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from qpv_geo.commands.output import console, on_terminal, print_json, table
from qpv_geo.pipeline.fetching import progress_listener
from qpv_geo.pipeline.job import Job
from qpv_geo.pipeline.one import run, summarise
from qpv_geo.releases.decisions import held_error

# Absent sources are named once, below the table of sources.
_OF_ABSENT_SOURCES = "source_absente"
_COUNTS = ("nombre_", "qpv_du_territoire", "communes_du_")
_LONGEST_MESSAGE = 120

# Titles of columns, and where the rows have them.
_SOURCES = {
    "source": "source",
    "origin": "origine",
    "vintage": "millesime",
    "date": "date",
    "file": "fichier",
    "reason": "motif",
}
_CHECKS = {
    "check": "controle",
    "subject": "objet",
    "expected": "attendu",
    "found": "trouve",
    "outcome": "resultat",
    "message": "message",
}
_STATES = {
    "published": "published",
    "unchanged": "unchanged, nothing was published",
    "refused": "unchanged, nothing was published: the sources make {refused}, which was refused",
}


def publish_one(job: Job, form: dict[str, Any] | None, *, as_json: bool) -> None:
    """Publish a release and show tables of it; raises `HeldError` if it is held.

    `form` is the job as the flow takes it; None to do without Prefect.
    """
    with downloads_shown():
        if form:
            from flows.refresh import refresh as flow  # noqa: PLC0415 - imported lazily: loads Prefect

            summary = flow(**form)
        else:
            outcome = run(job)
            if outcome.release.held:
                raise held_error(outcome.release, job.territory, job.settings)
            summary = summarise(outcome)
    if as_json:
        print_json(summary)
        return
    for part in summary_tables(summary):
        console().print(part, soft_wrap=isinstance(part, str))


@contextmanager
def downloads_shown() -> Iterator[None]:
    """Show a progress bar per source while its bytes come."""
    if not on_terminal():
        yield
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, transient=True) as progress:
        bars = {"": progress.add_task("refresh", total=None)}

        def show(source_id: str, done: int, total: int | None) -> None:
            if source_id not in bars:
                bars[source_id] = progress.add_task(source_id, total=total)
            progress.update(bars[source_id], completed=done, total=total)

        token = progress_listener.set(show)
        try:
            yield
        finally:
            progress_listener.reset(token)


def summary_tables(summary: Mapping[str, Any]) -> Iterator[Table | str]:
    """Yield the closing tables of a run: sources, checks, layers, and where the release is."""
    read = [source for source in summary["sources"] if len(source) > len(("source", "origine"))]
    absent = [source["source"] for source in summary["sources"] if source not in read]
    yield table("Sources", read, _SOURCES)
    if absent:
        yield f"{len(absent)} absent sources (rapport.html says why): {', '.join(absent)}\n"
    checks = [check for check in summary["checks"] if check["controle"] != _OF_ABSENT_SOURCES]
    shown = [_with_short_message(check) for check in checks if _needs_a_look(check)]
    yield table("Checks", shown, _CHECKS)
    yield f"and {len(checks) - len(shown)} other checks, all conforme (rapport.html)\n"
    layers = [{"layer": layer, "rows": rows} for layer, rows in summary["layers"].items()]
    yield table("Layers", layers, {"layer": "layer", "rows": "rows"})
    yield f"\n{summary['origin']}"
    yield f"Release {summary['release']} ({_STATES[summary['state']].format_map(summary)}): {summary['path']}"
    yield f"Open next: {summary['open']}"


def _needs_a_look(check: dict[str, Any]) -> bool:
    """Tell whether a check does not conform, or is a count that says that the files are whole."""
    return check["resultat"] != "conforme" or str(check["controle"]).startswith(_COUNTS)


def _with_short_message(check: dict[str, Any]) -> dict[str, Any]:
    """Return a check with the beginning of its message, if somebody should read it."""
    message = "" if check["resultat"] == "conforme" else check["message"]
    return check | {"message": textwrap.shorten(message, _LONGEST_MESSAGE, placeholder=" …")}
