"""``qpv-geo refresh --all-territories``: apart, because one territory needs no Dask."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from qpv_geo.commands.console import on_terminal, table
from qpv_geo.commands.options import console
from qpv_geo.pipeline.job import Job
from qpv_geo.pipeline.many import checked_codes, raise_if_any_failed, refresh_all, results_listener
from qpv_geo.pipeline.workers import Result


def publish_all_territories(
    job: Job, form: dict[str, Any] | None, *, only: tuple[str, ...], workers: int
) -> None:
    """Publish a release of each EPCI that has a QPV, and show one table of what became of them.

    `job` is that of the territory France, `form` the same as the flow takes it; None to do without Prefect.
    """
    checked_codes(only)
    with territories_shown():
        if form:
            from flows.all_territories import refresh_all as flow  # noqa: PLC0415 - imported lazily: loads Prefect

            flow(**form, only=only, workers=workers)
        else:
            raise_if_any_failed(refresh_all(job, only=only, workers=workers))


@contextmanager
def territories_shown() -> Iterator[None]:
    """Show how many territories are done; at the end, whatever ends it, one table of what became of them."""
    results: list[Result] = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, transient=True, disable=not on_terminal()) as progress:
        bar = progress.add_task("territories", total=None)

        def take(result: Result, total: int) -> None:
            results.append(result)
            progress.update(bar, completed=len(results), total=total, description=result.name)

        token = results_listener.set(take)
        try:
            yield
        finally:
            results_listener.reset(token)
            progress.stop()
            if results:
                console().print(territories_table([vars(result) for result in results]))


def territories_table(results: list[dict[str, Any]]) -> Table:
    """Return a row for each territory that needs a look, then one for all the others of each state."""
    titles = ("state", "territory", "EPCI", "QPV", "message")
    bad = sorted((one for one in results if one["exit_code"]), key=lambda one: one["territory"])
    rows = [(one["state"], one["territory"], one["epci"], one["qpv"], one["message"]) for one in bad]
    well = [one for one in results if not one["exit_code"]]
    for state, number in Counter(one["state"] for one in well).most_common():
        qpv = sum(one["qpv"] for one in well if one["state"] == state)
        rows.append((state, f"{number} territories", "", qpv, ""))
    total = sum(one["qpv"] for one in results)
    rows.append(("in all", f"{len(results)} territories", "", total, ""))
    return table(
        "Territories",
        [dict(zip(titles, row, strict=True)) for row in rows],
        dict(zip(titles, titles, strict=True)),
    )
