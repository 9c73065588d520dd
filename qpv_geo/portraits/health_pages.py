"""The health pages of a release: one for each QPV, one of the territory, and their method and limits."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from qpv_geo.formats.base import Content
from qpv_geo.formats.figures import Zone, qpv_zones
from qpv_geo.formats.health import (
    INDICES,
    TABLE,
    CareRow,
    HealthFigure,
    care_of,
    compared_figures,
    health_of,
)
from qpv_geo.formats.summaries import Summaries
from qpv_geo.french import length_name, listing
from qpv_geo.portraits.health import build_health, lacking_sentence, unknown_of

HEALTH, METHOD = "sante.html", "sante_methode.html"


@dataclass(frozen=True)
class HealthLine:
    """A QPV on the territory's page: its figure of each column (None: no row), its care by category."""

    zone: Zone
    figures: tuple[HealthFigure | None, ...]
    care: tuple[CareRow, ...]


@dataclass(frozen=True)
class TerritoryHealth:
    """What the page of the territory shows."""

    lacking: str
    columns: tuple[tuple[str, str], ...]
    """Title, then unit and vintage."""
    meshes: tuple[str, ...]
    """Of the values in the table."""
    rows: tuple[HealthLine, ...]
    categories: Mapping[str, str]
    unknown: tuple[tuple[str, tuple[str, ...]], ...]


def page_of(code: str) -> str:
    """Return the file name of a QPV's health page."""
    return f"sante_{code}.html"


def health_pages(content: Content, summaries: Summaries) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield file name, template and own values of each health page, none without table ``sante``."""
    if TABLE not in content.frames:
        return
    for _, row in content.frames["qpv"].iterrows():
        code = row["code_qp"]
        yield page_of(code), "health.html", {"portrait": build_health(row, content, summaries), "code": code}
    yield HEALTH, "health_territory.html", {"health": territory_health(content)}
    yield METHOD, "health_method.html", _index_facts(content)


def territory_health(content: Content) -> TerritoryHealth:
    """Gather what the page of the territory shows: of each column the QPV's own values alone."""
    figures, care = health_of(content), care_of(content)
    zones = sorted(qpv_zones(content.frames), key=lambda zone: zone.name)
    columns, own = compared_figures(content)
    rows = tuple(HealthLine(zone, own[zone.code], care.get(zone.code, ())) for zone in zones)
    shown = [one for row in rows for one in row.figures if one]
    every = [one for zone in zones for one in figures[zone.code]]
    return TerritoryHealth(
        lacking_sentence(content, every),
        tuple((column.title, _detail(column.line, shown)) for column in columns),
        tuple(dict.fromkeys(one.mesh for one in shown)),
        rows,
        {row.category: row.label for row in rows[0].care},
        unknown_of(every),
    )


def _detail(line: str, figures: list[HealthFigure]) -> str:
    """Return the unit in words and the vintages of a column."""
    own = [figure for figure in figures if figure.line == line]
    units = dict.fromkeys(figure.unit_beside for figure in own)
    return ", ".join(filter(None, [*units, *sorted({figure.vintage for figure in own})]))


def _index_facts(content: Content) -> dict[str, str]:
    """Return the widest radius of the accessibility index and its population, in words; empty without."""
    table = content.frames.get(INDICES)
    if table is None:
        return {"radius": "", "population": ""}
    radii, populations = (table[name].dropna().unique() for name in ("rayon_m", "population"))
    return {
        "radius": listing([length_name(radius) for radius in sorted(radii)]),
        "population": listing(sorted(populations)),
    }
