"""The health pages of a release: one for each QPV, one of the territory, and their method and limits."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from qpv_geo.formats.base import Content
from qpv_geo.formats.figures import Zone, qpv_zones
from qpv_geo.formats.health import (
    COMMUNES_APL,
    INDICES,
    SUPPLY,
    TABLE,
    CareRow,
    HealthFigure,
    care_of,
    health_of,
)
from qpv_geo.formats.summaries import Summaries
from qpv_geo.french import length_name, listing
from qpv_geo.frozen import Frozen
from qpv_geo.portraits.health import build_health, lacking_sentence, unknown_of
from qpv_geo.sources.catalogue import TableName
from qpv_geo.toml_file import read_declarations

HEALTH, METHOD = "sante.html", "sante_methode.html"
_COLUMNS = Path(__file__).with_name("health.toml")


class HealthColumn(Frozen):
    """A column of the territory's page: a line of table ``sante``, under a short title."""

    line: str
    title: str


class HealthColumns(Frozen):
    """The columns, in their order."""

    columns: tuple[HealthColumn, ...] = Field(min_length=1)


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


@cache
def health_columns(path: Path = _COLUMNS) -> tuple[HealthColumn, ...]:
    """Read the declared columns."""
    with read_declarations(path, "the columns of the health page are not valid") as entries:
        return HealthColumns.model_validate(entries).columns


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
    own = {zone.code: {one.line: one for one in figures[zone.code] if one.own} for zone in zones}
    columns = [
        column
        for column in health_columns()
        if any((one := rows.get(column.line)) and one.present for rows in own.values())
    ]
    rows = tuple(
        HealthLine(
            zone,
            tuple(own[zone.code].get(column.line) for column in columns),
            care.get(zone.code, ()),
        )
        for zone in zones
    )
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


def health_sources(content: Content) -> pd.DataFrame:
    """Return the rows of ``sources`` that health pages name: those of their values, contours and base map."""
    named = [
        listed.split(", ")
        for table in (TABLE, SUPPLY, COMMUNES_APL)
        if table in content.frames
        for listed in content.frames[table]["source"].dropna().unique()
    ]
    drawn: tuple[TableName, ...] = ("contours", "communes", "iris", "base_map")
    fillings = (content.spec.catalogue.filling(table) for table in drawn)
    ids = {name for names in named for name in names} | {one.id for filling in fillings for one in filling}
    read = content.sources_read
    # A source of several files has a row for each.
    return read[read["source"].str.partition("-")[0].isin(ids)]


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
