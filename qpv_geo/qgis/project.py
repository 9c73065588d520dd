"""The QGIS project beside the GeoPackage: groups, order, styles, base maps, relations, atlas."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely

from qpv_geo.formats.base import Bounds, Content, rounded_bounds
from qpv_geo.formats.geopackage import geopackage_name
from qpv_geo.qgis.atlas import BOTTOM, COLUMN, MAP, atlas_pages, fitted
from qpv_geo.qgis.cartography import load_cartography
from qpv_geo.qgis.health_atlas import health_atlas
from qpv_geo.qgis.metadata import add_metadata
from qpv_geo.qgis.styles import add_styles, layer_id, styled_layers
from qpv_geo.qgis.templating import fill
from qpv_geo.zones import METROPOLE

# Where layers are in degrees, the map is drawn in the CRS of web maps, which shows all of France as it looks.
_WEB_MERCATOR = 3857
# GRS 80, on which all official CRS of France stand, and that of WGS 84.
_GRS80, _WGS84 = "EPSG:7019", "EPSG:7030"

# The only moment that a zip can carry without saying anything about a clock.
_EPOCH = (1980, 1, 1, 0, 0, 0)


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
    look, layers = load_cartography(), styled_layers(content)
    projected = content.crs.is_projected
    # A spatial layer that this release has without any geometry is among the tables.
    drawn = [name for name in look.order if content.is_drawn(name)]
    tables = [name for name in layers if name not in drawn]
    return {
        "content": content,
        "look": look,
        "epsg": content.epsg if projected else _WEB_MERCATOR,
        # Lengths and areas are measured on it.
        "ellipsoid": _GRS80 if projected else _WGS84,
        "view": _view(content),
        "drawn": drawn,
        "tables": tables,
        "members": {name: layers[name] for name in (*drawn, *tables)},
        "base": {
            layer_id(content.spec.territory, f"fond_{rank}"): tiles
            for rank, tiles in enumerate(look.base_map.tiles, start=1)
        },
        "relations": _relations(content),
        "bookmarks": _bookmarks(content),
        # Pages need metres.
        "atlases": (atlas_pages(content, look), health_atlas(content, look)) if projected else (),
        "map_box": MAP,
        "map_view": fitted(content.bounds("qpv"), MAP.width / MAP.height),
        "column": COLUMN,
        "bottom": BOTTOM,
    }


def _relations(content: Content) -> dict[str, str]:
    """Return the field by which rows belong to a QPV, of each layer and table whose rows carry its code."""
    fields = {name: "code" if name == "statistiques" else "code_qp" for name in content.frames}
    return {
        name: field
        for name, field in fields.items()
        if name not in {"qpv", "qpv_2015", "qpv_voisins"} and field in content.layers[name].fields
    }


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


def _bookmarks(content: Content) -> list[tuple[str, str, str]]:
    """Return code, name and extent (WKT, with a quarter of its size around) of each QPV, sorted by name."""
    qpv = content.frames["qpv"].sort_values(["lib_qp", "code_qp"])
    bounds = qpv.geometry.bounds.to_numpy()
    margins = (bounds[:, 2:] - bounds[:, :2]) / 4
    wide = np.round(np.hstack([bounds[:, :2] - margins, bounds[:, 2:] + margins]), 5)
    extents = shapely.to_wkt(shapely.box(*wide.T), rounding_precision=5, trim=True)
    return list(zip(qpv["code_qp"], qpv["lib_qp"], extents, strict=True))
