"""Charts as SVG that stands in a page and is read out in words: bars with their intervals, and ranges."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from qpv_geo.formats.essentials import Essential
from qpv_geo.french import amount, number
from qpv_geo.ingest.distribution import Distribution
from qpv_geo.templates import render

# Units of the drawing, whose letters are 12 high and, on average, so wide.
_WIDTH, _ROW, _MARGIN, _GAP = 300, 22, 4, 5
_LETTER = 6.8
_LETTERS_OF_LABEL = 24
_SHORTEST = 20
# Of a range: its name above, its line, the words of its ends below.
_RANGE_ROW = 48
# Units of the drawing: its width, where columns stand and how high the highest is, room at both ends.
_STRIP_WIDTH, _BASE, _HIGHEST, _STRIP_MARGIN = 320.0, 44.0, 30.0, 12.0
_LOWEST = 0.8
_COLUMNS_AT_MOST, _TICKS_AT_MOST = 36, 6
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)
# Of lines over years: height of the drawing, room for the words of the axes.
_LINES_HEIGHT, _LINES_LEFT, _LINES_BOTTOM = 120.0, 34.0, 18.0
# Width of a column, in powers of ten.
_POWER = 0.07


Reference = tuple[float, str]
"""A line across a chart: its value, and its name and value in words."""


def svg(template: str, **values: Any) -> Markup:  # noqa: ANN401 - templates take what they name
    """Return a drawing in the colours of a page's style sheet: its template has escaped every text."""
    return Markup(render("qpv_geo.portraits", template, **values))  # noqa: S704


@dataclass(frozen=True)
class _Axis:
    """Where values stand; those of counts, of which a few are far above all others, by their logarithm."""

    low: float
    high: float
    powers: bool

    def bent(self, value: float) -> float:
        return math.log10(max(value, 1.0)) if self.powers else value

    def at(self, bent: float) -> float:
        """Return a place; the axis holds whole columns."""
        start, end = self.cell(self.low) * self.column, (self.cell(self.high) + 1) * self.column
        return _STRIP_MARGIN + (_STRIP_WIDTH - 2 * _STRIP_MARGIN) * (bent - start) / (end - start)

    def place(self, value: float) -> float:
        return self.at(self.bent(value))

    def cell(self, value: float) -> int:
        """Return the column of a value."""
        return math.floor(self.bent(value) / self.column)

    @property
    def column(self) -> float:
        """How much a column spans."""
        return _POWER if self.powers else self.step(_COLUMNS_AT_MOST)

    def step(self, most: int) -> float:
        """Return a round step that divides the axis into `most` parts at most."""
        return next((step for step in _STEPS if (self.high - self.low) / step <= most), _STEPS[-1])

    @property
    def ticks(self) -> list[float]:
        if self.powers:
            return [10.0**power for power in range(10) if self.low <= 10**power <= self.high]
        step = max(self.step(_TICKS_AT_MOST), 1)
        return [step * rank for rank in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]

    def columns(self, spread: Distribution) -> str:
        """Return a path of columns, each as high as its QPV are many."""
        cells = [self.cell(level) for level in spread.levels.tolist()]
        starts, of_level = np.unique(cells, return_inverse=True)
        heights = np.bincount(of_level, weights=spread.counts)
        return "".join(
            f"M{self.at(start * self.column) + 0.4:.1f} {_BASE:.0f}"
            f"v{-max(_HIGHEST * height / heights.max(), _LOWEST):.1f}"
            f"H{self.at((start + 1) * self.column) - 0.4:.1f}V{_BASE:.0f}z"
            for start, height in zip(starts.tolist(), heights.tolist(), strict=True)
        )


def strip(essential: Essential, name: str) -> Markup:
    """Draw how a figure spreads over the QPV, with the named QPV, its interval, the median and its town.

    The text alternative says the same in words. Raises `ValueError` for a figure without value or spread.
    """
    spread, figure = essential.spread, essential.figure
    if spread is None or not figure.present:
        raise ValueError(f"{essential.plan.id} of {name}: nothing to draw")
    powers = figure.indicator.kind == "count"
    interval = [] if math.isnan(figure.low) else [figure.low, figure.high]
    least, most = float(spread.levels[0]), float(spread.levels[-1])
    town: Reference | None = None
    if (beside := essential.town) and beside.other and not powers:
        town = beside.other.value, f"{beside.zone.name} {beside.other.short}"
    values = [figure.value, least, most, *interval, *(town[:1] if town else ())]
    axis = _Axis(min(values), max(values), powers=powers)
    first, middle, last = (
        amount(value, figure.unit, figure.decimals) for value in (least, float(spread.median), most)
    )
    words = [
        f"{essential.plan.title} : {name} {figure.short} {figure.interval}".rstrip(),
        f"{number(spread.size)} QPV de métropole de {first} à {last}, dont la moitié à {middle} ou moins",
        *(town[1:] if town else ()),
    ]
    return svg(
        "strip.svg",
        alternative=" ; ".join(words),
        width=_STRIP_WIDTH,
        columns=axis.columns(spread),
        own=axis.place(figure.value),
        interval=[axis.place(bound) for bound in interval],
        median=axis.place(spread.median),
        town=(axis.place(town[0]), town[1]) if town else None,
        ticks=[(axis.place(value), amount(value, figure.unit, 0)) for value in axis.ticks],
    )


