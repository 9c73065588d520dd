"""The five figures that sum up a QPV or a territory: ``essentials.toml`` declares them.

Each is compared and ranked. Pages, workbooks and the atlas show the objects of this module, which
`summaries.Summaries` makes from a release.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from qpv_geo.errors import ConfigurationError
from qpv_geo.formats.figures import Figure, Zone
from qpv_geo.french import THIN, gap, number
from qpv_geo.frozen import Frozen
from qpv_geo.ingest.distribution import Distribution, canonical
from qpv_geo.toml_file import read_declarations

_ESSENTIALS = Path(__file__).with_name("essentials.toml")
POPULATION, POVERTY = "population", "pauvrete"
"""Ids of two figures, which sentences begin with."""
TOWN = "commune"
"""Kind of zone."""


class EssentialPlan(Frozen):
    """One of the five: the indicator, its heading, its name in a sentence, what it means in plain words."""

    id: str
    indicator: str
    title: str
    name: str
    meaning: str


@cache
def essential_plans(path: Path = _ESSENTIALS) -> tuple[EssentialPlan, ...]:
    """Read the declared figures; raise `ConfigurationError` if the file is not valid."""
    with read_declarations(path, "the essential figures are not valid") as entries:
        plans = tuple(EssentialPlan(id=key, **entry) for key, entry in entries.items())
    if not {POPULATION, POVERTY} <= entries.keys():
        raise ConfigurationError(f"{path}: sentences need the figures {POPULATION!r} and {POVERTY!r}")
    return plans


@dataclass(frozen=True)
class Comparison:
    """A figure beside that of another zone, of the same definition and vintage."""

    zone: Zone
    own: Figure
    other: Figure | None
    """None if nobody publishes it."""

    @property
    def _value(self) -> float:
        return self.other.value if self.other else math.nan

    @property
    def known(self) -> bool:
        """Whether both have a value."""
        return self.own.present and not math.isnan(self._value)

    @property
    def gap(self) -> float:
        """Points between two rates, the other's subtracted; NaN for counts, or if a value is missing."""
        is_count = self.own.indicator.kind == "count"
        return math.nan if is_count else round(self.own.value - self._value, self.decimals)

    @property
    def share(self) -> float:
        """Percentage of a zone's count that a part of it holds; NaN for rates, or if a value is missing."""
        is_count = self.own.indicator.kind == "count"
        return 100 * self.own.value / self._value if is_count and self._value else math.nan

    @property
    def decimals(self) -> int:
        """Those of the gap."""
        return max(self.own.decimals, self.other.decimals if self.other else 0)

    @property
    def within_interval(self) -> bool:
        """Whether the other value lies within the confidence interval: the gap may be due to chance."""
        return self.own.low <= self._value <= self.own.high

    @property
    def text(self) -> str:
        """The gap in points, or the share; empty if a value is missing."""
        if not math.isnan(self.share):
            return f"dont {number(self.share, 1)}{THIN}% ici"
        if math.isnan(self.gap):
            return ""
        return gap(self.gap, "%", self.decimals) if self.gap else "sans écart"


@dataclass(frozen=True)
class Essential:
    """One of the five figures of a zone."""

    plan: EssentialPlan
    figure: Figure
    comparisons: tuple[Comparison, ...]
    """With the QPV of the EPCI taken together, all QPV, and each commune of the zone."""
    spread: Distribution | None = None
    """The values of all QPV of metropolitan France; None without."""

    @property
    def town(self) -> Comparison | None:
        """The comparison with the only commune of the zone, if that has a value."""
        towns = [beside for beside in self.comparisons if beside.zone.kind == TOWN]
        known = [town for town in towns if town.other and town.other.present]
        return known[0] if len(towns) == len(known) == 1 else None

    @property
    def higher(self) -> int:
        """How many QPV of metropolitan France have a higher value; the QPV must have a rank."""
        return int(self.figure.rank) - 1

    @property
    def lower(self) -> int:
        """How many have a lower one."""
        if self.spread is None:
            return 0
        own = canonical(np.array([self.figure.value]))
        return int(self.spread.counts[self.spread.levels < own].sum())

    @property
    def median(self) -> str:
        """What half of the QPV of metropolitan France do not exceed, empty without."""
        return replace(self.figure, value=self.spread.median).short if self.spread else ""

    @property
    def is_ranked(self) -> bool:
        """Whether the QPV has a rank among those of metropolitan France."""
        return self.spread is not None and self.figure.present and not math.isnan(self.figure.rank)


def figure_of(plan: str, essentials: Iterable[Essential]) -> Figure:
    """Return the figure of a plan."""
    return next(one.figure for one in essentials if one.plan.id == plan)


@dataclass(frozen=True)
class QpvSummary:
    """What sums up a QPV."""

    zone: Zone
    essentials: tuple[Essential, ...]
    sentences: tuple[str, str]


@dataclass(frozen=True)
class TerritorySummary:
    """What sums up a territory: its QPV taken together, and each of them."""

    essentials: tuple[Essential, ...]
    inhabitants: int | None
    """Of all its communes; None if one is not known."""
    inhabitants_vintage: str
    qpv: tuple[QpvSummary, ...]
    sentences: tuple[str, str] = ("", "")

    @property
    def share_in_qpv(self) -> float:
        """Percentage of the inhabitants who live in a QPV, NaN without. Say the vintages of both."""
        people = figure_of(POPULATION, self.essentials)
        if not people.present or not self.inhabitants:
            return math.nan
        return 100 * people.value / self.inhabitants

    @property
    def compared(self) -> dict[Zone, list[Figure | None]]:
        """What the QPV taken together are compared with, and the figure that each has of the five."""
        zones = dict.fromkeys(beside.zone for one in self.essentials for beside in one.comparisons)
        return {
            zone: [
                next((beside.other for beside in one.comparisons if beside.zone == zone), None)
                for one in self.essentials
            ]
            for zone in zones
        }
