"""``catalogue.jsonld``: the release as DCAT-AP 3.0, which portals of open and of spatial data read.

One catalogue of one dataset, with a distribution for each file that is there by then
(https://semiceu.github.io/DCAT-AP/releases/3.0.0/). Addresses are relative to the file; the base that the
contact declares makes them absolute. No other document is needed to read it.
"""

import json
import re
from pathlib import Path
from typing import Any

from qpv_geo.formats.base import UNDECLARED, Content, ReleaseSpec
from qpv_geo.formats.datapackage import licences_of, resources_of
from qpv_geo.formats.descriptions import CATALOGUE, REPORT_HTML
from qpv_geo.formats.provenance import attribution, present


def _french(text: str) -> dict[str, str]:
    return {"@language": "fr", "@value": text}


def _typed(name: str, text: str) -> dict[str, str]:
    return {"@type": f"xsd:{name}", "@value": text}


def _term(vocabulary: str, code: str, kind: str) -> dict[str, Any]:
    """Return a term of the vocabularies of the Publications Office of the EU, with its class."""
    return {"@id": f"http://publications.europa.eu/resource/authority/{vocabulary}/{code}", "@type": kind}


_CONTEXT = {
    "dcat": "http://www.w3.org/ns/dcat#",
    "dct": "http://purl.org/dc/terms/",
    "foaf": "http://xmlns.com/foaf/0.1/",
    "geo": "http://www.opengis.net/ont/geosparql#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "spdx": "http://spdx.org/rdf/terms#",
    "vcard": "http://www.w3.org/2006/vcard/ns#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
_DATASET = "#jeu-de-donnees"
_FRENCH = _term("language", "FRA", "dct:LinguisticSystem")
_THEMES = {"SOCI": "Population et société", "REGI": "Régions et villes"}
_KEYWORDS = (
    "quartier prioritaire",
    "politique de la ville",
    "QPV",
    "contrat de ville",
    "statistiques locales",
)
_INDEX = "portraits/index.html"
_REPORT_TYPES = {"html": "HTML", "json": "JSON"}
_YEAR = re.compile(r"(?:19|20)\d\d")
# Of a degree; the box is one step larger on each side, so that it holds everything.
_DECIMALS = 4


def write_dcat(folder: Path, content: Content) -> None:
    """Describe the files of a release for catalogues; its descriptor lists this file."""
    resources = resources_of(folder, content)
    document = {
        "@context": _context(content.spec),
        "@id": CATALOGUE,
        "@type": "dcat:Catalog",
        "dct:title": _french(f"Publications de {content.spec.contact.organisation} sur les QPV"),
        "dct:description": _french(f"{content.spec.title}. {content.spec.origin}"),
        "dct:language": _FRENCH,
        "dct:modified": _typed("date", f"{content.spec.newest}"),
        "dct:publisher": _publisher(content.spec),
        "dcat:dataset": _dataset(content, resources),
    }
    text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
    (folder / CATALOGUE).write_text(text, encoding="utf-8")


def _context(spec: ReleaseSpec) -> dict[str, str]:
    """Return the prefixes and, if it is declared, the address of the current release."""
    if not spec.contact.publications:
        return _CONTEXT
    return {"@base": f"{spec.contact.publications.rstrip('/')}/{spec.territory.id}/latest/"} | _CONTEXT


def _dataset(content: Content, resources: list[dict[str, Any]]) -> dict[str, Any]:
    spec = content.spec
    dataset: dict[str, Any] = {
        "@id": _DATASET,
        "@type": "dcat:Dataset",
        "dct:identifier": f"qpv-{spec.territory.id}",
        "dct:title": _french(spec.title),
        "dct:description": _french(f"Contours, indicateurs, communes et sources. {spec.origin}"),
        "dcat:keyword": [_french(word) for word in (*_KEYWORDS, spec.territory.nom)],
        "dcat:theme": [
            _term("data-theme", code, "skos:Concept") | {"skos:prefLabel": _french(label)}
            for code, label in _THEMES.items()
        ],
        "dcat:version": spec.id,
        "dct:accessRights": _term("access-right", "PUBLIC", "dct:RightsStatement"),
        "dct:accrualPeriodicity": _term("frequency", "IRREG", "dct:Frequency"),
        "dct:language": _FRENCH,
        "dct:modified": _typed("date", f"{spec.newest}"),
        "dct:provenance": [
            {
                "@type": "dct:ProvenanceStatement",
                "rdfs:label": _french(attribution(raw)),
                **({"rdfs:seeAlso": {"@id": raw.source.page}} if raw.source.page else {}),
            }
            for raw in present(spec.raws)
        ],
        "dct:publisher": _publisher(spec),
        "dct:spatial": _spatial(content),
        "dct:temporal": _temporal(content),
        "dcat:distribution": [_distribution(resource, spec) for resource in resources],
        "foaf:page": {"@id": REPORT_HTML, "@type": "foaf:Document"},
    }
    if spec.contact is not UNDECLARED:
        dataset["dcat:contactPoint"] = _contact_point(spec)
    if any(resource["path"] == _INDEX for resource in resources):
        dataset["dcat:landingPage"] = {"@id": _INDEX, "@type": "foaf:Document"}
    return dataset


def _distribution(resource: dict[str, Any], spec: ReleaseSpec) -> dict[str, Any]:
    types = _REPORT_TYPES | {written.kind: written.file_type for written in spec.formats}
    address = {"@id": resource["path"]}
    distribution = {
        "@id": f"#{resource['name']}",
        "@type": "dcat:Distribution",
        "dct:title": _french(resource["title"]),
        "dcat:accessURL": address,
        "dcat:downloadURL": address,
        "dcat:byteSize": _typed("nonNegativeInteger", f"{resource['bytes']}"),
        "dcat:mediaType": {
            "@id": f"http://www.iana.org/assignments/media-types/{resource['mediatype']}",
            "@type": "dct:MediaType",
        },
        "dct:license": _licence(spec),
        "dct:modified": _typed("date", f"{spec.newest}"),
        "spdx:checksum": {
            "@type": "spdx:Checksum",
            "spdx:algorithm": {
                "@id": "http://spdx.org/rdf/terms#checksumAlgorithm_sha256",
                "@type": "spdx:ChecksumAlgorithm",
            },
            "spdx:checksumValue": _typed("hexBinary", resource["hash"].removeprefix("sha256:")),
        },
    }
    if description := resource.get("description"):
        distribution["dct:description"] = _french(description)
    if file_type := types.get(resource["format"]):
        distribution["dct:format"] = _term("file-type", file_type, "dct:MediaTypeOrExtent")
    return distribution


def _licence(spec: ReleaseSpec) -> dict[str, Any]:
    """Return the licence of the sources; if they have several, one document that names all."""
    licences = licences_of(present(spec.raws))
    named = {
        "@type": "dct:LicenseDocument",
        "dct:title": _french(" ; ".join(one["title"] for one in licences)),
    }
    if len(licences) == 1:
        return {"@id": licences[0]["path"]} | named
    return named | {"rdfs:seeAlso": [{"@id": one["path"]} for one in licences]}


def _publisher(spec: ReleaseSpec) -> dict[str, Any]:
    publisher: dict[str, Any] = {
        "@id": "#organisme",
        "@type": "foaf:Agent",
        "foaf:name": _french(spec.contact.organisation),
    }
    if spec.contact.site:
        publisher["foaf:homepage"] = {"@id": spec.contact.site, "@type": "foaf:Document"}
    return publisher


def _contact_point(spec: ReleaseSpec) -> dict[str, Any]:
    contact = spec.contact
    point: dict[str, Any] = {
        "@id": "#contact",
        "@type": "vcard:Kind",
        "vcard:fn": contact.service or contact.organisation,
        "vcard:organization-name": contact.organisation,
    }
    if contact.courriel:
        point["vcard:hasEmail"] = {"@id": f"mailto:{contact.courriel}"}
    if contact.site:
        point["vcard:hasURL"] = {"@id": contact.site}
    return point


def _spatial(content: Content) -> dict[str, Any]:
    """Return the territory by name and official code, and the box in WGS84 around its layers."""
    territory = content.spec.territory
    place: dict[str, Any] = {
        "@type": "dct:Location",
        "skos:prefLabel": _french(territory.nom),
        "dct:identifier": territory.code,
    }
    name = next(layer for layer in ("epci", "communes", "qpv") if content.is_drawn(layer))
    west, south, east, north = content.rounded[name].total_bounds
    step = 10.0**-_DECIMALS
    west, south, east, north = west - step, south - step, east + step, north + step
    corners = ((west, south), (east, south), (east, north), (west, north), (west, south))
    ring = ", ".join(f"{x:.{_DECIMALS}f} {y:.{_DECIMALS}f}" for x, y in corners)
    place["dcat:bbox"] = {"@type": "geo:wktLiteral", "@value": f"POLYGON(({ring}))"}
    return place


def _temporal(content: Content) -> dict[str, Any]:
    """Return the years that the vintages of the sources name, whole."""
    vintages = " ".join(content.sources_read["millesime"].dropna())
    years = sorted(_YEAR.findall(vintages)) or [f"{content.spec.newest.year}"]
    return {
        "@type": "dct:PeriodOfTime",
        "dcat:startDate": _typed("date", f"{years[0]}-01-01"),
        "dcat:endDate": _typed("date", f"{years[-1]}-12-31"),
    }
