"""A layer as a file holds it, and its mismatches: values that are not those that were meant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qpv_geo.audit.shapes import Geometries
from qpv_geo.formats.frames import plain_values, row_names


@dataclass(frozen=True)
class Mismatch:
    """One value that is not what it should be; `row` is the key, empty for the whole layer.

    `origin` is the raw file that says what is expected, empty for the layer in memory.
    """

    file: str
    layer: str
    row: str
    field: str
    published: object
    expected: object
    origin: str = ""

    def __str__(self) -> str:
        """Say it in one line."""
        row = f", row {self.row}" if self.row else ""
        expected = _shown(self.expected)
        meant = f"raw {expected} ({self.origin})" if self.origin else f"expected {expected}"
        where = f"{self.file}, layer {self.layer}{row}, field {self.field}"
        return f"{where}: published {_shown(self.published)}, {meant}"


@dataclass(frozen=True)
class WrittenLayer:
    """A layer as one file of a release holds it; attributes have the pandas types of `frames.conform`.

    `geometry` is None for a table or a CSV, and has None where a row has no geometry.
    """

    path: Path
    layer: str
    attributes: pd.DataFrame
    geometry: Geometries | None = None
    epsg: int | None = None

    def mismatch(
        self, row: str, field: str, published: object, expected: object, origin: str = ""
    ) -> Mismatch:
        """Return the mismatch of a value of this layer."""
        return Mismatch(self.path.name, self.layer, row, field, published, expected, origin)

    def compare_columns(
        self, key: Sequence[str], expected: Mapping[str, pd.Series], origin: str = ""
    ) -> list[Mismatch]:
        """Compare columns with what they should be, row by row; the columns `key` name the rows."""
        mismatches = []
        for field, wanted in expected.items():
            published = self.attributes[field]
            if len(rows := differing_rows(published, wanted)):
                mismatches += [
                    self.mismatch(name, field, published.iloc[row], wanted.iloc[row], origin)
                    for row, name in zip(rows, row_names(self.attributes.iloc[rows], key), strict=True)
                ]
        return mismatches

    def compare_rows(
        self,
        key: Sequence[str],
        fields: Sequence[str],
        expected: Mapping[tuple[Any, ...], tuple[object, ...]],
        origin: str = "",
    ) -> list[Mismatch]:
        """Compare the rows, by key, with what they should be: the values of some fields.

        A row that either side lacks is reported once, beside its first value; so are rows of one key.
        """
        rows = zip(*(plain_values(self.attributes[name]) for name in (*key, *fields)), strict=True)
        published = {row[: len(key)]: row[len(key) :] for row in rows}
        mismatches = []
        if len(published) < len(self.attributes):
            repeated = self.mismatch("", ", ".join(key), len(self.attributes), len(published), origin)
            mismatches.append(repeated)
        unlike = [at for at in published.keys() | expected.keys() if published.get(at) != expected.get(at)]
        no_row = ("no row",)
        for at in sorted(unlike, key=str):
            name = " / ".join("aucun" if part is None else str(part) for part in at)
            values = zip(fields, published.get(at, no_row), expected.get(at, no_row), strict=False)
            mismatches += [
                self.mismatch(name, field, one, other, origin) for field, one, other in values if one != other
            ]
        return mismatches


def differing_rows(one: pd.Series, other: pd.Series) -> NDArray[np.intp]:
    """Return the positions at which two columns differ; a value missing in both does not."""
    if one.equals(other):
        return np.array([], dtype=np.intp)
    other = other.set_axis(one.index)
    equal = (one.isna() & other.isna()) | (one == other).fillna(value=False)
    return np.flatnonzero(~equal.to_numpy(dtype=bool))


def _shown(value: object) -> str:
    return repr(value.item() if isinstance(value, np.generic) else value)
