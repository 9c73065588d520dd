"""``qpv-geo refresh --all-territories``: apart, because one territory needs no Dask."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from qpv_geo.commands.output import Rows, on_terminal, print_json, print_rows
from qpv_geo.pipeline.job import Job
from qpv_geo.pipeline.many import Result, checked_codes, raise_if_any_failed, refresh_all, results_listener


def publish_all_territories(
    job: Job, form: dict[str, Any] | None, *, only: tuple[str, ...], workers: int, as_json: bool
) -> None:
    """Publish a release of each EPCI that has a QPV, and show one table of what became of them.

    `job` is that of the territory France, `form` the same as the flow takes it; None to do without Prefect.
    """
    checked_codes(only)
    with territories_shown(as_json=as_json):
        if form:
            from flows.all_territories import refresh_all as flow  # noqa: PLC0415 - imported lazily: loads Prefect

            flow(**form, only=only, workers=workers)
        else:
            raise_if_any_failed(refresh_all(job, only=only, workers=workers))


@contextmanager
def territories_shown(*, as_json: bool) -> Iterator[None]:
    """Show how many territories are done; at the end, whatever ends it, what became of each."""
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
            rows = [vars(result) for result in results]
            if as_json:
                print_json(rows)
            elif rows:
                print_rows("Territories", territory_rows(rows))


def territory_rows(results: list[dict[str, Any]]) -> Rows:
    """Return a row for each territory that needs a look, then one for all the others of each state."""

    def counted(state: str, some: list[dict[str, Any]]) -> dict[str, Any]:
        qpv = sum(one["qpv"] for one in some)
        return {"state": state, "territory": f"{len(some)} territories", "qpv": qpv}

    well = [one for one in results if not one["exit_code"]]
    bad = sorted((one for one in results if one["exit_code"]), key=lambda one: one["territory"])
    rows = [{name: one[name] for name in ("state", "territory", "epci", "qpv", "message")} for one in bad]
    for state, _ in Counter(one["state"] for one in well).most_common():
        rows.append(counted(state, [one for one in well if one["state"] == state]))
    return [*rows, counted("in all", results)]
