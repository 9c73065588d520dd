"""What commands have in common: options and settings."""

from pathlib import Path
from typing import Annotated

import typer

from qpv_geo.settings import Settings, default_data_dir

DataDir = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Holds raw/ and out/ (default: QPV_GEO_DATA, else data/)."),
]
TerritoryName = Annotated[
    str, typer.Option("--territory", help="Name of a shipped territory, or path of a TOML file.")
]
Mirror = Annotated[
    str | None,
    typer.Option(metavar="PATH_OR_URL", help="Folder or address laid out like the official sites."),
]
OneTerritory = Annotated[
    str | None,
    typer.Option(
        "--territory", help="Name of a shipped territory, or path of a TOML file (default: besancon)."
    ),
]
ReleaseId = Annotated[str, typer.Argument(metavar="ID", help="A release, as `releases list` names it.")]
MaybeReleaseId = Annotated[
    str | None, typer.Argument(metavar="[ID]", help="A release (default: the current one).")
]
Wait = Annotated[
    float, typer.Option("--wait", metavar="SECONDS", min=0, help="Seconds to wait for another run to finish.")
]


def settings_of(data: Path | None) -> Settings:
    """Return the settings of one command."""
    return Settings(data_dir=data or default_data_dir())
