"""The command line: which commands there are. Each is imported when it is run, so that help needs none."""

import errno
import re
import sys
from typing import Annotated

import typer

from qpv_geo.characters import visible
from qpv_geo.commands.lazy import Lazy, lazy_group
from qpv_geo.errors import QpvGeoError
from qpv_geo.files import swept_temporary_files

_OF_MEMORY = re.compile("map segment|allocate memory|start new thread")
# Exit code of a command that was called wrongly.
_USAGE = 2
_LONGEST_NAME = 100


def _group(purpose: str, **commands: tuple[str, str]) -> typer.Typer:
    """Return a group of commands, each by its ``module:function`` in this package and its summary."""
    lazy = {name: Lazy(f"qpv_geo.{target}", summary) for name, (target, summary) in commands.items()}
    return typer.Typer(
        name="qpv-geo",
        cls=lazy_group(lazy),
        help=purpose,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
    )


sources = _group(
    "The official sources.",
    list=("commands.sources:list_", "List every declared source."),
    check=("commands.sources:check", "Ask each live address whether it is reachable and still as declared."),
    distribution=(
        "commands.distribution:distribution",
        "Count the values of the national files again that the program ships, for the files of the snapshot.",
    ),
)
releases = _group(
    "The releases: published, held, earlier ones.",
    list=(
        "commands.releases:list_all",
        "List the releases of a territory: the current one, the one before, those that are held or refused.",
    ),
    show=(
        "commands.releases:show",
        "Show a release: what it is, its layers, what changed since the one before.",
    ),
    diff=(
        "commands.releases:diff",
        "Tell what changed from one release to another, held ones included.",
    ),
    verify=(
        "commands.releases:verify",
        "Check a release again: ledger, checksums, GeoPackage rules, RFC 7946, Data Package.",
    ),
    publish=("commands.decisions:publish", "Publish a held release, or make an earlier one current again."),
    drop=("commands.decisions:drop", "Remove a held release; the same sources are not published again."),
    rollback=(
        "commands.decisions:rollback",
        "Make an earlier release the current one; what it replaces is not published again by itself.",
    ),
    prune=("commands.decisions:prune", "Remove old releases, never the current one nor the one before."),
)
territories = _group(
    "The territories that releases are about.",
    list=("commands.territory:list_territories", "List the shipped territories."),
    show=(
        "commands.territory_files:show",
        "Check a territory file and the files that it declares, and say what it is about.",
    ),
    init=(
        "commands.territory_files:init",
        "Write the file of a territory from the official geographic code and the contours.",
    ),
)
app = _group(
    "Official QPV contours and INSEE statistics, joined with a territory, as GeoPackage and GeoJSON.",
    refresh=("commands.refresh:refresh", "Fetch, check, join, verify and publish."),
    locate=(
        "commands.locate:locate",
        "Tell which points of a file, or one point or address, are in a QPV, and how far the nearest is.",
    ),
    api=(
        "commands.api:api",
        "Serve current releases and locate by HTTP (OGC API), until SIGTERM; needs the extra api.",
    ),
    serve=(
        "commands.prefect_server:serve",
        "Refresh every week, watch every day, and refresh when asked to; until SIGTERM.",
    ),
    sources=("cli:sources", str(sources.info.help)),
    releases=("cli:releases", str(releases.info.help)),
    territory=("cli:territories", str(territories.info.help)),
)


def main() -> None:
    """Run a command; every failure that the project explains ends with its exit code."""
    try:
        with swept_temporary_files():
            app()
    except QpvGeoError as error:
        typer.echo(f"qpv-geo: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        name = f"{error.filename or ''}"
        name = f"{name[:_LONGEST_NAME]}…" if len(name) > _LONGEST_NAME else name
        where = f"{name}: " if name else ""
        advice = "check the name, the rights, the free space and the limits of this account (ulimit -a)"
        typer.echo(visible(f"qpv-geo: {where}{error.strerror or error}; {advice}"), err=True)
        sys.exit(_USAGE if error.errno == errno.ENAMETOOLONG else 1)
    except (MemoryError, ImportError, RuntimeError) as error:
        # A library that cannot be mapped, or a thread without a stack, is an error of another kind.
        if not isinstance(error, MemoryError) and not _OF_MEMORY.search(str(error)):
            raise
        advice = "raise the limit of this account (ulimit -v) or of the service (MemoryMax)"
        typer.echo(f"qpv-geo: not enough memory; {advice}", err=True)
        sys.exit(1)


def _version(asked: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    if asked:
        # imported lazily: reading the metadata of the installation takes a tenth of a second
        from qpv_geo import __version__  # noqa: PLC0415

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
