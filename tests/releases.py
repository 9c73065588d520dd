"""The bytes of published releases, and edits of them as somebody who wants to hide them makes them."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qpv_geo.formats.descriptions import checksum


def digests(folder: Path) -> dict[str, str]:
    """Return the checksum of each file below a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def edit_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a JSON file, which keeps its mode."""
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    mode = path.stat().st_mode
    path.chmod(mode | 0o200)
    path.write_text(json.dumps(document), encoding="utf-8")
    path.chmod(mode)


def sign(folder: Path) -> None:
    """Make what lists the files of a release agree with them."""

    def catalogue(document: dict[str, Any]) -> None:
        for entry in document["dcat:dataset"]["dcat:distribution"]:
            file = folder / entry["dcat:downloadURL"]["@id"]
            entry["dcat:byteSize"]["@value"] = f"{file.stat().st_size}"
            value = checksum(file).removeprefix("sha256:")
            entry["spdx:checksum"]["spdx:checksumValue"]["@value"] = value

    def agree(document: dict[str, Any]) -> None:
        for resource in document["resources"]:
            file = folder / resource["path"]
            resource["bytes"], resource["hash"] = file.stat().st_size, checksum(file)

    edit_json(folder / "catalogue.jsonld", catalogue)
    edit_json(folder / "datapackage.json", agree)
