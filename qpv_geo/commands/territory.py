"""``qpv-geo territory list``: the territories that there are."""

from qpv_geo.commands.output import Json, print_rows
from qpv_geo.territory import load_territory, territory_names


def list_territories(*, as_json: Json = False) -> None:
    """List the shipped territories."""
    rows = [
        {
            "name": name,
            "title": about.nom,
            "kind": about.genre,
            "code": about.code,
            "QPV": about.expected.qpv,
            "communes": about.expected.communes,
        }
        for name in territory_names()
        for about in [load_territory(name)]
    ]
    print_rows("Territories", rows, as_json=as_json)
