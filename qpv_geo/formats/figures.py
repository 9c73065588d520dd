"""Figures as people read them: a QPV's newest value of an indicator, and those it is compared with."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from qpv_geo.formats.base import Content
from qpv_geo.formats.frames import Frames, records
from qpv_geo.french import ZONE_WORDS, amount, capitalised, decimals_of, interval, measure, number, ordinal
from qpv_geo.ingest.registry import Indicator
from qpv_geo.statuses import NOT_AVAILABLE, OK, STATUSES
from qpv_geo.territory import codes_of
from qpv_geo.zones import department_of

_QPV = "qpv"
EVERY_QPV, EVERY_QPV_CODE = "ensemble_qpv", "00"
"""All QPV of metropolitan France: the only zone of this kind."""
_NONE = math.nan
_COLUMNS = [
    "zone", "code", "indicateur", "millesime", "valeur", "statut", "borne_basse", "borne_haute", "remarque",
    "rang", "rang_sur", "rang_epci", "rang_epci_sur", "source",
]  # fmt: skip
# Fields of a value, and the columns that hold them.
_NUMBERS = {
    "value": "valeur",
    "low": "borne_basse",
    "high": "borne_haute",
    "rank": "rang",
    "among": "rang_sur",
}


@dataclass(frozen=True)
class Zone:
    """What figures are about: kind and code as in layer ``statistiques``, and its name."""

    kind: str
    code: str
    name: str


@dataclass(frozen=True, kw_only=True)
class ZoneValue:
    """A value of a zone, or why there is none."""

    value: float = _NONE
    """NaN where there is none."""
    status: str
    vintage: str
    unit: str
    low: float = _NONE
    high: float = _NONE
    """95 % confidence interval or, of an estimate, its range; also of a value that is withheld."""
    rank: float = _NONE
    among: float = _NONE
    """Its rank among the zones that have a value, and their number."""
    remark: str = ""
    """The producer's, empty without."""
    decimals: int = 0
    """Those of the values of its source."""

    @property
    def present(self) -> bool:
        """Whether there is a value."""
        return not math.isnan(self.value)

    @property
    def text(self) -> str:
        """The value with its unit, an estimate labelled, or the words of its status."""
        return self._words(measure)

    @property
    def short(self) -> str:
        """The same without a unit in words, for a place whose label says what is counted."""
        return self._words(amount)

    def _words(self, write: Callable[..., str]) -> str:
        status = STATUSES[self.status].words
        if not self.present:
            return status
        value = write(self.value, self.unit, self.decimals)
        return value if self.status == OK else f"{value} ({status})"

    @property
    def sort_key(self) -> str:
        """What tables are sorted by; empty, which is always last, without a value."""
        return repr(self.value) if self.present else ""

    @property
    def ranked(self) -> str:
        """Its rank among how many zones, empty without."""
        return rank_words(self.rank, self.among)


@dataclass(frozen=True, kw_only=True)
class Figure(ZoneValue):
    """A value of an indicator; a QPV's ranks are among those of metropolitan France and of the EPCI."""

    indicator: Indicator
    rank_epci: float = _NONE
    among_epci: float = _NONE

    @property
    def interval(self) -> str:
        """Its confidence interval, empty without."""
        bounds = self.low, self.high
        if math.isnan(self.low):
            return ""
        return interval(self.low, self.high, max(self.decimals, _decimals_of(bounds, self.indicator)))

    @property
    def ranked_epci(self) -> str:
        """Its rank among the QPV of the EPCI; empty if there is only one."""
        return rank_words(self.rank_epci, self.among_epci) if self.among_epci > 1 else ""


def rank_words(rank: float | None, among: float) -> str:
    """Write a rank among how many; empty without."""
    return "" if rank is None or math.isnan(rank) else f"{ordinal(int(rank))} sur {number(among)}"


def remarks_of(figures: Iterable[ZoneValue]) -> list[str]:
    """Return the producers' remarks, each once."""
    return [*dict.fromkeys(figure.remark for figure in figures if figure.remark)]


