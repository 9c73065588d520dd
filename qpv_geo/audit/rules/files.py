"""Rules about a release as a whole: its files, their checksums, their descriptions, their agreement."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import shapely

from qpv_geo.audit.geopackage import StoredTable, read_geopackage
from qpv_geo.audit.readers import TextColumn, converted, read_cells
from qpv_geo.audit.rules.base import CheckedFile, named, rule
from qpv_geo.audit.shapes import Geometries, parse_geojson, shapes_of
from qpv_geo.formats.csv import LINE_END, SEPARATOR
from qpv_geo.formats.datapackage import TYPES
from qpv_geo.formats.descriptions import CATALOGUE, DESCRIPTOR, REPORT_JSON, checksum
from qpv_geo.formats.fields import GEOMETRY_COLUMN, FieldType
from qpv_geo.formats.report_schema import Report

_BOM = "\ufeff"
KINDS = {name: kind for kind, name in TYPES.items()}
"""Types of fields by their names in a Table Schema."""

_Resource = Mapping[str, Any]
_WGS84 = 4326
# Half a metre in degrees: GeoJSON is rounded to a tenth of one, and where that folds a contour, what is
# narrower may go.
_NEAR = 5e-6


class Folder(CheckedFile):
    """The folder of a release."""

    @cached_property
    def descriptor(self) -> dict[str, Any]:
        """Content of ``datapackage.json``."""
        descriptor: dict[str, Any] = json.loads((self.path / DESCRIPTOR).read_text(encoding="utf-8"))
        return descriptor

    @cached_property
    def catalogue(self) -> dict[str, Any]:
        """Content of ``catalogue.jsonld``."""
        catalogue: dict[str, Any] = json.loads((self.path / CATALOGUE).read_text(encoding="utf-8"))
        return catalogue

    @cached_property
    def files(self) -> list[str]:
        """Paths of all files and links, relative, sorted; links are not followed."""
        return sorted(
            path.relative_to(self.path).as_posix()
            for path in self.path.rglob("*")
            if path.is_symlink() or not path.is_dir()
        )

    @cached_property
    def report(self) -> Report:
        """Content of ``rapport.json``."""
        return Report.model_validate_json((self.path / REPORT_JSON).read_bytes())

    def tables(self, first: int | None = None) -> Iterator[tuple[_Resource, dict[str, TextColumn]]]:
        """Yield the resource and the columns, or only the first of them, of each CSV file."""
        for resource in self.descriptor["resources"]:
            if resource.get("format") == "csv":
                yield resource, read_cells(self.path / resource["path"], first)

    def kinds(self, name: str) -> dict[str, FieldType]:
        """Return the types of the fields of a layer, as its CSV file declares them."""
        return next(
            {field["name"]: KINDS[field["type"]] for field in resource["schema"]["fields"]}
            for resource in self.descriptor["resources"]
            if resource["name"] == name
        )


@rule("FILE01")
def checksums(folder: Folder) -> Iterator[str]:
    """Each file that the descriptor lists is there, with the stated size and SHA-256."""
    for resource in folder.descriptor["resources"]:
        path = folder.path / resource["path"]
        if path.is_symlink():
            yield f"{resource['path']} is a link, not the file that was published"
        elif not path.is_file():
            yield f"{resource['path']} is missing"
        elif path.stat().st_size != resource["bytes"] or checksum(path) != resource["hash"]:
            yield f"{resource['path']} is not the file that was published (size or SHA-256 differ)"


@rule("FILE02")
def nothing_else(folder: Folder) -> Iterator[str]:
    """There is no file, link or folder that the descriptor does not list."""
    listed = {resource["path"] for resource in folder.descriptor["resources"]} | {DESCRIPTOR}
    folders = {parent.as_posix() for path in listed for parent in PurePosixPath(path).parents}
    there = (path.relative_to(folder.path).as_posix() for path in folder.path.rglob("*") if path.is_dir())
    for path in (*folder.files, *sorted(set(there) - folders - {*folder.files})):
        if path not in listed:
            yield f"{path} is not part of the release"


@rule("FILE03")
def report_schema(folder: Folder) -> Iterator[str]:
    """The report has its declared schema and speaks of this release."""
    if folder.report.publication.id != folder.descriptor["version"]:
        yield f"the report is that of {folder.report.publication.id}, not of {folder.descriptor['version']}"


@rule("FILE04")
def same_rows(folder: Folder) -> Iterator[str]:
    """Each CSV file has the rows that the report counts in its layer, and each layer its CSV file.

    Layers that are there to be drawn are in the GeoPackage alone.
    """
    counted = {layer.nom: layer.lignes for layer in folder.report.couches if not layer.geopackage_seul}
    there = {
        resource["name"]: len(key.places)
        for resource, columns in folder.tables(1)
        for key in columns.values()
    }
    for name in sorted(counted.keys() | there.keys()):
        if counted.get(name) != there.get(name):
            yield f"{name}: {counted.get(name)} rows in the report, {there.get(name)} in the CSV file"


@rule("FILE05")
def spreadsheet(folder: Folder) -> Iterator[str]:
    """Each CSV file begins with a byte order mark and has the columns of its schema, separated by ``;``."""
    for resource in folder.descriptor["resources"]:
        if resource["format"] == "csv":
            with (folder.path / resource["path"]).open(encoding="utf-8", newline="") as stream:
                line = stream.readline().removesuffix(LINE_END)
            header = line.removeprefix(_BOM).split(SEPARATOR)
            fields = [field["name"] for field in resource["schema"]["fields"]]
            if not line.startswith(_BOM):
                yield f"{resource['path']}: no byte order mark, Excel reads its accents wrong"
            if header != fields:
                yield f"{resource['path']}: columns {header}, schema {fields}"


@rule("FILE06", slow=True)
def data_package(folder: Folder) -> Iterator[str]:
    """The descriptor is a Data Package, and each CSV file holds what its schema says (Table Schema).

    Every cell is of the type of its field; each row has the primary key, and no two rows the same.
    """
    profile, resources = folder.descriptor["profile"], folder.descriptor["resources"]
    if profile != "data-package":
        yield f"its profile is {profile!r}, not 'data-package'"
    for key in ("name", "path"):
        values = [resource[key] for resource in resources]
        if repeated := sorted({value for value in values if values.count(value) > 1}):
            yield f"several resources have {key} {named(repeated)}"
    for path in (PurePosixPath(resource["path"]) for resource in resources):
        if path.is_absolute() or ".." in path.parts:
            yield f"{path} leads out of the release"
    if DESCRIPTOR in {resource["path"] for resource in resources}:
        yield "the descriptor lists itself"
    for resource, columns in folder.tables():
        for problem in _schema_problems(resource["schema"], columns):
            yield f"{resource['path']}: {problem}"


@rule("FILE07")
def catalogue_entries(folder: Folder) -> Iterator[str]:
    """The DCAT-AP catalogue, if there is one, has the files of the descriptor, with size and SHA-256."""
    if CATALOGUE not in folder.files:
        return
    described = {
        resource["path"]: (f"{resource['bytes']}", resource["hash"])
        for resource in folder.descriptor["resources"]
        if resource["path"] != CATALOGUE
    }
    catalogued = {
        entry["dcat:downloadURL"]["@id"]: (
            entry["dcat:byteSize"]["@value"],
            f"sha256:{entry['spdx:checksum']['spdx:checksumValue']['@value']}",
        )
        for entry in folder.catalogue["dcat:dataset"]["dcat:distribution"]
    }
    for path in sorted(described.keys() | catalogued.keys()):
        if described.get(path) != catalogued.get(path):
            yield f"{path}: {catalogued.get(path)} in the catalogue, {described.get(path)} in the descriptor"


def _schema_problems(schema: Mapping[str, Any], columns: Mapping[str, TextColumn]) -> Iterator[str]:
    names = [field["name"] for field in schema["fields"]]
    if list(columns) != names:
        yield f"columns {list(columns)}, schema {names}"
        return
    for field in schema["fields"]:
        cells, kind = columns[field["name"]], KINDS[field["type"]]
        strangers = [place for place, text in enumerate(cells.texts) if not _is_of_type(text, kind)]
        if strangers:
            # The header is row 1.
            rows = np.flatnonzero(np.isin(cells.places, strangers))
            listed = named(f"{cells.texts[cells.places[row]]!r} in row {row + 2}" for row in rows)
            yield f"field {field['name']}: expected {field['type']}, found {listed}"
    if key := [columns[name] for name in schema.get("primaryKey", ())]:
        places = pd.DataFrame({n: cells.places for n, cells in enumerate(key)})
        lacking = np.logical_or.reduce([cells.places == len(cells.texts) - 1 for cells in key])
        for problem, mask in (("lack", lacking), ("repeat", places.duplicated().to_numpy())):
            if mask.any():
                yield f"rows {named(np.flatnonzero(mask) + 2)} {problem} the key {schema['primaryKey']}"


def _is_of_type(text: str | None, kind: FieldType) -> bool:
    try:
        converted([text], kind)
    except ValueError:
        return False
    return True


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
    written = shapes_of(geometries)
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
