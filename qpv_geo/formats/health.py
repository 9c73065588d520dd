"""The health approach as people read it: rows of ``sante`` and ``offre_soins`` in words, by QPV.

Pages, workbook and QGIS show the objects of this module. A row of a larger mesh than the QPV keeps its zone:
it is shown under that zone's name, never as the QPV's.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from qpv_geo.formats.base import Content
from qpv_geo.formats.figures import Zone
from qpv_geo.formats.frames import plain_values
from qpv_geo.french import amount, capitalised, decimals_of, interval, length_name, measure, number, ordinal
from qpv_geo.frozen import Frozen
from qpv_geo.statuses import NOT_AVAILABLE, NOT_COMPUTABLE, OK, STATUSES
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


@dataclass(frozen=True)
class HealthFigure:
    """A row of ``sante``: a measure of a zone, or why there is none."""

    heading: str
    line: str
    label: str
    mesh: str
    """In words, of which territory the value is."""
    zone: Zone
    vintage: str
    unit: str
    value: float
    """NaN where there is none."""
    status: str
    low: float
    high: float
    rank: float
    among: float
    among_which: str
    remark: str
    decimals: int = 0

    @property
    def present(self) -> bool:
        """Whether there is a value."""
        return not math.isnan(self.value)

    @property
    def mesh_title(self) -> str:
        """The same as a cell by itself."""
        return capitalised(self.mesh)

    @property
    def own(self) -> bool:
        """Whether the value is the QPV's."""
        return self.zone.kind == OWN

    @property
    def short(self) -> str:
        """The value, an estimate labelled, or the words of its status; without a unit in words."""
        return self._words(amount)

    @property
    def text(self) -> str:
        """The same with its unit."""
        return self._words(measure)

    def _words(self, write: Any) -> str:  # noqa: ANN401 - one of two functions of one signature
        words = STATUSES[self.status].words
        if not self.present:
            return words
        metres = self.unit == _METRE
        value: str = distance_name(self.value) if metres else write(self.value, self.unit, self.decimals)
        return value if self.status == OK else f"{value} ({words})"

    @property
    def interval(self) -> str:
        """Its confidence interval or, of an estimate, its range; empty without."""
        return "" if math.isnan(self.low) else interval(self.low, self.high, self.decimals)

    @property
    def ranked(self) -> str:
        """Its rank among how many zones, empty without."""
        return "" if math.isnan(self.rank) else f"{ordinal(int(self.rank))} sur {number(self.among)}"

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
    known: bool
    none_near: bool
    """Whether there is none within the largest reach."""
    street: int
    """Those of a position drawn at random in their street, which are counted."""
    unlocated: int
    """Those without a sure position, which are not."""
    from_contour: bool
    """Whether distances are measured from the contour, for want of buildings."""
    vintage: str
    counted_by_insee: str
    """How many INSEE places in the QPV, empty if it does not say."""


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
    table = content.frames.get(TABLE)
    if table is None:
        return {}
    columns = {str(name): plain_values(table[name]) for name in table.columns}
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    decimals = _decimals(rows)
    figures: dict[str, list[HealthFigure]] = {code: [] for code in content.frames["qpv"]["code_qp"]}
    for row in sorted(rows, key=lambda row: (row["code_qp"], row["ordre"])):
        figures[row["code_qp"]].append(_figure(row, decimals[row["ligne"], row["unite"]]))
    return {code: tuple(listed) for code, listed in figures.items()}


def _figure(row: Mapping[str, Any], decimals: int) -> HealthFigure:
    return HealthFigure(
        heading=row["rubrique"],
        line=row["ligne"],
        label=row["libelle"],
        mesh=row["maille"],
        zone=Zone(row["zone"], row["code"], row["nom_zone"] or row["code"]),
        vintage=row["millesime"] or "",
        unit=row["unite"] or "",
        value=_real(row["valeur"]),
        status=row["statut"],
        low=_real(row["borne_basse"]),
        high=_real(row["borne_haute"]),
        rank=_real(row["rang"]),
        among=_real(row["rang_sur"]),
        among_which=row["rang_parmi"] or "",
        remark=row["remarque"] or "",
        decimals=decimals,
    )


def _real(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _decimals(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str | None], int]:
    """Return how many decimals the values of each line have, so that those of all zones are written alike."""
    values: dict[tuple[str, str | None], list[float]] = {}
    for row in rows:
        listed = values.setdefault((row["ligne"], row["unite"]), [])
        listed += [] if row["valeur"] is None else [row["valeur"]]
    return {key: decimals_shown(listed, key[1] or "") for key, listed in values.items()}


def decimals_shown(values: Sequence[float], unit: str) -> int:
    """Return how many decimals values have: those of their unit; one for others that are not all whole."""
    if unit in _EXACT_UNITS:
        return decimals_of(values, unit)
    return int(any(value != round(value) for value in values))


@lru_cache(maxsize=1)
def care_of(content: Content) -> Mapping[str, tuple[CareRow, ...]]:
    """Return the rows of ``offre_soins`` by QPV, in their order; none if the release has not the table."""
    table = content.frames.get(SUPPLY)
    if table is None:
        return {}
    columns = {str(name): plain_values(table[name]) for name in table.columns}
    care: dict[str, list[CareRow]] = {code: [] for code in content.frames["qpv"]["code_qp"]}
    for cells in zip(*columns.values(), strict=True):
        row = dict(zip(columns, cells, strict=True))
        care[row["code_qp"]].append(_care(row))
    return {code: tuple(rows) for code, rows in care.items()}


def _care(row: Mapping[str, Any]) -> CareRow:
    missing = STATUSES[row["statut"]].words

    def count(field: str) -> str:
        return missing if row[field] is None else number(row[field])

    distance, most = row["distance_m"], row["nombre_1000m"]
    return CareRow(
        category=row["categorie"],
        label=row["libelle"],
        inside=count("nombre_qpv"),
        around=(count("nombre_300m"), count("nombre_500m"), count("nombre_1000m")),
        nearest="" if distance is None else distance_name(distance),
        this_side=count("dedans_300m_limite"),
        other_side=count("dehors_300m_limite"),
        known=most is not None,
        none_near=most == 0,
        street=row["position_dans_la_rue"] or 0,
        unlocated=row["non_localises"] or 0,
        from_contour=row["depuis"] == "contour",
        vintage=row["millesime"] or "",
        counted_by_insee="" if row["nombre_insee"] is None else number(row["nombre_insee"]),
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
    """Return the rows of ``sources`` that stand for what pages show: of values, contours and base map.

    With `lines`, those of these lines of ``sante`` and of the supply of care alone.
    """
    frames, drawn = content.frames, ["contours", "communes", "base_map"]
    table = frames[TABLE]
    tables = [table if lines is None else table[table["ligne"].isin(lines)]]
    tables += [frames[name] for name in (SUPPLY,) if name in frames]
    if lines is None:
        drawn.append("iris")
        tables += [frames[name] for name in (COMMUNES_APL,) if name in frames]
    named = {name for table in tables for listed in table["source"].dropna() for name in listed.split(", ")}
    named |= {source.id for source in content.spec.catalogue.sources if set(drawn) & set(source.fills)}
    read = content.sources_read
    # A source of several files has a row for each.
    return read[read["source"].str.partition("-")[0].isin(named)]
