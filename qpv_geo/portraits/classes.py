"""Classes of the index's map: the cartography's for the indicator that it declares, else quintiles."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qpv_geo.french import class_labels, decimals_of, measure
from qpv_geo.ingest.registry import Indicator
from qpv_geo.qgis.cartography import load_cartography
from qpv_geo.qgis.legend import labels_of

_SIGNIFICANT = 2
_QUINTILES = (
    "Classes d'effectifs voisins (quintiles des quartiers du territoire), bornes arrondies à deux chiffres."
)


@dataclass(frozen=True)
class Classes:
    """The classes of an indicator: increasing bounds, and one colour and label more than bounds."""

    bounds: tuple[float, ...]
    colours: tuple[str, ...]
    labels: tuple[str, ...]
    method: str
    """How they were drawn, in a French sentence."""

    def colour(self, value: float) -> str:
        """Return the colour of a value; one that equals a bound belongs above it."""
        return self.colours[int(np.searchsorted(self.bounds, value, side="right"))]


def classes_of(indicator: Indicator, values: Sequence[float]) -> Classes:
    """Return the classes of an indicator for its values, of which there is at least one.

    Those of the cartography come first: one colour means the same here and in QGIS.
    """
    declared = load_cartography().choropleth
    if indicator.id == declared.field:
        return Classes(declared.breaks, declared.colors, labels_of(declared), declared.method)
    bounds = quintiles(values)
    shown = bounds or values[:1]
    decimals = decimals_of(shown, indicator.unit, index=indicator.kind == "index")
    words = [measure(bound, indicator.unit, decimals) for bound in shown]
    labels = class_labels(words) if bounds else tuple(words)
    return Classes(tuple(bounds), _spread(declared.colors, len(labels)), labels, _QUINTILES)


def quintiles(values: Sequence[float]) -> list[float]:
    """Return the bounds between classes that hold about as many values each.

    They increase, are four at most, rounded to two digits, and none leaves a class empty.
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    exact = np.quantile(ordered, [0.2, 0.4, 0.6, 0.8], method="higher")
    bounds: list[float] = []
    for bound in sorted({float(f"{value:.{_SIGNIFICANT}g}") for value in exact}):
        below = bounds[-1] if bounds else -np.inf
        if ((ordered >= below) & (ordered < bound)).any() and (ordered >= bound).any():
            bounds.append(bound)
    return bounds


def _spread(ramp: Sequence[str], count: int) -> tuple[str, ...]:
    """Return so many colours from the whole of a ramp; a single one from its middle."""
    if count == 1:
        return (ramp[len(ramp) // 2],)
    return tuple(ramp[round(step * (len(ramp) - 1) / (count - 1))] for step in range(count))
