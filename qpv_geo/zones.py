"""The parts of France: where each lies and in which projected CRS it is measured.

Areas and distances are never measured in degrees, and Lambert-93 only fits metropolitan France. Bounds are
generous rectangles in longitude and latitude, which reveal a wrong CRS or swapped axes.
CRS: decree 2019-165 of 5 March 2019 (metropolitan France and overseas), IGN for the Pacific.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from qpv_geo.toml_file import read_toml


@dataclass(frozen=True)
class FrenchZone:
    """A part of France, with its French name, its projected CRS in metres, and its bounds.

    `prefix` begins the INSEE department or commune codes; it is empty for metropolitan France. `bounds` are
    west, south, east, north in degrees (EPSG:4326, longitude first).
    """

    prefix: str
    name: str
    epsg: int
    bounds: tuple[float, float, float, float]


METROPOLE = FrenchZone("", "France métropolitaine", 2154, (-5.5, 41.2, 9.8, 51.3))

_OVERSEAS = {
    prefix: FrenchZone(prefix, name, epsg, tuple(bounds))
    for prefix, (name, epsg, bounds) in read_toml(Path(__file__).with_name("overseas.toml")).items()
}

MUNICIPAL_DISTRICTS = {"75056": r"751\d\d", "69123": r"6938\d", "13055": r"132\d\d"}
"""The codes of the *arrondissements* of three communes, which some producers give in their place."""

ZONES = (METROPOLE, *_OVERSEAS.values())


def zone_of(insee: str) -> FrenchZone:
    """Return the part of France of an INSEE department or commune code (``25``, ``2A``, ``97209``)."""
    return _OVERSEAS.get(insee[:3], METROPOLE)


def department_of_commune(insee_com: str) -> str:
    """Return the INSEE department of a commune: ``25056`` is in ``25``, ``97209`` in ``972``."""
    return insee_com[:3] if insee_com.startswith(("97", "98")) else insee_com[:2]


def place_of(departments: Collection[str]) -> FrenchZone:
    """Return a generous rectangle around departments, given by INSEE codes.

    The first one gives the CRS. If it is overseas or unknown, the result is its whole part of France.
    """
    first = next(iter(departments), "")
    zone = zone_of(first)
    boxes = _departments()
    known = [code for code in dict.fromkeys(departments) if code in boxes]
    if zone != METROPOLE or first not in boxes:
        return zone
    west, south, east, north = zip(*(boxes[code] for code in known), strict=True)
    name = f"département {', '.join(known)}, {zone.name}"
    return replace(zone, name=name, bounds=(min(west), min(south), max(east), max(north)))


@cache
def commune_of(code: str) -> str:
    """Return the commune of an *arrondissement municipal* of Paris, Lyon or Marseille; any other as it is."""
    matches = (commune for commune, districts in MUNICIPAL_DISTRICTS.items() if re.fullmatch(districts, code))
    return next(matches, code)


def departments_meeting(west: float, south: float, east: float, north: float) -> list[str]:
    """Return the departments of metropolitan France whose bounding box meets a rectangle in degrees."""
    return [
        code
        for code, (left, bottom, right, top) in _departments().items()
        if left <= east and west <= right and bottom <= north and south <= top
    ]


@cache
def region_of(department: str) -> str | None:
    """Return the INSEE region of a department; None overseas where there is no region."""
    regions = read_toml(Path(__file__).with_name("regions.toml"))
    return next((region for region, departments in regions.items() if department in departments), None)


@cache
def _departments() -> dict[str, tuple[float, float, float, float]]:
    return read_toml(Path(__file__).with_name("departments.toml"))


def department_of(code_qp: str) -> str:
    """Return the INSEE department of a ``code_qp``: ``QN02503M`` is in ``25``, ``QN02A01M`` in ``2A``.

    ``code_qp`` is ``QN``, the department on three characters, the order on two digits and one letter.
    """
    return code_qp[2:5].removeprefix("0")


def is_metropolitan(code_qp: str) -> bool:
    """Tell whether a QPV lies in metropolitan France."""
    return zone_of(department_of(code_qp)) is METROPOLE
