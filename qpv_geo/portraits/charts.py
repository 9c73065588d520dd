"""Bar charts, as SVG that stands in a page and is read out in words."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from qpv_geo.templates import render

# Units of the drawing, whose letters are 12 high and, on average, so wide.
_WIDTH, _ROW, _MARGIN, _GAP = 300, 22, 4, 5
_LETTER = 6.8
_LETTERS_OF_LABEL = 24
_SHORTEST = 20


@dataclass(frozen=True)
class Bar:
    """One bar: label, length (None: nothing to draw), what is written beside it, whether it stands out."""

    label: str
    value: float | None
    text: str
    strong: bool = False

    @property
    def short_label(self) -> str:
        """The label, cut where it would leave no room for bars."""
        if len(self.label) <= _LETTERS_OF_LABEL:
            return self.label
        return f"{self.label[: _LETTERS_OF_LABEL - 1].rstrip()}\u2026"


def bar_chart(title: str, bars: Sequence[Bar]) -> Markup:
    """Draw horizontal bars from zero, the first on top, each with its value in words.

    Title and bars in words are the text alternative. There is one bar at least; one without value keeps its
    line and says why. The ``<svg>`` has the colours of the page's style sheet.
    """
    left = 2 * _MARGIN + _LETTER * max(len(bar.short_label) for bar in bars)
    beside = _GAP + _LETTER * max((len(bar.text) for bar in bars if bar.value is not None), default=0)
    room = max(_WIDTH - left - beside - _MARGIN, _SHORTEST)
    longest = max((bar.value for bar in bars if bar.value is not None), default=0.0) or 1.0
    words = " ; ".join(f"{bar.label} {bar.text}" for bar in bars)
    svg = render(
        "qpv_geo.portraits",
        "chart.svg",
        alternative=f"{title}. {words}.",
        width=_WIDTH,
        height=len(bars) * _ROW + 2 * _MARGIN,
        row=_ROW,
        margin=_MARGIN,
        gap=_GAP,
        left=left,
        bars=[(bar, room * max(bar.value or 0.0, 0.0) / longest) for bar in bars],
    )
    return Markup(svg)  # noqa: S704 - the template has escaped every text
