"""The table of the index, its downloads, and the figures of one QPV as a CSV file inside its page."""

import csv
import io
from base64 import b64encode
from operator import itemgetter
from pathlib import Path
from typing import Any

from qpv_geo.formats.base import Content
from qpv_geo.formats.csv import LINE_END, SEPARATOR, format_cells
from qpv_geo.formats.descriptions import CATALOGUE, DESCRIPTOR
from qpv_geo.formats.figures import Figures, qpv_zones
from qpv_geo.french import file_size, number
from qpv_geo.portraits.sections import section_plans

_HECTARE = 10_000
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
    writer = csv.writer(stream, delimiter=SEPARATOR, lineterminator=LINE_END)
    writer.writerow((*_INDICATOR, *_FIGURE))
    writer.writerows(lines)
    return f"data:text/csv;charset=utf-8;base64,{b64encode(stream.getvalue().encode('utf-8-sig')).decode()}"


def table_of(content: Content, figures: Figures) -> tuple[list[tuple[str, str]], list[dict[str, Any]]]:
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
