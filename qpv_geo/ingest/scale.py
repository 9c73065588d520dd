"""The scale of statistics: a rate published as a fraction, or in another column's place, is refused.

Counts are left alone, since a table of other zones or years may hold any. Rates, medians, amounts and indices
of QPV are compared with the shipped distributions of the national files.
"""

import numpy as np
from numpy.typing import NDArray

from qpv_geo.ingest.distribution import Distribution, Distributions, Floats
from qpv_geo.ingest.registry import Indicator

# A value or a median so many times what it should be is of another scale.
_TIMES = 10
# Rounded as published, a tenth of a median may be a little more than that: 4.5 for 44.8.
_ALMOST = _TIMES - 0.5
_POVERTY_RATE = "taux_pauvrete_60"


def compare_scale(
    indicator: Indicator, vintage: str, values: Floats, of_qpv: NDArray[np.bool_], shipped: Distributions
) -> tuple[str, str] | None:
    """Return what a column should hold by the national file's distribution, and what it holds; None if sound.

    A table that holds at least half as many QPV of metropolitan France as the national file is compared by
    its median. Of a smaller one, which may be of unusual quarters, a principal indicator (of layer ``qpv``)
    is refused if not one of its values lies between a tenth of the least and ten times the greatest of the
    distribution. A poverty rate below 1 % throughout is one published as a fraction, whatever the zones.

    The distribution is that of the table's vintage, else of the newest. `of_qpv` tells the rows of QPV of
    metropolitan France; `values` are NaN where one is missing.
    """
    present = values[np.isfinite(values)]
    if indicator.additive or not len(present):
        return None
    if indicator.id == _POVERTY_RATE and (present < 1).all():
        return "percentages", f"fractions, from {present.min():g} to {present.max():g}"
    vintages = [of_vintage for name, of_vintage in shipped if name == indicator.id]
    found = values[of_qpv & np.isfinite(values)]
    if not vintages or not len(found):
        return None
    reference = shipped[indicator.id, vintage if vintage in vintages else max(vintages)]
    named = reference.size + sum(reference.absences.values())
    if np.count_nonzero(of_qpv) >= named / 2:
        return _compare_medians(indicator, found, reference)
    return _compare_ranges(indicator, found, reference) if indicator.qpv_layer else None


def _compare_medians(indicator: Indicator, found: Floats, reference: Distribution) -> tuple[str, str] | None:
    # The nearest rank, as that of the distribution.
    median, usual = float(np.sort(found)[(len(found) - 1) // 2]), reference.median
    small, large = sorted((abs(median), abs(usual)))
    # Of a rare thing, rounded, 0 beside 0.4 says nothing; 0 beside 45 does.
    far = large >= 1 if small == 0 else median * usual < 0 or large >= _ALMOST * small
    if not far:
        return None
    unit = f" {indicator.unit}".rstrip()
    return (
        f"a median of about {usual:g}{unit}, as in {reference.origin.file}",
        f"{median:g}{unit}, the median of {len(found)} QPV",
    )


def _compare_ranges(indicator: Indicator, found: Floats, reference: Distribution) -> tuple[str, str] | None:
    least, greatest = reference.levels[[0, -1]]
    # Ten times further from 0, also where values are negative.
    low, high = min(least / _TIMES, least * _TIMES), max(greatest / _TIMES, greatest * _TIMES)
    if ((found >= low) & (found <= high)).any():
        return None
    unit = f" {indicator.unit}".rstrip()
    return (
        f"values from {least:g} to {greatest:g}{unit}, as in {reference.origin.file}",
        f"{found.min():g} to {found.max():g}{unit} over {len(found)} QPV, each of them ten times off",
    )
