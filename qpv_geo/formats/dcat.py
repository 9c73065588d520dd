"""``catalogue.jsonld``: the release as DCAT-AP 3.0, which portals of open and of spatial data read.

One catalogue of one dataset, with a distribution for each file that is there by then
(https://semiceu.github.io/DCAT-AP/releases/3.0.0/). Addresses are relative to the file; the base that the
contact declares makes them absolute. No other document is needed to read it.
"""

import json
import re
from pathlib import Path

from qpv_geo.formats.base import UNDECLARED, Content
from qpv_geo.formats.datapackage import licences_of, resources_of
from qpv_geo.formats.descriptions import CATALOGUE, REPORT_HTML
from qpv_geo.formats.provenance import attribution, present
from qpv_geo.templates import render

_INDEX = "portraits/index.html"
_REPORT_TYPES = {"html": "HTML", "json": "JSON"}
_YEAR = re.compile(r"(?:19|20)\d\d")
# Of a degree; the box is one step larger on each side, so that it holds everything.
_DECIMALS = 4


def write_dcat(folder: Path, content: Content) -> None:
    """Describe the files of a release for catalogues; its descriptor lists this file."""
    spec, contact, raws = content.spec, content.spec.contact, present(content.spec.raws)
    resources = resources_of(folder, content)
    address = (contact.publications or "").rstrip("/")
    # The years that the vintages of the sources name.
    years = sorted(_YEAR.findall(" ".join(content.sources_read["millesime"].dropna())))
    text = render(
        "qpv_geo.formats",
        CATALOGUE,
        catalogue=CATALOGUE,
        spec=spec,
        contact=contact,
        declared=contact is not UNDECLARED,
        base=f"{address}/{spec.territory.id}/latest/" if address else "",
        statements=[(attribution(raw), raw.source.page) for raw in raws],
        licences=licences_of(raws),
        box=_box(content),
        years=years or [f"{spec.newest.year}"],
        resources=resources,
        file_types=_REPORT_TYPES | {written.kind: written.file_type for written in spec.formats},
        report=REPORT_HTML,
        landing_page=_INDEX if any(resource["path"] == _INDEX for resource in resources) else "",
    )
    document = json.dumps(json.loads(text), ensure_ascii=False, indent=2) + "\n"
    (folder / CATALOGUE).write_text(document, encoding="utf-8")


def _box(content: Content) -> str:
    """Return the box in WGS84 around the territory's layers, as text."""
    name = next(layer for layer in ("epci", "communes", "qpv") if content.is_drawn(layer))
    west, south, east, north = content.rounded[name].total_bounds
    step = 10.0**-_DECIMALS
    west, south, east, north = west - step, south - step, east + step, north + step
    corners = ((west, south), (east, south), (east, north), (west, north), (west, south))
    ring = ", ".join(f"{x:.{_DECIMALS}f} {y:.{_DECIMALS}f}" for x, y in corners)
    return f"POLYGON(({ring}))"
