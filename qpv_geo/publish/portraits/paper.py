"""What two sheets of A4 hold: which part of each section is printed, reckoned in lines of the style sheet."""

from collections.abc import Sequence
from dataclasses import dataclass

# Lines below the map, at the print sizes of the style sheet.
LINES = 94
# Letters in one line: of a label beside columns of comparison, of a note, of the sources, of a chart's title,
# of a key figure's label.
LETTERS_OF_LABEL, LETTERS_OF_NOTE, LETTERS_OF_SOURCES = 50, 150, 180
_LETTERS_OF_TITLE, _LETTERS_OF_KEY = 40, 22

_HEADING, _TABLE_HEADING = 2, 3
_BAR = 1.45
# Key figures of as many lines leave the room as it is.
_KEY_LINES = 5
# With fewer rows than these, rows tell more than charts.
_ROWS_WITH_CHARTS = 3


@dataclass(frozen=True)
class Block:
    """A section as the paper sees it: lines of each row, of its first chart, of its notes."""

    rows: tuple[int, ...]
    chart: int
    notes: int

    def height(self, most: int, *, charts: bool) -> int:
        """Return how many lines it takes with so many rows at most, its chart beside them."""
        if not self.rows:
            return _HEADING + self.notes
        table = _TABLE_HEADING + sum(self.rows[:most])
        return _HEADING + self.notes + (max(table, self.chart) if charts else table)


@dataclass(frozen=True)
class Printed:
    """How many rows and charts each section prints at most."""

    rows: int
    charts: int


def fit(blocks: Sequence[Block], room: int) -> Printed:
    """Return how much of each section is printed, so that all together find room.

    Parameters
    ----------
    blocks
        The sections.
    room
        Lines.

    Returns
    -------
    Printed
        As many rows as fit beside one chart; if those would be too few, more rows without any chart. One row
        if nothing fits.
    """
    longest = max((len(block.rows) for block in blocks), default=0)
    least = min(longest, _ROWS_WITH_CHARTS)
    choices = [
        *((most, True) for most in range(longest, least - 1, -1)),
        *((most, False) for most in range(longest, 0, -1)),
    ]
    for most, charts in choices:
        if most and sum(block.height(most, charts=charts) for block in blocks) <= room:
            return Printed(most, int(charts))
    return Printed(1, 0)


def lines_of(letters: int, in_a_line: int) -> int:
    """Return how many lines so many letters take."""
    return -(-letters // in_a_line)


def lines_of_chart(title: str, bars: int) -> int:
    """Return how many lines a chart takes, with its title."""
    return lines_of(len(title), _LETTERS_OF_TITLE) + round(_BAR * bars)


def lines_of_keys(labels: Sequence[str]) -> int:
    """Return how many lines key figures take beyond the usual."""
    return max(*(lines_of(len(label), _LETTERS_OF_KEY) - _KEY_LINES for label in labels), 0)
