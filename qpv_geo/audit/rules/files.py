"""Rules about a release as a whole: its files, their checksums, what describes them."""

import csv
import io
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from qpv_geo.audit.rules.base import Rule
from qpv_geo.formats.descriptions import DESCRIPTOR, REPORT_JSON, checksum
from qpv_geo.formats.report_schema import Report

UNREADABLE = (OSError, ValueError, KeyError, TypeError, ValidationError)

_BOM = "\ufeff"


class Folder:
    """The folder of a release."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def descriptor(self) -> dict[str, Any]:
        """Content of ``datapackage.json``."""
        descriptor: dict[str, Any] = json.loads((self.path / DESCRIPTOR).read_text(encoding="utf-8"))
        return descriptor

    @cached_property
    def files(self) -> list[str]:
        """Paths of all files, relative, sorted; links are not followed."""
        return sorted(
            path.relative_to(self.path).as_posix() for path in self.path.rglob("*") if not path.is_dir()
        )

    def tables(self) -> Iterator[tuple[dict[str, Any], str]]:
        """Yield the resource and the text of each CSV file."""
        for resource in self.descriptor["resources"]:
            if resource["format"] == "csv":
                yield resource, (self.path / resource["path"]).read_bytes().decode("utf-8")


FolderRule = Rule[Folder]


class Checksums(FolderRule):
    """Each file that the descriptor lists is there, with the stated size and SHA-256."""

    code = "FILE01"

    def _problems(self, folder: Folder) -> Iterator[str]:
        for resource in folder.descriptor["resources"]:
            path = folder.path / resource["path"]
            if not path.is_file():
                yield f"{resource['path']} is missing"
            elif path.stat().st_size != resource["bytes"] or checksum(path) != resource["hash"]:
                yield f"{resource['path']} is not the file that was published (size or SHA-256 differ)"


class NothingElse(FolderRule):
    """There is no file that the descriptor does not list."""

    code = "FILE02"

    def _problems(self, folder: Folder) -> Iterator[str]:
        listed = {resource["path"] for resource in folder.descriptor["resources"]}
        for path in folder.files:
            if path != DESCRIPTOR and path not in listed:
                yield f"{path} is not part of the release"


class ReportSchema(FolderRule):
    """The report has its declared schema and speaks of this release."""

    code = "FILE03"

    def _problems(self, folder: Folder) -> Iterator[str]:
        report = Report.model_validate_json((folder.path / REPORT_JSON).read_bytes())
        if report.publication.id != folder.descriptor["version"]:
            yield f"the report is that of {report.publication.id}, not of {folder.descriptor['version']}"


class SameRows(FolderRule):
    """Each CSV file has the rows that the report counts in its layer, and each layer its CSV file."""

    code = "FILE04"

    def _problems(self, folder: Folder) -> Iterator[str]:
        report = Report.model_validate_json((folder.path / REPORT_JSON).read_bytes())
        counted = {layer.nom: layer.lignes for layer in report.couches}
        found = {
            resource["name"]: sum(1 for _ in csv.reader(io.StringIO(text, newline=""), delimiter=";")) - 1
            for resource, text in folder.tables()
        }
        for name in sorted(counted.keys() | found.keys()):
            if counted.get(name) != found.get(name):
                yield f"{name}: {counted.get(name)} rows in the report, {found.get(name)} in the CSV file"


class Spreadsheet(FolderRule):
    """Each CSV file begins with a byte order mark and has the columns of its schema, separated by ``;``."""

    code = "FILE05"

    def _problems(self, folder: Folder) -> Iterator[str]:
        for resource, text in folder.tables():
            header = next(csv.reader(io.StringIO(text.removeprefix(_BOM), newline=""), delimiter=";"), [])
            fields = [field["name"] for field in resource["schema"]["fields"]]
            if not text.startswith(_BOM):
                yield f"{resource['path']}: no byte order mark, Excel reads its accents wrong"
            if header != fields:
                yield f"{resource['path']}: columns {header}, schema {fields}"


class DataPackage(FolderRule):
    """Frictionless finds the descriptor and every row of every table valid (Data Package, Table Schema)."""

    code = "FILE06"
    slow = True

    def _problems(self, folder: Folder) -> Iterator[str]:
        import frictionless  # noqa: PLC0415 - a third of a second, and only this rule needs it

        if any(Path(resource["path"]).name == DESCRIPTOR for resource in folder.descriptor["resources"]):
            # Frictionless would read it as a package inside the package, without end.
            yield "the descriptor lists itself"
            return
        try:
            report = frictionless.validate(str(folder.path / DESCRIPTOR))
        except frictionless.FrictionlessException as error:
            yield f"frictionless cannot read the descriptor: {error}"
            return
        for fault in report.errors:
            yield fault.message
        for task in report.tasks:
            yield from (f"{task.place}: {fault.message}" for fault in task.errors)


RULES: tuple[FolderRule, ...] = (
    Checksums(),
    NothingElse(),
    ReportSchema(),
    SameRows(),
    Spreadsheet(),
    DataPackage(),
)
