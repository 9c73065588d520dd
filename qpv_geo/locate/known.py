"""The QPV that a release knows: its own, its neighbours, the widths of their bands, and up to where."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import pandas as pd
import shapely

from qpv_geo.analysis.bands import known_ground
from qpv_geo.audit.geopackage import StoredTable, read_geopackage
from qpv_geo.errors import ConfigurationError, PublicationError
from qpv_geo.formats.fields import GEOMETRY_COLUMN
from qpv_geo.formats.provenance import is_generalised
from qpv_geo.locate.layers import LayerSpec, layer_specs, projected
from qpv_geo.releases.release import Release
from qpv_geo.territory import BAND_WIDTH, Territory

_NEIGHBOURS, _BANDS, _SOURCES = "qpv_voisins", "bande_300m", "sources"
_WANTED = {
    "qpv": ("code_qp", "lib_qp"),
    "communes": ("insee_com",),
    _NEIGHBOURS: ("code_qp", "lib_qp", "largeur_bande_m"),
    _BANDS: ("code_qp", "distance_m"),
}
_GEOGRAPHIES, _FORMER = "geographies", "qpv_2015"


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
    communes: gpd.GeoSeries | None
    """The area of the communes of the territory; None for the whole country."""
    geographies: pd.DataFrame | None
    """Table ``geographies``, None if it was not asked for."""
    generalised: bool
    """Whether their outlines are generalised, so that they are wrong by up to `COMMUNES_PRECISION`."""
    layers: Mapping[str, gpd.GeoDataFrame]
    """The other layers asked for, by name, with all their fields."""


def read_known_qpv(
    release: Release, territory: Territory, layers: Sequence[LayerSpec] = (), *, dated: bool = False
) -> KnownQpv:
    """Read the QPV that a release of a territory knows from its GeoPackage, and other layers of it.

    With `dated`, table ``geographies`` is read as well, and the QPV of 2015 if the release has them. Raises
    `ConfigurationError` if it has no QPV, or not one of the layers, and `PublicationError` if it cannot be
    read.
    """
    path = release.geopackage
    former = (_GEOGRAPHIES, _FORMER) if dated else ()
    needed = ("qpv", "communes", *former[:1])
    tables = _read(path, needed, {*_WANTED, *(spec.layer for spec in layers), _SOURCES, *former})
    if lacking := [
        spec.name for spec in layers if spec.layer not in tables or tables[spec.layer].epsg is None
    ]:
        held = read_geopackage(path, [spec.layer for spec in layer_specs().values()])
        there = [name for name, spec in layer_specs().items() if spec.layer in held and held[spec.layer].epsg]
        raise ConfigurationError(
            f"--with {', '.join(lacking)}: the release has no such layer; it has {', '.join(there)}"
        )
    if not len(tables["qpv"].rows):
        raise ConfigurationError(f"{path} has no QPV: nothing to locate points in")
    qpv = _frame(tables["qpv"], _WANTED["qpv"]).assign(largeur_bande_m=BAND_WIDTH)
    if bands := tables.get(_BANDS):
        qpv["largeur_bande_m"] = qpv["code_qp"].map(bands.rows.set_index("code_qp")["distance_m"])
    neighbours = tables.get(_NEIGHBOURS)
    if neighbours:
        qpv = pd.concat([qpv, _frame(neighbours, _WANTED[_NEIGHBOURS])], ignore_index=True)
    ground = whole = None
    around = 0.0
    if territory.genre != "france" and len(tables["communes"].rows):
        shapes = projected(tables["communes"].shapes, territory.epsg).to_numpy()
        area, around = known_ground(shapes, neighbours=neighbours is not None)
        ground = gpd.GeoSeries([area], crs=territory.epsg)
        whole = gpd.GeoSeries([shapely.union_all(shapes)], crs=territory.epsg)
    return KnownQpv(
        qpv,
        ground,
        around,
        bands is not None,
        whole,
        tables[_GEOGRAPHIES].rows if dated else None,
        _generalised(tables),
        {
            name: _frame(tables[name], tables[name].fields)
            for name in dict.fromkeys([*(spec.layer for spec in layers), *former])
            if name in tables and tables[name].epsg
        },
    )


def _generalised(tables: Mapping[str, StoredTable]) -> bool:
    if _SOURCES not in tables:
        return False
    rows = tables[_SOURCES].rows
    read = rows.loc[rows["etat"] == "lue", ["source", "origine", "fichier"]]
    return any(map(is_generalised, *(read[name] for name in read)))


def _read(path: Path, needed: Collection[str], names: Collection[str]) -> dict[str, StoredTable]:
    """Read the layers that exist, of which some are needed."""
    try:
        tables = read_geopackage(path, names)
    except PublicationError as error:
        raise PublicationError(f"{error}; refresh the territory") from error
    missing = [name for name in needed if name not in tables]
    missing += [
        f"{name}.{field}"
        for name in _WANTED.keys() & tables.keys()
        for field in (*_WANTED[name], GEOMETRY_COLUMN)
        if field not in tables[name].rows
    ]
    if missing:
        raise PublicationError(f"{path}: lacks {', '.join(missing)}; refresh the territory")
    return tables


def _frame(table: StoredTable, fields: Sequence[str]) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame({field: table.rows[field].tolist() for field in fields}, geometry=table.shapes)
