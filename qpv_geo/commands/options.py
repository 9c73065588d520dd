"""What commands have in common: options, settings, the console."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from qpv_geo.settings import Settings, default_data_dir

DataDir = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Holds raw/ and out/ (default: QPV_GEO_DATA, else data/)."),
]
TerritoryName = Annotated[
    str, typer.Option("--territory", help="Name of a shipped territory, or path of a TOML file.")
]
OneTerritory = Annotated[
    str | None,
    typer.Option(
        "--territory", help="Name of a shipped territory, or path of a TOML file (default: besancon)."
    ),
]
Wait = Annotated[
    float,
    typer.Option("--wait", metavar="SECONDS", min=0, help="Wait so long for another run of the territory."),
]


def console() -> Console:
    """Return a console as wide as the terminal, or wide enough for a log."""
    return Console() if sys.stdout.isatty() else Console(width=160, no_color=True)


def settings_of(data: Path | None) -> Settings:
    """Return the settings of one command."""
    return Settings(data_dir=data or default_data_dir())
