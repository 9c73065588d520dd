"""What a run shows on a terminal: downloads while they go, tables at the end."""

import textwrap
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
)
from rich.table import Table

from flows.all_territories import results_listener
from qpv_geo.pipeline.fetching import progress_listener
from qpv_geo.pipeline.many import Result

_ABSENT = "absente"
# Said once, below the sources.
_OF_ABSENT_SOURCES = "source_absente"
_COUNTS = ("nombre_", "qpv_du_territoire", "communes_du_")
_LONGEST_MESSAGE = 120


@contextmanager
def downloads_shown(*, enabled: bool) -> Iterator[None]:
    """Show a progress bar per source while its bytes come."""
    if not enabled:
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


@contextmanager
def territories_shown(console: Console, *, enabled: bool) -> Iterator[None]:
    """Show how many territories are done; at the end, however it comes, what became of them.

    Parameters
    ----------
    console
        Where the closing table goes.
    enabled
        Whether progress is shown on the way.
    """
    results: list[Result] = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, transient=True, disable=not enabled) as progress:
        bar = progress.add_task("territoires", total=None)

        def take(result: Result, total: int) -> None:
            results.append(result)
            progress.update(bar, completed=len(results), total=total, description=result.nom)

        token = results_listener.set(take)
        try:
            yield
        finally:
            results_listener.reset(token)
            progress.stop()
            for part in _territory_tables(results):
                console.print(part, soft_wrap=isinstance(part, str))


def _territory_tables(results: list[Result]) -> Iterator[Table | str]:
    """Yield the territories that need a look, then how many there are of each state."""
    if not results:
        return
    bad = [vars(result) for result in sorted(results, key=attrgetter("territory")) if result.exit_code]
    if bad:
        yield _table("Territoires à regarder", ("territory", "epci", "qpv", "etat", "message"), bad)
    states = Counter(result.etat for result in results)
    rows = [{"etat": state, "territoires": number} for state, number in states.most_common()]
    yield _table("Territoires", ("etat", "territoires"), rows)
    yield f"{len(results)} territoires, {sum(result.qpv for result in results)} QPV"


def summary_tables(summary: dict[str, Any]) -> Iterator[Table | str]:
    """Yield the closing tables of a run: sources, checks, layers, and where the release is."""
    read = [source for source in summary["sources"] if source["origine"] != _ABSENT]
    absent = [source["source"] for source in summary["sources"] if source["origine"] == _ABSENT]
    yield _table("Sources", ("source", "origine", "millesime", "date", "fichier", "motif"), read)
    if absent:
        yield f"{len(absent)} sources absentes (rapport.html dit pourquoi) : {', '.join(absent)}\n"
    checks = [check for check in summary["checks"] if check["controle"] != _OF_ABSENT_SOURCES]
    shown = [_explained(check) for check in checks if _is_told(check)]
    yield _table("Contrôles", ("controle", "objet", "attendu", "trouve", "resultat", "message"), shown)
    yield f"et {len(checks) - len(shown)} autres contrôles conformes (rapport.html)\n"
    layers = [{"couche": layer, "lignes": rows} for layer, rows in summary["layers"].items()]
    yield _table("Couches", ("couche", "lignes"), layers)
    yield f"\n{summary['origin']}"
    yield f"Version {summary['release']} ({summary['state']}) : {summary['path']}"


def _is_told(check: dict[str, Any]) -> bool:
    """Tell whatever somebody should look at, and the counts that say that the files are whole."""
    return check["resultat"] != "conforme" or str(check["controle"]).startswith(_COUNTS)


def _explained(check: dict[str, Any]) -> dict[str, Any]:
    """Return a check with the beginning of its message, if somebody should read it."""
    message = "" if check["resultat"] == "conforme" else check["message"]
    return check | {"message": textwrap.shorten(message, _LONGEST_MESSAGE, placeholder=" …")}


def _table(title: str, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        cells = (row.get(column) for column in columns)
        table.add_row(*("" if cell is None else str(cell) for cell in cells))
    return table
