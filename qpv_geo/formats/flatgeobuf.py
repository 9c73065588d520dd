"""One FlatGeobuf file per spatial layer, in the projected CRS of the GeoPackage."""

from collections.abc import Mapping
from pathlib import Path

import geopandas as gpd
import pyogrio.errors

from qpv_geo.errors import PublicationError
from qpv_geo.formats.fields import Layer
from qpv_geo.formats.frames import Frames
from qpv_geo.formats.ogr import write_layer


def write_flatgeobuf(
    folder: Path, frames: Frames, layers: Mapping[str, Layer], *, epsg: int, origin: str
) -> list[Path]:
    """Write ``<folder>/<layer>.fgb`` for each spatial layer, with its spatial index.

    The index puts features in the order of a Hilbert curve: rows are not in the order of the layer. A layer
    with a missing geometry has no index, which the format does not allow it.

    Parameters
    ----------
    folder
        Created here.
    frames
        As `frames.conform` returns them; spatial layers in ``EPSG:<epsg>``.
    layers
        Their declarations.
    epsg
        Projected CRS of the territory.
    origin
        French sentence that says where the data come from; it ends the description of each layer.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    PublicationError
        If a file cannot be written.
    """
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, frame in frames.items():
            if not isinstance(frame, gpd.GeoDataFrame):
                continue
            written.append(folder / f"{name}.fgb")
            write_layer(
                written[-1],
                frame,
                layers[name],
                driver="FlatGeobuf",
                crs=f"EPSG:{epsg}",
                layer_options={
                    "SPATIAL_INDEX": "NO" if frame.geometry.isna().any() else "YES",
                    "TITLE": layers[name].title,
                    "DESCRIPTION": f"{layers[name].abstract} {origin}",
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
    return written
