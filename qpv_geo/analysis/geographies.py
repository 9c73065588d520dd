"""Table ``geographies``: which QPV were in force when, in each part of France."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pandas as pd

from qpv_geo.frozen import Frozen
from qpv_geo.territory import Territory
from qpv_geo.toml_file import read_declarations
from qpv_geo.typography import FrenchText
from qpv_geo.zones import ZONES, department_of, zone_of


class Geography(Frozen):
    """QPV in force during a time, both days included."""

    parts: tuple[FrenchText, ...]
    """Parts of France, by the names of `ZONES`."""
    name: str
    layer: str | None = None
    """Layer of a release that has the contours; None if no file has them."""
    start: date
    end: date | None = None
    reference: FrenchText
    verified: bool
    """Whether two independent sources give the reference."""
    remark: FrenchText = ""


def geographies_table(layers: Mapping[str, pd.DataFrame], territory: Territory) -> pd.DataFrame:
    """Return a row for each geography of each part of France; `layers` are those of the release.

    A release has the QPV of its own parts of France and, of other parts, those that its layers have. One of
    France has all QPV of 2024.
    """
    home = (
        {zone_of(code) for code in layers["communes"]["insee_com"]} if territory.genre != "france" else set()
    )
    held = {
        name: home | {zone_of(department_of(code)) for code in layers[name]["code_qp"]}
        for name in ("qpv", "qpv_2015")
        if name in layers
    }
    if territory.genre == "france":
        held["qpv"] = set(ZONES)
    with read_declarations(Path(__file__).with_name("geographies.toml"), "not valid") as entries:
        declared = [Geography(**entry) for entry in entries["geographies"]]
    rows = [
        {
            "partie": zone.name,
            "geographie": each.name,
            "debut": each.start,
            "fin": each.end,
            "couche": each.layer if each.layer and zone in held.get(each.layer, ()) else None,
            "reference": each.reference,
            "verifie": each.verified,
            "remarque": each.remark,
        }
        for zone in ZONES
        for each in declared
        if zone.name in each.parts
    ]
    return pd.DataFrame(rows).sort_values(["partie", "debut"], ignore_index=True)
