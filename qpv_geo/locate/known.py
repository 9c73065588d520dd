"""What a release knows of where QPV are: its own, its neighbours, their bands, and how far it knows them."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from qpv_geo.analysis.neighbours import LARGEST_REACH
from qpv_geo.audit.readers import Reading, read_geopackage
from qpv_geo.errors import ConfigurationError, PublicationError
from qpv_geo.formats.fields import load_layers
from qpv_geo.locate.index import BAND
from qpv_geo.territory import Territory

_NEIGHBOURS, _BANDS = "qpv_voisins", "bande_300m"
_WANTED = {
    "qpv": ("code_qp", "lib_qp"),
    "communes": ("insee_com",),
    _NEIGHBOURS: ("code_qp", "lib_qp", "largeur_bande_m"),
    _BANDS: ("code_qp", "distance_m"),
}
_SURELY = 0.98
"""Of the distance up to which neighbours are published: what GEOS draws may reach 1 % too far."""
_AREA = 2  # dimensions


@dataclass(frozen=True)
class Known:
    """What a release knows.

    Attributes
    ----------
    qpv
        The territory's QPV, and those around if they are published: code, name, width of the band.
    ground
        Where every QPV is in `qpv`; None: everywhere.
    around
        How far `ground` reaches around the communes of the territory, in metres.
    bands
        Whether the release publishes bands; without, each is taken to be 300 m wide.
    """

    qpv: gpd.GeoDataFrame
    ground: gpd.GeoSeries | None
    around: float
    bands: bool


def read_known(folder: Path, territory: Territory) -> Known:
    """Read what a release of a territory knows from its GeoPackage.

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
    qpv = _frame(readings["qpv"]).assign(largeur_bande_m=BAND)
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
    return Known(qpv, ground, around, bands is not None)


def _read(path: Path) -> dict[str, Reading]:
    """Return the layers that matter; those that a release may lack only if they are there."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            there = {name for (name,) in database.execute("SELECT table_name FROM gpkg_contents")}
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
            if name in there or name not in {_NEIGHBOURS, _BANDS}
        ],
    )


def _frame(reading: Reading) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(reading.attributes, geometry=reading.geometry, crs=reading.epsg)


def projected(shapes: gpd.GeoSeries, epsg: int) -> gpd.GeoSeries:
    """Return polygons in another CRS, valid: rounding in degrees and back may have made one cross itself."""
    projected = shapes.to_crs(epsg).reset_index(drop=True)
    broken = np.flatnonzero(~projected.is_valid)
    for row in broken:
        parts = shapely.get_parts(shapely.make_valid(projected.iloc[row], method="structure"))
        projected.iloc[row] = shapely.union_all(parts[shapely.get_dimensions(parts) == _AREA])
    return projected
