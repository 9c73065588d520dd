"""``qpv-geo refresh``: the steps of the pipeline here, or as a Prefect flow where a server is configured."""

from typing import Annotated, Any

import typer

from qpv_geo.commands.console import downloads_shown, start_log, summary_tables
from qpv_geo.commands.options import DataDir, OneTerritory, Wait, console
from qpv_geo.commands.prefect_server import configured_server
from qpv_geo.errors import ConfigurationError
from qpv_geo.pipeline.job import Job, job_for
from qpv_geo.pipeline.one import run
from qpv_geo.pipeline.summary import summarise
from qpv_geo.releases.decisions import held_error
from qpv_geo.releases.formats import chosen_formats
from qpv_geo.sources.fetch import Policy

_MANY = "With --all-territories"


def refresh(  # noqa: PLR0913 - a command is a form
    *,
    territory: OneTerritory = None,
    offline: Annotated[bool, typer.Option("--offline", help="Use the store and the snapshot only.")] = False,
    mirror: Annotated[
        str | None,
        typer.Option(metavar="PATH_OR_URL", help="Folder or address laid out like the official sites."),
    ] = None,
    require_live: Annotated[
        bool, typer.Option("--require-live", help="Fail rather than fall back to a copy.")
    ] = False,
    data: DataDir = None,
    formats: Annotated[
        str,
        typer.Option(
            metavar="LIST", help="Formats beyond GeoPackage, GeoJSON and CSV: fgb, geoparquet, xlsx."
        ),
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Publish even if nothing changed.")] = False,
    wait: Wait = 0,
    prefect: Annotated[
        bool, typer.Option("--prefect", help="Run as a flow of the configured Prefect server, or not at all.")
    ] = False,
    all_territories: Annotated[
        bool, typer.Option("--all-territories", help="Publish each EPCI that has a QPV, in place of one.")
    ] = False,
    only: Annotated[
        str,
        typer.Option(
            metavar="CODES",
            help="SIREN of EPCI, or departments, with commas between: publish these alone.",
            rich_help_panel=_MANY,
        ),
    ] = "",
    pages: Annotated[
        bool, typer.Option("--pages/--no-pages", help="Write portraits as well.", rich_help_panel=_MANY)
    ] = True,
    workers: Annotated[
        int, typer.Option(min=0, max=256, help="Processes; 0 for one per core.", rich_help_panel=_MANY)
    ] = 0,
) -> None:
    """Fetch, check, join, verify and publish.

    Runs as a Prefect flow where PREFECT_API_URL or the active profile of Prefect names a server, and without
    Prefect otherwise.
    """
    codes, many = _split(only), all_territories or bool(only)
    _refuse_mixed(territory, many=many, pages=pages, workers=workers)
    name = "france" if many else territory or "besancon"
    policy: dict[str, Any] = {"offline": offline, "mirror": mirror, "require_live": require_live}
    options: dict[str, Any] = {"force": force, "wait": wait}
    names = _split(formats)
    # Wrong usage is reported at once, before Prefect is imported or anything is asked.
    job = job_for(name, data, Policy(**policy), formats=chosen_formats(names, pages=pages), **options)
    server = configured_server()
    if prefect and not server:
        raise ConfigurationError(
            "--prefect needs a Prefect server and none is configured: start one with `qpv-geo serve` and set "
            "PREFECT_API_URL=http://127.0.0.1:4200/api, or use a profile that names one"
        )
    # As the form of the flow takes them; None where the flow is not used.
    form = policy | options | {"formats": names, "data": str(data) if data else None} if server else None
    start_log(prefect=bool(server))
    if many:
        # imported lazily: a single territory needs no Dask
        from qpv_geo.commands.all_territories import publish_all_territories  # noqa: PLC0415

        publish_all_territories(job, form and form | {"pages": pages}, only=codes, workers=workers)
    else:
        _publish_one(job, form and form | {"territory": name})


def _publish_one(job: Job, form: dict[str, Any] | None) -> None:
    with downloads_shown():
        if form:
            from flows.refresh import refresh as flow  # noqa: PLC0415 - imported lazily: loads Prefect

            summary = flow(**form)
        else:
            summary = publish(job)
    for part in summary_tables(summary):
        console().print(part, soft_wrap=isinstance(part, str))


def publish(job: Job) -> dict[str, Any]:
    """Do the whole job without Prefect, and return its summary; a held release is a `HeldError`."""
    outcome = run(job)
    if outcome.release.held:
        raise held_error(outcome.release, job.territory, job.settings)
    return summarise(outcome)


def _split(listed: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in listed.split(",") if name.strip())


def _refuse_mixed(territory: str | None, *, many: bool, pages: bool, workers: int) -> None:
    """Refuse options that do not go together."""
    if many and territory is not None:
        raise ConfigurationError("--all-territories publishes all of them: give no --territory with it")
    if not many and (workers or not pages):
        raise ConfigurationError("--workers and --no-pages go with --all-territories")
