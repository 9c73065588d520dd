"""The lines of FINESS, found again by commune, and parsed by csv when they are asked for."""

import csv
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

from qpv_geo.ingest.cell_text import decode
from qpv_geo.settings import Settings
from qpv_geo.sources.archive import read_member
from qpv_geo.sources.raw import RawFile
from qpv_geo.zones import commune_of

_COMMUNE, _DEPARTMENT = 12, 13


@dataclass(frozen=True)
class FinessLines:
    """Lines of establishments by INSEE code of the commune, and of positions by number."""

    establishments: dict[str, list[str]]
    positions: dict[str, str]

    def of(self, communes: Collection[str]) -> dict[str, list[str]]:
        """Return the cells of the establishments of some communes, by number."""
        rows = [_cells(line) for code in communes for line in self.establishments.get(code, ())]
        return {row[1]: row for row in rows}

    def position(self, number: str) -> list[str]:
        """Return the cells of a position, empty ones if there is none."""
        return _cells(self.positions.get(number, ";;;;;"))


def read_lines(raw: RawFile, settings: Settings) -> FinessLines:
    """Read the file again."""
    text, _ = decode(read_member(raw, raw.source.member, settings).data, raw.label)
    establishments: defaultdict[str, list[str]] = defaultdict(list)
    positions = {}
    for line in text.splitlines():
        section, _, rest = line.partition(";")
        if section == "structureet":
            cells = _cells(line) if '"' in line else line.split(";", _DEPARTMENT + 1)
            if len(cells) > _DEPARTMENT:
                department = (
                    "97" if cells[_DEPARTMENT][-1:].isalpha() and cells[_DEPARTMENT][0] == "9" else ""
                )
                code = f"{department or cells[_DEPARTMENT].strip()}{cells[_COMMUNE].strip()}"
                establishments[commune_of(code)].append(line)
        elif section == "geolocalisation":
            positions[rest.partition(";")[0]] = line
    return FinessLines(dict(establishments), positions)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line], delimiter=";"))]
