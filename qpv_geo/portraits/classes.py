"""Classes of a map: the cartography's for the indicator that it declares, else rounded quintiles."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from qpv_geo.french import measure
from qpv_geo.ingest.registry import Indicator
from qpv_geo.qgis.cartography import load_cartography
from qpv_geo.qgis.classes import class_label

_SIGNIFICANT = 2


@dataclass(frozen=True)
class Classes:
    """The classes of an indicator.

    Attributes
    ----------
    bounds
        Increasing; a value that equals one belongs above it.
    colours, labels
        One more than `bounds`.
    """

    bounds: tuple[float, ...]
    colours: tuple[str, ...]
    labels: tuple[str, ...]

    def colour(self, value: float) -> str:
        """Return the colour of a value."""
        return self.colours[int(np.searchsorted(self.bounds, value, side="right"))]


def classes_of(indicator: Indicator, values: Sequence[float]) -> Classes:
    """Return the classes of an indicator: one colour means the same here and in QGIS.

    Parameters
    ----------
    indicator
        What is shown.
    values
        At least one; none is NaN.
    """
    declared = load_cartography().choropleth
    if indicator.id == declared.field:
        labels = tuple(class_label(declared, rank) for rank in range(len(declared.colors)))
        return Classes(declared.breaks, declared.colors, labels)
    bounds = quintiles(values)
    said = [_said(bound, indicator) for bound in bounds]
    between = [f"{low} à moins de {high}" for low, high in pairwise(said)]
    labels = (
        (f"Moins de {said[0]}", *between, f"{said[-1]} et plus") if said else (_said(values[0], indicator),)
    )
    return Classes(tuple(bounds), _spread(declared.colors, len(labels)), labels)


def _said(value: float, indicator: Indicator) -> str:
    return measure(value, indicator.unit, index=indicator.kind == "index")


def quintiles(values: Sequence[float]) -> list[float]:
    """Return the bounds between classes that hold about as many values each.

    Returns
    -------
    list of float
        Increasing, at most four, rounded to two digits; none that would leave a class empty.
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    found = np.quantile(ordered, [0.2, 0.4, 0.6, 0.8], method="higher")
    chosen: list[float] = []
    for bound in sorted({float(f"{value:.{_SIGNIFICANT}g}") for value in found}):
        below = chosen[-1] if chosen else -np.inf
        if ((ordered >= below) & (ordered < bound)).any() and (ordered >= bound).any():
            chosen.append(bound)
    return chosen


def _spread(ramp: Sequence[str], count: int) -> tuple[str, ...]:
    """Return so many colours from the whole of a ramp; a single one from its middle."""
    if count == 1:
        return (ramp[len(ramp) // 2],)
    return tuple(ramp[round(step * (len(ramp) - 1) / (count - 1))] for step in range(count))
