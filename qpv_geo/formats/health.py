"""The health approach as people read it: rows of ``sante`` and ``offre_soins`` in words, by QPV.

Pages, workbook and QGIS show the objects of this module. A row of a larger mesh than the QPV keeps its zone:
it is shown under that zone's name, never as the QPV's.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from qpv_geo.formats.base import Content
from qpv_geo.formats.figures import Zone, ZoneValue, fields_of, values_by
from qpv_geo.formats.frames import records
from qpv_geo.french import capitalised, decimals_of, interval, length_name, number
from qpv_geo.frozen import Frozen
from qpv_geo.statuses import NOT_AVAILABLE, NOT_COMPUTABLE, STATUSES
from qpv_geo.toml_file import read_declarations

TABLE, SUPPLY, PLACES = "sante", "offre_soins", "offre_soins_lieux"
INDICES, COMMUNES_APL, GOALS = "accessibilite", "apl", "objectifs_indicateurs"
OWN, IRIS = "qpv", "iris_du_qpv"
"""Kinds of zones: the QPV, and the IRIS that cover it, whose values are not quite the QPV's."""
_COLUMNS = Path(__file__).with_name("health.toml")
REACHES = ("300 m", "500 m", "1 km")
_METRE = "m"
_EXACT_UNITS = {"%", "€", "€/m²", _METRE}
_KILOMETRE = 1000
# Statuses of which a remark says why; others say it themselves.
_EXPLAINED = {NOT_AVAILABLE, NOT_COMPUTABLE}


@dataclass(frozen=True, kw_only=True)
class HealthFigure(ZoneValue):
    """A row of ``sante``: a measure of a zone."""

    heading: str
    line: str
    label: str
    mesh: str
    """In words, of which territory the value is."""
    zone: Zone
    among_which: str

    @property
    def mesh_title(self) -> str:
        """The same as a cell by itself."""
        return capitalised(self.mesh)

    @property
    def own(self) -> bool:
        """Whether the value is the QPV's."""
        return self.zone.kind == OWN

    def _words(self, write: Callable[..., str]) -> str:
        return super()._words((lambda metres, *_: distance_name(metres)) if self.unit == _METRE else write)

    @property
    def interval(self) -> str:
        """Its confidence interval or range, empty without."""
        return "" if math.isnan(self.low) else interval(self.low, self.high, self.decimals)

    @property
    def unit_beside(self) -> str:
        """A unit in words, for the label; empty if it stands with the value."""
        return "" if self.unit in _EXACT_UNITS else self.unit

    @property
    def reason(self) -> str:
        """Why there is no value, as a sentence in French without its full stop; empty if there is one."""
        if self.present:
            return ""
        status = STATUSES[self.status]
        explains = self.remark and self.status in _EXPLAINED
        return capitalised(self.remark.rstrip(".") if explains else f"{status.words} : {status.sentence}")


@dataclass(frozen=True)
class CareRow:
    """A category of care around a QPV, in words."""

    category: str
    label: str
    inside: str
    around: tuple[str, str, str]
    """Within `REACHES`."""
    nearest: str
    this_side: str
    other_side: str
    """Within 300 m of the limit of the QPV, in it and out of it."""
    most: int | None
    """How many within the largest reach; None if that is not known."""


class HealthColumn(Frozen):
    """A figure that QPV are compared by: a line of table ``sante``, under a short title."""

    line: str
    title: str


class HealthColumns(Frozen):
    """All of them, in their order."""

    columns: tuple[HealthColumn, ...] = Field(min_length=1)


@lru_cache(maxsize=1)
def health_of(content: Content) -> Mapping[str, tuple[HealthFigure, ...]]:
    """Return the rows of ``sante`` by QPV, in their order; none if the release has not the table."""
    by_qpv = rows_by_qpv(TABLE, content)
    # Those of all zones are written alike.
    values = values_by(chain.from_iterable(by_qpv.values()), "ligne", "unite")
    decimals = {key: decimals_shown(values, key[1] or "") for key, values in values.items()}
    return {
        code: tuple(
            HealthFigure(
                **fields_of(row),
                heading=row["rubrique"],
                line=row["ligne"],
                label=row["libelle"],
                mesh=row["maille"],
                zone=Zone(row["zone"], row["code"], row["nom_zone"] or row["code"]),
                unit=row["unite"] or "",
                among_which=row["rang_parmi"] or "",
                decimals=decimals.get((row["ligne"], row["unite"]), 0),
            )
            for row in sorted(rows, key=itemgetter("ordre"))
        )
        for code, rows in by_qpv.items()
    }


