"""Vector files as publishers ship them, GeoJSON, GeoPackage or Shapefile, read into one frame.

Text that GDAL hides or changes is read from the file itself. In GeoJSON, GDAL keeps one of two equal keys,
cuts a text at a NUL, replaces half a surrogate pair, and makes text of a number that stands among texts. In a
GeoPackage it cuts a text at a NUL. It believes what the ``.cpg`` of a Shapefile says of the encoding, and
takes text without one for Latin-1.
"""

import json
import re
import sqlite3
import tempfile
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj import CRS
from pyproj.exceptions import CRSError

from qpv_geo.characters import printable
from qpv_geo.errors import SourceContentError
from qpv_geo.ingest.cell_text import check_characters, check_labels, clean_text, decode, refuse_page
from qpv_geo.ingest.contracts import Names, Problems, find_columns
from qpv_geo.settings import Settings
from qpv_geo.sources.archive import Member, read_member, read_members
from qpv_geo.sources.content import as_shipped
from qpv_geo.sources.raw import RawFile, catalogue_entry, remedy, unreadable

_SIBLINGS = ("shp", "shx", "dbf", "prj", "cpg")
_UTF_8 = {"UTF8", "65001"}
_PROPERTIES = re.compile(r'"properties"\s*:\s*')
_DECLARED_CRS = re.compile(r'"crs"\s*:\s*\{[^{}]*\{[^{}]*"name"\s*:\s*"([^"]+)"')


@dataclass(frozen=True)
class VectorLayer:
    """A vector file as it was read."""

    frame: gpd.GeoDataFrame
    """Every feature, in the file's order, indexed from 0, heights dropped. ``crs`` is None when the file
    declares none; a geometry that cannot be built (a ring that is not closed) is None."""
    label: str
    remarks: tuple[str, ...]
    """In French: what was unusual, and what GDAL warned about."""
    assumed_crs: bool = False
    """Whether the file declares no CRS: such GeoJSON is in WGS84 (RFC 7946)."""
    as_written: Mapping[str, Sequence[object]] = field(default_factory=dict)
    """Cells, as the file has them, of the columns that GDAL may have changed."""

    def names(self, codes: pd.Series) -> Names:
        """Name each feature as a user finds it: its number in the file, from 1, and its code."""
        names = [f"feature {n} ({printable(str(code))})" for n, code in enumerate(codes, start=1)]
        return np.array(names, dtype=object)

    def written(self, column: str) -> Sequence[object] | pd.Series:
        """Return the cells of a column as the file has them."""
        if column in self.as_written:
            return self.as_written[column]
        cells: pd.Series = self.frame[column]
        return cells

    def official_columns(
        self, problems: Problems, labels: Collection[str] = ()
    ) -> tuple[pd.DataFrame, Names]:
        """Return the columns that the catalogue declares, as clean text and under their declared names.

        The first of them names the features: their names are returned as well. `labels` are those that hold
        nothing but text; codes may be stored as numbers. An empty layer or a missing column is raised with
        what was collected before.
        """
        if self.frame.empty:
            problems.add("at least one feature", "an empty layer")
        else:
            available = [str(column) for column in self.frame.columns]
            columns = find_columns(available, problems.source.columns, problems)
        problems.raise_if_any()
        table = pd.DataFrame({name: clean_text(self.frame[column]) for name, column in columns.items()})
        where = self.names(table.iloc[:, 0])
        for name, column in columns.items():
            check_characters(self.written(column), where, problems, name)
            if name in labels:
                check_labels(self.written(column), where, problems, name)
        return table, where


def read_layer(raw: RawFile, settings: Settings, layer: str | None = None) -> VectorLayer:
    """Read the vector file of a source, bare or in its archive, in any format in which it is published.

    `layer` names one of a GeoPackage that holds several. Raises `SourceContentError` if the file is a web
    page, empty, truncated, or not of its format, and `ContractError` if it has several layers or not the one
    that is asked for, a column twice, or an unknown CRS.
    """
    raw = as_shipped(raw, settings)
    if raw.source.format == "geojson":
        return _read_geojson(raw, read_member(raw, raw.source.member, settings))
    if raw.source.format == "gpkg":
        return _read_geopackage(raw, read_member(raw, raw.source.member, settings), layer)
    return _read_shapefile(raw, settings)


