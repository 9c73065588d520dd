"""One FlatGeobuf file per spatial layer, in the projected CRS of the GeoPackage."""

from pathlib import Path

import geopandas as gpd

from qpv_geo.formats.base import Content
from qpv_geo.formats.ogr import write_layer


def write_flatgeobuf(folder: Path, content: Content) -> None:
    """Write ``<folder>/flatgeobuf/<layer>.fgb`` for each spatial layer, with its spatial index.

    The index puts features in the order of a Hilbert curve: rows are not in the order of the layer. A layer
    with a missing geometry has no index, which the format does not allow it.
    """
    spec, folder = content.spec, folder / "flatgeobuf"
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in content.shared.items():
        if not isinstance(frame, gpd.GeoDataFrame):
            continue
        layer = content.layers[name]
        write_layer(
            folder / f"{name}.fgb",
            frame,
            layer,
            driver="FlatGeobuf",
            crs=f"EPSG:{spec.territory.published_epsg}",
            layer_options={
                "SPATIAL_INDEX": "NO" if frame.geometry.isna().any() else "YES",
                "TITLE": layer.title,
                "DESCRIPTION": f"{layer.abstract} {spec.origin}",
            },
        )
