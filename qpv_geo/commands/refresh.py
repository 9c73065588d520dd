"""``qpv-geo refresh``: the steps of the pipeline here, or as a Prefect flow where a server is configured."""

from typing import Annotated, Any

import typer

from qpv_geo.commands.options import DataDir, Mirror, OneTerritory, Wait
from qpv_geo.commands.output import Json, start_log
from qpv_geo.commands.prefect_server import configured_server
from qpv_geo.errors import ConfigurationError

_MANY = "With --all-territories"


def refresh(  # noqa: PLR0913 - a command is a form
    *,
    territory: OneTerritory = None,
    offline: Annotated[bool, typer.Option("--offline", help="Use the store and the snapshot only.")] = False,
    mirror: Mirror = None,
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
    as_json: Json = False,
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
    # imported lazily: the help needs none of it
    from qpv_geo.pipeline.job import job_for  # noqa: PLC0415

    many = all_territories or bool(only)
    _refuse_mixed(territory, many=many, pages=pages, workers=workers)
    name = "france" if many else territory or "besancon"
    # As the form of the flow takes them.
    form: dict[str, Any] = {
        "data": str(data) if data else None,
        "formats": _split(formats),
        "offline": offline,
        "mirror": mirror,
        "require_live": require_live,
        "force": force,
        "wait": wait,
    }
    # Wrong usage is reported at once, before Prefect is imported or anything is asked.
    job = job_for(name, **form, pages=pages)
    server = configured_server()
    if prefect and not server:
        raise ConfigurationError(
            "--prefect needs a Prefect server and none is configured: start one with `qpv-geo serve` and set "
            "PREFECT_API_URL=http://127.0.0.1:4200/api, or use a profile that names one"
        )
    start_log(prefect=bool(server))
    if many:
        # imported lazily: a single territory needs no Dask
        from qpv_geo.commands.all_territories import publish_all_territories  # noqa: PLC0415

        form |= {"pages": pages}
        publish_all_territories(
            job, form if server else None, only=_split(only), workers=workers, as_json=as_json
        )
    else:
        from qpv_geo.commands.console import publish_one  # noqa: PLC0415 - as above

        publish_one(job, form | {"territory": name} if server else None, as_json=as_json)


def _split(listed: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in listed.split(",") if name.strip())


def _refuse_mixed(territory: str | None, *, many: bool, pages: bool, workers: int) -> None:
    """Refuse options that do not go together."""
    if many and territory is not None:
        raise ConfigurationError("--all-territories publishes all of them: give no --territory with it")
    if not many and (workers or not pages):
        raise ConfigurationError("--workers and --no-pages go with --all-territories")
