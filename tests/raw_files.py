"""Small real files of the official shapes, for the tests of the readers."""

import copy
import json
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import xlsxwriter

from qpv_geo.settings import project_root
from qpv_geo.sources.catalogue import Source, load_catalogue
from qpv_geo.sources.raw import Provenance, RawFile, digest

Json = dict[str, Any]


def raw_file(
    source: str | Source, path: Path, *, provenance: Provenance = "snapshot", **changes: object
) -> RawFile:
    """Describe a file as the bytes of a source, whose entry in the catalogue may be changed first."""
    entry = load_catalogue()[source] if isinstance(source, str) else source
    sha256, size = digest(path)
    entry = entry.model_copy(update=changes)
    return RawFile(entry, path, sha256, size, provenance, provenance)


def shipped(name: str) -> Path:
    """Return a file of the shipped snapshot."""
    root = project_root()
    assert root
    return root / "data" / "raw" / "snapshot" / name


def six_qpv() -> Json:
    """Return the shipped contours of Besançon as GeoJSON, free to be changed."""
    return copy.deepcopy(json.loads(shipped("anct/qpv-2024.geojson").read_text(encoding="utf-8")))


def some_communes(count: int = 3) -> Json:
    """Return the first shipped communes as GeoJSON, free to be changed."""
    path = shipped("geo-api/epcis/242500361/communes.geojson")
    collection = json.loads(path.read_text(encoding="utf-8"))
    return {**collection, "features": collection["features"][:count]}


def set_property(name: str, value: object, feature: int = 0) -> Callable[[Json], None]:
    """Return a change of one property of one feature."""

    def change(collection: Json) -> None:
        collection["features"][feature]["properties"][name] = value

    return change


def write_json(path: Path, content: object) -> Path:
    """Write JSON as the official sites do; NaN and Infinity are written as such."""
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return path


def write_csv(path: Path, rows: Sequence[Sequence[str]], encoding: str = "utf-8-sig") -> Path:
    """Write rows, the header first, as INSEE does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(";".join(row) + "\r\n" for row in rows), encoding=encoding, newline="")
    return path


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    """Write an archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def zip_shapefile(
    path: Path, frame: gpd.GeoDataFrame, name: str, *, encoding: str = "UTF-8", without: Sequence[str] = ()
) -> Path:
    """Write an archive that holds a Shapefile ``name.shp``, less the siblings of the given suffixes."""
    with tempfile.TemporaryDirectory() as folder:
        frame.to_file(Path(folder) / f"{name}.shp", encoding=encoding)
        siblings = sorted(Path(folder).iterdir())
        members = {file.name: file.read_bytes() for file in siblings if file.suffix not in without}
    return write_zip(path, members)


def write_workbook(path: Path, sheets: dict[str, Sequence[Sequence[str | float | None]]]) -> Path:
    """Write an XLSX workbook; None is a cell in error (``#N/A``)."""
    with xlsxwriter.Workbook(path) as book:
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for y, row in enumerate(rows):
                for x, cell in enumerate(row):
                    if cell is None:
                        sheet.write_formula(y, x, "=NA()", value="#N/A")
                    else:
                        sheet.write(y, x, cell)
    return path
