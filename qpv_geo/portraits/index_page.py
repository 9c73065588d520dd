"""What the index shows: five figures and all figures of its QPV, maps, downloads; and each QPV's CSV file."""

import io
import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import distribution
from itertools import groupby
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any

from markupsafe import Markup

from qpv_geo.formats.base import Content
from qpv_geo.formats.csv import format_cells, write_rows
from qpv_geo.formats.descriptions import CATALOGUE, DESCRIPTOR
from qpv_geo.formats.essentials import TOWN, Comparison, TerritorySummary
from qpv_geo.formats.figures import Figure, Figures, qpv_zones
from qpv_geo.formats.summaries import Summaries
from qpv_geo.french import counted, file_size, number
from qpv_geo.portraits.charts import svg
from qpv_geo.portraits.evolution import changes_since_2015
from qpv_geo.portraits.finder import finder_data
from qpv_geo.portraits.sections import section_plans
from qpv_geo.portraits.territory_map import (
    coloured_classes,
    map_choices,
    map_data,
    map_origin,
    outlines,
    overviews_of,
)
from qpv_geo.qgis.cartography import load_cartography
from qpv_geo.statuses import STATUSES

_HECTARE = 10_000
# On paper, an indicator is a row: the QPV that a sheet of A4 holds side by side.
_PRINTED_QPV = 8
_DWELLINGS = "logements_sociaux"
# Units of a gauge.
_WIDTH = 100
_LEAFLET, _LEAFLET_FOLDER = "xstatic-leaflet", "xstatic/pkg/leaflet/data"
_HEALTH, _PAGES = "Portraits santé", "Rapport et métadonnées"
_DESCRIBED = {
    "rapport.html": "Contrôles, origines, différences",
    "rapport.json": "Le même, pour les programmes",
    DESCRIPTOR: "Champs, licences, empreintes",
    CATALOGUE: "Fiche DCAT-AP, pour les catalogues de données",
}
_READ_IN_PLACE = {".html", ".json", ".jsonld"}
# Of the dictionary of indicators, then of the statistics.
_INDICATOR = ("theme", "libelle", "unite")
_FIGURE = (
    *("millesime", "valeur", "statut", "borne_basse", "borne_haute"),
    *("rang", "rang_sur", "remarque", "source", "indicateur"),
)


def index_of(content: Content, summaries: Summaries) -> dict[str, Any]:
    """Return what the index shows beside what all pages show."""
    figures = summaries.figures
    choices = map_choices(content, figures)
    classes, _ = coloured_classes(content, figures)
    columns, rows = _table_of(content, figures)
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


def _table_of(content: Content, figures: Figures) -> tuple[list[tuple[str, str]], list[dict[str, Any]]]:
    """Return columns (title, detail) and rows of the table: the area, the indicators of layer ``qpv``.

    A cell is its words, what it is sorted by (empty: always last), and whether there is a value. Indicators
    of themes that stand low on portraits come last.
    """
    qpv, zones = content.frames["qpv"], qpv_zones(content.frames)
    columns = [("Quartier", ""), ("Code", ""), ("Commune", ""), ("Surface", "")]
    cells = [[(f"{number(area / _HECTARE, 1)} ha", repr(area), True)] for area in qpv["surface_m2"]]
    low = {theme for plan in section_plans() if plan.low for theme in plan.themes}
    for indicator in sorted(figures.leading, key=lambda indicator: indicator.theme in low):
        column = [figures.newest(zone, indicator.id) for zone in zones]
        vintages = sorted({figure.vintage for figure in column if figure.vintage})
        columns.append((indicator.label, ", ".join(vintages)))
        for row, figure in zip(cells, column, strict=True):
            row.append((figure.short, figure.sort_key, figure.present))
    rows = [
        {"name": zone.name, "code": zone.code, "communes": communes or "", "cells": row}
        for zone, communes, row in zip(zones, qpv["lib_com_calcule"], cells, strict=True)
    ]
    return columns, sorted(rows, key=itemgetter("name"))


def synthesis_of(content: Content, summaries: Summaries) -> dict[str, Any]:
    """Return the five figures of each QPV, of all of them and of what they are compared with, and facts.

    A row is a QPV or a set of zones, which has no code; its place is empty if all QPV are in the same one. A
    cell is a figure, None where nobody publishes one, and its gauge.
    """
    summary, qpv = summaries.territory, content.frames["qpv"]
    columns = []
    for place, together in enumerate(summary.essentials):
        figures = [of.essentials[place].figure for of in summary.qpv]
        columns.append(list(zip(figures, _gauges(figures, together.town), strict=True)))
    communes = qpv["lib_com_calcule"].fillna("")
    places = dict(zip(qpv["code_qp"], communes if communes.nunique() > 1 else [""] * len(qpv), strict=True))
    rows = [
        {
            "name": of.zone.name,
            "code": of.zone.code,
            "place": places[of.zone.code],
            "cells": cells,
        }
        for of, cells in zip(summary.qpv, zip(*columns, strict=True), strict=True)
    ]
    sets = list(_sets(summary))
    shown = [figure for row in (*rows, *sets) for figure, _ in row["cells"] if figure]
    statuses = sorted({figure.status for figure in shown if not figure.present})
    return {
        "sentences": summary.sentences,
        "facts": list(_facts(content, summaries)),
        "columns": [(one.plan, one.figure.vintage) for one in summary.essentials],
        "rows": sorted(rows, key=itemgetter("name")),
        "sets": sets,
        # Whether gauges show the only commune.
        "with_town": any(one.town for one in summary.essentials),
        # Those that stand in the table in place of a value.
        "statuses": [STATUSES[status] for status in statuses],
    }


