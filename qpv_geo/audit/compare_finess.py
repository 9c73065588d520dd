"""Published establishments against the lines of FINESS, read again by csv."""

import csv
from collections.abc import Collection, Iterable, Mapping

import pandas as pd
import shapely

from qpv_geo.audit.mismatches import Mismatch
from qpv_geo.audit.originals import Originals
from qpv_geo.audit.readers import WrittenLayer

_LAYER = "etablissements_finess"
# Where the cells stand in a line of each section.
_CELLS = {"nofinessej": 2, "rs": 3, "categetab": 18, "libcategetab": 19, "siret": 22, "datemaj": 30}
_COMMUNE, _DEPARTMENT = 12, 13
_X, _Y, _SOURCE = 2, 3, 4

_Rows = dict[str, list[str]]


def compare_finess(release: Mapping[str, WrittenLayer], originals: Originals) -> list[Mismatch]:
    """Compare each cell and position of the layer with the file; no establishment may lack."""
    if _LAYER not in release:
        return []
    written = release[_LAYER]
    table = written.attributes
    places = {f"{code[2:]};{code[:2]}" for code in table["insee_com"]}
    lines = originals.lines(originals.filling("finess"))
    rows, positions = _rows(lines, places, set(table["nofinesset"]))
    lacking = {
        number for number, row in rows.items() if f"{row[_COMMUNE]};{row[_DEPARTMENT]}" in places
    } - set(table["nofinesset"])
    mismatches = [
        Mismatch(written.path.name, _LAYER, number, "nofinesset", None, number) for number in sorted(lacking)
    ]
    columns = table[["nofinesset", "sourcecoordet", *_CELLS]].itertuples(index=False, name=None)
    shapes = [None] * len(table) if written.geometry is None else written.geometry
    for (number, source, *published), shape in zip(columns, shapes, strict=True):
        position = positions.get(number, [""] * 5)
        expected = dict(zip(("sourcecoordet", *_CELLS), (source, *published), strict=True))
        meant = {name: rows[number][place] for name, place in _CELLS.items()}
        meant["sourcecoordet"] = position[_SOURCE]
        mismatches += [
            Mismatch(written.path.name, _LAYER, number, name, value, meant[name])
            for name, value in expected.items()
            if _text(value) != meant[name]
        ]
        at = "" if shape is None else f"{shapely.get_x(shape)} {shapely.get_y(shape)}"
        official = " ".join(str(float(cell.replace(",", "."))) for cell in position[_X : _Y + 1] if cell)
        if at and at != official:
            mismatches.append(Mismatch(written.path.name, _LAYER, number, "geometry", at, official))
    return mismatches


def _rows(lines: Iterable[str], places: Collection[str], numbers: Collection[str]) -> tuple[_Rows, _Rows]:
    """Return the rows of both sections by number: those of some places, or of some numbers."""
    sections: dict[str, _Rows] = {"structureet": {}, "geolocalisation": {}}
    for line in lines:
        section, number, *cells = line.split(";", _DEPARTMENT + 1)
        # The cells of a quoted line are known once it is parsed.
        here = number in numbers or '"' in line or ";".join(cells[_COMMUNE - 2 : _DEPARTMENT - 1]) in places
        if section in sections and here:
            sections[section][number] = [cell.strip() for cell in next(csv.reader([line], delimiter=";"))]
    return sections["structureet"], sections["geolocalisation"]


def _text(value: object) -> str:
    if value is None or pd.isna(value):  # type: ignore[call-overload]
        return ""
    return value.date().isoformat() if isinstance(value, pd.Timestamp) else str(value)
