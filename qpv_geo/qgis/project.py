"""The QGIS project beside the GeoPackage: groups, order, styles, base maps, relations, atlas."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyproj
import shapely

from qpv_geo.formats.base import Bounds, Content, rounded_bounds
from qpv_geo.formats.geopackage import geopackage_name
from qpv_geo.qgis.atlas import AtlasPages, LayerRef, atlas_pages
from qpv_geo.qgis.cartography import Cartography, load_cartography
from qpv_geo.qgis.health_atlas import health_atlas
from qpv_geo.qgis.metadata import add_metadata
from qpv_geo.qgis.styles import Style, add_styles, build_styles
from qpv_geo.qgis.templating import fill
from qpv_geo.territory import Territory
from qpv_geo.zones import METROPOLE

# Where layers are in degrees, the map is drawn in the CRS of web maps, which shows all of France as it looks.
_WEB_MERCATOR = 3857
# GRS 80, on which all official CRS of France stand, and that of WGS 84.
_GRS80, _WGS84 = "EPSG:7019", "EPSG:7030"

# The only moment that a zip can carry without saying anything about a clock.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_TABLES = "Tables"


@dataclass(frozen=True)
class ProjectLayer(LayerRef):
    """A layer or table of the GeoPackage in the project; `bounds` is None where there is nothing to draw."""

    abstract: str
    style: Style
    spatial: bool
    bounds: Bounds | None
    visible: bool
    provider: str = "ogr"


@dataclass(frozen=True)
class TileLayer(LayerRef):
    """A base map."""

    attribution: str
    provider: str = "wms"


@dataclass(frozen=True)
class Branch:
    """A group of the layer tree."""

    title: str
    expanded: bool
    layers: tuple[ProjectLayer, ...]


@dataclass(frozen=True)
class Relation:
    """Rows of a table that belong to a QPV, by its code."""

    id: str
    title: str
    referenced: str
    referencing: str
    field: str


def write_qgis(folder: Path, content: Content) -> None:
    """Write styles and metadata into the GeoPackage of a release, and a project beside it."""
    package = folder / geopackage_name(content.spec.territory.id)
    add_styles(package, content)
    add_metadata(package, content)
    write_project(folder, content)


def write_project(folder: Path, content: Content) -> Path:
    """Write the project of a release beside its GeoPackage, which it names by a relative path."""
    path = folder / f"qpv_{content.spec.territory.id}.qgz"
    entry = zipfile.ZipInfo(f"{path.stem}.qgs", _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, fill("project.qgs", **_values(content)))
    return path


def _values(content: Content) -> dict[str, Any]:
    """Return what ``project.qgs`` draws from: `epsg` is the CRS of the map, `view` what it shows at first."""
    look = load_cartography()
    members = {name: _member(name, style, content, look) for name, style in build_styles(content).items()}
    groups = _groups(members, look)
    projected = content.crs.is_projected
    return {
        "content": content,
        "epsg": content.epsg if projected else _WEB_MERCATOR,
        # Lengths and areas are measured on it.
        "ellipsoid": _GRS80 if projected else _WGS84,
        "view": _view(content),
        "scales": look.scales,
        "groups": groups,
        "members": members,
        "layers": tuple(layer for group in groups for layer in group.layers),
        "base_title": look.base_map.title,
        "base": _base(content.spec.territory, look),
        "relations": _relations(members),
        "themes": _themes(members, look),
        "bookmarks": _bookmarks(content),
        # Pages need metres.
        "atlases": _atlases(members, content, look) if projected else (),
    }


def _atlases(members: Mapping[str, ProjectLayer], content: Content, look: Cartography) -> list[AtlasPages]:
    pages = atlas_pages(members, content, look), health_atlas(members, content, look)
    return [each for each in pages if each]


def _member(name: str, style: Style, content: Content, look: Cartography) -> ProjectLayer:
    drawn = content.is_drawn(name)
    return ProjectLayer(
        id=_id(content.spec.territory, name),
        name=name,
        title=style.title,
        source=f"./{geopackage_name(content.spec.territory.id)}|layername={name}",
        abstract=content.layers[name].abstract,
        style=style,
        spatial=content.spatial(name) is not None,
        bounds=content.bounds(name) if drawn else None,
        visible=drawn and look.layers[name].visible,
    )


def _id(territory: Territory, name: str) -> str:
    # QGIS 3.22 drops ids of ten characters or fewer: the prefix alone has eight.
    return f"qpv_geo_{territory.id.replace('-', '_')}_{name}"


def _view(content: Content) -> Bounds:
    """Return the bounds of the QPV with a tenth of their size, and half a kilometre, around them.

    In degrees, those of metropolitan France: a map of France and its overseas territories shows the sea.
    """
    if content.crs.is_projected:
        bounds = content.bounds("qpv")
    else:
        to_map = pyproj.Transformer.from_crs(content.crs, _WEB_MERCATOR, always_xy=True)
        bounds = rounded_bounds(to_map.transform_bounds(*METROPOLE.bounds))
    west, south, east, north = bounds
    x, y = (east - west) / 10 + 500, (north - south) / 10 + 500
    return rounded_bounds([west - x, south - y, east + x, north + y])


def _groups(members: Mapping[str, ProjectLayer], look: Cartography) -> tuple[Branch, ...]:
    """Return the groups that have a layer, and one of tables, in the order of the cartography.

    A spatial layer that this release has without any geometry is among the tables.
    """
    drawn = {name for name, layer in members.items() if layer.bounds}
    groups = [
        Branch(group.title, group.expanded, tuple(members[name] for name in group.layers if name in drawn))
        for group in look.groups
    ]
    tables = tuple(layer for name, layer in members.items() if name not in drawn)
    groups.append(Branch(_TABLES, expanded=False, layers=tables))
    return tuple(group for group in groups if group.layers)


def _base(territory: Territory, look: Cartography) -> tuple[TileLayer, ...]:
    """Return the base maps as XYZ tiles, which unlike WMTS layers ask nothing of the network to be opened."""
    return tuple(
        TileLayer(
            id=_id(territory, f"fond_{rank}"),
            name=f"fond_{rank}",
            title=tiles.title,
            source=f"type=xyz&url={quote(tiles.url, safe=':/?{}')}&zmin=0&zmax={tiles.zoom}",
            attribution=tiles.attribution,
        )
        for rank, tiles in enumerate(look.base_map.tiles, start=1)
    )


def _relations(members: Mapping[str, ProjectLayer]) -> dict[str, Relation]:
    """Relate to the QPV each layer and table whose rows carry its code, by its name."""
    relations = {}
    for name, layer in members.items():
        fields = {field.name for field in layer.style.fields}
        field = "code" if name == "statistiques" else "code_qp"
        if name not in {"qpv", "qpv_2015", "qpv_voisins"} and field in fields:
            relations[name] = Relation(f"{layer.id}_du_qpv", layer.title, members["qpv"].id, layer.id, field)
    return relations


def _themes(members: Mapping[str, ProjectLayer], look: Cartography) -> dict[str, list[ProjectLayer]]:
    """Return by title the layers that a theme shows together, top first, if this release has the first."""
    drawn = {name: layer for name, layer in members.items() if layer.bounds}
    return {
        theme.title: [drawn[name] for name in theme.layers if name in drawn]
        for theme in look.themes
        if theme.layers[0] in drawn
    }


def _bookmarks(content: Content) -> list[tuple[str, str, str]]:
    """Return code, name and extent (WKT, with a quarter of its size around) of each QPV, sorted by name."""
    qpv = content.frames["qpv"].sort_values(["lib_qp", "code_qp"])
    bounds = qpv.geometry.bounds.to_numpy()
    margins = (bounds[:, 2:] - bounds[:, :2]) / 4
    wide = np.round(np.hstack([bounds[:, :2] - margins, bounds[:, 2:] + margins]), 5)
    extents = shapely.to_wkt(shapely.box(*wide.T), rounding_precision=5, trim=True)
    return list(zip(qpv["code_qp"], qpv["lib_qp"], extents, strict=True))