def _sets(summary: TerritorySummary) -> Iterator[dict[str, Any]]:
    """Yield the QPV taken together, then what they are compared with and has a figure."""
    if (count := len(summary.qpv)) > 1:
        cells = [(one.figure, None) for one in summary.essentials]
        yield {"name": f"Les {number(count)} QPV ensemble", "cells": cells}
    # Sets of QPV before towns.
    for zone, others in sorted(summary.compared.items(), key=lambda item: item[0].kind == TOWN):
        if any(others):
            yield {"name": zone.name, "cells": [(other, None) for other in others]}


def _facts(content: Content, summaries: Summaries) -> Iterator[str]:
    dwellings = summaries.together(_DWELLINGS)
    count = len(summaries.qpv)
    if dwellings.present:
        yield (
            f"Logement : {counted(int(dwellings.value), 'logement')} du parc locatif social "
            f"{f'dans les {number(count)} QPV' if count > 1 else 'dans le QPV'} ({dwellings.vintage})."
        )
    yield from changes_since_2015(content.frames)


def _gauges(figures: Sequence[Figure], town: Comparison | None) -> list[Markup | None]:
    """Return the gauges of a column, with its town as a line; they say nothing that its cells do not say."""
    is_rate = figures[0].indicator.kind != "count"
    line = town.other.value if town and town.other and is_rate else None
    ends = [one.high if one.interval else one.value for one in figures if one.present]
    unit = _WIDTH / (max([*ends, line or 0.0], default=0.0) or 1.0)
    return [
        svg(
            "gauge.svg",
            length=unit * max(figure.value, 0.0),
            interval=[unit * bound for bound in (figure.low, figure.high)] if figure.interval else [],
            town=None if line is None else unit * line,
        )
        if figure.present
        else None
        for figure in figures
    ]


@cache
def _leaflet(name: str, pattern: str, instead: str) -> str:
    path = distribution(_LEAFLET).locate_file(f"{_LEAFLET_FOLDER}/{name}")
    return re.sub(pattern, instead, Path(str(path)).read_text(encoding="utf-8")).strip()


def downloads_of(folder: Path, content: Content) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the files of a release by format; those that describe them all, written last, have no size.

    Each has its address from the index, what it holds, and whether a browser should save it.
    """
    formats = {written.suffix: written for written in content.spec.formats if written.suffix != ".html"}
    order = [*dict.fromkeys(written.title for written in formats.values()), _HEALTH, _PAGES]
    groups: dict[str, list[dict[str, Any]]] = {title: [] for title in order}
    paths = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    for file in sorted([*paths, Path(CATALOGUE), Path(DESCRIPTOR)]):
        in_folder = file.suffix == ".html" and len(file.parts) > 1
        title, detail = _HEALTH if in_folder else _PAGES, _DESCRIBED.get(file.name, "")
        if file.suffix in formats:
            title, detail = formats[file.suffix].title, formats[file.suffix].detail
        if file.stem in content.layers and file.suffix != ".html":
            detail = content.layers[file.stem].title
        path = folder / file
        size = file_size(path.stat().st_size) if path.is_file() else ""
        groups[title].append(
            {
                "name": file.name,
                "href": f"../{file.as_posix()}",
                "detail": ", ".join(filter(None, (detail, size))),
                "data": file.suffix not in _READ_IN_PLACE,
            }
        )
    return [(title, files) for title, files in groups.items() if files]


def extracts_of(content: Content) -> dict[str, str]:
    """Return by QPV the address of its figures: all indicators and vintages, written as CSV files are.

    The address holds the file (``data:``): a page that is sent alone still has it.
    """
    statistics, indicators = content.frames["statistiques"], content.frames["indicateurs"]
    own = statistics[statistics["zone"] == "qpv"]
    rows = own.merge(indicators[["indicateur", *_INDICATOR]], on="indicateur", how="left")
    fields = content.layers["indicateurs"].fields | content.layers["statistiques"].fields
    cells = [format_cells(rows[name], fields[name].type) for name in (*_INDICATOR, *_FIGURE)]
    lines: dict[str, list[tuple[str, ...]]] = {code: [] for code in content.frames["qpv"]["code_qp"]}
    for code, line in zip(rows["code"], zip(*cells, strict=True), strict=True):
        lines[code].append(line)
    return {code: _address(sorted(own_lines)) for code, own_lines in lines.items()}


def _address(lines: list[tuple[str, ...]]) -> str:
    stream = io.StringIO(newline="")
    write_rows(stream, (*_INDICATOR, *_FIGURE), lines)
    return f"data:text/csv;charset=utf-8;base64,{b64encode(stream.getvalue().encode('utf-8-sig')).decode()}"
