"""The interface of all kinds of files: read in chunks of rows, written again with more columns."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from qpv_geo.errors import ConfigurationError
from qpv_geo.locate.coordinates import Geometries

HEAD_ROWS = 1_000
"""Rows from which columns, order and CRS of the coordinates are guessed."""


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows of a file."""

    numbers: Sequence[int]
    """Of the rows, as a spreadsheet shows them; from 1 where a file has no header row."""
    column: Callable[[str], pa.Array]
    """Returns a column by its name."""
    geometries: Callable[[], Geometries] = lambda: Geometries(np.array([]), np.array([]))
    """Returns those of the geometry column."""
    faults: Mapping[int, str] = field(default_factory=dict)
    """What is wrong with rows that cannot be read, by their place among these."""

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self.numbers)


ChunkAnswer = Callable[[Chunk], pa.Table]
"""Returns the columns to add to a chunk."""


class PointTable(ABC):
    """A file of points."""

    columns: Sequence[str]
    """Names of its columns, without the geometry column."""
    geometry_crs: object | None = None
    """CRS of its geometry column; None if there is none or it is unknown."""
    kind: str | None = None
    """The declared type of its geometries, such as ``Point``, empty if unknown; None if it has none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.suffix = path.suffix
        """Suffix of the file that `extend` writes: the format of the file, or one that holds the columns."""
        self.notes: list[str] = []
        """What was decided in the place of the user."""

    @property
    def has_geometry(self) -> bool:
        """Whether it has a geometry column."""
        return self.kind is not None

    @property
    def shapes(self) -> bool:
        """Whether geometries are other than points, as declared or, if it is not, as in the first rows."""
        if self.kind:
            return not self.kind.upper().removeprefix("MULTI").startswith("POINT")
        return self.has_geometry and self.head().geometries().shapes is not None

    @abstractmethod
    def head(self) -> Chunk:
        """Return the first `HEAD_ROWS` rows."""

    @abstractmethod
    def extend(self, target: Path, added: pa.Schema, answer: ChunkAnswer) -> None:
        """Write the file to `target`, each row as it was and in its place, with columns added.

        The answer, which gives the columns `added`, is called with each chunk in order. The target does not
        exist yet.
        """


def suffix_of(path: Path) -> str:
    """Return the suffix of a file; that of a compressed one has two parts."""
    return "".join(path.suffixes[-2:]) if path.suffix.lower() == ".gz" else path.suffix


def require_columns(table: PointTable, wanted: Sequence[str]) -> None:
    """Raise `ConfigurationError` if a file lacks columns, or has one of them twice."""
    names = list(table.columns)
    if lacking := [name for name in dict.fromkeys(wanted) if name not in names]:
        raise ConfigurationError(
            f"{table.path.name} has no column {', '.join(map(repr, lacking))}; it has: {', '.join(names)}"
        )
    if twice := [name for name in dict.fromkeys(wanted) if names.count(name) > 1]:
        raise ConfigurationError(
            f"{table.path.name} has several columns named {', '.join(map(repr, twice))}: rename all but one"
        )


def refuse_clashes(table: PointTable, added: Sequence[str]) -> None:
    """Raise `ConfigurationError` if a file already has columns to be added, in whatever case."""
    names = {name.lower() for name in table.columns}
    if clashes := [name for name in added if name.lower() in names]:
        raise ConfigurationError(
            f"{table.path.name} already has {', '.join(map(repr, clashes))}, which would be added: rename or"
            " remove them, or give --prefix to name the added columns otherwise"
        )
