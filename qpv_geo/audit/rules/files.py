"""Rules about a release as a whole: its files, their checksums, their descriptions, their agreement."""

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from qpv_geo.audit.geopackage import read_geopackage
from qpv_geo.audit.mismatches import differing_rows
from qpv_geo.audit.readers import (
    WGS84,
    converted,
    read_cells,
    read_csv,
    read_geojson,
    written_layer,
)
from qpv_geo.audit.rules.base import CheckedFile, listed
from qpv_geo.audit.shapes import Geometries
from qpv_geo.formats.csv import LINE_END, SEPARATOR
from qpv_geo.formats.datapackage import TYPES
from qpv_geo.formats.descriptions import CATALOGUE, DESCRIPTOR, REPORT_JSON, checksum
from qpv_geo.formats.fields import GEOMETRY_COLUMN, FieldType, Layer, LayerField
from qpv_geo.formats.report_schema import Report

_BOM = "\ufeff"
KINDS = {name: kind for kind, name in TYPES.items()}
"""Types of fields by their names in a Table Schema."""

_Resource = Mapping[str, Any]
# Half a metre in degrees: GeoJSON is rounded to a tenth of one, and where that folds a contour, what is
# narrower may go.
_NEAR = 5e-6


class Folder(CheckedFile):
    """The folder of a release."""

    @cached_property
    def descriptor(self) -> dict[str, Any]:
        """Content of ``datapackage.json``."""
        return self.document(DESCRIPTOR)

    def document(self, name: str) -> dict[str, Any]:
        """Return the content of a JSON file."""
        document: dict[str, Any] = json.loads((self.path / name).read_text(encoding="utf-8"))
        return document

    def resources(self, kind: str | None = None) -> list[_Resource]:
        """Return what the descriptor lists, or the files of one format."""
        return [each for each in self.descriptor["resources"] if kind in (None, each.get("format"))]

    @cached_property
    def files(self) -> list[str]:
        """Paths of all files and links, relative, sorted; links are not followed."""
        return sorted(
            path.relative_to(self.path).as_posix()
            for path in self.path.rglob("*")
            if path.is_symlink() or not path.is_dir()
        )


@Folder.rule("FILE01")
def checksums(folder: Folder) -> Iterator[str]:
    """Each file that the descriptor lists is there, with the stated size and SHA-256."""
    for resource in folder.resources():
        path = folder.path / resource["path"]
        if path.is_symlink():
            yield f"{resource['path']} is a link, not the file that was published"
        elif not path.is_file():
            yield f"{resource['path']} is missing"
        elif path.stat().st_size != resource["bytes"] or checksum(path) != resource["hash"]:
            yield f"{resource['path']} is not the file that was published (size or SHA-256 differ)"


@Folder.rule("FILE02")
def nothing_else(folder: Folder) -> Iterator[str]:
    """There is no file, link or folder that the descriptor does not list."""
    known = {resource["path"] for resource in folder.resources()} | {DESCRIPTOR}
    folders = {parent.as_posix() for path in known for parent in PurePosixPath(path).parents}
    there = (path.relative_to(folder.path).as_posix() for path in folder.path.rglob("*") if path.is_dir())
    for path in (*folder.files, *sorted(set(there) - folders - {*folder.files})):
        if path not in known:
            yield f"{path} is not part of the release"


@Folder.rule("FILE03")
def report_schema(folder: Folder) -> Iterator[str]:
    """The report has its declared schema and speaks of this release."""
    report = Report.model_validate(folder.document(REPORT_JSON))
    if report.publication.id != folder.descriptor["version"]:
        yield f"the report is that of {report.publication.id}, not of {folder.descriptor['version']}"


@Folder.rule("FILE04")
def same_rows(folder: Folder) -> Iterator[str]:
    """Each CSV file has the rows that the report counts in its layer, and each layer its CSV file.

    Layers that are there to be drawn are in the GeoPackage alone.
    """
    report = Report.model_validate(folder.document(REPORT_JSON))
    counted = {layer.nom: layer.lignes for layer in report.couches if not layer.geopackage_seul}
    there = {
        resource["name"]: len(key)
        for resource in folder.resources("csv")
        for key in read_cells(folder.path / resource["path"], 1).values()
    }
    for name in sorted(counted.keys() | there.keys()):
        if counted.get(name) != there.get(name):
            yield f"{name}: {counted.get(name)} rows in the report, {there.get(name)} in the CSV file"


@Folder.rule("FILE05")
def spreadsheet(folder: Folder) -> Iterator[str]:
    """Each CSV file begins with a byte order mark and has the columns of its schema, separated by ``;``."""
    for resource in folder.resources("csv"):
        with (folder.path / resource["path"]).open(encoding="utf-8", newline="") as stream:
            line = stream.readline().removesuffix(LINE_END)
        header = line.removeprefix(_BOM).split(SEPARATOR)
        fields = [field["name"] for field in resource["schema"]["fields"]]
        if not line.startswith(_BOM):
            yield f"{resource['path']}: no byte order mark, Excel reads its accents wrong"
        if header != fields:
            yield f"{resource['path']}: columns {header}, schema {fields}"


