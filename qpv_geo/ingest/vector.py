"""Vector files as publishers ship them, GeoJSON, GeoPackage or Shapefile, read into one frame."""

import re
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj import CRS
from pyproj.exceptions import CRSError

from qpv_geo.errors import SourceContentError
from qpv_geo.ingest.attributes import clean_text
from qpv_geo.ingest.contracts import Names, Problems, find_columns
from qpv_geo.ingest.text import decode, refuse_page
from qpv_geo.settings import Settings
from qpv_geo.sources.archive import Member, read_member, read_members
from qpv_geo.sources.raw import RawFile, catalogue_entry

_SIBLINGS = ("shp", "shx", "dbf", "prj", "cpg")
_DECLARED_CRS = re.compile(r'"crs"\s*:\s*\{[^{}]*\{[^{}]*"name"\s*:\s*"([^"]+)"')
_FIRST_PROPERTIES = re.compile(r'"properties"\s*:\s*(?=\{\s*")')


@dataclass(frozen=True)
class Layer:
    """A vector file as it was read.

    Attributes
    ----------
    frame
        Every feature, in the file's order, indexed from 0, heights dropped. ``crs`` is None when the file
        declares none; a geometry that cannot be built (a ring that is not closed) is None.
    name
        File, or member of the archive.
    label
        How errors name it.
    remarks
        In French: what was unusual, and what GDAL warned about.
    assumed_crs
        Whether ``crs`` is not the file's own word: GeoJSON that declares none is in WGS84 (RFC 7946).
    """

    frame: gpd.GeoDataFrame
    name: str
    label: str
    remarks: tuple[str, ...]
    assumed_crs: bool = False

    def names(self, codes: pd.Series) -> Names:
        """Name each feature as a user finds it: its number in the file, from 1, and its code."""
        return np.array([f"feature {n} ({code})" for n, code in enumerate(codes, start=1)], dtype=object)

    def official_columns(self, problems: Problems) -> pd.DataFrame:
        """Return the columns that the catalogue declares, as clean text and under their declared names.

        Raises
        ------
        ContractError
            If the layer is empty or a column is missing, together with what was collected before.
        """
        if self.frame.empty:
            problems.add("at least one feature", "an empty layer")
        else:
            available = [str(column) for column in self.frame.columns]
            columns = find_columns(available, problems.source.columns, problems)
        problems.raise_if_any()
        return pd.DataFrame({name: clean_text(self.frame[column]) for name, column in columns.items()})


def read_layer(raw: RawFile, settings: Settings, layer: str | None = None) -> Layer:
    """Read the vector file of a source, bare or in its archive.

    Parameters
    ----------
    raw
        The source's bytes; its `format` (``geojson``, ``gpkg`` or ``shp``) says how to read them, its
        `member` where they are in an archive.
    settings
        Limits of archives.
    layer
        Layer of a GeoPackage that holds several; None for its only one.

    Raises
    ------
    SourceContentError
        If the file is a web page, empty, truncated, or not of its format.
    ContractError
        If it has several layers or not the one that is asked for, a column twice, or a CRS that does not
        exist.
    """
    if raw.source.format == "geojson":
        return _read_geojson(raw, read_member(raw, raw.source.member, settings))
    if raw.source.format == "gpkg":
        return _read_geopackage(raw, read_member(raw, raw.source.member, settings), layer)
    return _read_shapefile(raw, settings)


def _label(raw: RawFile, member: Member) -> str:
    return raw.label if member.name == raw.path.name else f"{raw.label}, member {member.name}"


def _read_geojson(raw: RawFile, member: Member) -> Layer:
    label = _label(raw, member)
    text, encoding = decode(member.data, label)
    remarks = []
    data = member.data
    if encoding != "UTF-8":
        remarks.append(f"texte en {encoding} et non en UTF-8 : converti")
        data = text.encode()
    if not text.lstrip().startswith("{"):
        raise SourceContentError(f"{label}: expected GeoJSON, found {text.lstrip()[:40]!r}…")
    _check_head(text, Problems(label, raw.source))
    with _explained(label, "GeoJSON", remarks):
        frame = _read(data)
    read = _layer(frame, member.name, Problems(label, raw.source), remarks)
    return replace(read, assumed_crs=not _DECLARED_CRS.search(text))