def _read_geojson(raw: RawFile, member: Member) -> VectorLayer:
    label = raw.label_of(member.name)
    problems = Problems(label, raw.source)
    text, encoding = decode(member.data, label)
    remarks = []
    data = member.data
    if encoding != "UTF-8":
        remarks.append(f"texte en {encoding} et non en UTF-8 : converti")
        data = text.encode()
    if not text.lstrip().startswith("{"):
        raise SourceContentError(f"{label}: expected GeoJSON, found {text.lstrip()[:40]!r}…")
    declared = _DECLARED_CRS.search(text)
    if declared:
        try:
            CRS.from_user_input(declared[1])
        except CRSError:
            # GDAL silently takes its coordinates for WGS84.
            problems.add("a CRS that exists", repr(declared[1]), column="CRS")
    with _reraise_gdal_errors(raw, label, "GeoJSON", remarks):
        # GDAL takes a NUL for the end of the file.
        frame = _read(data.replace(b"\x00", b" "))
    properties = read_properties(text, len(frame), problems)
    problems.raise_if_any()
    written = {name: [one.get(name) for one in properties] for name in frame.columns}
    return replace(_layer(frame, problems, remarks), assumed_crs=declared is None, as_written=written)


def _read_geopackage(raw: RawFile, member: Member, wanted: str | None) -> VectorLayer:
    label = raw.label_of(member.name)
    refuse_page(member.data, label)
    remarks: list[str] = []
    with tempfile.TemporaryDirectory() as folder, _reraise_gdal_errors(raw, label, "GeoPackage", remarks):
        path = Path(folder) / "layer.gpkg"
        path.write_bytes(member.data)
        spatial = [name for name, kind in pyogrio.list_layers(path) if kind is not None]
        chosen = [name for name in spatial if wanted in {None, name}]
        if len(chosen) != 1:
            problems = Problems(label, raw.source)
            expected = "one spatial layer" if wanted is None else f"a spatial layer named {wanted!r}"
            problems.add(expected, f"{len(spatial)}: {', '.join(spatial) or 'only tables'}")
            if spatial and (key := raw.source.territory_key):
                problems.advise(f"name the one to read in '{key}.couche' of the territory file")
            problems.raise_if_any()
        frame = _read(path, layer=chosen[0])
        written = _cut_at_nul(path, chosen[0], list(frame.columns))
    return replace(_layer(frame, Problems(label, raw.source), remarks), as_written=written)


def _read_shapefile(raw: RawFile, settings: Settings) -> VectorLayer:
    pattern = (raw.source.member or r".*\.shp").removesuffix("shp") + f"(?:{'|'.join(_SIBLINGS)})"
    members = read_members(raw, pattern, settings)
    parts = {Path(member.name).suffix.lower().lstrip("."): member for member in members}
    if len(parts) != len(members) or not parts.keys() >= {"shp", "shx", "dbf"}:
        listed = ", ".join(member.name for member in members)
        advice = f"compare with {raw.source.page}, or change 'member' in {catalogue_entry(raw.source)}"
        raise SourceContentError(
            f"{raw.label}: expected one Shapefile with its .shx and .dbf, found {listed}. What to do: "
            f"{remedy(raw.source, advice)}"
        )
    label = raw.label_of(parts["shp"].name)
    refuse_page(parts["shp"].data, label)
    remarks: list[str] = []
    problems, dbf = Problems(label, raw.source), parts["dbf"].data
    # Without a .cpg nothing says how the .dbf is encoded, and GDAL takes it for Latin-1.
    encoding = None if "cpg" in parts else _encoding_of(dbf)
    if "cpg" in parts:
        _check_encoding(dbf, parts["cpg"].data, problems)
    problems.raise_if_any()
    with tempfile.TemporaryDirectory() as folder, _reraise_gdal_errors(raw, label, "Shapefile", remarks):
        for suffix, member in parts.items():
            (Path(folder) / f"layer.{suffix}").write_bytes(member.data)
        frame = _read(Path(folder) / "layer.shp", encoding=encoding)
    return _layer(frame, problems, remarks)


def _read(source: bytes | Path, **options: Any) -> pd.DataFrame:  # noqa: ANN401 - handed on to pyogrio
    frame: pd.DataFrame = pyogrio.read_dataframe(source, force_2d=True, on_invalid="ignore", **options)
    return frame


def _layer(frame: pd.DataFrame, problems: Problems, remarks: list[str]) -> VectorLayer:
    if not isinstance(frame, gpd.GeoDataFrame):
        problems.add("a layer with geometries", "a table without any")
        problems.raise_if_any()
    return VectorLayer(frame, problems.label, tuple(remarks))


