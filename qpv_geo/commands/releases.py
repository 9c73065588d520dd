"""``qpv-geo releases list`` and ``releases show``: which releases there are."""

from datetime import datetime

import typer
from rich.table import Table

from qpv_geo.commands.options import (
    DataDir,
    MaybeReleaseId,
    TerritoryName,
    console,
    print_markdown,
    settings_of,
)
from qpv_geo.releases.changes_text import changes_markdown
from qpv_geo.releases.ledger import read_ledger
from qpv_geo.releases.placement import LATEST
from qpv_geo.releases.release import (
    current_release,
    find_release,
    held_releases,
    list_releases,
    previous_release,
)
from qpv_geo.settings import Settings
from qpv_geo.territory import load_territory


def list_all(territory: TerritoryName = "besancon", data: DataDir = None) -> None:
    """List the releases of a territory: the current one, the one before, those that are held or refused."""
    settings, territory_id = settings_of(data), load_territory(territory).id
    ledger = read_ledger(settings.out_dir / territory_id)
    table = Table(title=f"Releases of {territory_id}")
    for column in ("", "id", "current since", "origin", "path"):
        table.add_column(column, overflow="fold")
    releases = [*list_releases(territory_id, settings), *held_releases(territory_id, settings)]
    if not releases:
        typer.echo(
            f"no release in {settings.out_dir / territory_id}: `qpv-geo refresh` makes the first; "
            "if there should be some, give their folder by --data or QPV_GEO_DATA"
        )
        return
    states = _states(territory_id, settings)
    for release in releases:
        since = _moment(ledger.published_at(release.id))
        state = "held" if release.held else states.get(release.id, "")
        table.add_row(state, release.id, since, release.origin or "damaged", str(release.path))
    console().print(table)
    if current_release(territory_id, settings) is None:
        typer.echo(
            f"{settings.out_dir / territory_id / LATEST} leads to no release: `qpv-geo refresh`, or "
            "`qpv-geo releases publish ID`, makes one current"
        )


def _states(territory_id: str, settings: Settings) -> dict[str, str]:
    """Return the states of the current release, the one before and those that were rolled back."""
    ledger = read_ledger(settings.out_dir / territory_id)
    states = {}
    if previous := previous_release(territory_id, settings):
        states[previous.id] = "before"
    states |= {refusal.release: "rolled back" for refusal in ledger.refusals}
    if current := current_release(territory_id, settings):
        states[current.id] = "current"
    return states


def show(
    release_id: MaybeReleaseId = None, territory: TerritoryName = "besancon", data: DataDir = None
) -> None:
    """Show a release: what it is, its layers, what changed since the one before."""
    settings, territory_id = settings_of(data), load_territory(territory).id
    release = find_release(territory_id, release_id, settings)
    since = read_ledger(settings.out_dir / territory_id).published_at(release.id)
    state = "held" if release.held else _states(territory_id, settings).get(release.id, "published")
    lines = (
        f"Release {release.id} ({state})",
        f"Folder: {release.path}",
        f"Current since: {_moment(since) or 'unknown'}" if since else "",
        f"Fingerprint: {release.fingerprint or 'cannot be read, the release is damaged'}",
        release.origin,
        *(f"Held because: {reason}" for reason in release.held_because),
    )
    for line in filter(None, lines):
        typer.echo(line)
    table = Table(title="Layers", title_justify="left")
    table.add_column("layer")
    table.add_column("rows", justify="right")
    for layer, rows in release.layers.items():
        table.add_row(layer, str(rows))
    console().print(table)
    if release.differences:
        print_markdown(changes_markdown(release.differences))


def _moment(moment: datetime | None) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}" if moment else ""
