"""``qpv-geo locate --point`` and ``--address``: one answer, as a sentence or as JSON."""

from pathlib import Path

import typer

from qpv_geo.commands.options import settings_of
from qpv_geo.commands.output import print_json
from qpv_geo.errors import ConfigurationError
from qpv_geo.locate.locator import Locator
from qpv_geo.locate.one import locate_address, locate_point, parse_point, sentence
from qpv_geo.locate.points import Points
from qpv_geo.releases.release import find_release
from qpv_geo.territory import load_territory


def answer_one(
    point: str | None,
    address: str | None,
    points: Points,
    *,
    territory: str,
    data: Path | None,
    max_distance: float,
    as_json: bool,
) -> None:
    """Print the answer for a point, in the CRS of `points` or longitude and latitude, or for an address."""
    if point is not None and address is not None:
        raise ConfigurationError("--point and --address: give one or the other")
    if points.columns or points.layer:
        raise ConfigurationError("--point and --address have no columns: leave the options of a file out")
    settings, place = settings_of(data), load_territory(territory)
    release = find_release(place.id, None, settings)
    locator = Locator.of_release(
        release,
        place,
        points_crs=points.crs or 4326,
        max_distance=max_distance,
        layers=points.layers,
        dated=points.dated,
    )
    if point is not None:
        metres = points.precision if isinstance(points.precision, float) else None
        answer = locate_point(locator, parse_point(point), metres, points.date)
    else:
        answer = locate_address(locator, str(address), settings, points.threshold, points.date)
    if as_json:
        print_json({"release": release.id, **answer})
    else:
        typer.echo(sentence(answer))
        typer.echo(f"Release {release.id} of {place.nom}.", err=True)