@Folder.rule("FILE06", slow=True)
def data_package(folder: Folder) -> Iterator[str]:
    """The descriptor is a Data Package, and each CSV file holds what its schema says (Table Schema).

    Every cell is of the type of its field; each row has the primary key, and no two rows the same.
    """
    profile, resources = folder.descriptor["profile"], folder.resources()
    if profile != "data-package":
        yield f"its profile is {profile!r}, not 'data-package'"
    for key in ("name", "path"):
        values = [resource[key] for resource in resources]
        repeated = sorted({value for value in values if values.count(value) > 1})
        yield from listed(f"several resources have {key}", repeated)
    for path in (PurePosixPath(resource["path"]) for resource in resources):
        if path.is_absolute() or ".." in path.parts:
            yield f"{path} leads out of the release"
    if DESCRIPTOR in {resource["path"] for resource in resources}:
        yield "the descriptor lists itself"
    for resource in folder.resources("csv"):
        cells = read_cells(folder.path / resource["path"])
        table = pd.DataFrame({name: column.to_pandas() for name, column in cells.items()})
        for problem in _schema_problems(resource["schema"], table):
            yield f"{resource['path']}: {problem}"


@Folder.rule("FILE07")
def catalogue_entries(folder: Folder) -> Iterator[str]:
    """The DCAT-AP catalogue, if there is one, has the files of the descriptor, with size and SHA-256."""
    if CATALOGUE not in folder.files:
        return
    described = {
        resource["path"]: (f"{resource['bytes']}", resource["hash"])
        for resource in folder.resources()
        if resource["path"] != CATALOGUE
    }
    catalogued = {
        entry["dcat:downloadURL"]["@id"]: (
            entry["dcat:byteSize"]["@value"],
            f"sha256:{entry['spdx:checksum']['spdx:checksumValue']['@value']}",
        )
        for entry in folder.document(CATALOGUE)["dcat:dataset"]["dcat:distribution"]
    }
    for path in sorted(described.keys() | catalogued.keys()):
        if described.get(path) != catalogued.get(path):
            yield f"{path}: {catalogued.get(path)} in the catalogue, {described.get(path)} in the descriptor"


def _schema_problems(schema: Mapping[str, Any], table: pd.DataFrame) -> Iterator[str]:
    names = [field["name"] for field in schema["fields"]]
    if list(table) != names:
        yield f"columns {list(table)}, schema {names}"
        return
    for field in schema["fields"]:
        cells, kind = table[field["name"]], KINDS[field["type"]]
        strangers = [text for text in cells.cat.categories if not _is_of_type(text, kind)]
        # The header is row 1.
        found = (f"{text!r} in row {row + 2}" for row, text in cells[cells.isin(strangers)].items())
        yield from listed(f"field {field['name']}: expected {field['type']}, found", found)
    if key := list(schema.get("primaryKey", ())):
        lacking = table[key].isna().any(axis="columns")
        for problem, mask in (("lack", lacking), ("repeat", table.duplicated(key))):
            for rows in listed("rows", np.flatnonzero(mask) + 2):
                yield f"{rows} {problem} the key {schema['primaryKey']}"


def _is_of_type(text: str, kind: FieldType) -> bool:
    try:
        converted([text], kind)
    except ValueError:
        return False
    return True


@Folder.rule("FILE08", slow=True)
def same_values(folder: Folder) -> Iterator[str]:
    """GeoPackage, CSV and GeoJSON hold the same rows, values and contours, layer by layer."""
    packages = [folder.path / each["path"] for each in folder.resources("gpkg")]
    stored = {name: (path, table) for path in packages for name, table in read_geopackage(path).items()}
    layers = {each["name"]: _layer(each) for each in folder.resources("csv")}
    files = [(each["path"], each["name"], read_csv) for each in folder.resources("csv")]
    drawn = [each["path"] for each in folder.resources("geojson")]
    files += [(path, PurePosixPath(path).stem, read_geojson) for path in drawn]
    for path, name, read in files:
        if name not in stored:
            yield f"{path}: the GeoPackage has no layer {name}"
            continue
        package, table = stored[name]
        one = written_layer(package, {name: table}, layers[name]).attributes
        other = read(folder.path / path, layers[name])
        if len(one) != len(other.attributes):
            yield f"{path}: {len(other.attributes)} rows, {len(one)} in the GeoPackage"
            continue
        for field in layers[name].fields:
            rows = differing_rows(one[field], other.attributes[field]) + 1
            yield from listed(f"{path}: field {field} is not that of the GeoPackage in rows", rows)
        if other.geometry is not None and GEOMETRY_COLUMN in table.rows:
            far = _far(table.shapes.to_crs(WGS84).to_numpy(), other.geometry) + 1
            yield from listed(f"{path}: contours that are not those of the GeoPackage, in rows", far)


def _layer(resource: _Resource) -> Layer:
    """Return a layer with the fields that its CSV file declares."""
    fields = {
        field["name"]: LayerField(type=KINDS[field["type"]], alias=field["name"])
        for field in resource["schema"]["fields"]
    }
    return Layer(name=resource["name"], title="", abstract="", key=(), fields=fields)


def _far(drawn: Geometries, written: Geometries) -> NDArray[np.intp]:
    """Return at which rows a contour is not near the one that was drawn."""
    absent = shapely.is_missing(drawn) & shapely.is_missing(written)
    alike = shapely.equals_exact(shapely.normalize(drawn), shapely.normalize(written), tolerance=_NEAR)
    others = np.flatnonzero(~alike & ~absent)
    # A missing one has no distance, which is not near.
    others = others[~(shapely.hausdorff_distance(drawn[others], written[others]) <= _NEAR)]
    # One that is absent covers nothing: GeoJSON leaves out what is thinner than its grid.
    differences = shapely.symmetric_difference(_covered(drawn[others]), _covered(written[others]))
    return others[~shapely.is_empty(shapely.buffer(differences, -_NEAR / 2))]


def _covered(shapes: Geometries) -> Geometries:
    """Return shapes, an empty one in place of each that is missing."""
    covered = shapes.copy()
    covered[shapely.is_missing(shapes)] = shapely.Polygon()
    return covered
