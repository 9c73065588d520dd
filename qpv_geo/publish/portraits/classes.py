"""Classes of a map: bounds between values, so that each class holds about as many."""

from collections.abc import Sequence

import numpy as np

# ColorBrewer's YlOrRd in five classes, told apart by colour-blind readers and in grey print.
COLOURS = ("#ffffb2", "#fecc5c", "#fd8d3c", "#f03b20", "#bd0026")
_SIGNIFICANT = 2


def bounds(values: Sequence[float]) -> list[float]:
    """Return the bounds between classes: rounded quintiles, without those that would leave a class empty.

    Parameters
    ----------
    values
        At least one; none is NaN.

    Returns
    -------
    list of float
        Increasing, at most four. A value that equals a bound belongs above it.
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    quintiles = np.quantile(ordered, [0.2, 0.4, 0.6, 0.8], method="higher")
    chosen: list[float] = []
    for bound in sorted({_rounded(quintile) for quintile in quintiles}):
        below = chosen[-1] if chosen else -np.inf
        if ((ordered >= below) & (ordered < bound)).any() and (ordered >= bound).any():
            chosen.append(bound)
    return chosen


def _rounded(value: float) -> float:
    return float(f"{value:.{_SIGNIFICANT}g}")


def colours(count: int) -> list[str]:
    """Return the colours of so many classes, from the whole of the ramp."""
    if count == 1:
        return [COLOURS[len(COLOURS) // 2]]
    return [COLOURS[round(step * (len(COLOURS) - 1) / (count - 1))] for step in range(count)]
