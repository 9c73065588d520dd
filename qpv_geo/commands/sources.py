"""``qpv-geo sources list`` and ``sources check``."""

import typer
from rich.table import Table

from qpv_geo.commands.options import DataDir, TerritoryName, console, settings_of
from qpv_geo.ingest.additions import declarations
from qpv_geo.settings import Settings
from qpv_geo.sources.fetch import Policy
from qpv_geo.sources.raw import RawFile
from qpv_geo.territory import load_territory


def list_() -> None:
    """List every declared source."""
    table = Table(title="Sources")
    for column in ("id", "title", "publisher", "vintage", "read", "required", "seen"):
        table.add_column(column, overflow="fold")
    catalogue, _ = declarations(settings_of(None))
    for source in catalogue.sources:
        flags = (_yes(source.used), _yes(source.required), str(source.seen or "as declared"))
        table.add_row(source.id, source.title, source.publisher, source.vintage, *flags)
    console().print(table)


def check(territory: TerritoryName = "besancon", data: DataDir = None) -> None:
    """Ask each live address whether it is reachable and still as declared."""
    # imported lazily: a list needs neither tables nor the network
    from qpv_geo.ingest.statistics import differences_from_declaration  # noqa: PLC0415
    from qpv_geo.sources.probe import probe  # noqa: PLC0415

    def inspect(raw: RawFile, settings: Settings) -> list[str]:
        return differences_from_declaration(raw, registry, settings)

    about, settings, policy = load_territory(territory), settings_of(data), Policy()
    catalogue, registry = declarations(settings, about)
    table = Table(title="Live addresses")
    for column in ("id", "reachable", "last modified", "address", "what differs"):
        table.add_column(column, overflow="fold")
    failed = False
    # The territory's own files have no address, and that of some others is not known.
    for source in (source for source in catalogue.sources if source.hosts):
        result = probe(source, about, settings, policy, inspect)
        failed |= source.required and not (result.reachable and not result.differences)
        modified = result.last_modified.date().isoformat() if result.last_modified else ""
        differences = "\n".join(result.differences) or ("as declared" if result.reachable else "")
        table.add_row(source.id, _yes(result.reachable), modified, result.resolved_url or "", differences)
    console().print(table)
    if failed:
        raise typer.Exit(3)


def _yes(value: bool) -> str:  # noqa: FBT001 - a word for a truth value
    return "yes" if value else "no"
