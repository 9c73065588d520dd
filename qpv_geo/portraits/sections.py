"""The sections of a portrait: indicators of the registry by theme, compared and drawn; why some lack."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path

from markupsafe import Markup
from pydantic import Field

from qpv_geo.formats.base import Content
from qpv_geo.formats.essentials import TOWN, essential_plans
from qpv_geo.formats.figures import Figure, Figures, Zone, qpv_zones
from qpv_geo.frozen import Frozen
from qpv_geo.ingest.registry import Indicator, Registry
from qpv_geo.portraits.charts import Bar, Range, Reference, bar_chart, range_chart
from qpv_geo.sources.catalogue import Source, TableName
from qpv_geo.toml_file import read_declarations

_SECTIONS = Path(__file__).with_name("sections.toml")
_READ = "lue"
_NOT_READ = "source non lue pour cette publication"
_CONTOURS = "qpv_2024"
_CHARTS_AT_MOST = 4
# Columns of comparison on paper, and which kinds are left out first if there are more.
_ZONES_ON_PAPER = 5
_LEFT_OUT_FIRST = ("ensemble_qpv_region", "ensemble_qpv_departement", "departement", "epci")
# Rows seen at once where no indicator leads.
_LEADING = 8
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


class SectionPlan(Frozen):
    """A section and the themes that it holds."""

    id: str
    title: str
    themes: tuple[str, ...] = Field(min_length=1)
    structure: StructurePlan | None = None
    range: RangePlan | None = None
    low: bool = False
    """Whether it stands after all others, without charts."""
    note: str = ""
    """What its words mean, in French."""


@cache
def section_plans(path: Path = _SECTIONS) -> tuple[SectionPlan, ...]:
    """Read the declared sections."""
    with read_declarations(path, "the sections of portraits are not valid") as entries:
        return tuple(SectionPlan(id=key, **entry) for key, entry in entries.items())


def plans_for(registry: Registry) -> tuple[SectionPlan, ...]:
    """Return the declared sections, then one for each theme of the registry that none of them names."""
    plans = section_plans()
    named = {theme for plan in plans for theme in plan.themes}
    others = dict.fromkeys(i.theme for i in registry.indicators if i.theme not in named)
    extra = (
        SectionPlan(id=f"theme-{number}", title=theme, themes=(theme,))
        for number, theme in enumerate(others, 1)
    )
    return (*plans, *extra)


@dataclass(frozen=True)
class FigureTable:
    """Rows, and the compared zones of which at least one row has a figure."""

    zones: tuple[Zone, ...]
    rows: tuple[Row, ...]

    @property
    def zones_printed(self) -> frozenset[Zone]:
        """Columns of comparison that go on paper: as many as fit."""
        spare = max(len(self.zones) - _ZONES_ON_PAPER, 0)
        kinds = [zone.kind for zone in self.zones]
        left_out = [kind for kind in _LEFT_OUT_FIRST if kind in kinds][:spare]
        return frozenset(zone for zone in self.zones if zone.kind not in left_out)


@dataclass(frozen=True)
class Absence:
    """Something that this release lacks, and why."""

    what: str
    why: str


@dataclass(frozen=True)
class Section:
    """One theme of a portrait."""

    plan: SectionPlan
    shown: FigureTable
    folded: FigureTable
    """A row per indicator: the leading ones, and the others."""
    lacking: tuple[str, ...]
    """Labels of the indicators that the files of the theme lack, though they were read."""
    charts: tuple[Chart, ...]
    absences: tuple[Absence, ...]
    """Sources of the theme that were not read."""


class Sections:
    """Builds the sections of each portrait of a release, and draws their charts."""

    def __init__(self, content: Content, figures: Figures) -> None:
        self._figures = figures
        self._indicators = content.spec.registry.indicators
        self._plans = plans_for(content.spec.registry)
        self._catalogue = content.spec.catalogue
        self._every_qpv = qpv_zones(content.frames)
        sources = content.frames["sources"]
        # The sentence that says why begins with the source's title, which stands beside it here.
        self._states: dict[str, tuple[str, str]] = {
            source: (state, (reason or "").rstrip(".").removeprefix(f"{title} : "))
            for source, title, state, reason in zip(
                sources["source"], sources["titre"], sources["etat"], sources["motif"], strict=True
            )
        }

    def of(self, zone: Zone, others: Sequence[Zone]) -> list[Section]:
        """Return the sections of a QPV, compared with other zones."""
        return [self._section(plan, zone, others) for plan in self._plans]

    def _section(self, plan: SectionPlan, zone: Zone, others: Sequence[Zone]) -> Section:
        indicators = [i for i in self._indicators if i.theme in plan.themes and "qpv" in i.zones]
        rows = [self._row(indicator, zone, others) for indicator in indicators if self._is_held(indicator)]
        leading = leading_rows(rows)
        shown = _table(leading, others)
        return Section(
            plan,
            shown,
            _table([row for row in rows if row not in leading], others),
            tuple(i.label for i in indicators if not self._is_held(i) and self._was_read(i.source)),
            () if plan.low else tuple(islice(self._draw(plan, shown, zone, others), _CHARTS_AT_MOST)),
            tuple(self._absences(plan.themes)),
        )

    def _draw(
        self, plan: SectionPlan, table: FigureTable, zone: Zone, others: Sequence[Zone]
    ) -> Iterator[Chart]:
        if plan.structure:
            yield from self._structure(plan.structure, zone, others)
        if plan.range:
            yield from self._range(plan.range, zone, others)
        yield from self._beside_zones(table.rows, zone, table.zones, others)

    def _structure(self, plan: StructurePlan, zone: Zone, others: Sequence[Zone]) -> Iterator[Chart]:
        """Draw shares of one whole, with those of the first other zone that has all of them behind."""
        if not all(name in self._figures.indicators for name in plan.parts):
            return
        own = [self._figures.newest(zone, name) for name in plan.parts]
        if not any(figure.present for figure in own):
            return
        ranked = sorted((o for o in others if o.kind in _BEHIND), key=lambda o: _BEHIND.index(o.kind))
        sets = {other.name: self._all_of(other, own) for other in ranked}
        known = (name for name, of in sets.items() if of and all(figure.present for figure in of))
        name = next(known, "")
        behind = sets.get(name, [])
        bars = [
            _bar(label, figure, strong=True, behind=behind[place].value if behind else None)
            for place, (label, figure) in enumerate(zip(plan.parts.values(), own, strict=True))
        ]
        detail = ", ".join(filter(None, (own[0].vintage, f"en clair : {name}" if name else "")))
        yield Chart(plan.title, detail, (), bar_chart(f"{plan.title} ({detail})", bars))

    def _range(self, plan: RangePlan, zone: Zone, others: Sequence[Zone]) -> Iterator[Chart]:
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

    def _beside_zones(
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

    def _is_held(self, indicator: Indicator) -> bool:
        """Tell whether the release holds at least a status of an indicator."""
        return indicator.id in self._figures.indicators

    def _was_read(self, source: str) -> bool:
        return self._states.get(source, ("", ""))[0] == _READ

    def _row(self, indicator: Indicator, zone: Zone, others: Sequence[Zone]) -> Row:
        figure = self._figures.newest(zone, indicator.id)
        compared = tuple(self._figures.same_vintage(o, indicator.id, figure.vintage) for o in others)
        return Row(figure, compared)

    def _absences(self, themes: Iterable[str]) -> Iterator[Absence]:
        """Yield the sources that were not read, except those of another geography: they are never joined."""
        geography = self._catalogue[_CONTOURS].geography
        for source in self._catalogue.sources:
            if source.theme in themes and source.geography == geography and not self._was_read(source.id):
                yield Absence(source.title, self._why_absent(source))

    def why_empty(self, table: TableName) -> str:
        """Return why no source of a table was read, as a clause in French."""
        return self._why_absent(*self._catalogue.filling(table))

    def _why_absent(self, *sources: Source) -> str:
        ids = {source.id for source in sources}
        reasons = (why for name, (_, why) in self._states.items() if name.partition("-")[0] in ids)
        return next(filter(None, reasons), _NOT_READ)


def leading_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that a section shows at first: those of the indicators of layer ``qpv``.

    A section without any of these shows its first ones, one of few rows shows all.
    """
    if len(rows) <= _LEADING:
        return list(rows)
    return [row for row in rows if row.figure.indicator.qpv_layer] or list(rows[:_LEADING])


def _table(rows: Sequence[Row], others: Sequence[Zone]) -> FigureTable:
    """Return rows without the compared zones of which none has a figure."""
    used = [column for column in range(len(others)) if any(row.others[column] for row in rows)]
    kept = (replace(row, others=tuple(row.others[column] for column in used)) for row in rows)
    return FigureTable(tuple(others[column] for column in used), tuple(kept))


def around(own: int, count: int, most: int) -> list[int]:
    """Return the ranks shown, from zero, three at least: first, last, one's own and those nearest to it."""
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
