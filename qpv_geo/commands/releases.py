"""``qpv-geo releases list``, ``show``, ``diff`` and ``verify``: which releases there are, and their files."""

from typing import Annotated

import typer

from qpv_geo.commands.options import DataDir, MaybeReleaseId, TerritoryName, settings_of
from qpv_geo.commands.output import Json, print_entries, print_json, print_markdown, print_rows
from qpv_geo.releases.changes_text import changes_markdown
from qpv_geo.releases.ledger import read_ledger, seal_findings
from qpv_geo.releases.placement import LATEST
from qpv_geo.releases.release import (
    command_options,
    current_release,
    find_release,
    held_releases,
    list_releases,
    previous_release,
)
from qpv_geo.settings import Settings
from qpv_geo.territory import load_territory


def list_all(*, territory: TerritoryName = "besancon", data: DataDir = None, as_json: Json = False) -> None:
    """List the releases of a territory: the current one, the one before, those that are held or refused."""
    settings, territory_id = settings_of(data), load_territory(territory).id
    folder, options = settings.out_dir / territory_id, command_options(territory_id, settings)
    ledger, states = read_ledger(folder), _states(territory_id, settings)
    releases = [*list_releases(territory_id, settings), *held_releases(territory_id, settings)]
    rows = [
        {
            "state": "held" if release.held else states.get(release.id, ""),
            "id": release.id,
            "current_since": ledger.published_at(release.id),
            "origin": release.origin or "damaged",
            "path": release.path,
        }
        for release in releases
    ]
    if rows or as_json:
        print_rows(f"Releases of {territory_id}", rows, as_json=as_json)
    if not rows:
        typer.echo(
            f"no release in {folder}: `qpv-geo refresh{options}` makes the first; if there should be some, "
            "give their folder by --data or QPV_GEO_DATA",
            err=as_json,
        )
    elif current_release(territory_id, settings) is None:
        typer.echo(
            f"{folder / LATEST} leads to no release: `qpv-geo refresh{options}`, or "
            f"`qpv-geo releases publish ID{options}`, makes one current",
            err=as_json,
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
    release_id: MaybeReleaseId = None,
    *,
    territory: TerritoryName = "besancon",
    data: DataDir = None,
    as_json: Json = False,
) -> None:
    """Show a release: what it is, its layers, what changed since the one before."""
    settings, territory_id = settings_of(data), load_territory(territory).id
    release = find_release(territory_id, release_id, settings)
    entries = {
        "id": release.id,
        "state": "held" if release.held else _states(territory_id, settings).get(release.id, "published"),
        "path": release.path,
        "current_since": read_ledger(settings.out_dir / territory_id).published_at(release.id),
        "fingerprint": release.fingerprint or "cannot be read, the release is damaged",
        "origin": release.origin,
        "held_because": release.held_because,
    }
    if as_json:
        changes = release.differences and release.differences.model_dump(mode="json")
        print_entries("", entries | {"layers": release.layers, "differences": changes}, as_json=True)
        return
    print_entries(f"Release {release.id} ({entries['state']})", entries)
    print_rows("Layers", [{"layer": layer, "rows": rows} for layer, rows in release.layers.items()])
    if release.differences:
        print_markdown(changes_markdown(release.differences))


def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="The earlier release.")],
    second: Annotated[
        str | None, typer.Argument(metavar="[B]", help="The later one (default: the current one).")
    ] = None,
    *,
    territory: TerritoryName = "besancon",
    data: DataDir = None,
    as_json: Json = False,
) -> None:
    """Tell what changed from one release to another, held ones included."""
    # imported lazily: a list reads no layer
    from qpv_geo.releases.changes import compare_releases, read_published  # noqa: PLC0415

    settings, territory_id = settings_of(data), load_territory(territory).id
    before, after = (find_release(territory_id, name, settings) for name in (first, second))
    changes = compare_releases(read_published(before.path), read_published(after.path))
    if as_json:
        print_json(changes.model_dump(mode="json"))
        return
    print_markdown(f"# De {before.id} à {after.id}\n\n{changes_markdown(changes)}")


def verify(
    release_id: MaybeReleaseId = None,
    *,
    territory: TerritoryName = "besancon",
    data: DataDir = None,
    as_json: Json = False,
) -> None:
    """Check a release again: ledger, checksums, GeoPackage rules, RFC 7946, Data Package."""
    from qpv_geo.audit.verify import verify_release  # noqa: PLC0415 - as above

    release = find_release(load_territory(territory).id, release_id, settings_of(data))
    findings = [*seal_findings(release.path), *verify_release(release.path)]
    if as_json:
        print_json({"release": release.id, "path": release.path, "findings": [*map(str, findings)]})
        raise typer.Exit(5 if findings else 0)
    for finding in findings:
        typer.echo(str(finding), err=True)
    if findings:
        typer.echo(f"{release.path}: {len(findings)} rules broken", err=True)
        raise typer.Exit(5)
    typer.echo(f"{release.path}: verified, every rule holds")
