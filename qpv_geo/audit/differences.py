"""A difference between what is published and what should be."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Difference:
    """One value that is not what it should be.

    Attributes
    ----------
    file, layer, row, field
        Where; an empty row stands for the whole layer.
    published, expected
        What is there, and what should be.
    origin
        The raw file that says so, empty for the layer in memory.
    """

    file: str
    layer: str
    row: str
    field: str
    published: object
    expected: object
    origin: str = ""

    @property
    def place(self) -> tuple[str, str, str, str]:
        """Where it is: a value is reported once, whatever it was compared with."""
        return self.file, self.layer, self.row, self.field

    def __str__(self) -> str:
        """Say it in one line."""
        row = f", row {self.row}" if self.row else ""
        expected = _shown(self.expected)
        said = f"raw {expected} ({self.origin})" if self.origin else f"expected {expected}"
        where = f"{self.file}, layer {self.layer}{row}, field {self.field}"
        return f"{where}: published {_shown(self.published)}, {said}"


def _shown(value: object) -> str:
    return repr(value.item() if isinstance(value, np.generic) else value)
