"""Published establishments against the lines of FINESS, read again."""

from collections.abc import Mapping

import pandas as pd
import shapely

from qpv_geo.audit.mismatches import Mismatch
from qpv_geo.audit.originals import Originals
from qpv_geo.audit.readers import WrittenLayer

_LAYER = "etablissements_finess"
# Where the cells stand in a line of each section.
_CELLS = {"nofinessej": 2, "rs": 3, "categetab": 18, "libcategetab": 19, "siret": 22, "datemaj": 30}
_X, _Y, _SOURCE = 2, 3, 4


def compare_finess(release: Mapping[str, WrittenLayer], originals: Originals) -> list[Mismatch]:
    """Compare each cell and position of the layer with the file; no establishment may lack."""
    if _LAYER not in release:
        return []
    written = release[_LAYER]
    table = written.attributes
    lines = originals.finess(originals.filling("finess"))
    rows = lines.of(set(table["insee_com"]))
    apart = sorted(rows.keys() ^ set(table["nofinesset"]))
    mismatches = [
        Mismatch(
            written.path.name, _LAYER, number, "number of rows", int(number not in rows), int(number in rows)
        )
        for number in apart
    ]
    columns = table[["nofinesset", "sourcecoordet", *_CELLS]].itertuples(index=False, name=None)
    shapes = [None] * len(table) if written.geometry is None else written.geometry
    for (number, source, *published), shape in zip(columns, shapes, strict=True):
        if number not in rows:
            continue
        position = lines.position(number)
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


def _text(value: object) -> str:
    if value is None or pd.isna(value):  # type: ignore[call-overload]
        return ""
    return value.date().isoformat() if isinstance(value, pd.Timestamp) else str(value)
