"""The sections of a portrait: the registry's indicators by theme, compared; why something is missing."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from markupsafe import Markup
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qpv_geo.errors import ConfigurationError
from qpv_geo.formats.base import Content
from qpv_geo.formats.figures import Figure, Figures, Zone, qpv_zones
from qpv_geo.ingest.registry import Indicator, Registry
from qpv_geo.portraits.charts import Bar, bar_chart
from qpv_geo.sources.catalogue import Source, TableName
from qpv_geo.toml_file import read_toml

_SECTIONS = Path(__file__).with_name("sections.toml")
_READ = "lue"
_NOT_READ = "source non lue par cette version"
_CONTOURS = "qpv_2024"
# The first indicators of a theme are drawn as well; the table has them all.
_CHARTS_AT_MOST = 4
# Columns of comparison on paper, and which kinds are left out first if there are more.
_ZONES_ON_PAPER = 5
_LEFT_OUT_FIRST = ("ensemble_qpv_region", "ensemble_qpv_departement", "departement", "epci")
# QPV in one chart.
_BARS_AT_MOST = 8
# Rows seen at once where no indicator leads.
_LEADING = 8


class SectionPlan(BaseModel):
    """A section and the themes that it holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    title: str
    themes: tuple[str, ...] = Field(min_length=1)


@cache
def section_plans(path: Path = _SECTIONS) -> tuple[SectionPlan, ...]:
    """Read the declared sections."""
    entries = read_toml(path)
    try:
        return tuple(SectionPlan(id=key, **entry) for key, entry in entries.items())
    except (ValidationError, TypeError) as error:
        raise ConfigurationError(f"{path}: the sections of portraits are not valid: {error}") from error


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
class Row:
    """An indicator: the QPV's figure and, by compared zone, that of the same vintage (None: unpublished)."""

    indicator: Indicator
    figure: Figure
    others: tuple[Figure | None, ...]


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
class Chart:
    """A chart: what it shows, the figures of its bars by name, and the drawing."""

    title: str
    detail: str
    figures: tuple[tuple[str, Figure], ...]
    drawing: Markup


@dataclass(frozen=True)
class Absence:
    """Something that this release lacks, and why."""

    what: str
    why: str


@dataclass(frozen=True)
class Section:
    """One theme of a portrait."""

    id: str
    title: str
    """Its anchor and its heading."""
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
            plan.id,
            plan.title,
            shown,
            _table([row for row in rows if row not in leading], others),
            tuple(i.label for i in indicators if not self._is_held(i) and self._was_read(i.source)),
            tuple(self._charts(shown, zone)),
            tuple(self._absences(plan.themes)),
        )

    def _is_held(self, indicator: Indicator) -> bool:
        """Tell whether the release holds at least a status of an indicator."""
        return indicator.id in self._figures.indicators

    def _was_read(self, source: str) -> bool:
        return self._states.get(source, ("", ""))[0] == _READ

    def _row(self, indicator: Indicator, zone: Zone, others: Sequence[Zone]) -> Row:
        figure = self._figures.newest(zone, indicator.id)
        compared = tuple(self._figures.same_vintage(o, indicator.id, figure.vintage) for o in others)
        return Row(indicator, figure, compared)

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

    def _charts(self, table: FigureTable, zone: Zone) -> Iterator[Chart]:
        """Draw rates and amounts beside other zones; if there are none, the first beside the other QPV."""
        compared = [
            row
            for row in table.rows
            if row.indicator.kind != "count"
            and row.figure.present
            and any(f and f.present for f in row.others)
        ]
        compared.sort(key=lambda row: not row.indicator.qpv_layer)
        for row in compared[:_CHARTS_AT_MOST]:
            beside = [(o.name, f) for o, f in zip(table.zones, row.others, strict=True) if f is not None]
            yield _chart(row, "", [(zone.name, row.figure), *beside], strong=0)
        if table.rows and not compared:
            drawn = [row for row in table.rows if row.figure.present] or table.rows
            yield self._beside_other_qpv(min(drawn, key=lambda row: row.indicator.kind == "count"), zone)

    def _beside_other_qpv(self, row: Row, zone: Zone) -> Chart:
        """Draw the territory's QPV, the highest first, those without value last; of many, an extract."""
        figures = [(other, self._figures.newest(other, row.indicator.id)) for other in self._every_qpv]
        figures.sort(key=lambda pair: (not pair[1].present, -pair[1].value if pair[1].present else 0.0))
        detail = "Quartiers du territoire"
        names = {other.code: other.name for other, _ in figures}
        if len(figures) > _BARS_AT_MOST:
            count = len(figures)
            figures = [pair for pair in figures if pair[1].present or pair[0].code == zone.code]
            values = [figure.value for _, figure in figures]
            own = [other.code for other, _ in figures].index(zone.code)
            figures = [figures[rank] for rank in around(own, len(figures), _BARS_AT_MOST)]
            names |= {other.code: _ranked(other.name, figure, values) for other, figure in figures}
            detail = f"{len(figures)} des {count} quartiers du territoire, par rang"
        strong = [other.code for other, _ in figures].index(zone.code)
        return _chart(row, detail, [(names[other.code], figure) for other, figure in figures], strong=strong)


def _ranked(name: str, figure: Figure, values: Sequence[float]) -> str:
    """Put the rank of a value before a name; equal values have the same."""
    if not figure.present:
        return name
    return f"{1 + sum(value > figure.value for value in values)}. {name}"


def around(own: int, count: int, most: int) -> list[int]:
    """Return which ranks are shown, from zero: the first, the last, one's own and those nearest to it.

    `most` is three at least.
    """
    if count <= most:
        return list(range(count))
    near = sorted(range(1, count - 1), key=lambda rank: (abs(rank - own), rank))[: most - 2]
    return sorted({0, count - 1, *near})


def leading_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that a section shows at first: those of the indicators of layer ``qpv``.

    A section without any of these shows its first ones, one of few rows shows all.
    """
    if len(rows) <= _LEADING:
        return list(rows)
    return [row for row in rows if row.indicator.qpv_layer] or list(rows[:_LEADING])


def _table(rows: Sequence[Row], others: Sequence[Zone]) -> FigureTable:
    """Return rows without the compared zones of which none has a figure."""
    used = [column for column in range(len(others)) if any(row.others[column] for row in rows)]
    kept = (replace(row, others=tuple(row.others[column] for column in used)) for row in rows)
    return FigureTable(tuple(others[column] for column in used), tuple(kept))


def _chart(row: Row, detail: str, figures: Sequence[tuple[str, Figure]], *, strong: int) -> Chart:
    """Draw figures by name; one of them stands out."""
    title = row.indicator.label
    detail = ", ".join(filter(None, (detail, row.figure.vintage)))
    bars = [
        Bar(name, figure.value if figure.present else None, figure.short, strong=rank == strong)
        for rank, (name, figure) in enumerate(figures)
    ]
    drawing = bar_chart(f"{title} ({detail})" if detail else title, bars)
    return Chart(title, detail, tuple(figures), drawing)
