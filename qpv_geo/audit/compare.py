"""What was written against what was meant and against the raw files, value by value."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from shapely.geometry.base import BaseGeometry

from qpv_geo.audit.compare_contours import (
    compare_communes,
    compare_measures,
    compare_neighbours,
    compare_qpv,
)
from qpv_geo.audit.compare_correspondence import LAYER as CORRESPONDENCE
from qpv_geo.audit.compare_correspondence import compare_correspondence
from qpv_geo.audit.compare_figures import (
    compare_contract,
    compare_sources,
    compare_statistics,
    compare_statuses,
    compare_wide,
    latest_figures,
)
from qpv_geo.audit.differences import Difference
from qpv_geo.audit.originals import Originals
from qpv_geo.audit.readers import Reading, read_csv, read_geojson, read_geopackage
from qpv_geo.errors import PublicationError
from qpv_geo.formats.base import Content, ReleaseSpec
from qpv_geo.formats.fields import Layer
from qpv_geo.formats.frames import Frames, row_names
from qpv_geo.formats.geopackage import geopackage_name

_NAMED_AT_MOST = 20
_ROWS, _GEOMETRY = "number of rows", "geometry"


def compare_release(folder: Path, content: Content) -> None:
    """Read every file of a release back, without what wrote it, and compare each value.

    Twice: with the layers in memory, so that no writer changed anything; and with the raw files, read again
    by other means than ingestion, so that nothing got lost between the official file and the published one.
    Official vertices must be the published ones, reprojected (a micrometre; in GeoJSON a ten-millionth of a
    degree); repaired contours must follow the official lines and differ in area by what is recorded; each
    statistic must be what its raw cell says, and each absence must have its status.

    Raises
    ------
    PublicationError
        With file, layer, row, field, published and expected value of each difference.
    """
    files = read_back(folder, content)
    unlike = [
        difference
        for readings, meant in files
        for name, reading in readings.items()
        for difference in _compare_written(reading, meant[name], content.layers[name])
    ]
    differences = {difference.place: difference for difference in unlike}
    if not any(difference.field == _ROWS for difference in unlike):
        formats = [readings for readings, _ in files]
        codes = set(content.frames["statistiques"]["code"]) | set(content.frames["qpv"]["code_qp"])
        # What holds the very values of the layers in memory need not be compared with the raw files thrice.
        alike = not any(difference.field != _GEOMETRY for difference in unlike)
        spec = content.spec
        originals = Originals(spec.raws, codes, spec.settings)
        against_raw = _compare_raw(formats, originals, spec, alike=alike)
        differences |= {
            difference.place: difference for difference in compare_sources(spec.raws) + against_raw
        }
    if differences:
        raise PublicationError(_message(folder, list(differences.values())))


def read_back(folder: Path, content: Content) -> list[tuple[dict[str, Reading], Frames]]:
    """Return what each format holds, by layer, and what it should hold: GeoPackage, GeoJSON, CSV."""
    layers, frames, rounded = content.layers, content.frames, content.rounded
    geopackage = read_geopackage(
        folder / geopackage_name(content.spec.territory.id), [layers[name] for name in frames]
    )
    geojson = {name: read_geojson(folder / "geojson" / f"{name}.geojson", layers[name]) for name in rounded}
    tables = {name: read_csv(folder / "csv" / f"{name}.csv", layers[name]) for name in frames}
    return [(geopackage, frames), (geojson, rounded), (tables, frames)]


def _compare_raw(
    formats: list[dict[str, Reading]],
    originals: Originals,
    spec: ReleaseSpec,
    *,
    alike: bool,
) -> list[Difference]:
    """Compare with the raw files; of formats with attributes alike, others only if the first differs."""
    territory, registry = spec.territory, spec.registry
    figures = latest_figures(formats[0]["statistiques"].attributes)
    differences = [
        *compare_qpv(formats, originals, territory),
        *compare_communes(formats, originals, territory),
        *compare_neighbours(formats, originals, territory),
    ]
    for readings in formats:
        found = compare_measures(readings, territory)
        found += compare_statistics(readings, originals, registry)
        found += compare_statuses(readings)
        found += compare_wide(readings["qpv"], figures, registry)
        if "contrat_de_ville" in readings:
            found += compare_contract(readings["contrat_de_ville"], figures, territory)
        if CORRESPONDENCE in readings:
            codes = set(readings["qpv"].attributes["code_qp"])
            found += compare_correspondence(readings[CORRESPONDENCE], originals, codes)
        differences += found
        if alike and not found:
            break
    return differences


def _compare_written(reading: Reading, meant: pd.DataFrame, layer: Layer) -> list[Difference]:
    """Compare one layer of one file with the frame that it was written from, exactly."""
    file = reading.path.name
    if len(reading.attributes) != len(meant):
        return [Difference(file, layer.name, "", _ROWS, len(reading.attributes), len(meant))]
    differences = []
    # A plain table: a GeoDataFrame looks for geometries at each column that it gives.
    table = pd.DataFrame(meant)
    for field in layer.fields:
        published, expected = reading.attributes[field], table[field]
        if published.equals(expected):
            continue
        equal = (published.isna() & expected.isna()) | (published == expected).fillna(value=False)
        rows = np.flatnonzero(~equal)
        differences += [
            Difference(file, layer.name, name, field, published.iloc[row], expected.iloc[row])
            for row, name in zip(rows, row_names(meant.iloc[rows], layer.key), strict=True)
        ]
    if isinstance(meant, gpd.GeoDataFrame) and reading.geometry is not None:
        shapes, wanted = reading.geometry, meant.geometry.to_numpy()
        same = shapely.equals_identical(shapes, wanted) | (
            shapely.is_missing(shapes) & shapely.is_missing(wanted)
        )
        rows = np.flatnonzero(~same)
        differences += [
            Difference(file, layer.name, name, _GEOMETRY, _shown(shapes[row]), _shown(wanted[row]))
            for row, name in zip(rows, row_names(meant.iloc[rows], layer.key), strict=True)
        ]
    return differences


def _shown(geometry: BaseGeometry | None) -> str:
    return "none" if geometry is None else str(shapely.to_wkt(geometry, rounding_precision=7))[:80]


def _message(folder: Path, differences: list[Difference]) -> str:
    lines = [f"- {difference}" for difference in differences[:_NAMED_AT_MOST]]
    if len(differences) > _NAMED_AT_MOST:
        lines.append(f"- and {len(differences) - _NAMED_AT_MOST} more")
    return (
        f"{folder.name}: nothing is published, what was written is not what was read ({len(differences)} "
        "differences). Run again; if it stays so, this is an error of qpv-geo to report with this message:\n"
        + "\n".join(lines)
    )
