"""The raw files read once more, by other means than ingestion: json and sqlite3 for contours."""

import gc
import json
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import shapely
from pyproj import CRS, Transformer
from shapely.geometry.base import BaseGeometry

from qpv_geo.audit.apl_workbook import Sheets, read_workbook
from qpv_geo.audit.finess_lines import FinessLines, read_lines
from qpv_geo.audit.geopackage import read_geopackage
from qpv_geo.audit.original_cells import OriginalCells, RawTables, read_cells
from qpv_geo.audit.shapes import Geometries, parse_geojson, polygons_of
from qpv_geo.errors import PublicationError
from qpv_geo.ingest.cell_text import decode
from qpv_geo.ingest.vector import read_layer
from qpv_geo.settings import Settings
from qpv_geo.sources.archive import read_member
from qpv_geo.sources.catalogue import TableName
from qpv_geo.sources.content import as_shipped
from qpv_geo.sources.raw import RawFile, usable

_T = TypeVar("_T")

# How official files write that there is nothing.
_NOTHING = {"", "NA"}


@dataclass(frozen=True)
class Features:
    """The features of an official vector file by code: declared properties as text or None, and shapes.

    Shapes are as the file holds them, in two dimensions. A GeoJSON that declares no CRS is in WGS84.
    """

    raw: RawFile
    rows: dict[str, dict[str, str | None]]
    shapes: dict[str, BaseGeometry]
    crs: CRS
    _codes_by: dict[str, dict[str | None, set[str]]] = field(default_factory=dict, repr=False, compare=False)

    def codes_by(self, column: str) -> dict[str | None, set[str]]:
        """Return the codes of the features that have each value in a column."""
        if column not in self._codes_by:
            codes = self._codes_by[column] = {}
            for code, row in self.rows.items():
                codes.setdefault(row[column], set()).add(code)
        return self._codes_by[column]

    @cached_property
    def _epsg(self) -> int | None:
        return self.crs.to_epsg()

    def geometries(self, codes: Sequence[str], epsgs: Sequence[int]) -> Geometries:
        """Return the official geometries of features, each in a CRS of its own; None for an unknown code."""
        shapes = np.array([self.shapes.get(code) for code in codes], dtype=object)
        targets = np.array(epsgs)
        for epsg in set(epsgs) - {self._epsg}:
            rows = targets == epsg
            shapes[rows] = shapely.transform(shapes[rows], projector(self.crs.to_wkt(), epsg))
        return shapes


