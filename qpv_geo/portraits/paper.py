"""What two sheets of A4 hold: which part of each section is printed, reckoned in lines of the style sheet."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# Lines below the map and the note that precedes the sections, at the print sizes of the style sheet.
LINES = 91
# Letters in one line: of a label beside columns of comparison, of a note, of the sources, of a chart's title,
# of a key figure's label.
LETTERS_OF_LABEL, LETTERS_OF_NOTE, LETTERS_OF_SOURCES = 42, 150, 180
_LETTERS_OF_TITLE, _LETTERS_OF_KEY = 40, 22

_HEADING, _TABLE_HEADING = 2, 3
_BAR = 1.45
# Key figures of as many lines leave the room as it is.
_KEY_LINES = 6


@dataclass(frozen=True)
class Block:
    """A section as the paper sees it.

    Attributes
    ----------
    rows
        Lines of each row.
    chart
        Lines of its highest chart.
    notes
        Lines of its notes.
    beside
        Whether charts stand beside the rows; else they stand below.
    """

    rows: tuple[int, ...]
    chart: int
    notes: int
    beside: bool = True

    def height(self, most: int, *, charts: bool) -> int:
        """Return how many lines it takes with so many rows at most, with charts or without."""
        if not self.rows:
            return _HEADING + self.notes
        table = _TABLE_HEADING + sum(self.rows[:most])
        if charts:
            table = max(table, self.chart) if self.beside else table + self.chart
        return _HEADING + self.notes + table


@dataclass(frozen=True)
class Printed:
    """How many rows each section prints at most, and for each section whether with charts."""

    rows: int
    charts: tuple[bool, ...]


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
        As many rows as fit, one if nothing fits; then charts, the first sections' first.
    """

    def height(most: int) -> int:
        return sum(block.height(most, charts=False) for block in blocks)

    longest = max((len(block.rows) for block in blocks), default=1)
    rows = next((most for most in range(longest, 0, -1) if height(most) <= room), 1)
    spare = room - height(rows)
    charts = []
    for block in blocks:
        more = block.height(rows, charts=True) - block.height(rows, charts=False)
        charts.append(more <= spare)
        spare -= more if charts[-1] else 0
    return Printed(rows, tuple(charts))


def lines_of(letters: int, in_a_line: int) -> int:
    """Return how many lines so many letters take."""
    return -(-letters // in_a_line)


def lines_of_chart(title: str, bars: int) -> int:
    """Return how many lines a chart takes, with its title."""
    return lines_of(len(title), _LETTERS_OF_TITLE) + round(_BAR * bars)


def lines_of_keys(keys: Iterable[tuple[str, int]]) -> int:
    """Return how many lines key figures, of a label and so many lines below it, take beyond the usual."""
    return max(*(lines_of(len(label), _LETTERS_OF_KEY) + below - _KEY_LINES for label, below in keys), 0)


def lines_of_notes(notes: Sequence[str]) -> int:
    """Return how many lines a section of notes takes."""
    return _HEADING + sum(lines_of(len(note), LETTERS_OF_NOTE) for note in notes) if notes else 0
