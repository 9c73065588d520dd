"""``qpv-geo releases diff`` and ``releases verify``: what is in the files of releases."""

from typing import Annotated

import typer

from qpv_geo.audit.verify import verify_release
from qpv_geo.commands.options import DataDir, MaybeReleaseId, TerritoryName, settings_of
from qpv_geo.commands.output import Json, print_json, print_markdown
from qpv_geo.releases.changes import compare_releases, read_published
from qpv_geo.releases.changes_text import changes_markdown
from qpv_geo.releases.ledger import seal_findings
from qpv_geo.releases.release import find_release
from qpv_geo.territory import load_territory


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
