"""The QPV that a release knows: its own, its neighbours, the widths of their bands, and up to where."""

from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from qpv_geo.analysis.neighbours import known_ground
from qpv_geo.audit.geopackage import StoredTable, read_geopackage
from qpv_geo.errors import ConfigurationError, PublicationError
from qpv_geo.formats.fields import GEOMETRY_COLUMN
from qpv_geo.territory import BAND_WIDTH, Territory

_NEIGHBOURS, _BANDS = "qpv_voisins", "bande_300m"
_WANTED = {
    "qpv": ("code_qp", "lib_qp"),
    "communes": ("insee_com",),
    _NEIGHBOURS: ("code_qp", "lib_qp", "largeur_bande_m"),
    _BANDS: ("code_qp", "distance_m"),
}
_POLYGON_DIMENSION = 2


@dataclass(frozen=True)
class KnownQpv:
    """The QPV that a release knows."""

    qpv: gpd.GeoDataFrame
    """Code, name and width of the band: the territory's QPV, and its neighbours if they are published."""
    ground: gpd.GeoSeries | None
    """The area in which every QPV is in `qpv`; None: everywhere."""
    around: float
    """How far `ground` reaches around the communes of the territory, in metres."""
    bands: bool
    """Whether the release publishes bands; otherwise all are taken to be 300 m wide."""


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
    tables = _read(paths[0])
    if not len(tables["qpv"].rows):
        raise ConfigurationError(f"{paths[0]} has no QPV: nothing to locate points in")
    qpv = _frame(tables["qpv"], "qpv").assign(largeur_bande_m=BAND_WIDTH)
    if bands := tables.get(_BANDS):
        qpv["largeur_bande_m"] = qpv["code_qp"].map(bands.rows.set_index("code_qp")["distance_m"])
    neighbours = tables.get(_NEIGHBOURS)
    if neighbours:
        qpv = pd.concat([qpv, _frame(neighbours, _NEIGHBOURS)], ignore_index=True)
    communes = tables["communes"].shapes
    ground, around = None, 0.0
    if territory.genre != "france" and len(communes):
        shapes = projected(communes, territory.epsg).to_numpy()
        area, around = known_ground(shapes, neighbours=neighbours is not None)
        ground = gpd.GeoSeries([area], crs=territory.epsg)
    return KnownQpv(qpv, ground, around, bands is not None)


def _read(path: Path) -> dict[str, StoredTable]:
    """Read the layers needed; optional ones only if they exist."""
    try:
        tables = read_geopackage(path, _WANTED)
    except PublicationError as error:
        raise PublicationError(f"{error}; refresh the territory") from error
    missing = [name for name in ("qpv", "communes") if name not in tables]
    missing += [
        f"{name}.{field}"
        for name, table in tables.items()
        for field in (*_WANTED[name], GEOMETRY_COLUMN)
        if field not in table.rows
    ]
    if missing:
        raise PublicationError(f"{path}: lacks {', '.join(missing)}; refresh the territory")
    return tables


def _frame(table: StoredTable, name: str) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(
        {field: table.rows[field].tolist() for field in _WANTED[name]}, geometry=table.shapes
    )


def projected(shapes: gpd.GeoSeries, epsg: int) -> gpd.GeoSeries:
    """Return polygons in another CRS, repaired if the rounding of coordinates made one cross itself."""
    projected = shapes.to_crs(epsg).reset_index(drop=True)
    broken = np.flatnonzero(~projected.is_valid)
    for row in broken:
        parts = shapely.get_parts(shapely.make_valid(projected.iloc[row], method="structure"))
        projected.iloc[row] = shapely.union_all(parts[shapely.get_dimensions(parts) == _POLYGON_DIMENSION])
    return projected
