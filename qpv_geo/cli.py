"""The command line, thin over the flow: options in, tables and exit codes out."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from qpv_geo import __version__
from qpv_geo.commands import releases
from qpv_geo.commands.distribution import distribution
from qpv_geo.commands.locate import locate
from qpv_geo.commands.options import DataDir, OneTerritory, TerritoryName, Wait, console, settings_of
from qpv_geo.commands.territory import territory_app
from qpv_geo.errors import ConfigurationError, QpvGeoError
from qpv_geo.ingest.additions import declarations
from qpv_geo.settings import Settings
from qpv_geo.sources.fetch import Policy
from qpv_geo.sources.raw import RawFile
from qpv_geo.territory import load_territory

app = typer.Typer(
    name="qpv-geo",
    help="Official QPV contours and INSEE statistics, joined with a territory, as GeoPackage and GeoJSON.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
sources_app = typer.Typer(help="The official sources.", no_args_is_help=True)
app.add_typer(sources_app, name="sources")
app.add_typer(releases.app, name="releases")
app.add_typer(territory_app, name="territory")
app.command()(locate)
sources_app.command()(distribution)


def main() -> None:
    """Run a command; every failure that the project explains ends with its exit code."""
    try:
        app()
    except QpvGeoError as error:
        typer.echo(f"qpv-geo: {error}", err=True)
        sys.exit(error.exit_code)


def _version(asked: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Take the options of every command."""


@app.command()
def refresh(
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
    all_territories: Annotated[
        bool, typer.Option("--all-territories", help="Publish each EPCI that has a QPV, in place of one.")
    ] = False,
    pages: Annotated[
        bool, typer.Option("--pages/--no-pages", help="With --all-territories: write portraits as well.")
    ] = True,
    workers: Annotated[
        int,
        typer.Option(min=0, max=256, help="With --all-territories: processes; 0 for one per core."),
    ] = 0,
) -> None:
    """Fetch, check, join, verify and publish."""
    from qpv_geo.releases.formats import chosen_formats  # noqa: PLC0415 - geopandas takes a second

    # Wrong usage is told at once, before Prefect starts.
    _refuse_mixed(territory, all_territories=all_territories, pages=pages, workers=workers)
    load_territory(territory or "besancon")
    further = chosen_formats(name.strip() for name in formats.split(",") if name.strip())
    Policy(offline=offline, mirror=mirror, require_live=require_live)
    terminal = sys.stdout.isatty()
    if terminal:
        # Progress bars and the closing tables say it better than log lines; the Prefect UI keeps them.
        os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    from flows.console import (  # noqa: PLC0415 - Prefect takes a second
        downloads_shown,
        summary_tables,
        territories_shown,
    )
    from flows.server import configured_server  # noqa: PLC0415

    common: dict[str, Any] = {
        "offline": offline,
        "mirror": mirror,
        "require_live": require_live,
        "data": str(data) if data else None,
        "formats": further,
        "force": force,
        "wait": wait,
    }
    if all_territories:
        from flows.all_territories import chosen_runner, refresh_all  # noqa: PLC0415

        runner = chosen_runner()
        configured_server()
        with territories_shown(console(), enabled=terminal):
            refresh_all.with_options(task_runner=runner)(**common, pages=pages, workers=workers)
        return
    from flows.refresh import refresh as flow  # noqa: PLC0415

    configured_server()
    with downloads_shown(enabled=terminal):
        outcome = flow(territory=territory or "besancon", **common)
    for part in summary_tables(outcome):
        console().print(part, soft_wrap=isinstance(part, str))


def _refuse_mixed(territory: str | None, *, all_territories: bool, pages: bool, workers: int) -> None:
    """Refuse options that do not go together."""
    if all_territories and territory is not None:
        raise ConfigurationError("--all-territories publishes all of them: give no --territory with it")
    if not all_territories and (workers or not pages):
        raise ConfigurationError("--workers and --no-pages go with --all-territories")


@app.command()
def serve(
    *,
    territory: TerritoryName = "besancon",
    data: DataDir = None,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Where Prefect's pages are, without PREFECT_API_URL.")
    ] = 4200,
) -> None:
    """Refresh every week, watch every day, and refresh when asked to; until SIGTERM."""
    load_territory(territory)
    from flows.serve import serve_deployments  # noqa: PLC0415 - Prefect takes a second

    # Runs are processes of their own, perhaps in another folder.
    chosen = str(Path(territory).absolute()) if territory.endswith(".toml") else territory
    serve_deployments(chosen, settings_of(data).data_dir, port)


@sources_app.command("list")
def sources_list() -> None:
    """List every declared source."""
    table = Table(title="Sources")
    for column in ("id", "title", "publisher", "vintage", "read", "required", "seen"):
        table.add_column(column, overflow="fold")
    catalogue, _ = declarations(settings_of(None))
    for source in catalogue.sources:
        flags = (_yes(source.used), _yes(source.required), str(source.seen or "as declared"))
        table.add_row(source.id, source.title, source.publisher, source.vintage, *flags)
    console().print(table)


@sources_app.command("check")
def sources_check(territory: TerritoryName = "besancon", data: DataDir = None) -> None:
    """Ask each live address whether it is reachable and still as declared."""
    from qpv_geo.ingest.statistics import differences_from_declaration  # noqa: PLC0415 - imported lazily
    from qpv_geo.sources.probe import probe  # noqa: PLC0415 - the HTTP client is not needed elsewhere

    def inspect(raw: RawFile, settings: Settings) -> list[str]:
        return differences_from_declaration(raw, registry, settings)

    about, settings = load_territory(territory), settings_of(data)
    catalogue, registry = declarations(settings, about)
    table = Table(title="Live addresses")
    for column in ("id", "reachable", "last modified", "address", "what differs"):
        table.add_column(column, overflow="fold")
    failed = False
    # The territory's own files have no address, and that of some others is not known.
    for source in (source for source in catalogue.sources if source.hosts):
        result = probe(source, about, settings, inspect)
        failed |= source.required and not (result.reachable and not result.differences)
        modified = result.last_modified.date().isoformat() if result.last_modified else ""
        differences = "\n".join(result.differences) or ("as declared" if result.reachable else "")
        table.add_row(source.id, _yes(result.reachable), modified, result.resolved_url or "", differences)
    console().print(table)
    if failed:
        raise typer.Exit(3)


def _yes(value: bool) -> str:  # noqa: FBT001 - a word for a truth value
    return "yes" if value else "no"