@cache
def projector(crs: str | int, epsg: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return what reprojects an array of points (n, 2), x first."""
    project = Transformer.from_crs(crs, epsg, always_xy=True).transform
    return lambda points: np.column_stack(project(points[:, 0], points[:, 1]))


class _Kept:
    """What was read again of raw files, by source, for the releases that are compared with them next."""

    def __init__(self) -> None:
        self.wanted = False
        self._by_source: dict[tuple[str, object], tuple[tuple[str, Path], Any]] = {}

    def of(self, raw: RawFile, settings: Settings, read: Callable[[RawFile, Settings], _T]) -> _T:
        """Return what `read` makes of a raw file, which is not read twice if that is wanted."""
        key, file = (raw.source.id, read), (raw.sha256, raw.path)
        kept_file, kept = self._by_source.get(key, (None, None))
        if kept_file == file:
            return cast("_T", kept)
        contents = read(raw, settings)
        if self.wanted:
            self._by_source[key] = file, contents
            gc.freeze()
        return contents


_KEPT = _Kept()


def keep_originals() -> None:
    """Keep what is read again: this process compares many releases with the same files."""
    _KEPT.wanted = True


def read_features(raw: RawFile, settings: Settings) -> Features:
    """Read a vector file again: GeoJSON with json, a GeoPackage with sqlite3.

    A Shapefile is read with GDAL, as ingestion does, for want of another reader: the comparison then proves
    what was done after reading. Raises `PublicationError` if the file cannot be read any more, or a declared
    column is not there.
    """
    return _KEPT.of(raw, settings, _read_features)


def _read_features(raw: RawFile, settings: Settings) -> Features:
    raw = as_shipped(raw, settings)
    read = {"geojson": _read_geojson, "gpkg": _read_geopackage, "shp": _read_shapefile}.get(raw.source.format)
    if read is None:
        raise PublicationError(f"{raw.label}: format {raw.source.format!r} holds no contours")
    try:
        properties, shapes, crs = read(raw, settings)
        names = _declared_names(raw, list(properties[0]))
        rows = [{name: _as_text(row[column]) for name, column in names.items()} for row in properties]
        codes = [row[raw.source.key[0]] for row in rows]
    except (OSError, ValueError, LookupError, TypeError, PublicationError) as error:
        raise PublicationError(
            f"{raw.label}: cannot be read again to compare ({type(error).__name__}: {error})"
        ) from error
    return Features(
        raw,
        {code: row for code, row in zip(codes, rows, strict=True) if code},
        {code: shape for code, shape in zip(codes, shapely.force_2d(shapes), strict=True) if code},
        crs,
    )


_Contents = tuple[list[dict[str, Any]], Geometries, CRS]


def _read_geojson(raw: RawFile, settings: Settings) -> _Contents:
    member = read_member(raw, raw.source.member, settings)
    try:
        document = parse_geojson(member.data)
    except ValueError:  # with a byte order mark, not in UTF-8, or with text that orjson refuses in a column
        document = json.loads(decode(member.data, raw.label)[0], strict=False)
    name = ((document.get("crs") or {}).get("properties") or {}).get("name", "EPSG:4326")
    features = document["features"]
    shapes = polygons_of([feature["geometry"] for feature in features])
    return [feature["properties"] for feature in features], shapes, CRS.from_user_input(name)


def _read_geopackage(raw: RawFile, settings: Settings) -> _Contents:
    member = read_member(raw, raw.source.member, settings)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "original.gpkg"
        path.write_bytes(member.data)
        (table,) = (table for table in read_geopackage(path).values() if table.epsg)
    cells = table.rows[table.fields].itertuples(index=False, name=None)
    rows = [dict(zip(table.fields, row, strict=True)) for row in cells]
    return rows, table.shapes.to_numpy(), table.shapes.crs


def _read_shapefile(raw: RawFile, settings: Settings) -> _Contents:
    frame = read_layer(raw, settings).frame
    records = frame.drop(columns=frame.geometry.name).to_dict("records")
    return records, frame.geometry.to_numpy(), frame.crs


def _declared_names(raw: RawFile, columns: list[str]) -> dict[str, str]:
    """Return the file's spelling of each declared column."""
    there = {column.strip(): column for column in columns}
    folded = {spelling.casefold(): column for spelling, column in there.items()}
    names = {}
    for name, spellings in raw.source.columns.items():
        known = [there[spelling] for spelling in spellings if spelling in there]
        known += [folded[spelling.casefold()] for spelling in spellings if spelling.casefold() in folded]
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


class Originals:
    """The raw files of a release, each read again once, when it is first asked for.

    `codes` are the zones whose statistics are looked up.
    """

    def __init__(
        self, raws: Mapping[str, RawFile | None], codes: Collection[str], settings: Settings
    ) -> None:
        self._raws = raws
        self._codes = codes
        self._settings = settings
        self._features: dict[str, Features] = {}
        self._tables: dict[str, RawTables] = {}
        self._cells: dict[tuple[str, str], OriginalCells] = {}
        self._apl: dict[str, Sheets] = {}

    def features(self, source_id: str) -> Features:
        """Return the features of a vector file; see `read_features`."""
        if source_id not in self._features:
            self._features[source_id] = read_features(self.raw(source_id), self._settings)
        return self._features[source_id]

    def cells(self, source_id: str, member: str) -> OriginalCells:
        """Return the cells of a table; see `original_cells.read_cells`."""
        if (source_id, member) not in self._cells:
            raw = self.raw(source_id)
            if source_id not in self._tables:
                self._tables[source_id] = _KEPT.of(raw, self._settings, RawTables)
            self._cells[source_id, member] = read_cells(self._tables[source_id], member, self._codes)
        return self._cells[source_id, member]

    def rows(self, source_id: str) -> list[dict[str, str]]:
        """Return the rows of a source that is one small table, by its own column names."""
        return RawTables(self.raw(source_id), self._settings).only_table()

    def apl(self, source_id: str) -> Sheets:
        """Return the APL of the communes whose statistics are looked up; see `apl_workbook.read_workbook`."""
        if source_id not in self._apl:
            raw = self.raw(source_id)
            self._apl[source_id] = (
                _KEPT.of(raw, self._settings, read_workbook)
                if _KEPT.wanted
                else read_workbook(raw, self._settings, self._codes)
            )
        return self._apl[source_id]

    def finess(self, source_id: str) -> FinessLines:
        """Return the lines of FINESS; see `finess_lines.read_lines`."""
        return _KEPT.of(self.raw(source_id), self._settings, read_lines)

    def filling(self, table: TableName) -> str:
        """Return the source that was read into a table."""
        sources = (raw.source for raw in self._raws.values() if raw and usable(raw))
        source = next((source for source in sources if table in source.fills), None)
        if source is None:
            raise PublicationError(f"a layer holds values of a source of {table}, and none was read")
        return source.id

    def raw(self, source_id: str) -> RawFile:
        """Return a raw file; a `PublicationError` if it was not read."""
        raw = self._raws.get(source_id)
        if raw is None:
            raise PublicationError(f"a layer holds values of source {source_id!r}, which was not read")
        return raw
