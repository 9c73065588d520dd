"""The PDF atlas: cover, territory, comparison of its QPV, a page for each, sources and method.

Typst composes it from ``templates/atlas.typ``, which reads the maps as SVG and everything else as JSON. It is
tagged (PDF/UA-1) and has a title and bookmarks. Only the fonts that Typst brings are used, and included, so
that every machine gives the same bytes.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import typst

from qpv_geo.errors import PublicationError
from qpv_geo.formats.base import UNDECLARED, Content
from qpv_geo.formats.essentials import Essential, QpvSummary, TerritorySummary
from qpv_geo.formats.figures import Figure
from qpv_geo.formats.summaries import summaries_of
from qpv_geo.french import french_date, number
from qpv_geo.portraits.pages import colours_of, pictograms_of
from qpv_geo.portraits.qpv_map import LEGEND, Drawing, maps_of
from qpv_geo.portraits.territory_map import WITHOUT, coloured_classes, draw_territory, groups_of, overviews_of
from qpv_geo.qgis.cartography import load_cartography
from qpv_geo.statuses import STATUSES
from qpv_geo.templates import render
from qpv_geo.typography import typeset, typeset_markup

_PACKAGE = "qpv_geo.portraits"
# A point of a picture is a pixel.
_POINTS_PER_INCH = 72.0
_FONT = "Libertinus Serif"
_HECTARE = 10_000
_VARIABLE = re.compile(r"var\(--([\w-]+)\)")
_DECLARATION = re.compile(r"--([\w-]+):\s*([^;}]+)")


def write_atlas(folder: Path, content: Content) -> None:
    """Write ``<folder>/atlas_<territory>.pdf``; that of France, in degrees, has none, as it has no pages."""
    if not content.crs.is_projected:
        return
    with _laid_out("atlas.typ", content) as source:
        pdf = typst.compile(source, ignore_system_fonts=True, pdf_standards="ua-1")
    (folder / f"atlas_{content.spec.territory.id}.pdf").write_bytes(pdf)


def write_pictures(folder: Path, content: Content) -> None:
    """Write a picture of each QPV and of the territory: ``portraits/<code_qp>.png``, ``portraits/index.png``.

    They have 1200 by 630 pixels, as links that are shared and slides want.
    """
    if not content.crs.is_projected:
        return
    names = ["index", *content.frames["qpv"]["code_qp"]]
    (folder / "portraits").mkdir(parents=True, exist_ok=True)
    with _laid_out("pictures.typ", content) as source:
        pages = source.with_name("{p}.png")
        typst.compile(source, pages, ignore_system_fonts=True, format="png", ppi=_POINTS_PER_INCH)
        for page, name in enumerate(names, 1):
            picture = source.with_name(f"{page}.png").read_bytes()
            (folder / "portraits" / f"{name}.png").write_bytes(picture)


@lru_cache(maxsize=1)
def _atlas_of(content: Content) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what the templates read, and maps and marks of legends as SVG by file; pictures share it."""
    groups = {f"overview-{rank}": codes for rank, codes in enumerate(groups_of(content), 1)}
    overviews = dict(zip(groups, overviews_of(content), strict=True))
    maps = {"territory": draw_territory(content), **overviews, **maps_of(content)}
    marks = {kind: _mark(f'<path class="{kind}" d="M2,2H22V12H2Z"/>') for kind in LEGEND}
    for each, path in pictograms_of(load_cartography()).values():
        shape = f'<rect width="20" height="20" rx="{3 if each.square else 10}" fill="{each.color}"/>'
        place = f'<g transform="translate(5 0) scale(.7)">{shape}<path fill="#fff" d="{path}"/></g>'
        marks[each.pictogram] = _mark(place)
    drawings = {name: svg_of(drawing) for name, drawing in maps.items()}
    drawings |= {f"mark-{kind}": svg for kind, svg in marks.items()}
    data = _texts(content) | {
        "overviews": [(name, drawing.alternative) for name, drawing in overviews.items()]
    }
    return data, drawings


def _texts(content: Content) -> dict[str, Any]:
    """Return what the templates read, except the overviews."""
    spec, summaries = content.spec, summaries_of(content)
    territory = summaries.territory
    classes, kinds = coloured_classes(content, summaries.figures)
    figures = [one.figure for of in territory.qpv for one in of.essentials]
    figures += [one.figure for one in territory.essentials]
    absent = {figure.status for figure in figures if not figure.present}
    rows = content.frames["qpv"].to_dict("records")
    return {
        "title": spec.title,
        "territory": spec.territory.nom,
        "year": spec.newest.year,
        "month": spec.newest.month,
        "day": spec.newest.day,
        "date": french_date(spec.newest),
        "release": spec.id,
        "origin": spec.origin,
        "publisher": "" if spec.contact is UNDECLARED else spec.contact.organisation,
        "sentences": territory.sentences,
        "essentials": [_essential(each) for each in territory.essentials],
        "legend_title": load_cartography().choropleth.heading,
        "classes": list(classes.labels) if classes else [],
        "colours": list(classes.colours) if classes else [],
        "without": WITHOUT in kinds.values(),
        "comparison": [_bars(territory, place) for place in range(len(territory.essentials))],
        "qpv": [
            _page(rank, row, summaries.qpv[row["code_qp"]], maps_of(content)[row["code_qp"]])
            for rank, row in enumerate(rows, 1)
        ],
        "sources": list(content.mentions),
        "producers": ", ".join(sorted(set(content.sources_read["producteur"]))),
        "licences": list(content.licences),
        # Those that stand in place of values.
        "statuses": [(status.words, status.sentence) for code, status in STATUSES.items() if code in absent],
    }


