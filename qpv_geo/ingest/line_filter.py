"""Lines of a national table that may be a territory's, found among millions before any cell is parsed."""

from collections.abc import Collection, Iterable, Iterator

import numpy as np

_NEWLINE = 10
_CODE = 5
# What stands before and after a cell: the file may quote its cells or not.
_EDGES = b'";\r\n'
_IS_EDGE = np.isin(np.arange(256), list(_EDGES))
_LONGEST_BLANK = 2


class LineFilter:
    """Keeps the lines that have a cell of five characters which begins with one of some departments.

    That is every line of a commune of these departments, and a few others (a postal code begins alike). Lines
    are not parsed: a quoted cell must hold no line break. `departments` are of two characters; `sought` are
    cells that are looked for in all lines. Once the lines are read, `rows` says how many there were, and
    `absent` which of the sought cells none has.
    """

    def __init__(self, departments: Collection[str], sought: Collection[str]) -> None:
        self._pairs = [np.frombuffer(code.encode(), "<u2")[0] for code in departments]
        self._sought = {cell: cell.encode() for cell in sought}
        self.rows = 0

    @property
    def absent(self) -> tuple[str, ...]:
        """The sought cells that were not met."""
        return tuple(sorted(self._sought))

    def lines(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the wanted lines of blocks of bytes, whole; the header is not among them."""
        # Every block of lines begins and ends with a line break.
        left = b"\n"
        for block in blocks:
            whole, newline, rest = (left + block).rpartition(b"\n")
            if whole:
                yield from self._wanted(whole + newline)
            left = newline + rest
        if len(left) > 1:
            yield from self._wanted(left + b"\n")

    def _wanted(self, block: bytes) -> Iterator[bytes]:
        for cell in [name for name, text in self._sought.items() if _holds(block, text)]:
            del self._sought[cell]
        data = np.frombuffer(block, np.uint8)
        ends = np.flatnonzero(data == _NEWLINE)
        self.rows += int(np.count_nonzero(np.diff(ends) > _LONGEST_BLANK))
        places = np.concatenate([self._places(data[start:]) + start for start in (0, 1)])
        places = places[places + _CODE < len(data)]
        for offset in (-1, *range(2, _CODE + 1)):
            places = places[_IS_EDGE[data[places + offset]] == (offset in {-1, _CODE})]
        rows = np.unique(np.searchsorted(ends, places))
        for start, end in zip(ends[rows - 1] + 1, ends[rows] + 1, strict=True):
            yield block[start:end]

    def _places(self, data: np.ndarray) -> np.ndarray:
        """Return where the two characters of a department stand at an even place."""
        pairs = data[: len(data) // 2 * 2].view("<u2")
        matches = np.zeros(len(pairs), dtype=bool)
        for pair in self._pairs:
            matches |= pairs == pair
        return 2 * np.flatnonzero(matches)


def _holds(block: bytes, cell: bytes) -> bool:
    """Tell whether a cell stands in a block of lines."""
    place = block.find(cell)
    while place >= 0:
        if block[place - 1] in _EDGES and block[place + len(cell)] in _EDGES:
            return True
        place = block.find(cell, place + 1)
    return False
