"""The figures of a portrait: an indicator's latest value for a QPV and the zones it is compared with."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pandas as pd

from qpv_geo.ingest.registry import Indicator
from qpv_geo.publish.frames import Frames
from qpv_geo.publish.portraits.french import amount, measure
from qpv_geo.statuses import STATUSES
from qpv_geo.territory import Territory
from qpv_geo.zones import department_of

_OK = "ok"
_QPV, _EVERY_QPV = "qpv", "ensemble_qpv"
_ABSENT = "non_disponible"


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
    """

    value: float
    status: str
    vintage: str
    indicator: Indicator

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

    def _worded(self, write: Callable[..., str]) -> str:
        return write(self.value, self.indicator.unit, index=self.indicator.kind == "index")

    def _said(self, value: str) -> str:
        if not self.present:
            return STATUSES[self.status].words
        return value if self.status == _OK else f"{value} (estimation)"


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
        columns = ["zone", "code", "indicateur", "millesime", "valeur", "statut"]
        rows = frames["statistiques"].loc[_of_zones_shown(frames), columns]
        rows = rows.sort_values("millesime", kind="stable")
        self._latest: dict[tuple[str, str, str], Figure] = {}
        self._of_vintage: dict[tuple[str, str, str, str], Figure] = {}
        for zone, code, indicator, vintage, value, status in rows.itertuples(index=False, name=None):
            if indicator not in self._known:
                continue
            figure = Figure(float(value), status, vintage or "", self._known[indicator])
            self._latest[zone, code, indicator] = figure
            self._of_vintage[zone, code, indicator, vintage or ""] = figure
        self.indicators = {indicator for zone, _, indicator in self._latest if zone == _QPV}

    def leading(self, indicators: Iterable[Indicator]) -> list[Indicator]:
        """Return those of layer ``qpv`` of which the release holds at least a status."""
        return [i for i in indicators if i.qpv_layer and i.id in self.indicators]

    def latest(self, zone: Zone, indicator: str) -> Figure:
        """Return the latest figure of a zone; without any, a missing one that is ``non_disponible``."""
        found = self._latest.get((zone.kind, zone.code, indicator))
        return found or Figure(math.nan, _ABSENT, "", self._known[indicator])

    def same_vintage(self, zone: Zone, indicator: str, vintage: str) -> Figure | None:
        """Return a zone's figure of one vintage: INSEE warns against comparing two of them."""
        return self._of_vintage.get((zone.kind, zone.code, indicator, vintage))


def _of_zones_shown(frames: Frames) -> pd.Series:
    """Tell which rows of ``statistiques`` are of the territory's zones; files hold those of all France."""
    statistics, qpv = frames["statistiques"], frames["qpv"]
    codes = {
        *qpv["code_qp"],
        *frames["communes"]["insee_com"],
        *frames["epci"]["siren_epci"],
        *qpv["insee_dep"],
    }
    return statistics["code"].isin(codes) | (statistics["zone"] == _EVERY_QPV)


def zone_of_qpv(code: str, name: str) -> Zone:
    """Return a QPV as a zone."""
    return Zone(_QPV, code, name)


def comparison_zones(row: pd.Series, frames: Frames, territory: Territory) -> list[Zone]:
    """Return what a QPV is compared with, from near to far: its communes, EPCI, department, all QPV.

    Parameters
    ----------
    row
        The QPV's row of layer ``qpv``.
    frames, territory
        Give the zones' names and codes.
    """
    names = dict(zip(frames["communes"]["insee_com"], frames["communes"]["nom_com"], strict=True))
    communes = [code.strip() for code in (row["insee_com_calcule"] or "").split(",") if code.strip()]
    statistics = frames["statistiques"]
    whole = statistics.loc[statistics["zone"] == _EVERY_QPV, "code"].drop_duplicates().tolist()
    names_of_epci = dict(zip(frames["epci"]["siren_epci"], frames["epci"]["nom_epci"], strict=True))
    epci = territory.epci or (row["siren_epci_calcule"] or "").partition(",")[0]
    departement = department_of(row["code_qp"])
    return [
        *(Zone("commune", code, names.get(code, code)) for code in communes),
        *([Zone("epci", epci, names_of_epci.get(epci) or territory.nom)] if epci else []),
        Zone("departement", departement, row["lib_dep"] or f"Département {departement}"),
        *(Zone(_EVERY_QPV, code, "Ensemble des QPV") for code in whole[:1]),
    ]