def fields_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a row of ``statistiques`` or ``sante`` says of a `ZoneValue`: all but its decimals."""
    texts = {"vintage": row["millesime"] or "", "remark": row["remarque"] or ""}
    numbers = {name: real(row[column]) for name, column in _NUMBERS.items()}
    return {"status": row["statut"]} | texts | numbers


def real(cell: float | None) -> float:
    """Return a number, NaN for none."""
    return _NONE if cell is None else float(cell)


def values_by(rows: Iterable[Mapping[str, Any]], *keys: str) -> dict[tuple[Any, ...], list[float]]:
    """Return the values that rows have, by some of their columns."""
    groups: dict[tuple[Any, ...], list[float]] = {}
    for row in rows:
        if row["valeur"] is not None:
            groups.setdefault(tuple(row[key] for key in keys), []).append(row["valeur"])
    return groups


class Figures:
    """The figures of a release, by zone and indicator."""

    def __init__(self, content: Content) -> None:
        indicators = content.spec.registry.indicators
        self._known = {indicator.id: indicator for indicator in indicators}
        table = content.frames["statistiques"]
        shown = _is_of_zones_shown(content.frames) & table["indicateur"].isin(self._known)
        rows = records(table[shown], _COLUMNS)
        values = values_by(rows, "source", "indicateur", "millesime")
        decimals = {key: _decimals_of(values, self._known[key[1]]) for key, values in values.items()}
        self._figures: dict[tuple[str, str, str, str], Figure] = {}
        self._newest: dict[str, str] = {}
        for row in rows:
            indicator = self._known[row["indicateur"]]
            figure = Figure(
                **fields_of(row),
                unit=indicator.unit,
                indicator=indicator,
                rank_epci=real(row["rang_epci"]),
                among_epci=real(row["rang_epci_sur"]),
                decimals=decimals.get((row["source"], indicator.id, row["millesime"]), 0),
            )
            self._figures[row["zone"], row["code"], indicator.id, figure.vintage] = figure
            if row["zone"] == _QPV:
                self._newest[indicator.id] = max(figure.vintage, self._newest.get(indicator.id, ""))
        self.indicators = set(self._newest)
        """Those of which a QPV has at least a status."""
        self.leading = [i for i in content.spec.registry.shown if i.id in self.indicators]
        """Those of layer ``qpv`` among them."""

    def newest(self, zone: Zone, indicator: str) -> Figure:
        """Return a QPV's figure of the newest vintage that any QPV has, a missing one if it has none.

        An older one does not stand in for it: QPV would be compared across vintages.
        """
        vintage = self._newest.get(indicator, "")
        return self.same_vintage(zone, indicator, vintage) or self.missing(indicator)

    def missing(self, indicator: str) -> Figure:
        """Return a figure of the newest vintage that has no value, because no row gives one."""
        vintage = self._newest.get(indicator, "")
        known = self._known[indicator]
        return Figure(status=NOT_AVAILABLE, vintage=vintage, unit=known.unit, indicator=known)

    def same_vintage(self, zone: Zone, indicator: str, vintage: str) -> Figure | None:
        """Return a zone's figure of one vintage: INSEE warns against comparing two of them."""
        return self._figures.get((zone.kind, zone.code, indicator, vintage))


def _decimals_of(values: Iterable[float], indicator: Indicator) -> int:
    return decimals_of(values, indicator.unit, index=indicator.kind == "index")


def _is_of_zones_shown(frames: Frames) -> pd.Series:
    """Tell which rows of ``statistiques`` are of zones that a portrait may show."""
    statistics, qpv = frames["statistiques"], frames["qpv"]
    codes = {
        *qpv["code_qp"],
        *frames["communes"]["insee_com"],
        *frames["epci"]["siren_epci"],
        *qpv["insee_dep"],
        *qpv["insee_reg"],
    }
    return statistics["code"].isin(codes) | (statistics["zone"] == EVERY_QPV)


def qpv_zones(frames: Frames) -> list[Zone]:
    """Return every QPV as a zone; one without a name is called by its code."""
    qpv = frames["qpv"]
    return [Zone(_QPV, code, name or code) for code, name in zip(qpv["code_qp"], qpv["lib_qp"], strict=True)]


def comparison_zones(row: pd.Series, content: Content) -> list[Zone]:
    """Return what a QPV (a row of layer ``qpv``) is compared with, from near to far.

    Areas first, then the QPV of each taken together.
    """
    frames, territory = content.frames, content.spec.territory
    names = dict(zip(frames["communes"]["insee_com"], frames["communes"]["nom_com"], strict=True))
    names_of_epci = dict(zip(frames["epci"]["siren_epci"], frames["epci"]["nom_epci"], strict=True))
    epci = territory.epci or next(iter(codes_of(row["siren_epci_calcule"])), "")
    department = department_of(row["code_qp"])
    together = {
        "ensemble_qpv_epci": epci,
        "ensemble_qpv_departement": department,
        "ensemble_qpv_region": row["insee_reg"],
        EVERY_QPV: EVERY_QPV_CODE,
    }
    return [
        *(Zone("commune", code, names.get(code, code)) for code in codes_of(row["insee_com_calcule"])),
        *([Zone("epci", epci, names_of_epci.get(epci) or territory.nom)] if epci else []),
        Zone("departement", department, row["lib_dep"] or f"Département {department}"),
        *(Zone(kind, code, capitalised(ZONE_WORDS[kind])) for kind, code in together.items() if code),
    ]
