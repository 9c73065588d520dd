"""``datapackage.json``: every file of a release with its checksum, every field, licence and source.

Data Package v1 (https://specs.frictionlessdata.io/data-package/): CSV files are *tabular data resources* with
dialect and schema, the other files plain ones. The package's own profile is ``data-package``: that of
``tabular-data-package`` wants every resource to be tabular.
"""

import json
from pathlib import Path
from typing import Any

from qpv_geo import __version__
from qpv_geo.formats.base import Content
from qpv_geo.formats.csv import DECIMAL, FALSE, LINE_END, SEPARATOR, TRUE
from qpv_geo.formats.descriptions import DESCRIPTOR, checksum
from qpv_geo.formats.fields import FieldType, Layer, LayerField
from qpv_geo.formats.provenance import attribution, present
from qpv_geo.sources.raw import RawFile

SOFTWARE = f"qpv-geo {__version__}"
# The report's files belong to no format that can be chosen.
_REPORT = {
    ".html": ("html", "text/html"),
    ".json": ("json", "application/json"),
    ".jsonld": ("jsonld", "application/ld+json"),
}
TYPES: dict[FieldType, str] = {
    "text": "string",
    "integer": "integer",
    "real": "number",
    "boolean": "boolean",
    "date": "date",
    "datetime": "datetime",
}
_LICENCE_NAMES = {"Licence Ouverte 2.0 (Etalab)": "etalab-2.0"}
_FORMULAS = (
    "Un texte qui commence par =, +, -, @, une tabulation ou un retour à la ligne est précédé d'une "
    "apostrophe, pour qu'un tableur ne l'exécute pas."
)


def write_datapackage(folder: Path, content: Content) -> None:
    """Describe every file of a release; written last."""
    spec = content.spec
    descriptor = {
        "profile": "data-package",
        "name": f"qpv-{spec.territory.id}",
        "title": spec.title,
        "description": spec.origin,
        "version": spec.id,
        "fingerprint": spec.fingerprint,
        "software": SOFTWARE,
        "licenses": licences_of(present(spec.raws)),
        "sources": [_source(raw) for raw in present(spec.raws)],
        "resources": resources_of(folder, content),
    }
    text = json.dumps(descriptor, ensure_ascii=False, indent=2) + "\n"
    (folder / DESCRIPTOR).write_text(text, encoding="utf-8")


def resources_of(folder: Path, content: Content) -> list[dict[str, Any]]:
    """Describe each file that a release has by now, sorted by path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != DESCRIPTOR)
    return [_resource(path, folder, content) for path in files]


def licences_of(raws: list[RawFile]) -> list[dict[str, str]]:
    """Return the distinct licences of the sources; one without a known name is ``other-open``."""
    urls = {raw.source.licence: raw.source.licence_url for raw in raws}
    return [
        {"name": _LICENCE_NAMES.get(title, "other-open"), "path": url, "title": title}
        for title, url in urls.items()
    ]


def _source(raw: RawFile) -> dict[str, str]:
    return {
        "title": attribution(raw),
        "path": raw.source.page,
        "id": raw.source.id,
        "origin": raw.origin,
        "vintage": raw.source.vintage,
        "date": f"{raw.date:%Y-%m-%d}",
        "file": raw.path.name,
        "sha256": raw.sha256,
        "licence": raw.source.licence,
    }


def _resource(path: Path, folder: Path, content: Content) -> dict[str, Any]:
    relative = path.relative_to(folder)
    kinds = _REPORT | {written.suffix: (written.kind, written.media_type) for written in content.spec.formats}
    kind, media_type = kinds[path.suffix]
    # A page about a table is not the table.
    layer = content.layers[path.stem] if path.stem in content.frames and kind != "html" else None
    resource: dict[str, Any] = {
        # Names are in lower case, codes of QPV are not.
        "name": (path.stem if kind == "csv" else f"{path.stem}-{kind}").lower(),
        "path": relative.as_posix(),
        "profile": "tabular-data-resource" if kind == "csv" else "data-resource",
        "title": layer.title if layer else path.name,
        "format": kind,
        "mediatype": media_type,
        "bytes": path.stat().st_size,
        "hash": checksum(path),
    }
    if layer:
        resource["description"] = layer.abstract
    if layer and kind == "csv":
        resource |= {
            "description": f"{layer.abstract} {_FORMULAS}",
            "encoding": "utf-8",
            "dialect": {
                "delimiter": SEPARATOR,
                "lineTerminator": LINE_END,
                "quoteChar": '"',
                "doubleQuote": True,
                "header": True,
                "caseSensitiveHeader": True,
            },
            "schema": _schema(layer),
        }
    return resource


def _schema(layer: Layer) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "fields": [_field(name, field) for name, field in layer.fields.items()],
        "missingValues": [""],
    }
    if not any(layer.fields[name].optional for name in layer.key):
        schema["primaryKey"] = list(layer.key)
    return schema


def _field(name: str, field: LayerField) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name, "type": TYPES[field.type], "title": field.alias}
    if field.comment:
        entry["description"] = field.comment
    if field.type == "real":
        entry |= {"decimalChar": DECIMAL, "bareNumber": True}
    if field.type == "boolean":
        entry |= {"trueValues": [TRUE], "falseValues": [FALSE]}
    return entry
