"""The charts of a theme: the QPV beside other zones, or beside the other QPV, with its town as a line."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup
from pydantic import Field

from qpv_geo.formats.essentials import TOWN, essential_plans
from qpv_geo.formats.figures import Figure, Figures, Zone, qpv_zones
from qpv_geo.formats.frames import Frames
from qpv_geo.frozen import Frozen
from qpv_geo.portraits.charts import Bar, Range, Reference, bar_chart, range_chart

# QPV in one chart.
_BARS_AT_MOST = 8
# With which of the zones a structure is compared: the first that has it whole.
_BEHIND = (TOWN, "ensemble_qpv_epci", "ensemble_qpv")


class StructurePlan(Frozen):
    """Shares of one whole that are drawn side by side: a title, and their names by indicator."""

    title: str
    parts: Mapping[str, str] = Field(min_length=2)


class RangePlan(Frozen):
    """A low, a middle and a high value that are drawn on one line."""

    title: str
    indicators: tuple[str, str, str]


@dataclass(frozen=True)
class Row:
    """The QPV's figure and, by compared zone, that of the same vintage (None: unpublished)."""

    figure: Figure
    others: tuple[Figure | None, ...]


@dataclass(frozen=True)
class Chart:
    """A chart: what it shows, the figures of its bars by name, and the drawing."""

    title: str
    detail: str
    figures: tuple[tuple[str, Figure], ...]
    drawing: Markup


