"""The one reader of GeoPackages: sqlite3 and WKB, not GDAL, which wrote them."""

import sqlite3
import struct
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from qpv_geo.errors import PublicationError
from qpv_geo.formats.fields import GEOMETRY_COLUMN

# QGIS's table of default styles.
STYLES = "layer_styles"
# Size in bytes of the envelope in a GeoPackage geometry, by its code in the flags.
_ENVELOPE_SIZES = {0: 0, 1: 32, 2: 48, 3: 48, 4: 64}
_HEADER_SIZE = 8


@dataclass(frozen=True)
class Blob:
    """A GeoPackage geometry taken apart (OGC 12-128r17, 2.1.3), with the flag that says whether it is empty.

    `magic` and `version` are ``GP`` and 0; `envelope` is minx, maxx, miny, maxy, or empty if there is none.
    """

    magic: bytes
    version: int
    srs_id: int
    empty: bool
    envelope: tuple[float, ...]
    wkb: bytes


@dataclass(frozen=True)
class StoredTable:
    """A table of a GeoPackage, as SQLite holds it, with its title in French and the CRS of its geometries.

    In `rows`, cells are objects (None where there is nothing), without the primary key. The bytes of
    geometries are in `GEOMETRY_COLUMN`, whatever the file calls it.
    """

    title: str
    rows: pd.DataFrame
    epsg: int | None

    @property
    def fields(self) -> list[str]:
        """Names of the columns, in their order, without the geometry."""
        return [str(name) for name in self.rows.columns if name != GEOMETRY_COLUMN]

    @cached_property
    def shapes(self) -> gpd.GeoSeries:
        """Geometries by row, None where there is none; a PublicationError if one cannot be read."""
        blobs = self.rows[GEOMETRY_COLUMN]
        try:
            wkb = np.array([None if blob is None else parse_blob(blob).wkb for blob in blobs], dtype=object)
            return gpd.GeoSeries(shapely.from_wkb(wkb), index=self.rows.index, crs=self.epsg)
        except (TypeError, ValueError, shapely.errors.ShapelyError) as error:
            raise PublicationError(f"layer {self.title!r}: a geometry cannot be read ({error})") from error


class _Texts(dict[bytes, str]):
    """Decoded texts, each kept once: the millions of cells of a national table hold few distinct ones."""

    def __missing__(self, data: bytes) -> str:
        text = self[data] = data.decode()
        return text


def parse_blob(blob: bytes) -> Blob:
    """Take a GeoPackage geometry apart; raises ValueError if its header is not one."""
    if len(blob) < _HEADER_SIZE:
        raise ValueError("shorter than its header")
    flags = blob[3]
    order = "<" if flags & 1 else ">"
    size = _ENVELOPE_SIZES.get(flags >> 1 & 7)
    if size is None or len(blob) < _HEADER_SIZE + size:
        raise ValueError("its envelope is not one that GeoPackage defines")
    (srs_id,) = struct.unpack_from(f"{order}i", blob, 4)
    envelope = struct.unpack_from(f"{order}{size // 8}d", blob, _HEADER_SIZE)
    return Blob(blob[:2], blob[2], srs_id, bool(flags & 16), envelope, blob[_HEADER_SIZE + size :])


def connect(path: Path) -> sqlite3.Connection:
    """Open a GeoPackage as one that never changes: no lock, and no journal is rolled back or created."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)


def read_geopackage(path: Path, names: Collection[str] | None = None) -> dict[str, StoredTable]:
    """Read the tables that ``gpkg_contents`` lists, in its order; without `names`, all but QGIS's styles.

    Names that are not there are left out. Raises `PublicationError` if the file cannot be read.
    """
    try:
        with closing(connect(path)) as database:
            listed = database.execute(
                "SELECT table_name, identifier, column_name, organization_coordsys_id FROM gpkg_contents "
                "LEFT JOIN gpkg_geometry_columns USING (table_name) "
                "LEFT JOIN gpkg_spatial_ref_sys AS crs ON crs.srs_id = gpkg_geometry_columns.srs_id "
                "ORDER BY gpkg_contents.rowid"
            ).fetchall()
            database.text_factory = _Texts().__getitem__
            return {
                name: StoredTable(title, _rows(database, name, geometry), epsg)
                for name, title, geometry, epsg in listed
                if (name != STYLES if names is None else name in names)
            }
    except (OSError, ValueError, TypeError, sqlite3.Error) as error:
        raise PublicationError(f"{path}: cannot be read ({type(error).__name__}: {error})") from error


def _rows(database: sqlite3.Connection, name: str, geometry: str | None) -> pd.DataFrame:
    quoted = name.replace('"', '""')
    keys = {key for (key,) in database.execute("SELECT name FROM pragma_table_info(?) WHERE pk", (name,))}
    cursor = database.execute(f'SELECT * FROM "{quoted}" ORDER BY rowid')  # noqa: S608 - a name of the file's own
    columns = [column for column, *_ in cursor.description]
    wanted = [place for place, column in enumerate(columns) if column not in keys]
    names = [GEOMETRY_COLUMN if columns[place] == geometry else columns[place] for place in wanted]
    rows = cursor.fetchall()
    cells = {name: [row[place] for row in rows] for name, place in zip(names, wanted, strict=True)}
    return pd.DataFrame(cells, dtype=object)
