"""Every other vector format that GDAL reads: GeoJSON, Shapefile (zipped as well), FlatGeobuf, KML, GML."""

import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyogrio
import pyogrio.raw
import shapely
from pyogrio.errors import DataLayerError, DataSourceError

from qpv_geo.errors import ConfigurationError, ContractError, PublicationError
from qpv_geo.locate.coordinates import Geometries, read_wkb
from qpv_geo.locate.tables import HEAD_ROWS, Chunk, ChunkAnswer, PointTable

WRITTEN = {".geojson": "GeoJSON", ".json": "GeoJSON", ".geojsonl": "GeoJSONSeq", ".fgb": "FlatGeobuf"}
"""Formats that hold the added columns: a Shapefile cuts their names after ten letters."""

_OTHERWISE = ".gpkg"
_IN_ZIP = (".shp", ".geojson", ".json", ".fgb", ".gpkg", ".kml", ".gml", ".tab", ".mif")
_ROWS = 1 << 16
# A spatial index reorders the features, and refuses those without geometry.
_OPTIONS = {"FlatGeobuf": {"SPATIAL_INDEX": "NO"}}


class VectorTable(PointTable):
    """A layer, read and written in batches of rows by GDAL."""

    def __init__(
        self, path: Path, layer: str | None = None, *, encoding: str | None = None, crs: object | None = None
    ) -> None:
        """Open the layer, the only one without `layer`; `crs` is written if the file declares none."""
        super().__init__(path)
        self._encoding, self._crs = encoding, crs
        with _reraise_gdal_errors(path):
            self._source = _member(path, layer) if path.suffix.lower() == ".zip" else str(path)
            self._layer = _layer(self._source, path, layer)
            self._info = pyogrio.read_info(self._source, layer=self._layer, encoding=encoding)
        self.columns = list(self._info["fields"])
        self.geometry_crs = self._info["crs"]
        self.kind = "" if self._info["geometry_type"] == "Unknown" else self._info["geometry_type"]
        self.suffix = path.suffix if path.suffix.lower() in WRITTEN else _OTHERWISE

    def head(self) -> Chunk:
        """Return the first rows."""
        with _reraise_gdal_errors(self.path), self._open(HEAD_ROWS) as (meta, reader):
            nothing = pa.RecordBatch.from_pylist([], reader.schema)
            return _chunk(next(iter(reader), nothing), 1, _geometry_name(meta))

    def extend(self, target: Path, added: pa.Schema, answer: ChunkAnswer) -> None:
        """Write the file with columns added; fields keep their types."""
        plain = pa.schema([(f.name, _plain(f.type)) for f in added])
        driver = WRITTEN.get(target.suffix.lower(), "GPKG")
        failures: list[Exception] = []
        with _reraise_gdal_errors(self.path), self._open() as (meta, reader):
            name = _geometry_name(meta)
            place = reader.schema.get_field_index(name)
            schema = pa.schema([*reader.schema, *plain])
            multiple = driver == "GPKG" and str(meta["geometry_type"]).startswith(("Polygon", "LineString"))
            kind = f"Multi{meta['geometry_type']}" if multiple else meta["geometry_type"]

            def batches() -> Iterator[pa.RecordBatch]:
                first_row = 1
                try:
                    for batch in reader:
                        table = answer(_chunk(batch, first_row, name))
                        first_row += len(batch)
                        columns = batch.columns
                        if multiple:
                            columns[place] = _multiple(columns[place])
                        answers = [column.combine_chunks() for column in table.cast(plain).columns]
                        yield pa.RecordBatch.from_arrays([*columns, *answers], schema=schema)
                except Exception as error:
                    failures.append(error)  # GDAL only says that there was one
                    raise

            try:
                pyogrio.raw.write_arrow(
                    pa.RecordBatchReader.from_batches(schema, batches()),
                    target,
                    layer=self._layer if driver == "GPKG" else None,
                    driver=driver,
                    geometry_name=name if place >= 0 else None,
                    geometry_type=kind,
                    crs=meta["crs"] or _text(self._crs),
                    layer_options=self._options(driver),
                )
            except RuntimeError as error:
                unwritten = PublicationError(f"{target.name}: GDAL cannot write it ({error})")
                raise next(iter(failures), unwritten) from error

    def _options(self, driver: str) -> dict[str, str] | None:
        if driver != "GPKG":
            return _OPTIONS.get(driver)
        # A field may have the name that GDAL gives to the key or to the geometry, and another content.
        fields = {name.lower() for name in self.columns}
        names = {"FID": "fid", "GEOMETRY_NAME": "geom"}
        return {option: name if name not in fields else f"{name}_gpkg" for option, name in names.items()}

    def _open(self, rows: int = _ROWS) -> Any:  # noqa: ANN401 - a context manager of pyogrio, which is untyped
        # GDAL's faster way of reading FlatGeobuf is wrong after a feature without geometry.
        pyogrio.set_gdal_config_options({"OGR_FLATGEOBUF_STREAM_BASE_IMPL": "YES"})
        return pyogrio.raw.open_arrow(
            self._source,
            layer=self._layer,
            encoding=self._encoding,
            batch_size=rows,
            use_pyarrow=True,
        )


