"""Facilities of a QPV by type: how many in it, and within 500 m of it."""

from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pandas as pd

from qpv_geo.formats.frames import Frames
from qpv_geo.french import number
from qpv_geo.statuses import STATUSES

LAYER = "equipements"
_INSIDE, _AROUND = "qpv", "500m"


@dataclass(frozen=True)
class Facility:
    """A type of facility: its name, and both counts in words."""

    label: str
    inside: str
    around: str


@dataclass(frozen=True)
class Facilities:
    """All types, by domain.

    Attributes
    ----------
    domains
        Name of each domain and its types.
    vintage
        ``millesime``.
    unlocated
        Facilities without coordinates in the communes around, of which nobody knows on which side they are.
    """

    domains: tuple[tuple[str, tuple[Facility, ...]], ...]
    vintage: str
    unlocated: int


def tell_facilities(code: str, frames: Frames) -> Facilities | None:
    """Return the facilities of a QPV, None if the release has not counted any.

    Parameters
    ----------
    code
        ``code_qp``.
    frames
        Conformed layers; ``equipements`` may be missing.
    """
    if LAYER not in frames:
        return None
    own = frames[LAYER][frames[LAYER]["code_qp"] == code]
    keys = ["domaine", "libelle", "type_equipement"]
    cells: dict[tuple[str, ...], dict[str, str]] = {}
    for row in own.to_dict("records"):
        cells.setdefault(tuple(row[key] or "" for key in keys), {})[row["perimetre"]] = _said(row)
    missing = STATUSES["non_disponible"].words
    domains = tuple(
        (
            domain,
            tuple(
                Facility(label, counts.get(_INSIDE, missing), counts.get(_AROUND, missing))
                for (_, label, _), counts in types
            ),
        )
        for domain, types in groupby(sorted(cells.items()), key=lambda item: item[0][0])
    )
    around = own[own["perimetre"] == _AROUND]
    return Facilities(
        domains,
        ", ".join(sorted(own["millesime"].dropna().unique())),
        int(around["non_localises"].fillna(0).sum()),
    )


def _said(row: dict[Any, Any]) -> str:
    return STATUSES[row["statut"]].words if pd.isna(row["nombre"]) else number(row["nombre"])
