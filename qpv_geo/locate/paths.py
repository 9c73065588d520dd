"""The files of a path: which table each is, in which CRS, and where its result is written."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from qpv_geo.errors import ConfigurationError, ContractError, PublicationError, QpvGeoError
from qpv_geo.locate.csv_table import CsvTable
from qpv_geo.locate.geopackage_table import GeoPackageTable
from qpv_geo.locate.guesses import guess_points, settle_coordinates
from qpv_geo.locate.parquet_table import ParquetTable
from qpv_geo.locate.places import declared_crs, known_crs, same_crs
from qpv_geo.locate.points import Points
from qpv_geo.locate.tables import PointTable, refuse_clashes, require_columns, suffix_of

_PARQUET = {".parquet", ".geoparquet", ".pq"}
_CSV = {".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz"}
_GEOPACKAGE = {".gpkg"}
_SHEET = {".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"}
_VECTOR = {".geojson", ".json", ".geojsonl", ".shp", ".zip", ".fgb", ".kml", ".gml", ".tab", ".mif"}
_LONGITUDE_LATITUDE = 4326


def files_of(path: Path) -> list[Path]:
    """Return the path itself, or the Parquet files of a folder."""
    if not path.exists():
        raise ConfigurationError(f"no file {path}")
    if not path.is_dir():
        return [path]
    parts = sorted(
        part
        for part in path.rglob("*")
        if part.suffix.lower() in _PARQUET
        and not any(name.startswith((".", "_")) for name in part.relative_to(path).parts)
    )
    if not parts:
        raise ConfigurationError(f"{path}: a folder without any Parquet file")
    return parts


def open_table(path: Path, points: Points) -> PointTable:
    """Open a file that has the columns of `points`, and not those to be added."""
    suffix = suffix_of(path).lower()
    table: PointTable
    if points.layer and suffix in _CSV | _PARQUET:
        raise ConfigurationError("--layer is for a GeoPackage or another file with layers")
    if suffix in _CSV:
        table = CsvTable(path, points.dialect, points.columns)
    elif suffix in _PARQUET:
        table = ParquetTable(path)
    elif suffix in _GEOPACKAGE:
        table = GeoPackageTable(path, points.layer, points.columns)
    elif suffix in _VECTOR:
        # imported lazily: GDAL takes half a second
        from qpv_geo.locate.vector_table import VectorTable  # noqa: PLC0415

        table = VectorTable(path, points.layer, encoding=points.dialect.encoding, crs=points.crs)
    elif suffix in _SHEET:
        # imported lazily: most files are not workbooks
        from qpv_geo.locate.sheet_table import SheetTable  # noqa: PLC0415

        table = SheetTable(path, points.layer, points.dialect, points.columns)
    else:
        known = ", ".join(sorted(_CSV | _PARQUET | _GEOPACKAGE | _VECTOR | _SHEET))
        raise ConfigurationError(
            f"{path.name}: {suffix or 'no extension'} is not a format that is read; {known} are"
        )
    require_columns(table, points.columns)
    refuse_clashes(table, points.added.names)
    return table


def settle(points: Points, tables: Sequence[PointTable], notes: list[str]) -> Points:
    """Return the points with what the files themselves say of them; what was guessed is noted.

    Columns are guessed if none is named and there is no geometry. The first file stands for all.
    """
    table = tables[0]
    if points.addresses or points.x is not None:
        return points
    if points.coordinates is None and all(each.has_geometry for each in tables):
        return replace(points, shapes=any(each.shapes for each in tables))
    if points.coordinates is None:
        points, note = guess_points(points, table)
        notes += [note] if note else []
    if points.coordinates is not None:
        points, note = settle_coordinates(points, table)
        notes.append(note)
    return points


def points_crs(tables: Sequence[PointTable], points: Points) -> object:
    """Return the CRS of points that are settled: that of all files, or the given one if they declare none."""
    if points.addresses:
        return _LONGITUDE_LATITUDE
    if points.in_columns:
        return points.crs
    table, given = tables[0], points.crs
    if len({str(each.geometry_crs) for each in tables}) > 1:
        raise ContractError(f"{table.path.parent}: its files are not all in the same CRS; project them first")
    declared = declared_crs(table.geometry_crs)
    if declared is None and given is None:
        raise ConfigurationError(f"{table.path.name} does not say its CRS: give it with --crs")
    if declared is not None and given is not None and not same_crs(declared, known_crs(given)):
        raise ConfigurationError(
            f"{table.path.name} declares {declared.name}, --crs says {known_crs(given).name}: leave --crs"
            " out, or correct the CRS in the file"
        )
    return declared or given


def stem_of(path: Path, suffix: str) -> str:
    """Return the name of a file without its suffix, which may have two parts (``.csv.gz``)."""
    return path.name[: -len(suffix)] if path.name.endswith(suffix) and suffix else path.stem


def check_target(path: Path, target: Path, *, force: bool, suffix: str | None = None) -> None:
    """Refuse an output of another format, the input itself, and what may not be replaced."""
    ending = path.suffix if suffix is None else suffix
    if not target.name.lower().endswith(ending.lower()):
        kept = (
            "keeps the format of the input" if ending == path.suffix else f"of {path.name} has another format"
        )
        raise ConfigurationError(f"the output {kept}: its name ends with {ending!r}, not {target.suffix!r}")
    if not target.exists():
        return
    if target.samefile(path):
        raise ConfigurationError(f"{target} is the input: give another --output")
    if not force:
        raise ConfigurationError(f"{target} exists: give --force to replace it, or another --output")
    if target.is_dir() != path.is_dir():
        raise ConfigurationError(
            f"{target} is {'a folder' if target.is_dir() else 'a file'}, {path.name} is not"
        )
    others = [file for file in target.rglob("*") if file.is_file() and file.suffix.lower() not in _PARQUET]
    if target.is_dir() and others:
        raise ConfigurationError(
            f"{target} holds other files than Parquet ones ({others[0].name}): not replaced"
        )


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a path beside `target`; what is written there takes its place if all goes well."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{target.stem}-", dir=target.parent))
    except OSError as error:
        raise PublicationError(f"{target.parent}: cannot be written to ({error.strerror})") from error
    aside = folder / target.name
    try:
        yield aside
        if target.is_dir():
            shutil.rmtree(target)
        aside.replace(target)
    except QpvGeoError:
        raise  # some are OSErrors as well
    except (OSError, pa.ArrowException) as error:
        reason = error.strerror if isinstance(error, OSError) else type(error).__name__
        raise PublicationError(
            f"{target}: cannot be written ({reason}); check the free space and the rights"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
