"""Charts as SVG that stands in a page and is read out in words: bars with their intervals, and ranges."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from qpv_geo.templates import render

# Units of the drawing, whose letters are 12 high and, on average, so wide.
_WIDTH, _ROW, _MARGIN, _GAP = 300, 22, 4, 5
_LETTER = 6.8
_LETTERS_OF_LABEL = 24
_SHORTEST = 20
# Of a range: its name above, its line, the words of its ends below.
_RANGE_ROW = 48


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
class Reference:
    """A line across all bars: its value, and its name and value in words."""

    value: float
    text: str


@dataclass(frozen=True)
class Range:
    """A zone's low, middle and high value, and each in words."""

    label: str
    values: tuple[float, float, float]
    texts: tuple[str, str, str]
    strong: bool = False


def bar_chart(title: str, bars: Sequence[Bar], reference: Reference | None = None) -> Markup:
    """Draw horizontal bars from zero, the first on top, each with its value in words.

    Title and bars in words are the text alternative. There is one bar at least; one without value keeps its
    line and says why. The ``<svg>`` has the colours of the page's style sheet.
    """
    left = 2 * _MARGIN + _LETTER * max(len(bar.short_label) for bar in bars)
    beside = _GAP + _LETTER * max((len(bar.text) for bar in bars if bar.value is not None), default=0)
    room = max(_WIDTH - left - beside - _MARGIN, _SHORTEST)
    longest = max(*(bar.end for bar in bars), reference.value if reference else 0.0) or 1.0
    words = [f"{bar.label} {bar.text}" for bar in bars] + ([reference.text] if reference else [])
    top = _MARGIN + (_ROW - 6 if reference else 0)
    line = left + reference.value * room / longest if reference else None
    svg = render(
        "qpv_geo.portraits",
        "chart.svg",
        alternative=f"{title}. {' ; '.join(words)}.",
        width=_WIDTH,
        height=len(bars) * _ROW + top + _MARGIN,
        row=_ROW,
        top=top,
        gap=_GAP,
        left=left,
        unit=room / longest,
        bars=[(bar, _beside(left + bar.end * room / longest, bar.text, line)) for bar in bars],
        line=line,
        reference=reference,
    )
    return Markup(svg)  # noqa: S704 - the template has escaped every text


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
    svg = render(
        "qpv_geo.portraits",
        "range.svg",
        alternative=f"{title}. {' ; '.join(words)}.",
        width=_WIDTH,
        height=len(ranges) * _RANGE_ROW,
        row=_RANGE_ROW,
        ranges=[(one, [2 * _MARGIN + unit * (value - least) for value in one.values]) for one in ranges],
    )
    return Markup(svg)  # noqa: S704 - the template has escaped every text
