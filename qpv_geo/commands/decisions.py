"""``qpv-geo releases publish``, ``drop``, ``rollback`` and ``prune``: decisions about releases."""

from typing import Annotated

import typer

from qpv_geo.commands.options import DataDir, ReleaseId, TerritoryName, Wait, settings_of
from qpv_geo.errors import ConfigurationError
from qpv_geo.lock import territory_lock
from qpv_geo.releases.decisions import drop_held, prunable, publish_held, roll_back
from qpv_geo.releases.decisions import prune as remove_old
from qpv_geo.releases.release import current_release
from qpv_geo.territory import MOST_DAYS, load_territory


def publish(
    release_id: ReleaseId, territory: TerritoryName = "besancon", data: DataDir = None, wait: Wait = 0
) -> None:
    """Publish a held release, or make an earlier one current again."""
    settings, territory_id = settings_of(data), load_territory(territory).id
    with territory_lock(settings.out_dir / territory_id, wait=wait):
        release = publish_held(territory_id, release_id, settings)
    since = "now" if release.published else "already"
    typer.echo(f"{release.id} is {since} the current release: {release.path}")


def drop(
    release_id: ReleaseId, territory: TerritoryName = "besancon", data: DataDir = None, wait: Wait = 0
) -> None:
    """Remove a held release; the same sources are not published again."""
    settings, territory_id = settings_of(data), load_territory(territory).id
    with territory_lock(settings.out_dir / territory_id, wait=wait):
        release = drop_held(territory_id, release_id, settings)
    typer.echo(f"{release.id} is dropped; a run publishes nothing until its sources change")


def rollback(
    release_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="An earlier release (default: the one before).")
    ] = None,
    territory: TerritoryName = "besancon",
    data: DataDir = None,
    wait: Wait = 0,
) -> None:
    """Make an earlier release the current one; what it replaces is not published again by itself."""
    settings, territory_id = settings_of(data), load_territory(territory).id
    with territory_lock(settings.out_dir / territory_id, wait=wait):
        left = current_release(territory_id, settings)
        release = roll_back(territory_id, release_id, settings)
    typer.echo(
        f"{release.id} is the current release again: {release.path}. {left.id if left else ''} stays refused "
        "until its sources change, or `qpv-geo releases publish` takes it back"
    )


def prune(
    *,
    keep: Annotated[
        int | None, typer.Option(min=2, metavar="N", help="Keep the N releases that were current last.")
    ] = None,
    older_than: Annotated[
        float | None,
        typer.Option(
            min=0, max=MOST_DAYS, metavar="DAYS", help="Keep those that were current within these days."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell which ones would go.")] = False,
    territory: TerritoryName = "besancon",
    data: DataDir = None,
    wait: Wait = 0,
) -> None:
    """Remove old releases, never the current one nor the one before.

    Without options, by the number and age that the territory declares (`conservation`).
    """
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
            gone = remove_old(about.id, retention, settings)
    for release in gone:
        typer.echo(f"{'would remove' if dry_run else 'removed'} {release.path}")
    typer.echo(f"{len(gone)} releases {'would go' if dry_run else 'removed'}")