@contextmanager
def _reraise_gdal_errors(raw: RawFile, label: str, kind: str, remarks: list[str]) -> Iterator[None]:
    """Turn what GDAL raises into an error that names the file, and what it warns about into remarks."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", category=RuntimeWarning)
        # Reported elsewhere: the geometry is missing, the text is not what its column should hold.
        warnings.filterwarnings("ignore", message="invalid value encountered in from_wkb")
        warnings.filterwarnings("ignore", message="Could not parse column", category=UserWarning)
        try:
            yield
        except (DataSourceError, DataLayerError, UnicodeDecodeError, sqlite3.Error) as error:
            raise unreadable(
                raw,
                f"{label}: expected a whole {kind} file, found one that is damaged, truncated or of another "
                f"format ({error})",
            ) from error
    remarks += dict.fromkeys(str(warning.message) for warning in caught)


class _Object(dict[str, Any]):
    """A JSON object that remembers which of its keys were written twice."""

    doubled: tuple[str, ...] = ()


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    found = _Object(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        found.doubled = tuple(dict.fromkeys(name for name in names if names.count(name) > 1))
    return found


_NOTHING = _Object()
# Control characters in a text are against the rules of JSON, and are to be found here.
_DECODER = json.JSONDecoder(object_pairs_hook=_object, strict=False)


def read_properties(text: str, count: int, problems: Problems) -> Sequence[dict[str, Any]]:
    """Return the properties of each feature as they are written; keys that are there twice are problems.

    Raises `SourceContentError` for what is not JSON, or does not hold the `count` features that GDAL found.
    """
    try:
        properties = _scan(text, count, problems)
    except (ValueError, RecursionError) as error:
        raise SourceContentError(
            f"{problems.label}: expected GeoJSON, found text that is not ({error})"
        ) from error
    if len(properties) != count:
        raise SourceContentError(
            f"{problems.label}: expected GeoJSON, found {len(properties)} features and could read {count}"
        )
    return properties


def _scan(text: str, count: int, problems: Problems) -> list[_Object]:
    """Read the properties alone, a tenth of the file; all of it if another object has one of their keys."""
    start = max(0, text.find('"features"'))
    places = [match.end() for match in _PROPERTIES.finditer(text, start)]
    once = text.count('"features"') == 1 and text.count('"geometry"') == count == len(places)
    if once and text.count('"coordinates"') <= count:
        features: Sequence[_Object] = []
        properties = [_DECODER.raw_decode(text, place)[0] for place in places]
    else:
        document = _as_object(_DECODER.decode(text))
        listed = document.get("features", [document])
        features = [_as_object(feature) for feature in listed] if isinstance(listed, list) else []
        properties = [feature.get("properties") for feature in features]
        for name in document.doubled:
            problems.add("each key once", f"{name!r} twice")
    found = [_as_object(one) for one in properties]
    for objects in (found, features, [_as_object(feature.get("geometry")) for feature in features]):
        for number, one in enumerate(objects, start=1):
            for name in one.doubled:
                place = f"feature {number}{_code(found[number - 1], problems.source.key)}"
                problems.add("each column once", f"{name!r} twice", where=place)
    return found


def _as_object(value: object) -> _Object:
    return value if isinstance(value, _Object) else _NOTHING


def _code(properties: _Object, key: Sequence[str]) -> str:
    """Return the code of a feature, in brackets, if the source declares where that is."""
    code = next((str(properties[name]) for name in key if name in properties), "")
    return f" ({code})" if code and code.isprintable() else ""


def _cut_at_nul(path: Path, layer: str, columns: Sequence[str]) -> dict[str, list[object]]:
    """Return, as the file has them, the columns of a layer in which GDAL cut a text at a NUL."""
    found = {}
    table = _quoted(layer)
    with closing(sqlite3.connect(path)) as database:
        there = {name for _, name, *_ in database.execute(f"PRAGMA table_info({table})")}
        for column in there & set(columns):
            name = _quoted(column)
            with_nul = f"typeof({name}) = 'text' AND instr(CAST({name} AS BLOB), x'00')"
            if database.execute(f"SELECT 1 FROM {table} WHERE {with_nul}").fetchone():  # noqa: S608 - quoted
                cells = database.execute(f"SELECT {name} FROM {table}")  # noqa: S608 - quoted
                found[column] = [cell for (cell,) in cells]
    return found


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _encoding_of(dbf: bytes) -> str:
    """Tell the encoding of a ``.dbf`` by its records, which follow a header of stated length."""
    records = dbf[int.from_bytes(dbf[8:10], "little") :]
    if records.isascii():
        return "ASCII"
    try:
        records.decode()
    except UnicodeDecodeError:
        return "CP1252"
    return "UTF-8"


def _check_encoding(dbf: bytes, cpg: bytes, problems: Problems) -> None:
    """Add a problem if the ``.cpg`` contradicts the text: one of them is UTF-8 and the other is not."""
    declared = cpg.decode("ascii", "replace").strip()
    found = _encoding_of(dbf)
    is_utf_8 = declared.upper().replace("-", "") in _UTF_8
    if found == "ASCII" or not declared or is_utf_8 == (found == "UTF-8"):
        return
    actual = "UTF-8" if found == "UTF-8" else "not UTF-8, perhaps Windows-1252"
    problems.add("the encoding of the text", f"{declared}; the text is {actual}", column=".cpg")
    if problems.source.territory_key:
        right = "UTF-8" if found == "UTF-8" else "1252"
        problems.advise(f"write {right} into the .cpg file, a text of one line, or delete it")