def _bars(territory: TerritorySummary, place: int) -> dict[str, Any]:
    """Return the bars of one figure, a QPV each in their order, and the lines to compare them with."""
    named = [(each.zone.name, each.essentials[place].figure) for each in territory.qpv]
    whole = territory.essentials[place]
    is_rate = whole.figure.indicator.kind != "count"
    lines = [
        (beside.zone.name, beside.other)
        for beside in whole.comparisons
        if is_rate and beside.other and beside.other.present
    ]
    ends = [max(figure.value, figure.high) for _, figure in named if figure.present]
    longest = max([*ends, *(figure.value for _, figure in lines)], default=0.0) or 1.0
    return {
        "title": whole.plan.title,
        "vintage": whole.figure.vintage,
        "meaning": whole.plan.meaning,
        "bars": [_bar(rank, name, figure, longest) for rank, (name, figure) in enumerate(named, 1)],
        "lines": [
            {"name": name, "text": figure.short, "place": figure.value / longest} for name, figure in lines
        ],
    }


def _bar(rank: int, name: str, figure: Figure, longest: float) -> dict[str, Any]:
    interval = figure.interval if figure.present else ""
    return {
        "rank": rank,
        "name": name,
        "text": figure.short,
        "interval": interval,
        "length": max(figure.value, 0.0) / longest if figure.present else None,
        "low": figure.low / longest if interval else None,
        "high": figure.high / longest if interval else None,
    }


def _page(rank: int, row: Mapping[Any, Any], summary: QpvSummary, drawing: Drawing) -> dict[str, Any]:
    contract = row["nom_contrat"]
    domains = {place.domain for place in drawing.places}
    pictograms = pictograms_of(load_cartography()).items()
    places = [(each.pictogram, domain) for domain, (each, _) in pictograms if domain in domains]
    return {
        "rank": rank,
        "name": summary.zone.name,
        "code": summary.zone.code,
        "communes": row["lib_com_calcule"] or row["lib_com"] or "",
        "contract": contract if contract and contract != summary.zone.name else "",
        "area": f"{number(row['surface_m2'] / _HECTARE, 1)} ha",
        "sentences": summary.sentences,
        "essentials": [_essential(each) for each in summary.essentials],
        "alternative": drawing.alternative,
        "legend": [*drawing.legend, *places],
    }


def _essential(essential: Essential) -> dict[str, Any]:
    figure = essential.figure
    return {
        "title": essential.plan.title,
        "meaning": essential.plan.meaning,
        "text": figure.short,
        "present": figure.present,
        "vintage": figure.vintage,
        "interval": figure.interval,
        "rank": f"{figure.ranked} QPV" if figure.ranked else "",
        "comparisons": [
            {"name": beside.zone.name, "text": beside.other.short, "gap": beside.text}
            for beside in essential.comparisons
            if beside.known and beside.other
        ],
    }


def svg_of(drawing: Drawing) -> str:
    """Return a map as a file of its own."""
    pictograms = pictograms_of(load_cartography())
    return typeset_markup(
        render(_PACKAGE, "map_file.svg", map=drawing, style=map_style(), pictograms=pictograms)
    )


def map_style() -> str:
    """Return the style sheet of maps with its colours filled in, and the font of the atlas."""
    colours = dict(_DECLARATION.findall(render(_PACKAGE, "style.css").partition("}")[0]))
    colours |= colours_of(load_cartography())
    style = _VARIABLE.sub(lambda match: colours[match[1]].strip(), render(_PACKAGE, "map.css"))
    return re.sub(r"font: (\d+px) [^;]+;", rf'font-family: "{_FONT}"; font-size: \1;', style)


def _mark(shape: str) -> str:
    """Return the drawing of a shape that stands for its kind in a legend."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" class="carte dessin" viewBox="0 0 24 14">'
        f"<style>{map_style()}</style>{shape}</svg>"
    )


@contextmanager
def _laid_out(template: str, content: Content) -> Iterator[Path]:
    """Yield a template of Typst in a folder with the data and the maps; say what goes wrong with it."""
    source = Path(__file__).with_name("templates") / template
    data, drawings = _atlas_of(content)
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / template).write_bytes(source.read_bytes())
        text = json.dumps(_typeset(data), ensure_ascii=False)
        (folder / "data.json").write_text(text, encoding="utf-8")
        for drawing, svg in drawings.items():
            (folder / f"{drawing}.svg").write_text(svg, encoding="utf-8")
        try:
            yield folder / template
        except typst.TypstError as error:
            problem = f"{template} cannot be composed: report this error of qpv-geo: {error}"
            raise PublicationError(problem) from error


def _typeset(value: Any) -> Any:  # noqa: ANN401 - what JSON holds
    if isinstance(value, str):
        return typeset(value)
    if isinstance(value, Mapping):
        return {key: _typeset(item) for key, item in value.items()}
    if isinstance(value, Iterable):
        return [_typeset(item) for item in value]
    return None if pd.isna(value) else value
