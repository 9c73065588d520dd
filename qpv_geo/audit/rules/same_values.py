"""The rule that the formats of a release say the same."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import shapely

from qpv_geo.audit.geopackage import StoredTable, read_geopackage
from qpv_geo.audit.readers import TextColumn, converted
from qpv_geo.audit.rules.base import named, rule
from qpv_geo.audit.rules.files import KINDS, Folder
from qpv_geo.audit.shapes import Geometries, parse_geojson, polygons_of
from qpv_geo.formats.fields import GEOMETRY_COLUMN, FieldType

_WGS84 = 4326
# Half a metre in degrees: GeoJSON is rounded to a tenth of one, and where that folds a contour, what is
# narrower may go.
_NEAR = 5e-6


@rule("FILE08", slow=True)
def same_values(folder: Folder) -> Iterator[str]:
    """GeoPackage, CSV and GeoJSON hold the same rows, values and contours, layer by layer."""
    packages = [each["path"] for each in folder.descriptor["resources"] if each["format"] == "gpkg"]
    stored = {name: table for path in packages for name, table in read_geopackage(folder.path / path).items()}
    tables = dict[str, StoredTable]()
    for resource, columns in folder.tables():
        name, fields = resource["name"], resource["schema"]["fields"]
        if name not in stored:
            yield f"{resource['path']}: the GeoPackage has no layer {name}"
            continue
        tables[name] = stored[name]
        kinds = {field["name"]: KINDS[field["type"]] for field in fields}
        rows = {field: _cells(columns[field], kind) for field, kind in kinds.items()}
        yield from _unlike(resource["path"], stored[name], rows, kinds)
    for resource in folder.descriptor["resources"]:
        if resource["format"] == "geojson":
            name = resource["path"].rpartition("/")[2].removesuffix(".geojson")
            features = parse_geojson((folder.path / resource["path"]).read_bytes())["features"]
            kinds = folder.kinds(name)
            rows = {field: [feature["properties"][field] for feature in features] for field in kinds}
            yield from _unlike(resource["path"], tables[name], rows, kinds)
            yield from _far(resource["path"], tables[name], [feature["geometry"] for feature in features])


def _cells(column: TextColumn, kind: FieldType) -> list[Any]:
    values = converted(column.texts, kind)
    return [values[place] for place in column.places.tolist()]


def _unlike(
    path: str, table: StoredTable, rows: Mapping[str, Sequence[Any]], kinds: Mapping[str, FieldType]
) -> Iterator[str]:
    for field, kind in kinds.items():
        one, other = (_plain(values, kind) for values in (table.rows[field].tolist(), rows[field]))
        if len(one) != len(other):
            yield f"{path}: {len(other)} rows, {len(one)} in the GeoPackage"
            return
        if one != other:
            places = [row for row, (a, b) in enumerate(zip(one, other, strict=True), 1) if a != b]
            yield f"{path}: field {field} is not that of the GeoPackage in rows {named(places)}"


def _plain(values: Sequence[Any], kind: FieldType) -> list[Any]:
    """Return values of any format as comparable ones."""
    if kind == "datetime":
        moments = pd.to_datetime(pd.Series(values, dtype=object), format="ISO8601", utc=True)
        return [None if pd.isna(moment) else moment for moment in moments]
    if kind == "boolean":
        return [None if value is None else bool(value) for value in values]
    return list(values)


def _far(path: str, table: StoredTable, geometries: Sequence[dict[str, Any] | None]) -> Iterator[str]:
    if GEOMETRY_COLUMN not in table.rows or len(geometries) != len(table.rows):
        return
    drawn = table.shapes.to_crs(_WGS84).to_numpy()
    written = polygons_of(geometries)
    absent = shapely.is_missing(drawn) & shapely.is_missing(written)
    alike = shapely.equals_exact(shapely.normalize(drawn), shapely.normalize(written), tolerance=_NEAR)
    others = np.flatnonzero(~alike & ~absent)
    # A missing one has no distance, which is not near.
    others = others[~(shapely.hausdorff_distance(drawn[others], written[others]) <= _NEAR)]
    # One that is absent covers nothing: GeoJSON leaves out what is thinner than its grid.
    differences = shapely.symmetric_difference(_covered(drawn[others]), _covered(written[others]))
    far = others[~shapely.is_empty(shapely.buffer(differences, -_NEAR / 2))]
    if len(far):
        yield f"{path}: contours that are not those of the GeoPackage, in rows {named(far + 1)}"


def _covered(shapes: Geometries) -> Geometries:
    """Return shapes, an empty one in place of each that is missing."""
    covered = shapes.copy()
    covered[shapely.is_missing(shapes)] = shapely.Polygon()
    return covered
