"""``qpv-geo serve``: the deployments in one process."""

from pathlib import Path
from typing import Annotated

import typer

from qpv_geo.commands.options import DataDir, TerritoryName, settings_of
from qpv_geo.territory import load_territory


def serve(
    *,
    territory: TerritoryName = "besancon",
    data: DataDir = None,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Where Prefect's pages are, without PREFECT_API_URL.")
    ] = 4200,
    deployments: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar="QPV_GEO_DEPLOYMENTS",
            help="TOML file that lists territories and their schedules, in the place of --territory.",
        ),
    ] = None,
) -> None:
    """Refresh every week, watch every day, and refresh when asked to; until SIGTERM."""
    load_territory(territory)
    from flows.serve import serve_deployments  # noqa: PLC0415 - imported lazily: loads Prefect

    # Runs are processes of their own, perhaps in another folder.
    chosen = str(Path(territory).absolute()) if territory.endswith(".toml") else territory
    serve_deployments(chosen, settings_of(data).data_dir, port, deployments)