def rows_by_qpv(name: str, content: Content) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of a table by QPV, an empty list for one without any; none without the table."""
    if name not in content.frames:
        return {}
    rows: dict[str, list[dict[str, Any]]] = {code: [] for code in content.frames["qpv"]["code_qp"]}
    for row in records(content.frames[name]):
        rows[row["code_qp"]].append(row)
    return rows


def decimals_shown(values: Sequence[float], unit: str) -> int:
    """Return how many decimals values have: those of their unit; one for others that are not all whole."""
    if unit in _EXACT_UNITS:
        return decimals_of(values, unit)
    return int(any(value != round(value) for value in values))


@lru_cache(maxsize=1)
def care_of(content: Content) -> Mapping[str, tuple[CareRow, ...]]:
    """Return the rows of ``offre_soins`` by QPV, in their order; none if the release has not the table."""
    return {code: tuple(map(_care, rows)) for code, rows in rows_by_qpv(SUPPLY, content).items()}


def _care(row: Mapping[str, Any]) -> CareRow:
    def count(column: str) -> str:
        return STATUSES[row["statut"]].words if row[column] is None else number(row[column])

    return CareRow(
        category=row["categorie"],
        label=row["libelle"],
        inside=count("nombre_qpv"),
        around=(count("nombre_300m"), count("nombre_500m"), count("nombre_1000m")),
        nearest="" if row["distance_m"] is None else distance_name(row["distance_m"]),
        this_side=count("dedans_300m_limite"),
        other_side=count("dehors_300m_limite"),
        most=row["nombre_1000m"],
    )


def distance_name(metres: float) -> str:
    """Write a distance: to ten metres, from a kilometre on to a hundred, for it is as the crow flies."""
    if metres >= _KILOMETRE:
        return f"{number(metres / _KILOMETRE, 1)} km"
    return length_name(10 * round(metres / 10))


@cache
def health_columns(path: Path = _COLUMNS) -> tuple[HealthColumn, ...]:
    """Read the declared figures."""
    with read_declarations(path, "the health figures are not valid") as entries:
        return HealthColumns.model_validate(entries).columns


def compared_figures(
    content: Content,
) -> tuple[list[HealthColumn], dict[str, tuple[HealthFigure | None, ...]]]:
    """Return the figures that at least one QPV has a value of, and by QPV its own of each (None: no row)."""
    own = {code: {one.line: one for one in of if one.own} for code, of in health_of(content).items()}
    columns = [
        column
        for column in health_columns()
        if any((one := lines.get(column.line)) and one.present for lines in own.values())
    ]
    return columns, {code: tuple(lines.get(c.line) for c in columns) for code, lines in own.items()}


def health_sources(content: Content, lines: Collection[str] | None = None) -> pd.DataFrame:
    """Return the rows of ``sources`` behind what pages show, or behind these lines of ``sante`` and care."""
    frames, drawn = content.frames, {"contours", "communes", "base_map"}
    table = frames[TABLE]
    tables = [table if lines is None else table[table["ligne"].isin(lines)], frames.get(SUPPLY)]
    if lines is None:
        drawn.add("iris")
        tables.append(frames.get(COMMUNES_APL))
    sources = pd.concat([table["source"].dropna() for table in tables if table is not None])
    named = set(chain.from_iterable(sources.str.split(", ")))
    named |= {source.id for source in content.spec.catalogue.sources if drawn & set(source.fills)}
    read = content.sources_read
    # A source of several files has a row for each.
    return read[read["source"].str.partition("-")[0].isin(named)]
