"""Writing the pages of a release: portraits, health pages, and ``portraits/index.html``."""

import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import distribution
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from qpv_geo.formats.base import Content
from qpv_geo.formats.health import PLACES, TABLE, health_sources
from qpv_geo.formats.provenance import titles_by_origin
from qpv_geo.formats.summaries import Summaries, summaries_of
from qpv_geo.portraits.finder import finder_data
from qpv_geo.portraits.glossary import glossary
from qpv_geo.portraits.health_pages import HEALTH, health_pages, page_of
from qpv_geo.portraits.index_page import downloads_of, extracts_of, table_of
from qpv_geo.portraits.overview_map import coloured_classes, overviews_of
from qpv_geo.portraits.portrait import build_portrait
from qpv_geo.portraits.sections import Absence, Sections
from qpv_geo.portraits.synthesis import synthesis_of
from qpv_geo.portraits.territory_map import map_choices, map_data, map_origin, outlines
from qpv_geo.qgis.cartography import Cartography, Marker, load_cartography
from qpv_geo.sources.catalogue import TableName
from qpv_geo.sources.geocoder import SEARCH
from qpv_geo.statuses import SECRET
from qpv_geo.templates import render, secured
from qpv_geo.typography import typeset_markup

FOLDER, INDEX = "portraits", "index.html"

# Layers that a portrait shows where the release has them, and the table of sources that each needs.
_LAYERS: dict[str, tuple[str, TableName | None]] = {
    "bande_300m": ("Bande de 300 ou 500 m (TVA réduite)", None),
    "qpv_2015": ("Contours de 2015", "qpv_2015"),
    "evolution_2015_2024": ("Évolution du périmètre", "qpv_2015"),
    "iris": ("IRIS", "iris"),
    "equipements": ("Équipements", "facilities"),
    "fond_routes": ("Fond de plan", "base_map"),
}
_GROUPED = ("origine", "motif", "geographie", "licence", "licence_url")
# On paper, an indicator is a row: the QPV that a sheet of A4 holds side by side.
_PRINTED_QPV = 8
_NOT_COMPUTED = "couche que cette publication ne calcule pas"
_CONTENTS = "<!-- sommaire -->"
_HEADING = re.compile(r'<h2 id="([^"]+)">(.*?)</h2>')
_LEAFLET = "xstatic-leaflet"
_LEAFLET_FOLDER = "xstatic/pkg/leaflet/data"


def write_portraits(folder: Path, content: Content) -> None:
    """Write a portrait for each QPV, health pages and the index, into ``<folder>/portraits``.

    Each page is one HTML file that needs no other and asks the network for nothing. The index offers the
    files that are there by now, and the descriptor that is written last. A release in degrees has no pages:
    it is that of France, whose QPV are too many, in several CRS.
    """
    if not content.crs.is_projected:
        return
    spec, frames = content.spec, content.frames
    summaries = summaries_of(content)
    sections = Sections(content, summaries.figures)
    absences = {
        layer: Absence(title, sections.why_empty(table) if table else _NOT_COMPUTED)
        for layer, (title, table) in _LAYERS.items()
        if layer not in frames
    }
    common = {
        "release": spec,
        "territory": spec.territory,
        "contract": spec.territory.contrat,
        "sources": _sources(content.sources_read),
        "origins": titles_by_origin(spec.raws),
        "colours": colours_of(load_cartography()),
        "pictograms": pictograms_of(load_cartography()),
        "terms": glossary(),
    }
    index, extracts = _index(content, summaries), extracts_of(content)
    order = index["rows"]
    neighbours = {
        row["code"]: {"before": before, "after": after}
        for before, row, after in zip([None, *order[:-1]], order, [*order[1:], None], strict=True)
    }
    pages = {}
    of_health = {
        "pictograms": pictograms_of(load_cartography(), PLACES),
        "sources": _sources(health_sources(content)) if TABLE in frames else [],
    }
    for name, template, own in health_pages(content, summaries):
        code = own.get("code", "")
        near = neighbours.get(code, {}) | {"picture": _picture(folder, code or Path(INDEX).stem)}
        pages[name] = _render(template, common | of_health | near | own)
    _write(folder, pages)
    has_health = HEALTH in pages
    own = {"downloads": downloads_of(folder, content), "picture": _picture(folder, Path(INDEX).stem)}
    values = common | index | own | {"health": HEALTH if has_health else ""}
    pages = {INDEX: _render("index.html", values, connect=f"https://{urlsplit(SEARCH).netloc}")}
    for _, row in frames["qpv"].iterrows():
        portrait = build_portrait(row, content, summaries, sections, absences)
        code = row["code_qp"]
        own = {
            "portrait": portrait,
            "extract": extracts[code],
            "picture": _picture(folder, code),
            "health": page_of(code) if has_health else "",
        }
        pages[f"{code}.html"] = _render("portrait.html", common | neighbours[code] | own)
    _write(folder, pages)


