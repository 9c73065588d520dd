"""What was written against what was meant and against the raw files, value by value."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from qpv_geo.audit.compare_contours import compare_attributes, compare_shapes
from qpv_geo.audit.compare_figures import (
    compare_contract,
    compare_indicator_columns,
    compare_sources,
    compare_statistics,
    newest_figures,
)
from qpv_geo.audit.compare_tables import (
    compare_apl,
    compare_correspondence,
    compare_facilities,
    compare_finess,
)
from qpv_geo.audit.geopackage import StoredTable
from qpv_geo.audit.mismatches import Mismatch, WrittenLayer
from qpv_geo.audit.originals import Originals
from qpv_geo.audit.readers import read_csv, read_geojson, written_layer
from qpv_geo.errors import PublicationError
from qpv_geo.formats.base import Content
from qpv_geo.formats.fields import Layer
from qpv_geo.formats.frames import Frames, row_names
from qpv_geo.formats.geopackage import geopackage_name

_NAMED_AT_MOST = 20
_ROWS, _GEOMETRY = "number of rows", "geometry"


def compare_release(folder: Path, content: Content, tables: Mapping[str, StoredTable]) -> None:
    """Compare each value of a release, read back from every file without what wrote it.

    Twice: with the layers in memory, so that no writer changed anything; and, for all that a producer
    published, with the raw files, read again by other means than ingestion, so that nothing got lost between
    the official file and the release. Official vertices must be the published ones, reprojected (a
    micrometre; in GeoJSON a ten-millionth of a degree); repaired contours must follow the official lines and
    differ in area by what is recorded; each statistic must be what its raw cell says, and each absence must
    have its status. What is derived here is proven by tests.

    `tables` are those of the GeoPackage. Raises `PublicationError` with file, layer, row, field, published
    and expected value of each mismatch.
    """
    mismatches: list[Mismatch] = []
    formats = []
    for written, meant in _formats(folder, content, tables):
        formats.append(written)
        for name, layer in written.items():
            mismatches += _compare_written(layer, meant[name], content.layers[name])
    if all(mismatch.field != _ROWS for mismatch in mismatches):
        # What holds the very values of the layers in memory need not be compared with the raw files thrice.
        alike = all(mismatch.field == _GEOMETRY for mismatch in mismatches)
        mismatches += _compare_raw(formats, content, alike=alike)
    # A value is reported once, whatever it was compared with.
    places = {(each.file, each.layer, each.row, each.field): each for each in mismatches}
    if places:
        raise PublicationError(_message(folder, list(places.values())))


def _formats(
    folder: Path, content: Content, tables: Mapping[str, StoredTable]
) -> Iterator[tuple[dict[str, WrittenLayer], Frames]]:
    """Yield what the GeoPackage, GeoJSON and CSV hold, by layer, and what they should hold."""
    layers, frames, rounded = content.layers, content.frames, content.rounded
    package = folder / geopackage_name(content.spec.territory.id)
    yield {name: written_layer(package, tables, layers[name]) for name in frames}, frames
    drawn = {name: read_geojson(folder / "geojson" / f"{name}.geojson", layers[name]) for name in rounded}
    yield drawn, rounded
    shared = content.shared
    yield {name: read_csv(folder / "csv" / f"{name}.csv", layers[name]) for name in shared}, shared


def _compare_raw(formats: list[dict[str, WrittenLayer]], content: Content, *, alike: bool) -> list[Mismatch]:
    """Compare with the raw files; of formats with attributes alike, others only if the first differs."""
    spec, frames = content.spec, content.frames
    codes = {*frames["statistiques"]["code"], *frames["qpv"]["code_qp"], *frames["communes"]["insee_com"]}
    originals = Originals(spec.raws, codes, spec.settings)
    figures = newest_figures(formats[0]["statistiques"].attributes)
    mismatches = compare_sources(spec.raws) + compare_shapes(formats, originals)
    # The places are in the GeoPackage alone.
    mismatches += compare_facilities(formats[0], originals)
    # Its positions are in the territory's CRS.
    mismatches += compare_finess(formats[0], originals)
    for written in formats:
        unlike = compare_attributes(written, originals, spec.territory)
        unlike += compare_statistics(written, originals, spec.registry)
        unlike += compare_indicator_columns(written, figures, spec.registry)
        unlike += compare_contract(written, figures, spec.territory)
        unlike += compare_correspondence(written, originals)
        unlike += compare_apl(written, originals)
        mismatches += unlike
        if alike and not unlike:
            break
    return mismatches


def _compare_written(written: WrittenLayer, meant: pd.DataFrame, layer: Layer) -> list[Mismatch]:
    """Compare one layer of one file with the frame that it was written from, exactly."""
    if len(written.attributes) != len(meant):
        return [written.mismatch("", _ROWS, len(written.attributes), len(meant))]
    # A plain table: a GeoDataFrame looks for geometries at each column that it gives.
    table = pd.DataFrame(meant)
    mismatches = written.compare_columns(layer.key, {field: table[field] for field in layer.fields})
    if isinstance(meant, gpd.GeoDataFrame) and written.geometry is not None:
        shapes, wanted = written.geometry, meant.geometry.to_numpy()
        missing = shapely.is_missing(shapes) & shapely.is_missing(wanted)
        rows = np.flatnonzero(~(shapely.equals_identical(shapes, wanted) | missing))
        texts = (shapely.to_wkt(found[rows], rounding_precision=7) for found in (shapes, wanted))
        mismatches += [
            written.mismatch(name, _GEOMETRY, (one or "none")[:80], (other or "none")[:80])
            for name, one, other in zip(row_names(table.iloc[rows], layer.key), *texts, strict=True)
        ]
    return mismatches


def _message(folder: Path, mismatches: list[Mismatch]) -> str:
    lines = [f"- {mismatch}" for mismatch in mismatches[:_NAMED_AT_MOST]]
    if len(mismatches) > _NAMED_AT_MOST:
        lines.append(f"- and {len(mismatches) - _NAMED_AT_MOST} more")
    return (
        f"{folder.name}: nothing is published, what was written is not what was read; values that differ: "
        f"{len(mismatches)}. Run again; if it stays so, report this error of qpv-geo with this message:\n"
        + "\n".join(lines)
    )
