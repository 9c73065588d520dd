"""``qpv-geo releases``: look at releases, compare them, decide about them, remove old ones.

Whatever needs geopandas is imported by the command that does: it takes a second.
"""

import sys
from datetime import datetime
from typing import Annotated

import typer
from rich.markdown import Markdown
from rich.table import Table

from qpv_geo.commands.options import DataDir, TerritoryName, Wait, console, settings_of
from qpv_geo.errors import ConfigurationError
from qpv_geo.lock import territory_lock
from qpv_geo.settings import Settings
from qpv_geo.territory import load_territory

app = typer.Typer(help="The releases: published, held, earlier ones.", no_args_is_help=True)

ReleaseId = Annotated[str, typer.Argument(metavar="ID", help="A release, as `releases list` names it.")]
MaybeReleaseId = Annotated[
    str | None, typer.Argument(metavar="[ID]", help="A release (default: the current one).")
]


@app.command("list")
def list_(territory: TerritoryName = "besancon", data: DataDir = None) -> None:
    """List the releases of a territory: the current one, the one before, those that are held or refused."""
    from qpv_geo.releases.ledger import read_ledger  # noqa: PLC0415
    from qpv_geo.releases.placement import LATEST  # noqa: PLC0415
    from qpv_geo.releases.release import current_release, held_releases, list_releases  # noqa: PLC0415

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
    """Return what the published releases are, those that are something."""
    from qpv_geo.releases.decisions import previous_release  # noqa: PLC0415
    from qpv_geo.releases.ledger import read_ledger  # noqa: PLC0415
    from qpv_geo.releases.release import current_release  # noqa: PLC0415

    ledger = read_ledger(settings.out_dir / territory_id)
    states = {}
    if previous := previous_release(territory_id, settings):
        states[previous.id] = "before"
    states |= {refusal.release: "rolled back" for refusal in ledger.refusals}
    if current := current_release(territory_id, settings):
        states[current.id] = "current"
    return states


@app.command()
def show(
    release_id: MaybeReleaseId = None, territory: TerritoryName = "besancon", data: DataDir = None
) -> None:
    """Show a release: what it is, its layers, what changed since the one before."""
    from qpv_geo.releases.changes_text import changes_markdown  # noqa: PLC0415
    from qpv_geo.releases.ledger import read_ledger  # noqa: PLC0415
    from qpv_geo.releases.release import find_release  # noqa: PLC0415

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
    table = Table(title="Couches", title_justify="left")
    table.add_column("couche")
    table.add_column("lignes", justify="right")
    for layer, rows in release.layers.items():
        table.add_row(layer, str(rows))
    console().print(table)
    if release.differences:
        _tell(changes_markdown(release.differences))


@app.command()
def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="The earlier release.")],
    second: Annotated[
        str | None, typer.Argument(metavar="[B]", help="The later one (default: the current one).")
    ] = None,
    territory: TerritoryName = "besancon",
    data: DataDir = None,
) -> None:
    """Tell what changed from one release to another, held ones included."""
    from qpv_geo.releases.changes import compare_releases  # noqa: PLC0415
    from qpv_geo.releases.changes_text import changes_markdown  # noqa: PLC0415
    from qpv_geo.releases.published import read_published  # noqa: PLC0415
    from qpv_geo.releases.release import find_release  # noqa: PLC0415

    settings, territory_id = settings_of(data), load_territory(territory).id
    before, after = (find_release(territory_id, name, settings) for name in (first, second))
    changes = compare_releases(read_published(before.path), read_published(after.path))
    _tell(f"# De {before.id} à {after.id}\n\n{changes_markdown(changes)}")


@app.command()
def verify(
    release_id: MaybeReleaseId = None, territory: TerritoryName = "besancon", data: DataDir = None
) -> None:
    """Check a release again: checksums, GeoPackage rules, RFC 7946, Data Package."""
    from qpv_geo.audit.verify import verify_release  # noqa: PLC0415
    from qpv_geo.releases.release import find_release  # noqa: PLC0415

    release = find_release(load_territory(territory).id, release_id, settings_of(data))
    findings = verify_release(release.path)
    for finding in findings:
        typer.echo(str(finding), err=True)
    if findings:
        typer.echo(f"{release.path}: {len(findings)} rules broken", err=True)
        raise typer.Exit(5)
    typer.echo(f"{release.path}: verified, every rule holds")


