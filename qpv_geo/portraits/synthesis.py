"""What the index says of the territory: its QPV in five figures, dwellings, what changed since 2015."""

from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any

from markupsafe import Markup

from qpv_geo.formats.base import Content
from qpv_geo.formats.essentials import TOWN, Comparison, Essential
from qpv_geo.formats.figures import Figure
from qpv_geo.formats.summaries import Summaries
from qpv_geo.french import counted, number
from qpv_geo.portraits.charts import svg
from qpv_geo.portraits.evolution import changes_since_2015
from qpv_geo.statuses import STATUSES

_DWELLINGS = "logements_sociaux"
# Units of a gauge.
_WIDTH = 100


def synthesis_of(content: Content, summaries: Summaries) -> dict[str, Any]:
    """Return the five figures of each QPV, of all of them and of what they are compared with, and facts.

    A row is a QPV or a set of zones, which has no code; its place is empty if all QPV are in the same one. A
    cell is a figure, None where nobody publishes one, and its gauge.
    """
    summary, qpv = summaries.territory, content.frames["qpv"]
    gauges = [
        _Gauge([of.essentials[place].figure for of in summary.qpv], together.town)
        for place, together in enumerate(summary.essentials)
    ]
    communes = qpv["lib_com_calcule"].fillna("")
    places = dict(zip(qpv["code_qp"], communes if communes.nunique() > 1 else [""] * len(qpv), strict=True))
    rows = [
        {
            "name": of.zone.name,
            "code": of.zone.code,
            "place": places[of.zone.code],
            "cells": [
                (one.figure, gauge.draw(one.figure)) for one, gauge in zip(of.essentials, gauges, strict=True)
            ],
        }
        for of in summary.qpv
    ]
    sets = list(_sets(summary.essentials, len(rows)))
    shown = [figure for row in (*rows, *sets) for figure, _ in row["cells"] if figure]
    statuses = sorted({figure.status for figure in shown if not figure.present})
    return {
        "sentences": summary.sentences,
        "facts": list(_facts(content, summaries)),
        "columns": [(one.plan, one.figure.vintage) for one in summary.essentials],
        "rows": sorted(rows, key=itemgetter("name")),
        "sets": sets,
        # Whether gauges show the only commune.
        "with_town": any(one.town for one in summary.essentials),
        # Those that stand in the table in place of a value.
        "statuses": [STATUSES[status] for status in statuses],
    }


def _sets(essentials: Sequence[Essential], count: int) -> Iterator[dict[str, Any]]:
    """Yield the QPV taken together, then what they are compared with and has a figure."""
    if count > 1:
        yield {
            "name": f"Les {number(count)} QPV ensemble",
            "cells": [(one.figure, None) for one in essentials],
        }
    compared = [beside for one in essentials for beside in one.comparisons if beside.other]
    # Sets of QPV before towns.
    for zone in sorted({beside.zone for beside in compared}, key=lambda zone: zone.kind == TOWN):
        others = [
            next((beside.other for beside in one.comparisons if beside.zone == zone), None)
            for one in essentials
        ]
        yield {"name": zone.name, "cells": [(other, None) for other in others]}


def _facts(content: Content, summaries: Summaries) -> Iterator[str]:
    dwellings = summaries.together(_DWELLINGS)
    count = len(summaries.qpv)
    if dwellings.present:
        yield (
            f"Logement : {counted(int(dwellings.value), 'logement')} du parc locatif social "
            f"{f'dans les {number(count)} QPV' if count > 1 else 'dans le QPV'} ({dwellings.vintage})."
        )
    yield from changes_since_2015(content.frames)


class _Gauge:
    """A column's scale, from zero to the highest value, and the line of its town."""

    def __init__(self, figures: Sequence[Figure], town: Comparison | None) -> None:
        is_rate = figures[0].indicator.kind != "count"
        self._town = town.other.value if town and town.other and is_rate else None
        ends = [one.high if one.interval else one.value for one in figures if one.present]
        self._unit = _WIDTH / (max([*ends, self._town or 0.0], default=0.0) or 1.0)

    def draw(self, figure: Figure) -> Markup | None:
        """Return the gauge of a figure; it says nothing that the cell does not say in words."""
        if not figure.present:
            return None
        return svg(
            "gauge.svg",
            length=self._unit * max(figure.value, 0.0),
            interval=[self._unit * bound for bound in (figure.low, figure.high)] if figure.interval else [],
            town=None if self._town is None else self._unit * self._town,
        )