@dataclass(frozen=True)
class Bar:
    """One bar: label, length (None: nothing to draw), what is written beside it, whether it stands out."""

    label: str
    value: float | None
    text: str
    strong: bool = False
    interval: tuple[float, float] | None = None
    """Ends of its whisker."""
    behind: float | None = None
    """Length of a paler bar behind it."""

    @property
    def short_label(self) -> str:
        """The label, cut where it would leave no room for bars."""
        if len(self.label) <= _LETTERS_OF_LABEL:
            return self.label
        return f"{self.label[: _LETTERS_OF_LABEL - 1].rstrip()}\u2026"

    @property
    def end(self) -> float:
        """How far anything of it reaches."""
        return max(self.value or 0.0, self.behind or 0.0, *(self.interval or (0.0,)))


@dataclass(frozen=True)
class Range:
    """A zone's low, middle and high value, and each in words."""

    label: str
    values: Sequence[float]
    texts: Sequence[str]
    strong: bool = False


def bar_chart(title: str, bars: Sequence[Bar], reference: Reference | None = None) -> Markup:
    """Draw horizontal bars from zero, the first on top, each with its value in words.

    There is one bar at least; one without value keeps its line and says why.
    """
    left = 2 * _MARGIN + _LETTER * max(len(bar.short_label) for bar in bars)
    beside = _GAP + _LETTER * max((len(bar.text) for bar in bars if bar.value is not None), default=0)
    room = max(_WIDTH - left - beside - _MARGIN, _SHORTEST)
    value, text = reference or (0.0, "")
    longest = max(*(bar.end for bar in bars), value) or 1.0
    words = [*(f"{bar.label} {bar.text}" for bar in bars), *([text] if reference else [])]
    top = _MARGIN + (_ROW - 6 if reference else 0)
    line = left + value * room / longest if reference else None
    return _chart(
        "chart.svg",
        title,
        words,
        height=len(bars) * _ROW + top + _MARGIN,
        row=_ROW,
        top=top,
        gap=_GAP,
        left=left,
        unit=room / longest,
        bars=[(bar, _beside(left + bar.end * room / longest, bar.text, line)) for bar in bars],
        line=line,
        reference=text,
    )


def _chart(template: str, title: str, words: Sequence[str], **values: Any) -> Markup:  # noqa: ANN401 - as `svg`
    """Return a chart whose text alternative is its title and what it draws, in words."""
    return svg(template, alternative=f"{title}. {' ; '.join(words)}.", width=_WIDTH, **values)


def _beside(end: float, text: str, line: float | None) -> float:
    """Return where a value is written: after its bar, or after a line across it if there is room."""
    start, width = end + _GAP, _LETTER * len(text)
    if line is not None and end < line < start + width and line + _GAP + width <= _WIDTH:
        return line + _GAP
    return start


def range_chart(title: str, ranges: Sequence[Range]) -> Markup:
    """Draw a line from the low to the high value of each zone, with a dot at the middle one."""
    least = min(one.values[0] for one in ranges)
    room = _WIDTH - 4 * _MARGIN
    unit = room / ((max(one.values[2] for one in ranges) - least) or 1.0)
    words = [f"{one.label} {', '.join(one.texts)}" for one in ranges]
    return _chart(
        "range.svg",
        title,
        words,
        height=len(ranges) * _RANGE_ROW,
        row=_RANGE_ROW,
        ranges=[(one, [2 * _MARGIN + unit * (value - least) for value in one.values]) for one in ranges],
    )


def line_chart(
    title: str, lines: Sequence[tuple[str, str, Sequence[tuple[int, float]]]], decimals: int
) -> Markup:
    """Draw a line for each zone over the years, from zero; there is one value at least.

    Of each: its label, its class in the style sheet, its values by year, in their order. The text alternative
    holds every value.
    """
    years = sorted({year for _, _, values in lines for year, _ in values})
    most = max(value for _, _, values in lines for _, value in values) or 1.0
    wide, high = _WIDTH - _LINES_LEFT - 3 * _MARGIN, _LINES_HEIGHT - _LINES_BOTTOM - 3 * _MARGIN
    span = max(years[-1] - years[0], 1)

    def place(year: int, value: float) -> tuple[float, float]:
        x = _LINES_LEFT + wide * ((year - years[0]) / span if len(years) > 1 else 0.5)
        return x, 3 * _MARGIN + high * (1 - value / most)

    words = [
        f"{label} {', '.join(f'{number(value, decimals)} en {year}' for year, value in values)}"
        for label, _, values in lines
    ]
    return _chart(
        "lines.svg",
        title,
        words,
        height=_LINES_HEIGHT,
        lines=[(kind, [place(*point) for point in values]) for _, kind, values in lines],
        levels=[(place(years[0], value)[1], number(value, decimals)) for value in (0.0, most)],
        left=_LINES_LEFT,
        years=[(place(year, 0.0)[0], year) for year in dict.fromkeys((years[0], years[-1]))],
    )