def _check_head(text: str, problems: Problems) -> None:
    """Check what GDAL passes over in silence: a CRS that does not exist, and a property that is there twice.

    GDAL takes such a file for WGS84, and keeps one of the two properties. The first feature stands for all:
    programs write them alike.
    """
    if declared := _DECLARED_CRS.search(text):
        try:
            CRS.from_user_input(declared[1])
        except CRSError:
            problems.add("a CRS that exists", repr(declared[1]), column="CRS")
    if start := _FIRST_PROPERTIES.search(text, max(0, text.find('"features"'))):
        head = text[start.end() : text.find("}", start.end())]
        names = re.findall(r'[{,]\s*"((?:[^"\\]|\\.)*)"\s*:', head)
        doubled = dict.fromkeys(name for name in names if names.count(name) > 1)
        problems.add_rows("each column once", ["feature 1"] * len(doubled), [f"{n!r} twice" for n in doubled])
    problems.raise_if_any()


def _read_geopackage(raw: RawFile, member: Member, wanted: str | None) -> Layer:
    label = _label(raw, member)
    refuse_page(member.data, label)
    remarks: list[str] = []
    with tempfile.TemporaryDirectory() as folder, _explained(label, "GeoPackage", remarks):
        path = Path(folder) / "layer.gpkg"
        path.write_bytes(member.data)
        spatial = [name for name, kind in pyogrio.list_layers(path) if kind is not None]
        chosen = [name for name in spatial if wanted in {None, name}]
        if len(chosen) != 1:
            problems = Problems(label, raw.source)
            expected = "one spatial layer" if wanted is None else f"a spatial layer named {wanted!r}"
            problems.add(expected, f"{len(spatial)}: {', '.join(spatial) or 'only tables'}")
            problems.raise_if_any()
        frame = _read(path, layer=chosen[0])
    return _layer(frame, member.name, Problems(label, raw.source), remarks)


def _read_shapefile(raw: RawFile, settings: Settings) -> Layer:
    pattern = (raw.source.member or r".*\.shp").removesuffix("shp") + f"(?:{'|'.join(_SIBLINGS)})"
    members = read_members(raw, pattern, settings)
    parts = {Path(member.name).suffix.lower().lstrip("."): member for member in members}
    if len(parts) != len(members) or not parts.keys() >= {"shp", "shx", "dbf"}:
        listed = ", ".join(member.name for member in members)
        raise SourceContentError(
            f"{raw.label}: expected one Shapefile with its .shx and .dbf, found {listed}. "
            f"Compare with {raw.source.page}, or change 'member' in {catalogue_entry(raw.source)}"
        )
    label = _label(raw, parts["shp"])
    refuse_page(parts["shp"].data, label)
    remarks: list[str] = []
    # Without a .cpg nothing says how the .dbf is encoded, and GDAL takes it for Latin-1.
    encoding = None if "cpg" in parts else _encoding_of(parts["dbf"].data)
    with tempfile.TemporaryDirectory() as folder, _explained(label, "Shapefile", remarks):
        for suffix, member in parts.items():
            (Path(folder) / f"layer.{suffix}").write_bytes(member.data)
        frame = _read(Path(folder) / "layer.shp", encoding=encoding)
    return _layer(frame, parts["shp"].name, Problems(label, raw.source), remarks)


def _encoding_of(dbf: bytes) -> str:
    """Tell the encoding of a ``.dbf`` from its records, which follow a binary header of stated length."""
    try:
        dbf[int.from_bytes(dbf[8:10], "little") :].decode()
    except UnicodeDecodeError:
        return "CP1252"
    return "UTF-8"


def _read(source: bytes | Path, **options: Any) -> pd.DataFrame:  # noqa: ANN401 - handed on to pyogrio
    frame: pd.DataFrame = pyogrio.read_dataframe(source, force_2d=True, on_invalid="ignore", **options)
    return frame


def _layer(frame: pd.DataFrame, name: str, problems: Problems, remarks: list[str]) -> Layer:
    if not isinstance(frame, gpd.GeoDataFrame):
        problems.add("a layer with geometries", "a table without any")
        problems.raise_if_any()
    return Layer(frame, name, problems.label, tuple(remarks))


@contextmanager
def _explained(label: str, kind: str, remarks: list[str]) -> Iterator[None]:
    """Turn what GDAL raises into an error that names the file, and what it warns about into remarks."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", category=RuntimeWarning)
        # Said elsewhere: the geometry is missing, the text is not what its column should hold.
        warnings.filterwarnings("ignore", message="invalid value encountered in from_wkb")
        warnings.filterwarnings("ignore", message="Could not parse column", category=UserWarning)
        try:
            yield
        except (DataSourceError, DataLayerError, UnicodeDecodeError) as error:
            raise SourceContentError(
                f"{label}: expected a whole {kind} file, found one that is damaged, truncated or of another "
                f"format ({error}). Run again to download it anew, and tell the publisher if it stays so"
            ) from error
    remarks += dict.fromkeys(str(warning.message) for warning in caught)
