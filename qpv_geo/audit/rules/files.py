"""Rules about a release as a whole: its files, their checksums, what describes them."""

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from qpv_geo.audit.readers import TextColumn, converted, read_cells
from qpv_geo.audit.rules.base import CheckedFile, named, rule
from qpv_geo.formats.csv import LINE_END, SEPARATOR
from qpv_geo.formats.datapackage import TYPES
from qpv_geo.formats.descriptions import CATALOGUE, DESCRIPTOR, REPORT_JSON, checksum
from qpv_geo.formats.fields import FieldType
from qpv_geo.formats.report_schema import Report

_BOM = "\ufeff"
KINDS = {name: kind for kind, name in TYPES.items()}
"""Types of fields by their names in a Table Schema."""

_Resource = Mapping[str, Any]


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
