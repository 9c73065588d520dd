"""A release as its own files tell it, whatever version of the project wrote them."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from qpv_geo.audit.readers import parse_blob
from qpv_geo.errors import PublicationError
from qpv_geo.formats.descriptions import DESCRIPTOR
from qpv_geo.formats.fields import FID_COLUMN, GEOMETRY_COLUMN

# What a comparison cannot do without.
_NEEDED = {
    "qpv": {"code_qp", "lib_qp", GEOMETRY_COLUMN},
    "statistiques": {"zone", "code", "indicateur", "millesime", "valeur", "statut"},
    "indicateurs": {"indicateur", "libelle", "additif"},
    "sources": {"source", "titre", "etat", "millesime", "date_source", "origine", "fichier", "sha256"},
}


@dataclass(frozen=True)
class Table:
    """A layer of a GeoPackage.

    Attributes
    ----------
    title
        In French.
    rows
        Its fields as SQLite holds them (objects, None where there is nothing), with the bytes of the geometry
        in `GEOMETRY_COLUMN` if there is one.
    epsg
        CRS of its geometry, None without.
    """

    title: str
    rows: pd.DataFrame
    epsg: int | None

    @property
    def fields(self) -> list[str]:
        """Names, in their order, without the geometry."""
        return [str(name) for name in self.rows.columns if name != GEOMETRY_COLUMN]

    def shapes(self) -> gpd.GeoSeries:
        """Return the geometries, by row."""
        blobs = self.rows[GEOMETRY_COLUMN]
        wkb = np.array([None if blob is None else parse_blob(blob).wkb for blob in blobs], dtype=object)
        return gpd.GeoSeries(shapely.from_wkb(wkb), index=self.rows.index, crs=self.epsg)


@dataclass(frozen=True)
class PublishedRelease:
    """A release read back.

    Attributes
    ----------
    id, fingerprint
        Which.
    tables
        Its layers, by name.
    """

    id: str
    fingerprint: str
    tables: Mapping[str, Table]


def read_published(path: Path) -> PublishedRelease:
    """Read a release from its descriptor and its GeoPackage.

    Raises
    ------
    PublicationError
        If it cannot be read.
    """
    with _readable(path):
        descriptor = json.loads((path / DESCRIPTOR).read_text(encoding="utf-8"))
        (package,) = path.glob("qpv_*.gpkg")
        return PublishedRelease(descriptor["version"], descriptor["fingerprint"], _tables(package))


def read_written(package: Path, release_id: str, fingerprint: str) -> PublishedRelease:
    """Read a release of which there is only the GeoPackage yet; raises as `read_published`."""
    with _readable(package):
        return PublishedRelease(release_id, fingerprint, _tables(package))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error, ValueError, KeyError, TypeError, shapely.errors.ShapelyError) as error:
        raise PublicationError(
            f"{path}: the release cannot be read ({type(error).__name__}: {error}); "
            "`qpv-geo releases verify` tells what is wrong with it"
        ) from error


def _tables(package: Path) -> dict[str, Table]:
    """Read the layers: what the GeoPackage describes field by field, unlike styles."""
    with closing(sqlite3.connect(f"{package.absolute().as_uri()}?mode=ro", uri=True)) as database:
        described = database.execute(
            "SELECT table_name, identifier, organization_coordsys_id FROM gpkg_contents "
            "LEFT JOIN gpkg_geometry_columns USING (table_name) "
            "LEFT JOIN gpkg_spatial_ref_sys ON gpkg_spatial_ref_sys.srs_id = gpkg_geometry_columns.srs_id "
            "WHERE table_name IN (SELECT table_name FROM gpkg_data_columns) ORDER BY gpkg_contents.rowid"
        ).fetchall()
        tables = {name: Table(title, _rows(database, name), epsg) for name, title, epsg in described}
    for name, columns in _NEEDED.items():
        if missing := columns - set(tables[name].rows.columns):
            raise KeyError(f"layer {name} lacks {', '.join(sorted(missing))}")
    return tables


def _rows(database: sqlite3.Connection, name: str) -> pd.DataFrame:
    quoted = name.replace('"', '""')
    cursor = database.execute(f'SELECT * FROM "{quoted}" ORDER BY rowid')  # noqa: S608 - a name of the file's own
    columns = [column for column, *_ in cursor.description]
    return pd.DataFrame(cursor.fetchall(), columns=columns, dtype=object).drop(columns=FID_COLUMN)