@app.command()
def publish(
    release_id: ReleaseId, territory: TerritoryName = "besancon", data: DataDir = None, wait: Wait = 0
) -> None:
    """Publish a held release, or make an earlier one current again."""
    from qpv_geo.releases.decisions import publish_held  # noqa: PLC0415

    settings, territory_id = settings_of(data), load_territory(territory).id
    with territory_lock(settings.out_dir / territory_id, wait=wait):
        release = publish_held(territory_id, release_id, settings)
    since = "now" if release.published else "already"
    typer.echo(f"{release.id} is {since} the current release: {release.path}")


@app.command()
def drop(
    release_id: ReleaseId, territory: TerritoryName = "besancon", data: DataDir = None, wait: Wait = 0
) -> None:
    """Remove a held release; the same sources are not published again."""
    from qpv_geo.releases.decisions import drop_held  # noqa: PLC0415

    settings, territory_id = settings_of(data), load_territory(territory).id
    with territory_lock(settings.out_dir / territory_id, wait=wait):
        release = drop_held(territory_id, release_id, settings)
    typer.echo(f"{release.id} is dropped; a run publishes nothing until its sources change")


@app.command()
def rollback(
    release_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="An earlier release (default: the one before).")
    ] = None,
    territory: TerritoryName = "besancon",
    data: DataDir = None,
    wait: Wait = 0,
) -> None:
    """Make an earlier release the current one; what it replaces is not published again by itself."""
    from qpv_geo.releases.decisions import roll_back  # noqa: PLC0415
    from qpv_geo.releases.release import current_release  # noqa: PLC0415

    settings, territory_id = settings_of(data), load_territory(territory).id
    with territory_lock(settings.out_dir / territory_id, wait=wait):
        left = current_release(territory_id, settings)
        release = roll_back(territory_id, release_id, settings)
    typer.echo(
        f"{release.id} is the current release again: {release.path}. {left.id if left else ''} stays refused "
        "until its sources change, or `qpv-geo releases publish` takes it back"
    )


@app.command("prune")
def prune_(
    *,
    keep: Annotated[
        int | None, typer.Option(min=2, metavar="N", help="Keep the N releases that were current last.")
    ] = None,
    older_than: Annotated[
        float | None,
        typer.Option(min=0, metavar="DAYS", help="Keep those that were current within so many days."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell which ones would go.")] = False,
    territory: TerritoryName = "besancon",
    data: DataDir = None,
    wait: Wait = 0,
) -> None:
    """Remove old releases, never the current one nor the one before.

    Without options, by the number and age that the territory declares (`conservation`).
    """
    from qpv_geo.releases.retention import prunable, prune  # noqa: PLC0415

    settings, about = settings_of(data), load_territory(territory)
    retention = about.conservation
    if keep is not None or older_than is not None:
        retention = retention.model_copy(update={"nombre": keep, "jours": older_than})
    if retention.nombre is None and retention.jours is None:
        raise ConfigurationError(
            f"nothing says which releases of {about.id} may go: give --keep or --older-than, or declare "
            "[conservation] in the territory's file"
        )
    if dry_run:
        gone = prunable(about.id, retention, settings)
    else:
        with territory_lock(settings.out_dir / about.id, wait=wait):
            gone = prune(about.id, retention, settings)
    for release in gone:
        typer.echo(f"{'would remove' if dry_run else 'removed'} {release.path}")
    typer.echo(f"{len(gone)} releases {'would go' if dry_run else 'removed'}")


def _tell(markdown: str) -> None:
    if sys.stdout.isatty():
        console().print(Markdown(markdown))
    else:
        typer.echo(markdown)


def _moment(moment: datetime | None) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}" if moment else ""
