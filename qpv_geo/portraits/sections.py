"""The sections of a portrait: the registry's indicators by theme, compared; why something is missing."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path

from pydantic import Field

from qpv_geo.formats.base import Content
from qpv_geo.formats.figures import Figures, Zone
from qpv_geo.frozen import Frozen
from qpv_geo.ingest.registry import Indicator, Registry
from qpv_geo.portraits.theme_charts import Chart, RangePlan, Row, StructurePlan, ThemeCharts
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
    """Builds the sections of each portrait of a release."""

    def __init__(self, content: Content, figures: Figures) -> None:
        self._figures = figures
        self._indicators = content.spec.registry.indicators
        self._plans = plans_for(content.spec.registry)
        self._catalogue = content.spec.catalogue
        self._charts = ThemeCharts(content.frames, figures)
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
            yield from self._charts.structure(plan.structure, zone, others)
        if plan.range:
            yield from self._charts.range(plan.range, zone, others)
        yield from self._charts.of(table.rows, zone, table.zones, others)

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
