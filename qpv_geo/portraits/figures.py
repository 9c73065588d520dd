"""The figures of a portrait: an indicator's latest value for a QPV and the zones it is compared with."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from qpv_geo.formats.frames import Frames, plain_values
from qpv_geo.french import ZONE_WORDS, amount, interval, measure, number, ordinal
from qpv_geo.ingest.registry import Indicator
from qpv_geo.statuses import NOT_AVAILABLE, OK, STATUSES
from qpv_geo.territory import Territory
from qpv_geo.zones import department_of

_QPV = "qpv"
# All QPV of metropolitan France: the zone of this kind has this code.
_EVERY_QPV, _EVERY_QPV_CODE = "ensemble_qpv", "00"
_NONE = math.nan
_COLUMNS = [
    "zone", "code", "indicateur", "millesime", "valeur", "statut", "borne_basse", "borne_haute", "remarque",
    "rang", "rang_sur",
]  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """One value, or why there is none.

    Attributes
    ----------
    value
        NaN where there is none.
    status
        As in layer ``statistiques``.
    vintage
        ``millesime``, empty if unknown.
    indicator
        What it measures.
    low, high
        Bounds of its 95 % confidence interval, NaN without; also there where the value is withheld.
    remark
        The producer's, empty without.
    rank, among
        Its rank among the QPV of metropolitan France that have a value, and how many these are; NaN without.
    """

    value: float
    status: str
    vintage: str
    indicator: Indicator
    low: float = _NONE
    high: float = _NONE
    remark: str = ""
    rank: float = _NONE
    among: float = _NONE

    @property
    def present(self) -> bool:
        """Whether there is a value."""
        return not math.isnan(self.value)

    @property
    def text(self) -> str:
        """The value with its unit, or the words of its status."""
        return self._said(self._worded(measure) if self.present else "")

    @property
    def short(self) -> str:
        """The same without a unit in words, for a place whose label says what is counted."""
        return self._said(self._worded(amount) if self.present else "")

    @property
    def interval(self) -> str:
        """Its confidence interval, empty without."""
        if math.isnan(self.low):
            return ""
        return interval(self.low, self.high, self.indicator.unit, index=self._is_index)

    @property
    def ranked(self) -> str:
        """Its rank among how many QPV, empty without."""
        if math.isnan(self.rank):
            return ""
        return f"{ordinal(int(self.rank))} sur {number(self.among)}"

    @property
    def _is_index(self) -> bool:
        return self.indicator.kind == "index"

    def _worded(self, write: Callable[..., str]) -> str:
        return write(self.value, self.indicator.unit, index=self._is_index)

    def _said(self, value: str) -> str:
        if not self.present:
            return STATUSES[self.status].words
        return value if self.status == OK else f"{value} ({STATUSES[self.status].words})"


@dataclass(frozen=True)
class Zone:
    """What figures attach to: kind and code as in layer ``statistiques``, and its name."""

    kind: str
    code: str
    name: str


class Figures:
    """The figures of a release, looked up by zone and indicator.

    Parameters
    ----------
    frames
        Conformed layers.
    indicators
        Those that may be asked for.
    """

    def __init__(self, frames: Frames, indicators: Iterable[Indicator]) -> None:
        self._known = {indicator.id: indicator for indicator in indicators}
        rows = frames["statistiques"]
        rows = rows.loc[_of_zones_shown(frames) & rows["indicateur"].isin(self._known), _COLUMNS]
        self._figures: dict[tuple[str, str, str, str], Figure] = {}
        self._newest: dict[str, str] = {}
        columns = [plain_values(rows[name]) for name in _COLUMNS]
        for zone, code, indicator, *cells in zip(*columns, strict=True):
            figure = _figure(cells, self._known[indicator])
            self._figures[zone, code, indicator, figure.vintage] = figure
            if zone == _QPV:
                self._newest[indicator] = max(figure.vintage, self._newest.get(indicator, ""))
        self.indicators = set(self._newest)

    def leading(self, indicators: Iterable[Indicator]) -> list[Indicator]:
        """Return those of layer ``qpv`` of which the release holds at least a status."""
        return [i for i in indicators if i.qpv_layer and i.id in self.indicators]

    def newest(self, zone: Zone, indicator: str) -> Figure:
        """Return a QPV's figure of the newest vintage that any QPV has, a missing one if it has none.

        An older one does not stand in for it: QPV would be compared across vintages.
        """
        vintage = self._newest.get(indicator, "")
        found = self.same_vintage(zone, indicator, vintage)
        return found or Figure(_NONE, NOT_AVAILABLE, vintage, self._known[indicator])

    def same_vintage(self, zone: Zone, indicator: str, vintage: str) -> Figure | None:
        """Return a zone's figure of one vintage: INSEE warns against comparing two of them."""
        return self._figures.get((zone.kind, zone.code, indicator, vintage))


def _figure(cells: Sequence[Any], indicator: Indicator) -> Figure:
    vintage, value, status, low, high, remark, rank, among = cells
    numbers = (_NONE if cell is None else cell for cell in (value, low, high, rank, among))
    value, low, high, rank, among = numbers
    return Figure(value, status, vintage or "", indicator, low, high, remark or "", rank, among)


def _of_zones_shown(frames: Frames) -> pd.Series:
    """Tell which rows of ``statistiques`` are of zones that a portrait may show."""
    statistics, qpv = frames["statistiques"], frames["qpv"]
    codes = {
        *qpv["code_qp"],
        *frames["communes"]["insee_com"],
        *frames["epci"]["siren_epci"],
        *qpv["insee_dep"],
        *qpv["insee_reg"],
    }
    return statistics["code"].isin(codes) | (statistics["zone"] == _EVERY_QPV)


def zone_of_qpv(code: str, name: str) -> Zone:
    """Return a QPV as a zone."""
    return Zone(_QPV, code, name)


def comparison_zones(row: pd.Series, frames: Frames, territory: Territory) -> list[Zone]:
    """Return what a QPV is compared with, from near to far: areas, then the QPV of each taken together.

    Parameters
    ----------
    row
        The QPV's row of layer ``qpv``.
    frames, territory
        Give the zones' names and codes.
    """
    names = dict(zip(frames["communes"]["insee_com"], frames["communes"]["nom_com"], strict=True))
    communes = [code.strip() for code in (row["insee_com_calcule"] or "").split(",") if code.strip()]
    names_of_epci = dict(zip(frames["epci"]["siren_epci"], frames["epci"]["nom_epci"], strict=True))
    epci = territory.epci or (row["siren_epci_calcule"] or "").partition(",")[0]
    department = department_of(row["code_qp"])
    together = {
        "ensemble_qpv_epci": epci,
        "ensemble_qpv_departement": department,
        "ensemble_qpv_region": row["insee_reg"],
        _EVERY_QPV: _EVERY_QPV_CODE,
    }
    return [
        *(Zone("commune", code, names.get(code, code)) for code in communes),
        *([Zone("epci", epci, names_of_epci.get(epci) or territory.nom)] if epci else []),
        Zone("departement", department, row["lib_dep"] or f"Département {department}"),
        *(Zone(kind, code, _capital(ZONE_WORDS[kind])) for kind, code in together.items() if code),
    ]


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]
