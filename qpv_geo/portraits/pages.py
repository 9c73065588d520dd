"""Writing the pages of a release: ``portraits/<code_qp>.html`` and ``portraits/index.html``."""

import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import distribution
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd

from qpv_geo import templates
from qpv_geo.formats.base import Content
from qpv_geo.formats.frames import Frames
from qpv_geo.ingest.registry import Registry
from qpv_geo.portraits.figures import Figures
from qpv_geo.portraits.index_page import downloads, table
from qpv_geo.portraits.portrait import build_portrait
from qpv_geo.portraits.sections import Absence, Sections
from qpv_geo.portraits.territory_map import choices, map_data, outlines
from qpv_geo.portraits.typography import typeset

FOLDER, INDEX = "portraits", "index.html"

# Layers that a portrait shows where the release has them, and the source that each needs.
_LAYERS = {
    "bande_300m": ("Bande autour du QPV", None),
    "qpv_2015": ("Contours de 2015", "qpv_2015"),
    "evolution_2015_2024": ("Évolution du périmètre", "qpv_2015"),
    "iris": ("IRIS", "iris"),
    "equipements": ("Équipements", "bpe"),
}
_GROUPED = ("origine", "motif", "geographie", "licence", "licence_url")
# Columns of the index's table that a sheet of A4 holds.
_PRINTED_COLUMNS = 9
_NOT_COMPUTED = "couche que cette version ne calcule pas"
_LEAFLET = "xstatic-leaflet"
_LEAFLET_FOLDER = "xstatic/pkg/leaflet/data"


def write_portraits(folder: Path, content: Content) -> None:
    """Write a portrait for each QPV and the index that leads to them, into ``<folder>/portraits``.

    Each page is one HTML file that needs no other and asks the network for nothing. Its bytes depend on the
    arguments alone.

    The index offers the files that are there by now, and the descriptor that is written last. A release in
    degrees has no pages: it is that of France, whose QPV are too many, in several CRS.

    Raises
    ------
    PublicationError
        If a page cannot be written.
    """
    frames, spec = content.frames, content.spec
    if not content.crs.is_projected:
        return
    figures = Figures(frames, spec.registry.indicators)
    sections = Sections(frames, figures, spec.registry, spec.catalogue)
    absences = {
        layer: Absence(title, sections.why_absent(source) if source else _NOT_COMPUTED)
        for layer, (title, source) in _LAYERS.items()
        if layer not in frames
    }
    portraits = [
        build_portrait(
            row,
            frames,
            figures,
            sections,
            registry=spec.registry,
            territory=spec.territory,
            absences=absences,
        )
        for _, row in frames["qpv"].iterrows()
    ]
    common = {
        "release": spec,
        "territory": spec.territory,
        "contract": spec.territory.contrat,
        "sources": _sources(frames["sources"]),
    }
    pages = {
        f"{portrait.zone.code}.html": _render("portrait.html", common | {"portrait": portrait})
        for portrait in portraits
    }
    pages[INDEX] = _render(
        "index.html",
        common
        | _table_and_map(frames, figures, spec.registry)
        | {
            "name": spec.territory.nom,
            "downloads": downloads(folder, content),
            "leaflet_js": leaflet_script(),
            "leaflet_css": leaflet_style(),
        },
    )
    _write(folder / FOLDER, pages)


def _table_and_map(frames: Frames, figures: Figures, registry: Registry) -> dict[str, Any]:
    found = choices(frames, figures, registry)
    columns, rows = table(frames, figures, registry)
    told = {choice.id for choice in found if not choice.circles}
    leading = figures.leading(registry.indicators)
    chosen = next((i.id for i in leading if i.id in told), found[0].id if found else "")
    return {
        "choices": [(group, list(items)) for group, items in groupby(found, key=lambda choice: choice.group)],
        "chosen": chosen,
        "columns": columns,
        "rows": rows,
        "printed_columns": _PRINTED_COLUMNS,
        "absent": [i.label for i in registry.indicators if i.qpv_layer and i not in leading],
        "data": map_data(frames, found),
        "fragile_drawn": bool(outlines(frames, "quartiers_fragiles")),
    }


def _write(folder: Path, pages: Mapping[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in pages.items():
        (folder / name).write_text(page, encoding="utf-8", newline="\n")


def _render(template: str, values: Mapping[str, Any]) -> str:
    return typeset(templates.render("qpv_geo.portraits", template, **values)) + "\n"


@cache
def leaflet_script() -> str:
    """Return Leaflet's script as its package ships it, but for the address of its source map."""
    return re.sub(r"//# sourceMappingURL=.*", "", _leaflet("leaflet.js")).strip()


@cache
def leaflet_style() -> str:
    """Return Leaflet's style sheet without the pictures of controls that the index has not."""
    return re.sub(r"url\([^)]*\)", "none", _leaflet("leaflet.css")).strip()


def _leaflet(name: str) -> str:
    return Path(str(distribution(_LEAFLET).locate_file(f"{_LEAFLET_FOLDER}/{name}"))).read_text(
        encoding="utf-8"
    )


def _sources(frame: pd.DataFrame) -> list[tuple[dict[str, Any], list[dict[Any, Any]]]]:
    """Return the sources that were read, in groups of one origin, geography and licence."""
    read = frame[frame["etat"] == "lue"]
    plain = read.astype(object).where(read.notna(), None).to_dict("records")
    groups: dict[tuple[Any, ...], list[dict[Any, Any]]] = {}
    for row in plain:
        groups.setdefault(tuple(row[name] for name in _GROUPED), []).append(row)
    return [
        (
            {
                "origine": origin,
                "motif": reason,
                "geographie": geography,
                "licence": licence,
                "licence_url": url,
            },
            rows,
        )
        for (origin, reason, geography, licence, url), rows in groups.items()
    ]
