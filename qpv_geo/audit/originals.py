"""The raw files read once more, by other means than ingestion: json and sqlite3 for contours."""

import csv
import gc
import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj import CRS, Transformer

from qpv_geo.audit.apl_workbook import Sheets, read_workbook
from qpv_geo.audit.geopackage import read_geopackage
from qpv_geo.audit.original_cells import OriginalCells, RawTables, read_cells, rereading
from qpv_geo.audit.shapes import Geometries, parse_geojson, shapes_of
from qpv_geo.errors import PublicationError
from qpv_geo.ingest.cell_text import decode
from qpv_geo.ingest.vector import read_layer
from qpv_geo.settings import Settings
from qpv_geo.sources.archive import read_member
from qpv_geo.sources.catalogue import TableName
from qpv_geo.sources.content import as_shipped
from qpv_geo.sources.raw import RawFile, usable
from qpv_geo.zones import commune_of

_T = TypeVar("_T")

# How official files write that there is nothing.
_NOTHING = {"", "NA"}
# Where the codes of commune and department stand in a line of FINESS.
_COMMUNE, _DEPARTMENT = 12, 13


@dataclass(frozen=True)
class Features:
    """The features of an official vector file by code: declared properties as text or None, and geometries.

    Geometries are as the file holds them, in two dimensions. A GeoJSON that declares no CRS is in WGS84.
    """

    raw: RawFile
    table: gpd.GeoDataFrame

    def geometries(self, codes: Sequence[str], epsgs: Sequence[int]) -> Geometries:
        """Return the official geometries of features, each in a CRS of its own; None for an unknown code."""
        shapes: Geometries = self.table.geometry.reindex(codes).to_numpy().copy()
        targets = np.array(epsgs)
        for epsg in set(epsgs) - {self._epsg}:
            rows = targets == epsg
            shapes[rows] = shapely.transform(shapes[rows], projector(self.table.crs.to_wkt(), epsg))
        return shapes

    @cached_property
    def _epsg(self) -> int | None:
        # PROJ searches its database for it: too long for each release.
        code: int | None = self.table.crs.to_epsg()
        return code


@cache
def projector(crs: str | int, epsg: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return what reprojects an array of points (n, 2), x first, without geopandas, which ingestion uses."""
    project = Transformer.from_crs(crs, epsg, always_xy=True).transform
    return lambda points: np.column_stack(project(points[:, 0], points[:, 1]))


def read_features(raw: RawFile, settings: Settings) -> Features:
    """Read a vector file again: GeoJSON with json, a GeoPackage with sqlite3.

    A Shapefile is read with GDAL, as ingestion does, for want of another reader: the comparison then proves
    what was done after reading. Raises `PublicationError` if the file cannot be read any more, or a declared
    column is not there.
    """
    raw = as_shipped(raw, settings)
    read = {"geojson": _read_geojson, "gpkg": _read_geopackage, "shp": _read_shapefile}.get(raw.source.format)
    if read is None:
        raise PublicationError(f"{raw.label}: format {raw.source.format!r} holds no contours")
    with rereading(raw):
        properties, shapes, crs = read(raw, settings)
        names = _declared_names(raw, list(map(str, properties[0])))
        columns = {name: [_as_text(row[column]) for row in properties] for name, column in names.items()}
        cells = pd.DataFrame(columns, dtype=object).set_index(raw.source.key[0], drop=False)
        table = gpd.GeoDataFrame(cells, geometry=shapely.force_2d(shapes), crs=crs)
        return Features(raw, table[table.index.notna() & ~table.index.duplicated("last")])


_Contents = tuple[list[dict[Hashable, Any]], Geometries, CRS]


def _read_geojson(raw: RawFile, settings: Settings) -> _Contents:
    member = read_member(raw, raw.source.member, settings)
    try:
        document = parse_geojson(member.data)
    except ValueError:  # with a byte order mark, not in UTF-8, or with text that orjson refuses in a column
        document = json.loads(decode(member.data, raw.label)[0], strict=False)
    name = ((document.get("crs") or {}).get("properties") or {}).get("name", "EPSG:4326")
    features = document["features"]
    shapes = shapes_of([feature["geometry"] for feature in features])
    return [feature["properties"] for feature in features], shapes, CRS.from_user_input(name)


def _read_geopackage(raw: RawFile, settings: Settings) -> _Contents:
    member = read_member(raw, raw.source.member, settings)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "original.gpkg"
        path.write_bytes(member.data)
        (table,) = (table for table in read_geopackage(path).values() if table.epsg)
    records = table.rows[table.fields].to_dict("records")
    return records, table.shapes.to_numpy(), table.shapes.crs


def _read_shapefile(raw: RawFile, settings: Settings) -> _Contents:
    frame = read_layer(raw, settings).frame
    records = frame.drop(columns=frame.geometry.name).to_dict("records")
    return records, frame.geometry.to_numpy(), frame.crs


def _declared_names(raw: RawFile, columns: list[str]) -> dict[str, str]:
    """Return the file's spelling of each declared column."""
    there = {column.strip().casefold(): column for column in columns}
    there |= {column.strip(): column for column in columns}
    names = {}
    for name, spellings in raw.source.columns.items():
        known = [there[each] for each in (*spellings, *map(str.casefold, spellings)) if each in there]
        if not known:
            raise KeyError(f"no column {' or '.join(spellings)} in {', '.join(columns)}")
        names[name] = known[0]
    return names


def _as_text(value: object) -> str | None:
    """Return a property as text, None where there is nothing; a whole float is a code that lost its type."""
    if value is None or value != value:  # noqa: PLR0124 - NaN alone differs from itself
        return None
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    return None if text in _NOTHING else text


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


def read_finess(raw: RawFile, settings: Settings) -> FinessLines:
    """Find the lines of FINESS again by commune; csv parses them when they are asked for."""
    with rereading(raw):
        text, _ = decode(read_member(raw, raw.source.member, settings).data, raw.label)
    establishments: defaultdict[str, list[str]] = defaultdict(list)
    positions = {}
    for line in text.splitlines():
        section, _, rest = line.partition(";")
        if section == "structureet":
            cells = _cells(line) if '"' in line else line.split(";", _DEPARTMENT + 1)
            if len(cells) > _DEPARTMENT:
                department = cells[_DEPARTMENT].strip()
                if department[:1] == "9" and department[-1:].isalpha():
                    department = "97"
                establishments[commune_of(f"{department}{cells[_COMMUNE].strip()}")].append(line)
        elif section == "geolocalisation":
            positions[rest.partition(";")[0]] = line
    return FinessLines(dict(establishments), positions)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line], delimiter=";"))]


