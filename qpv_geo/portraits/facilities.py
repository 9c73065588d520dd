"""Facilities of a QPV by type: how many in it, and within 500 m of it."""

from dataclasses import dataclass
from itertools import groupby

import pandas as pd

from qpv_geo.formats.frames import Frames
from qpv_geo.french import number
from qpv_geo.statuses import NOT_AVAILABLE, STATUSES

LAYER = "equipements"
_INSIDE, _AROUND = "qpv", "500m"
_ZERO = number(0)


@dataclass(frozen=True)
class FacilityType:
    """A type of facility: its name, and both counts in words."""

    label: str
    inside: str
    around: str


@dataclass(frozen=True)
class FacilityDomain:
    """Types of one domain: those with a facility or an unknown count, and the names of those without any."""

    name: str
    types: tuple[FacilityType, ...]
    none_near: tuple[str, ...]


@dataclass(frozen=True)
class Facilities:
    """All domains; `unlocated` facilities of the communes around have no coordinates."""

    domains: tuple[FacilityDomain, ...]
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
        count = STATUSES[row["statut"]].words if pd.isna(row["nombre"]) else number(row["nombre"])
        types.setdefault(tuple(row[key] or "" for key in keys), {})[row["perimetre"]] = count
    missing = STATUSES[NOT_AVAILABLE].words
    return Facilities(
        domains=tuple(
            _domain(
                domain,
                [
                    FacilityType(label, counts.get(_INSIDE, missing), counts.get(_AROUND, missing))
                    for (_, label, _), counts in members
                ],
            )
            for domain, members in groupby(sorted(types.items()), key=lambda item: item[0][0])
        ),
        vintage=", ".join(sorted(own["millesime"].dropna().unique())),
        unlocated=int(own.loc[own["perimetre"] == _AROUND, "non_localises"].fillna(0).sum()),
    )


def _domain(name: str, types: list[FacilityType]) -> FacilityDomain:
    """Set apart the types of which there is none, neither in the QPV nor around it."""
    none_near = tuple(one.label for one in types if one.inside == one.around == _ZERO)
    return FacilityDomain(name, tuple(one for one in types if one.label not in none_near), none_near)
