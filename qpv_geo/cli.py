"""The command line: which commands there are. Each is imported when it is run, so that help needs none."""

import errno
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from qpv_geo.characters import visible
from qpv_geo.commands.lazy import Lazy, lazy_group
from qpv_geo.errors import QpvGeoError
from qpv_geo.files import swept_temporary_files
from qpv_geo.toml_file import read_toml

_COMMANDS = read_toml(Path(__file__).with_name("cli.toml"))
_OF_MEMORY = re.compile("map segment|allocate memory|start new thread")
# Exit code of a command that was called wrongly.
_USAGE = 2
_LONGEST_NAME = 100


def _group(name: str, **groups: typer.Typer) -> typer.Typer:
    """Return a group with the commands that ``cli.toml`` lists, and groups of this module."""
    purpose, commands = _COMMANDS[name].values()
    lazy = {key: Lazy(f"qpv_geo.commands.{target}", summary) for key, (target, summary) in commands.items()}
    lazy |= {key: Lazy(f"qpv_geo.cli:{key}", str(group.info.help)) for key, group in groups.items()}
    return typer.Typer(
        name="qpv-geo",
        cls=lazy_group(lazy),
        help=purpose,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
    )


sources, releases, territory = map(_group, ("sources", "releases", "territory"))
app = _group("qpv-geo", sources=sources, releases=releases, territory=territory)


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
