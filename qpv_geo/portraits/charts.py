"""Bar charts as SVG that stands in a page: drawn by pygal, named for screen readers, free of the clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from xml.etree import ElementTree as ET

import pygal
from defusedxml.ElementTree import fromstring
from markupsafe import Markup
from pygal.style import Style

_NAMESPACE = "http://www.w3.org/2000/svg"
# What pygal adds to the drawing itself: scripts and styles, tooltips, and the words of both.
_TAGS = {f"{{{_NAMESPACE}}}{tag}" for tag in ("defs", "title", "desc")}
_CLASSES = {"background", "plot tooltip-overlay", "plot overlay", "titles"}
_WIDTH = 300
_BAR_HEIGHT = 22
_MARGIN = 4
_LABEL_AT_MOST = 24
# Units that an average letter takes at the size of the style sheet (12), for labels and for values in bold.
_LETTER, _BOLD_LETTER = 6.8, 6.8
# pygal reckons 0.6 of the font size for a letter: this size makes it keep what the labels take.
_STYLE = Style(label_font_size=_LETTER / 0.6, major_label_font_size=_LETTER / 0.6, value_font_size=12)


@dataclass(frozen=True)
class Bar:
    """One bar: label, length (None: nothing to draw), what is written beside it, whether it stands out."""

    label: str
    value: float | None
    text: str
    strong: bool = False


def bar_chart(title: str, bars: Sequence[Bar]) -> Markup:
    """Draw horizontal bars from zero, the first on top, each with its value in words.

    A bar without value keeps its line and says why. Colours are those of the page's style sheet.

    Parameters
    ----------
    title
        What the chart shows; with each bar in words it is the text alternative.
    bars
        In order of reading.

    Returns
    -------
    Markup
        An ``<svg>`` of 300 units of width with ``role="img"``; every text in it is escaped.
    """
    longest = max((bar.value for bar in bars if bar.value is not None), default=0.0) or 1.0
    chart = pygal.HorizontalBar(
        width=_WIDTH,
        height=len(bars) * _BAR_HEIGHT + 2 * _MARGIN,
        margin=_MARGIN,
        spacing=_MARGIN,
        css=[],
        js=[],
        style=_STYLE,
        show_legend=False,
        show_x_labels=False,
        show_y_labels=True,
        print_values=True,
        print_values_position="top",
        range=(0, longest / _share_of_bars(bars)),
        disable_xml_declaration=True,
    )
    # pygal stacks from the bottom up.
    upwards = list(reversed(bars))
    chart.x_labels = [_shortened(bar.label) for bar in upwards]
    chart.add("", [{"value": bar.value or 0, "formatter": partial(_said, bar.text)} for bar in upwards])
    said = " ; ".join(f"{bar.label} {bar.text}" for bar in bars)
    return _inline(chart.render(is_unicode=True), [bar.strong for bar in upwards], f"{title}. {said}.")


def _shortened(label: str) -> str:
    """Cut a label that would leave no room for bars; pygal cuts those of horizontal bars nowhere."""
    return label if len(label) <= _LABEL_AT_MOST else f"{label[: _LABEL_AT_MOST - 1].rstrip()}\u2026"


def _share_of_bars(bars: Sequence[Bar]) -> float:
    """Return which part of the plot the longest bar may take, so that values stand beside their bars."""
    plot = _WIDTH - _LETTER * max(len(_shortened(bar.label)) for bar in bars) - 4 * _MARGIN
    beside = _BOLD_LETTER * max((len(bar.text) for bar in bars if bar.value is not None), default=0)
    return max(1 - beside / plot, 0.1)


def _said(text: str, _: float) -> str:
    return text


def _inline(svg: str, strong: Sequence[bool], alternative: str) -> Markup:
    """Keep the drawing alone; reading it again drops pygal's comments, one of which bears the day's date."""
    ET.register_namespace("", _NAMESPACE)
    root = fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in _TAGS or child.get("class") in _CLASSES:
                parent.remove(child)
    for element, stands_out in zip(root.iterfind(".//*[@class='bar']"), strong, strict=True):
        element.set("class", "bar fort" if stands_out else "bar")
    for name, value in (("id", ""), ("class", "barres"), ("role", "img"), ("aria-label", alternative)):
        root.set(name, value)
    del root.attrib["id"]
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704 - ElementTree has escaped every text
