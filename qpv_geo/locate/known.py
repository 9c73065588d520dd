"""The QPV that a release knows: its own, its neighbours, the widths of their bands, and up to where."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from qpv_geo.audit.readers import Reading, read_geopackage
from qpv_geo.errors import ConfigurationError, PublicationError
from qpv_geo.formats.fields import load_layers
from qpv_geo.territory import BAND_WIDTH, LARGEST_REACH, Territory

_NEIGHBOURS, _BANDS = "qpv_voisins", "bande_300m"
_WANTED = {
    "qpv": ("code_qp", "lib_qp"),
    "communes": ("insee_com",),
    _NEIGHBOURS: ("code_qp", "lib_qp", "largeur_bande_m"),
    _BANDS: ("code_qp", "distance_m"),
}
_SURELY = 0.98
"""Share of `LARGEST_REACH` within which every QPV is surely known: GEOS's buffer may reach 1 % too far."""
_POLYGON_DIMENSION = 2


@dataclass(frozen=True)
class KnownQpv:
    """The QPV that a release knows.

    Attributes
    ----------
    qpv
        Code, name and width of the band: the territory's QPV, and its neighbours if they are published.
    ground
        The area in which every QPV is in `qpv`; None: everywhere.
    around
        How far `ground` reaches around the communes of the territory, in metres.
    bands
        Whether the release publishes bands; otherwise all are taken to be 300 m wide.
    """

    qpv: gpd.GeoDataFrame
    ground: gpd.GeoSeries | None
    around: float
    bands: bool


def read_known_qpv(folder: Path, territory: Territory) -> KnownQpv:
    """Read the QPV that a release of a territory knows from its GeoPackage.

    Raises
    ------
    ConfigurationError
        If it has no QPV.
    PublicationError
        If it cannot be read.
    """
    paths = list(folder.glob("*.gpkg"))
    if len(paths) != 1:
        raise PublicationError(
            f"{folder}: expected one GeoPackage, found {len(paths)}; refresh the territory"
        )
    readings = _read(paths[0])
    if not len(readings["qpv"].attributes):
        raise ConfigurationError(f"{paths[0]} has no QPV: nothing to locate points in")
    qpv = _frame(readings["qpv"]).assign(largeur_bande_m=BAND_WIDTH)
    if bands := readings.get(_BANDS):
        qpv["largeur_bande_m"] = qpv["code_qp"].map(bands.attributes.set_index("code_qp")["distance_m"])
    around = 0.0
    if neighbours := readings.get(_NEIGHBOURS):
        qpv = pd.concat([qpv, _frame(neighbours)], ignore_index=True)
        around = _SURELY * LARGEST_REACH
    communes = _frame(readings["communes"]).geometry
    ground = None
    if territory.genre != "france" and len(communes):
        union = projected(communes, territory.epsg).union_all()
        ground = gpd.GeoSeries([union.buffer(around) if around else union], crs=territory.epsg)
    return KnownQpv(qpv, ground, around, bands is not None)


def _read(path: Path) -> dict[str, Reading]:
    """Read the layers needed; optional ones only if they exist."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            existing = {name for (name,) in database.execute("SELECT table_name FROM gpkg_contents")}
    except sqlite3.Error as error:
        raise PublicationError(f"{path}: cannot be read ({error}); refresh the territory") from error
    declared = load_layers()
    return read_geopackage(
        path,
        [
            declared[name].model_copy(
                update={"fields": {field: declared[name].fields[field] for field in fields}}
            )
            for name, fields in _WANTED.items()
            if name in existing or name not in {_NEIGHBOURS, _BANDS}
        ],
    )


def _frame(reading: Reading) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(reading.attributes, geometry=reading.geometry, crs=reading.epsg)


def projected(shapes: gpd.GeoSeries, epsg: int) -> gpd.GeoSeries:
    """Return polygons in another CRS, repaired if the rounding of coordinates made one cross itself."""
    projected = shapes.to_crs(epsg).reset_index(drop=True)
    broken = np.flatnonzero(~projected.is_valid)
    for row in broken:
        parts = shapely.get_parts(shapely.make_valid(projected.iloc[row], method="structure"))
        projected.iloc[row] = shapely.union_all(parts[shapely.get_dimensions(parts) == _POLYGON_DIMENSION])
    return projected