def _write(folder: Path, pages: Mapping[str, str]) -> None:
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    for name, page in pages.items():
        (folder / FOLDER / name).write_text(page, encoding="utf-8", newline="\n")


def _picture(folder: Path, stem: str) -> str:
    """Return the picture that stands for a page where it is shared, beside it; empty without."""
    name = f"{stem}.png"
    return name if (folder / FOLDER / name).is_file() else ""


def _index(content: Content, summaries: Summaries) -> dict[str, Any]:
    """Return what the index shows beside what all pages show."""
    figures = summaries.figures
    choices = map_choices(content, figures)
    classes, _ = coloured_classes(content, figures)
    columns, rows = table_of(content, figures)
    coloured = {choice.id for choice in choices if not choice.drawn["cercles"]}
    first = next((i.id for i in figures.leading if i.id in coloured), choices[0].id if choices else "")
    return {
        "choices": [(group, list(items)) for group, items in groupby(choices, key=attrgetter("group"))],
        "chosen": first,
        "synthesis": synthesis_of(content, summaries),
        "columns": columns,
        "rows": rows,
        "printed_qpv": _PRINTED_QPV,
        "absent": [i.label for i in content.spec.registry.shown if i not in figures.leading],
        "data": map_data(content.frames, choices, generalised=content.spec.communes_generalised),
        "overviews": list(overviews_of(content)),
        "overview_classes": classes,
        "legend_title": load_cartography().choropleth.heading,
        "finder": finder_data(content, map_origin(content.frames)),
        "fragile_drawn": bool(outlines(content.frames, "quartiers_fragiles")),
        # Without the address of its source map, and the pictures of controls that the index lacks.
        "leaflet_js": _leaflet("leaflet.js", r"//# sourceMappingURL=.*", ""),
        "leaflet_css": _leaflet("leaflet.css", r"url\([^)]*\)", "none"),
    }


def colours_of(look: Cartography) -> dict[str, str]:
    """Return the colours of maps and charts for the style sheet: those of QGIS, by layer."""
    colours = {f"classe-{rank}": color for rank, color in enumerate(look.choropleth.colors, 1)}
    colours["contour"] = look.choropleth.outline.color
    colours["hachure"] = look.choropleth.missing[SECRET][0].color
    for name, layer in look.layers.items():
        if len(layer.rules) == 1:
            colours[name] = layer.rules[0].outlines[-1].color if layer.rules[0].outlines else "none"
            colours[f"{name}-fond"] = layer.rules[0].fill or "none"
        for rank, rule in enumerate(layer.rules if len(layer.rules) > 1 else ()):
            if rule.fill:
                colours[f"{name}-{rank}"] = rule.fill
    return colours


def pictograms_of(look: Cartography, layer: str = "equipements_lieux") -> dict[str, tuple[Marker, str]]:
    """Return the marker of each value that the rules of a layer filter, and the path of its pictogram."""
    rules = [rule for heading in look.layers[layer].rules for rule in heading.children]
    return {
        rule.filter.split("'")[1]: (rule.marker, look.pictograms[rule.marker.pictogram])
        for rule in rules
        if rule.marker
    }


def _render(template: str, values: Mapping[str, Any], connect: str = "'none'") -> str:
    """Fill a template, list its headings, and let its scripts ask no host but `connect`."""
    page = typeset_markup(render("qpv_geo.portraits", template, **values)) + "\n"
    links = "\n".join(f'<a href="#{anchor}">{title}</a>' for anchor, title in _HEADING.findall(page))
    return secured(page.replace(_CONTENTS, links), connect)


@cache
def _leaflet(name: str, pattern: str, instead: str) -> str:
    path = distribution(_LEAFLET).locate_file(f"{_LEAFLET_FOLDER}/{name}")
    return re.sub(pattern, instead, Path(str(path)).read_text(encoding="utf-8")).strip()


def _sources(read: pd.DataFrame) -> list[tuple[dict[str, Any], list[dict[Any, Any]]]]:
    """Return the sources that were read, in groups of one origin, geography and licence."""
    groups: dict[tuple[Any, ...], list[dict[Any, Any]]] = {}
    for row in read.astype(object).where(read.notna(), None).to_dict("records"):
        groups.setdefault(tuple(row[name] for name in _GROUPED), []).append(row)
    return [(dict(zip(_GROUPED, group, strict=True)), rows) for group, rows in groups.items()]
