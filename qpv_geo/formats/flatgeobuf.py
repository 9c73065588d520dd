"""One FlatGeobuf file per spatial layer, in the projected CRS of the GeoPackage."""

from pathlib import Path

import geopandas as gpd
import pyogrio.errors

from qpv_geo.errors import PublicationError
from qpv_geo.formats.base import Content
from qpv_geo.formats.ogr import write_layer


def write_flatgeobuf(folder: Path, content: Content) -> None:
    """Write ``<folder>/flatgeobuf/<layer>.fgb`` for each spatial layer, with its spatial index.

    The index puts features in the order of a Hilbert curve: rows are not in the order of the layer. A layer
    with a missing geometry has no index, which the format does not allow it.

    Raises
    ------
    PublicationError
        If a file cannot be written.
    """
    spec, folder = content.spec, folder / "flatgeobuf"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, frame in content.frames.items():
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
    except (
        pyogrio.errors.DataSourceError,
        pyogrio.errors.DataLayerError,
        pyogrio.errors.FeatureError,
        OSError,
    ) as error:
        raise PublicationError(
            f"{folder}: the FlatGeobuf files cannot be written ({error}); check the free space and the rights"
        ) from error