@contextmanager
def _reraise_gdal_errors(path: Path) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            # GDAL's remarks on a file that it reads all the same, and on a layer that has no CRS.
            warnings.simplefilter("ignore", RuntimeWarning)
            warnings.filterwarnings("ignore", "'crs' was not provided", UserWarning)
            yield
    except (DataSourceError, DataLayerError, zipfile.BadZipFile) as error:
        raise ContractError(f"{path}: not a file that GDAL can read or copy ({error})") from error


def _member(path: Path, layer: str | None) -> str:
    """Return the data set of an archive, under GDAL's name for it."""
    with zipfile.ZipFile(path) as archive:
        names = [
            name for name in archive.namelist() if name.lower().endswith(_IN_ZIP) and "__MACOSX" not in name
        ]
    if layer is not None:
        names = [name for name in names if Path(name).stem == layer] or names
    if len(names) != 1:
        listed = ", ".join(Path(name).stem for name in names) or "none"
        raise ConfigurationError(
            f"{path.name}: name the data set of the archive with --layer; it has: {listed}"
        )
    return f"/vsizip/{path.absolute()}/{names[0]}"


def _layer(source: str, path: Path, wanted: str | None) -> str:
    layers = [str(name) for name, _ in pyogrio.list_layers(source)]
    if wanted in layers:
        return str(wanted)
    if len(layers) != 1 or (wanted is not None and path.suffix.lower() != ".zip"):
        listed = ", ".join(layers) or "none"
        raise ConfigurationError(f"{path.name}: name one of its layers with --layer; it has: {listed}")
    return layers[0]


def _chunk(batch: pa.RecordBatch, first_row: int, geometry: str) -> Chunk:
    def geometries() -> Geometries:
        column = batch.column(geometry)
        return read_wkb(getattr(column, "storage", column))

    return Chunk(range(first_row, first_row + len(batch)), batch.column, geometries)


def _geometry_name(meta: dict[str, Any]) -> str:
    return str(meta["geometry_name"] or "wkb_geometry")


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _multiple(column: pa.Array) -> pa.Array:
    """Return polygons and lines as multipolygons and multilines, which a layer may not mix with them."""
    storage = getattr(column, "storage", column)
    shapes = shapely.from_wkb(storage.to_numpy(zero_copy_only=False))
    for kind, several in ((shapely.GeometryType.POLYGON, shapely.multipolygons),
                          (shapely.GeometryType.LINESTRING, shapely.multilinestrings)):  # fmt: skip
        rows = np.flatnonzero(shapely.get_type_id(shapes) == kind)
        if len(rows):
            shapes[rows] = several(shapes[rows], indices=np.arange(len(rows)))
    blobs = pa.array(shapely.to_wkb(shapes), storage.type)
    return column.type.wrap_array(blobs) if storage is not column else blobs


def _text(crs: object | None) -> str | None:
    return f"EPSG:{crs}" if isinstance(crs, int) else crs if crs is None else str(crs)
