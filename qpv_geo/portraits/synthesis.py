"""What the index says of the territory: its QPV in five figures, dwellings, what changed since 2015."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from qpv_geo.formats.base import Content
from qpv_geo.formats.essentials import TOWN, Comparison, Essential, EssentialPlan
from qpv_geo.formats.figures import Figure
from qpv_geo.formats.summaries import Summaries
from qpv_geo.french import counted, number
from qpv_geo.portraits.charts import svg
from qpv_geo.portraits.evolution import changes_since_2015
from qpv_geo.statuses import STATUSES, Status

_DWELLINGS = "logements_sociaux"
# Units of a gauge.
_WIDTH = 100


@dataclass(frozen=True)
class SynthesisCell:
    """A figure in the table: None where nobody publishes one, and its gauge if it has a value."""

    figure: Figure | None
    gauge: Markup | None = None

    @property
    def sort(self) -> str:
        """What it is sorted by (empty: always last)."""
        return repr(self.figure.value) if self.figure and self.figure.present else ""


@dataclass(frozen=True)
class SynthesisRow:
    """A QPV in the table, or a set of zones, which has no code."""

    name: str
    code: str
    place: str
    """Its communes, empty if all QPV are in the same one."""
    cells: tuple[SynthesisCell, ...]


@dataclass(frozen=True)
class Synthesis:
    """The five figures of each QPV, of all of them and of what they are compared with, and facts."""

    sentences: tuple[str, str]
    facts: tuple[str, ...]
    columns: tuple[tuple[EssentialPlan, str], ...]
    """Each with its vintage."""
    rows: tuple[SynthesisRow, ...]
    sets: tuple[SynthesisRow, ...]

    with_town: bool
    """Whether gauges show the only commune."""

    @property
    def statuses(self) -> list[Status]:
        """Those that stand in the table in place of a value."""
        cells = [cell.figure for row in (*self.rows, *self.sets) for cell in row.cells]
        return [STATUSES[name] for name in sorted({one.status for one in cells if one and not one.present})]


def synthesis_of(content: Content, summaries: Summaries) -> Synthesis:
    """Return the synthesis of a release's territory."""
    summary = summaries.territory
    gauges = [
        _Gauge([qpv.essentials[place].figure for qpv in summary.qpv], together.town)
        for place, together in enumerate(summary.essentials)
    ]
    communes = content.frames["qpv"]["lib_com_calcule"].fillna("")
    places = dict(zip(content.frames["qpv"]["code_qp"], communes, strict=True))
    rows = [
        SynthesisRow(
            qpv.zone.name,
            qpv.zone.code,
            places[qpv.zone.code] if communes.nunique() > 1 else "",
            tuple(
                SynthesisCell(one.figure, gauge.draw(one.figure))
                for one, gauge in zip(qpv.essentials, gauges, strict=True)
            ),
        )
        for qpv in summary.qpv
    ]
    return Synthesis(
        summary.sentences,
        tuple(_facts(content, summaries)),
        tuple((one.plan, one.figure.vintage) for one in summary.essentials),
        tuple(sorted(rows, key=lambda row: row.name)),
        tuple(_sets(summary.essentials, len(rows))),
        any(one.town for one in summary.essentials),
    )


def _sets(essentials: Sequence[Essential], count: int) -> Iterator[SynthesisRow]:
    """Yield the QPV taken together, then what they are compared with and has a figure."""
    if count > 1:
        cells = tuple(SynthesisCell(one.figure) for one in essentials)
        yield SynthesisRow(f"Les {number(count)} QPV ensemble", "", "", cells)
    compared = [beside for one in essentials for beside in one.comparisons if beside.other]
    # Sets of QPV before towns.
    for zone in sorted({beside.zone for beside in compared}, key=lambda zone: zone.kind == TOWN):
        others = (
            next((beside.other for beside in one.comparisons if beside.zone == zone), None)
            for one in essentials
        )
        yield SynthesisRow(zone.name, "", "", tuple(SynthesisCell(other) for other in others))


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
