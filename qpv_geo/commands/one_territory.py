"""``qpv-geo refresh`` of one territory: apart, because its help needs none of the pipeline."""

from typing import Any

from qpv_geo.commands.console import downloads_shown, summary_tables
from qpv_geo.commands.output import console, print_json
from qpv_geo.pipeline.job import Job
from qpv_geo.pipeline.one import run
from qpv_geo.pipeline.summary import summarise
from qpv_geo.releases.decisions import held_error


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
