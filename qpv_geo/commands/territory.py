"""``qpv-geo territory list``: the territories that there are."""

from rich.table import Table

from qpv_geo.commands.options import console
from qpv_geo.territory import load_territory, territory_names


def list_territories() -> None:
    """List the shipped territories."""
    table = Table(title="Territories")
    for column in ("name", "title", "kind", "code", "QPV", "communes"):
        table.add_column(column, overflow="fold")
    for name in territory_names():
        about = load_territory(name)
        communes = about.expected.communes
        table.add_row(
            name, about.nom, about.genre, about.code, str(about.expected.qpv), str(communes or "unknown")
        )
    console().print(table)