class Originals:
    """The raw files of a release, each read again once, when it is first asked for.

    `codes` are the zones whose statistics are looked up.
    """

    shared: ClassVar[dict[object, tuple[object, Any]] | None] = None
    """What was read again, if it is kept for the releases that are compared next (`keep_originals`)."""

    def __init__(
        self, raws: Mapping[str, RawFile | None], codes: Collection[str], settings: Settings
    ) -> None:
        self._raws = raws
        self._codes = codes
        self._settings = settings
        self._read = {} if self.shared is None else self.shared
        self._cells: dict[tuple[str, str], OriginalCells] = {}

    def read(self, raw: RawFile, reader: Callable[..., _T], *arguments: object) -> _T:
        """Return what `reader` makes of a raw file, which is not read twice."""
        key, file = (raw.source.id, reader), (raw.sha256, raw.path)
        known, contents = self._read.get(key, (None, None))
        if known != file:
            contents = reader(raw, self._settings, *arguments)
            self._read[key] = file, contents
            if self.shared is not None:
                gc.freeze()
        return cast("_T", contents)

    def cells(self, source_id: str, member: str) -> OriginalCells:
        """Return the cells of a table; see `original_cells.read_cells`."""
        if (source_id, member) not in self._cells:
            tables = self.read(self.raw(source_id), RawTables)
            self._cells[source_id, member] = read_cells(tables, member, self._codes)
        return self._cells[source_id, member]

    def apl(self, source_id: str) -> Sheets:
        """Return the APL of the communes whose statistics are looked up, or of all if it is shared."""
        codes = self._codes if self.shared is None else None
        return self.read(self.raw(source_id), read_workbook, codes)

    def filling(self, table: TableName) -> RawFile:
        """Return the raw file that was read into a table."""
        for raw in self._raws.values():
            if raw and usable(raw) and table in raw.source.fills:
                return raw
        raise PublicationError(f"a layer holds values of a source of {table}, and none was read")

    def raw(self, source_id: str) -> RawFile:
        """Return a raw file; a `PublicationError` if it was not read."""
        raw = self._raws.get(source_id)
        if raw is None:
            raise PublicationError(f"a layer holds values of source {source_id!r}, which was not read")
        return raw


def keep_originals() -> None:
    """Keep what is read again: this process compares many releases with the same files."""
    Originals.shared = {}
