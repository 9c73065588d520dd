"""Writing the pages of a release: portraits, health pages, and ``portraits/index.html``."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
from pydantic import Field

from qpv_geo.formats.base import Content
from qpv_geo.formats.frames import records
from qpv_geo.formats.health import PLACES, TABLE, health_sources
from qpv_geo.formats.provenance import titles_by_origin
from qpv_geo.formats.summaries import summaries_of
from qpv_geo.french import capitalised
from qpv_geo.frozen import Frozen
from qpv_geo.portraits.health_pages import HEALTH, health_pages, page_of
from qpv_geo.portraits.index_page import downloads_of, extracts_of, index_of
from qpv_geo.portraits.portrait import build_portrait
from qpv_geo.portraits.sections import Absence, Sections
from qpv_geo.qgis.cartography import Cartography, Marker, load_cartography
from qpv_geo.sources.catalogue import TableName
from qpv_geo.sources.geocoder import SEARCH
from qpv_geo.statuses import SECRET, STATUSES, VALUED
from qpv_geo.templates import render, secured
from qpv_geo.toml_file import read_declarations
from qpv_geo.typography import typeset_markup

FOLDER, INDEX = "portraits", "index.html"
_GLOSSARY = Path(__file__).with_name("glossary.toml")

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
_NOT_COMPUTED = "couche que cette publication ne calcule pas"
_CONTENTS = "<!-- sommaire -->"
_HEADING = re.compile(r'<h2 id="([^"]+)">(.*?)</h2>')


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
    index, extracts = index_of(content, summaries), extracts_of(content)
    order = index["rows"]
    neighbours = {
        row["code"]: {"before": before, "after": after}
        for before, row, after in zip([None, *order[:-1]], order, [*order[1:], None], strict=True)
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
    of_health = {
        "pictograms": pictograms_of(load_cartography(), PLACES),
        "sources": _sources(health_sources(content)) if TABLE in frames else [],
    }
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)

    def write(name: str, template: str, own: dict[str, Any], code: str = "", connect: str = "'none'") -> None:
        picture = f"{code or Path(INDEX).stem}.png"
        shared = {"picture": picture if (folder / FOLDER / picture).is_file() else ""}
        page = _render(template, common | neighbours.get(code, {}) | shared | own, connect)
        (folder / FOLDER / name).write_text(page, encoding="utf-8", newline="\n")

    for name, template, own, code in health_pages(content, summaries):
        write(name, template, of_health | own, code)
    of_index = {"downloads": downloads_of(folder, content), "health": HEALTH if TABLE in frames else ""}
    write(INDEX, "index.html", index | of_index, connect=f"https://{urlsplit(SEARCH).netloc}")
    for _, row in frames["qpv"].iterrows():
        code = row["code_qp"]
        portrait = build_portrait(row, content, summaries, sections, absences)
        health = page_of(code) if TABLE in frames else ""
        own = {"portrait": portrait, "extract": extracts[code], "health": health}
        write(f"{code}.html", "portrait.html", own, code)


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


def _render(template: str, values: Mapping[str, Any], connect: str) -> str:
    """Fill a template, list its headings, and let its scripts ask no host but `connect`."""
    page = typeset_markup(render("qpv_geo.portraits", template, **values)) + "\n"
    links = "\n".join(f'<a href="#{anchor}">{title}</a>' for anchor, title in _HEADING.findall(page))
    return secured(page.replace(_CONTENTS, links), connect)


def _sources(read: pd.DataFrame) -> list[list[dict[str, Any]]]:
    """Return the sources that were read, in groups of one origin, geography and licence."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in records(read):
        groups.setdefault(tuple(row[name] for name in _GROUPED), []).append(row)
    return list(groups.values())


class Term(Frozen):
    """A word that pages explain, and its meaning in French sentences."""

    term: str
    meaning: str = Field(min_length=1)


@cache
def glossary(path: Path = _GLOSSARY) -> tuple[Term, ...]:
    """Return the declared words, then the reasons of a missing value."""
    with read_declarations(path, "the glossary is not valid") as entries:
        terms = tuple(Term(term=term, **entry) for term, entry in entries.items())
    reasons = (status for code, status in STATUSES.items() if code not in VALUED)
    return terms + tuple(
        Term(term=capitalised(words), meaning=f"{capitalised(sentence)}.") for words, sentence in reasons
    )