class ThemeCharts:
    """Draws the charts of each theme."""

    def __init__(self, frames: Frames, figures: Figures) -> None:
        self._figures = figures
        self._every_qpv = qpv_zones(frames)

    def structure(self, plan: StructurePlan, zone: Zone, others: Sequence[Zone]) -> Iterator[Chart]:
        """Draw shares of one whole, with those of the first other zone that has all of them behind."""
        if not all(name in self._figures.indicators for name in plan.parts):
            return
        own = [self._figures.newest(zone, name) for name in plan.parts]
        if not any(figure.present for figure in own):
            return
        ranked = sorted((o for o in others if o.kind in _BEHIND), key=lambda o: _BEHIND.index(o.kind))
        sets = ((other.name, self._all_of(other, own)) for other in ranked)
        known = (
            (name, figures) for name, figures in sets if figures and all(figure.present for figure in figures)
        )
        name, behind = next(known, ("", []))
        bars = [
            _bar(label, figure, strong=True, behind=behind[place].value if behind else None)
            for place, (label, figure) in enumerate(zip(plan.parts.values(), own, strict=True))
        ]
        detail = ", ".join(filter(None, (own[0].vintage, f"en clair : {name}" if name else "")))
        yield Chart(plan.title, detail, (), bar_chart(f"{plan.title} ({detail})", bars))

    def range(self, plan: RangePlan, zone: Zone, others: Sequence[Zone]) -> Iterator[Chart]:
        """Draw what a zone's values range over, where all three are known, above the same of other zones."""
        if not all(name in self._figures.indicators for name in plan.indicators):
            return
        own = [self._figures.newest(zone, name) for name in plan.indicators]
        candidates = [(zone, own), *((other, self._all_of(other, own)) for other in others)]
        ranges = [
            Range(
                other.name,
                [figure.value for figure in figures],
                [figure.short for figure in figures],
                strong=other == zone,
            )
            for other, figures in candidates
            if figures and figures[0].value <= figures[1].value <= figures[2].value
        ]
        if ranges and ranges[0].strong:
            yield Chart(plan.title, own[0].vintage, (), range_chart(plan.title, ranges))

    def _all_of(self, zone: Zone, own: Sequence[Figure]) -> list[Figure]:
        """Return a zone's figures of the same indicators and vintages; none unless all are published."""
        found = (self._figures.same_vintage(zone, one.indicator.id, one.vintage) for one in own)
        figures = [figure for figure in found if figure]
        return figures if len(figures) == len(own) else []

    def of(
        self, rows: Sequence[Row], zone: Zone, zones: Sequence[Zone], others: Sequence[Zone]
    ) -> Iterator[Chart]:
        """Draw rates and amounts beside other zones; if there are none, the first beside the other QPV.

        `zones` are those of the rows, of all the `others`. A QPV's only town is a line across the bars.
        """
        towns = [other for other in others if other.kind == TOWN]
        town = zones.index(towns[0]) if len(towns) == 1 and towns[0] in zones else None
        measured = [row for row in rows if row.figure.indicator.kind != "count" and row.figure.present]
        compared = [row for row in measured if any(other and other.present for other in row.others)]
        # The essential figures stand beside all QPV at the top of the page.
        essential = {plan.indicator for plan in essential_plans()}
        compared.sort(
            key=lambda row: (row.figure.indicator.id in essential, not row.figure.indicator.qpv_layer)
        )
        for row in compared:
            line = None if town is None else _reference(zones[town], row.others[town])
            beside = [
                (other.name, figure)
                for place, (other, figure) in enumerate(zip(zones, row.others, strict=True))
                if figure is not None and place != town
            ]
            if any(figure.present for _, figure in beside):
                yield _chart(row, "", [(zone.name, row.figure), *beside], 0, line)
            else:
                yield self._beside_other_qpv(row, zone, line)
        if rows and not compared:
            drawn = [row for row in rows if row.figure.present] or rows
            yield self._beside_other_qpv(
                min(drawn, key=lambda row: row.figure.indicator.kind == "count"), zone
            )

    def _beside_other_qpv(self, row: Row, zone: Zone, line: Reference | None = None) -> Chart:
        """Draw the territory's QPV, the highest first, those without value last; of many, an extract."""
        figures = [(other, self._figures.newest(other, row.figure.indicator.id)) for other in self._every_qpv]
        figures.sort(key=lambda pair: (not pair[1].present, -pair[1].value if pair[1].present else 0.0))
        detail = "Quartiers du territoire"
        names = {other.code: other.name for other, _ in figures}
        if len(figures) > _BARS_AT_MOST:
            count = len(figures)
            figures = [pair for pair in figures if pair[1].present or pair[0].code == zone.code]
            values = [figure.value for _, figure in figures]
            own = [other.code for other, _ in figures].index(zone.code)
            figures = [figures[rank] for rank in around(own, len(figures), _BARS_AT_MOST)]
            # Equal values have the same rank.
            names |= {
                other.code: f"{1 + sum(value > figure.value for value in values)}. {other.name}"
                for other, figure in figures
                if figure.present
            }
            detail = f"{len(figures)} des {count} quartiers du territoire, par rang"
        strong = [other.code for other, _ in figures].index(zone.code)
        return _chart(row, detail, [(names[other.code], figure) for other, figure in figures], strong, line)


def around(own: int, count: int, most: int) -> list[int]:
    """Return which ranks are shown, from zero: the first, the last, one's own and those nearest to it.

    `most` is three at least.
    """
    if count <= most:
        return list(range(count))
    near = sorted(range(1, count - 1), key=lambda rank: (abs(rank - own), rank))[: most - 2]
    return sorted({0, count - 1, *near})


def _reference(town: Zone, figure: Figure | None) -> Reference | None:
    return (figure.value, f"{town.name} {figure.short}") if figure and figure.present else None


def _bar(label: str, figure: Figure, *, strong: bool, behind: float | None = None) -> Bar:
    interval = (figure.low, figure.high) if figure.present and figure.interval else None
    return Bar(label, figure.value if figure.present else None, figure.short, strong, interval, behind)


def _chart(
    row: Row, detail: str, figures: Sequence[tuple[str, Figure]], strong: int, line: Reference | None
) -> Chart:
    """Draw figures by name; one of them stands out."""
    title = row.figure.indicator.label
    detail = ", ".join(filter(None, (detail, row.figure.vintage)))
    bars = [_bar(name, figure, strong=rank == strong) for rank, (name, figure) in enumerate(figures)]
    drawing = bar_chart(f"{title} ({detail})" if detail else title, bars, line)
    return Chart(title, detail, tuple(figures), drawing)
