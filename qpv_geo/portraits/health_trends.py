"""The APL of communes beside their department and France over the years, a chart for each profession."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any

from markupsafe import Markup

from qpv_geo.formats.base import Content
from qpv_geo.formats.figures import Zone
from qpv_geo.formats.frames import plain_values
from qpv_geo.formats.health import COMMUNES_APL, decimals_shown
from qpv_geo.french import number, ordinal
from qpv_geo.portraits.charts import YearLine, line_chart

# Kinds of zones, from near to far.
_AREAS = ("commune", "departement", "france")


@dataclass(frozen=True)
class Newest:
    """The newest value of a zone in words, and its rank among the communes of its region, empty without."""

    zone: Zone
    text: str
    vintage: str
    rank: str


@dataclass(frozen=True)
class Trend:
    """The APL of a profession: what it is in, its drawing, and the newest value of each zone."""

    label: str
    unit: str
    drawing: Markup
    newest: tuple[Newest, ...]


@lru_cache(maxsize=8)
def trends_of(content: Content, communes: tuple[str, ...], department: str) -> tuple[Trend, ...]:
    """Return the trends of a QPV's communes, which others share; none if the release has no APL of them."""
    table = content.frames.get(COMMUNES_APL)
    if table is None:
        return ()
    codes = {"commune": communes, "departement": (department,)}
    cells = zip(*(plain_values(table[name]) for name in table.columns), strict=True)
    rows = [dict(zip(table.columns, row, strict=True)) for row in cells]
    own = [
        row
        for row in rows
        if row["valeur"] is not None
        and row["zone"] in _AREAS
        and row["code"] in codes.get(row["zone"], (row["code"],))
    ]
    measures = dict.fromkeys((row["profession"], row["unite"]) for row in own if row["zone"] == "commune")
    return tuple(_trend([row for row in own if (row["profession"], row["unite"]) == key]) for key in measures)


def _trend(rows: list[dict[str, Any]]) -> Trend:
    label, unit = rows[0]["libelle"], rows[0]["unite"] or ""
    rows.sort(key=lambda row: (_AREAS.index(row["zone"]), row["code"], row["millesime"]))
    decimals = decimals_shown([row["valeur"] for row in rows], unit)
    zones = [list(group) for _, group in groupby(rows, key=itemgetter("zone", "code"))]
    lines = [
        YearLine(
            years[0]["nom"],
            # Of several communes, the others are thinner.
            f"{years[0]['zone']} autre" if rank and years[0]["zone"] == "commune" else years[0]["zone"],
            tuple((int(year["millesime"][:4]), year["valeur"]) for year in years),
        )
        for rank, years in enumerate(zones)
    ]
    newest = tuple(
        Newest(
            Zone(last["zone"], last["code"], last["nom"]),
            number(last["valeur"], decimals),
            last["millesime"],
            ""
            if last["rang"] is None
            else f"{ordinal(int(last['rang']))} sur {number(last['rang_sur'])} communes de la région",
        )
        for *_, last in zones
    )
    return Trend(label, unit, line_chart(f"APL, {label} ({unit})", lines, decimals), newest)
