"""Facilities of a QPV by type: how many in it, and within 500 m of it."""

from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pandas as pd

from qpv_geo.formats.frames import Frames
from qpv_geo.french import number
from qpv_geo.statuses import NOT_AVAILABLE, STATUSES

LAYER = "equipements"
_INSIDE, _AROUND = "qpv", "500m"


@dataclass(frozen=True)
class FacilityType:
    """A type of facility: its name, and both counts in words."""

    label: str
    inside: str
    around: str


@dataclass(frozen=True)
class Facilities:
    """All types.

    Attributes
    ----------
    domains
        Name of each domain, and its types.
    unlocated
        Facilities of the communes around that have no coordinates.
    """

    domains: tuple[tuple[str, tuple[FacilityType, ...]], ...]
    vintage: str
    unlocated: int


def facilities_of(code: str, frames: Frames) -> Facilities | None:
    """Return the facilities of a QPV, None if the release has not counted any."""
    if LAYER not in frames:
        return None
    own = frames[LAYER][frames[LAYER]["code_qp"] == code]
    keys = ["domaine", "libelle", "type_equipement"]
    types: dict[tuple[str, ...], dict[str, str]] = {}
    for row in own.to_dict("records"):
        types.setdefault(tuple(row[key] or "" for key in keys), {})[row["perimetre"]] = _count(row)
    missing = STATUSES[NOT_AVAILABLE].words
    return Facilities(
        domains=tuple(
            (
                domain,
                tuple(
                    FacilityType(label, counts.get(_INSIDE, missing), counts.get(_AROUND, missing))
                    for (_, label, _), counts in members
                ),
            )
            for domain, members in groupby(sorted(types.items()), key=lambda item: item[0][0])
        ),
        vintage=", ".join(sorted(own["millesime"].dropna().unique())),
        unlocated=int(own.loc[own["perimetre"] == _AROUND, "non_localises"].fillna(0).sum()),
    )


def _count(row: dict[Any, Any]) -> str:
    return STATUSES[row["statut"]].words if pd.isna(row["nombre"]) else number(row["nombre"])
