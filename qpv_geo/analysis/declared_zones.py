"""The communes and EPCI that producers declare for a QPV, compared with those that its contour lies in."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from shapely.geometry.base import BaseGeometry

from qpv_geo.analysis.concordances import (
    ANCT,
    COMMUNES,
    COMPUTED,
    EPCI,
    INSEE,
    Agreement,
    Concordance,
    Statement,
)
from qpv_geo.analysis.overlay import is_sizeable
from qpv_geo.checks import Check, Outcome
from qpv_geo.french import number, significant
from qpv_geo.territory import COMMUNES_PRECISION, Territory, codes_of
from qpv_geo.zones import department_of, department_of_commune

# The only commune wrongly declared is 16 km away.
_TOLERANCE = f"{COMMUNES_PRECISION:.0f} m : précision des contours de communes"

_METROPOLIS = "200054781"
# Around Paris, producers declare these parts of the metropolis: Paris or a *territoire*.
_PARTS_OF_METROPOLIS = dict.fromkeys(
    (
        "217500016", "200057867", "200057875", "200057941", "200057966", "200057974", "200057982",
        "200057990", "200058006", "200058014", "200058097", "200058790",
    ),
    _METROPOLIS,
)  # fmt: skip

_THEMES = {"insee_com": COMMUNES, "siren_epci": EPCI}
_CONTOURS, _PIECES = "qpv_2024", "qpv_commune"


def compare_zones(
    qpv: gpd.GeoDataFrame,
    pieces: gpd.GeoDataFrame,
    communes: gpd.GeoDataFrame,
    *,
    declared: pd.DataFrame | None,
    members: pd.DataFrame | None,
    territory: Territory,
) -> list[Concordance]:
    """Compare declared communes and EPCI with the overlay, for each QPV and each producer.

    A declared zone agrees if the QPV lies in it, or within the precision of the contours of communes. An
    undeclared zone disagrees if the QPV reaches farther than that into it.

    `qpv` are the territory's, in a projected CRS, `pieces` these cut by `communes`, `declared` the codes that
    other tables than the contours declare, `members` the communes of every EPCI.
    """
    columns = ["source", "code_qp", *_THEMES]
    declarations = pd.DataFrame(qpv.assign(source=_CONTOURS)[columns])
    if declared is not None:
        declarations = pd.concat(
            [declarations, declared.loc[declared["code_qp"].isin(qpv["code_qp"]), columns]]
        )
    names = dict(zip(qpv["code_qp"], qpv["lib_qp"], strict=True))
    shapes = dict(zip(qpv["code_qp"], qpv.geometry, strict=True))
    rows = []
    for column, theme in _THEMES.items():
        zones = _Zones(communes, pieces, column, members)
        cells = (declarations[name] for name in ("source", "code_qp", column))
        for source, code, cell in zip(*cells, strict=True):
            stated = codes_of(cell)
            if not stated:
                continue
            result, reason = _judge(
                {_PARTS_OF_METROPOLIS.get(zone, zone) for zone in stated}, code, shapes[code], zones
            )
            statements = (
                Statement(", ".join(stated), INSEE if source.startswith("insee") else ANCT, source),
                Statement(zones.listed(code, 100 * territory.sliver_share), COMPUTED, _PIECES),
            )
            message = f"{names[code]} : {reason}."
            rows.append(Concordance(theme, code, names[code], *statements, _TOLERANCE, result, message))
    return rows


def compare_communes(
    qpv: gpd.GeoDataFrame, pieces: gpd.GeoDataFrame, drawn: Collection[str], territory: Territory
) -> list[Check]:
    """Compare the communes that the ANCT declares with those that the contours give, QPV by QPV.

    A difference cannot be verified if a declared commune was not among those `drawn` (whose contour was read)
    and the QPV partly lies in none of them. If it lies in none, the declared commune no longer exists or is
    elsewhere; so it does not exist if the whole country was read with other communes of its department.
    """
    outside = pieces[pieces["insee_com"].isna()]
    in_none = set(outside.loc[is_sizeable(outside, territory), "code_qp"])
    whole = {department_of_commune(code) for code in drawn if territory.genre == "france"}
    overlaps = _overlaps(pieces, "insee_com")
    checks = []
    for code, name, insee_com in zip(qpv["code_qp"], qpv["lib_qp"], qpv["insee_com"], strict=True):
        declared = set(codes_of(insee_com))
        met = overlaps.get(code, {})
        computed = {commune for commune, overlap in met.items() if commune and overlap.is_member}
        outcome: Outcome = "conforme"
        if declared != computed:
            missing = declared - computed
            known = computed - declared or missing & set(drawn) or code not in in_none
            lapsed = {commune for commune in missing if department_of_commune(commune) in whole}
            outcome = "avertissement" if known or lapsed else "non_verifiable"
        expected, found = (", ".join(sorted(codes)) or "aucune" for codes in (declared, computed))
        message = f"{name} : {_explain(declared, computed, met, drawn)}"
        checks.append(Check("commune_declaree_ou_calculee", code, outcome, expected, found, message))
    return checks


def _explain(
    declared: set[str], computed: set[str], met: Mapping[str | None, "_Overlap"], drawn: Collection[str]
) -> str:
    """Explain how the declared communes of a QPV differ from those that it overlaps."""
    if declared == computed:
        return "les communes déclarées sont celles que donnent les contours."
    slivers = {commune: met[commune] for commune in sorted(declared - computed) if commune in met}
    thin = [
        f"{commune} ({significant(sliver.share, 2)} % du QPV, {significant(sliver.area, 3)} m²)"
        for commune, sliver in slivers.items()
    ]
    missing = declared - computed - slivers.keys()
    reasons = {
        "déclarée sans recouvrement": sorted(missing & set(drawn)),
        "déclarée, dont aucun contour n'a été lu": sorted(missing - set(drawn)),
        "déclarée mais recouverte en deçà de la tolérance": thin,
        "recouverte sans être déclarée": sorted(computed - declared),
    }
    return " ; ".join(f"{reason} : {', '.join(found)}" for reason, found in reasons.items() if found) + "."


@dataclass
class _Overlap:
    """Overlap of a QPV and a zone: percent of the QPV, m², whether it is more than a sliver, pieces."""

    share: float = 0.0
    area: float = 0.0
    is_member: bool = False
    pieces: list[BaseGeometry] = field(default_factory=list)


def _overlaps(pieces: gpd.GeoDataFrame, column: str) -> dict[str, dict[str | None, _Overlap]]:
    """Return the overlap of each QPV with each zone; None stands for outside all zones."""
    overlaps: dict[str, dict[str | None, _Overlap]] = {}
    columns = (pieces[name] for name in ("code_qp", column, "part_qpv", "surface_m2", "membre"))
    for code, zone, share, area, member, shape in zip(*columns, pieces.geometry, strict=True):
        named = zone if isinstance(zone, str) else None
        overlap = overlaps.setdefault(code, {}).setdefault(named, _Overlap())
        overlap.share += share
        overlap.area += area
        overlap.is_member |= bool(member)
        overlap.pieces.append(shape)
    return overlaps


@dataclass(frozen=True)
class _Zones:
    """Communes, or EPCI as sets of communes: `column` says which."""

    communes: gpd.GeoDataFrame
    pieces: gpd.GeoDataFrame
    column: str
    members: pd.DataFrame | None

    @cached_property
    def drawn(self) -> frozenset[str]:
        """Codes of the zones that have a contour."""
        return frozenset(self.communes[self.column].dropna())

    @cached_property
    def _official(self) -> frozenset[str]:
        """Codes of the zones and departments that the official list of EPCI covers."""
        if self.members is None:
            return frozenset()
        communes = self.members["insee_com"]
        return frozenset(self.members[self.column]) | set(communes.str[:2]) | set(communes.str[:3])

    @cached_property
    def overlaps(self) -> dict[str, dict[str | None, _Overlap]]:
        return _overlaps(self.pieces, self.column)

    @cached_property
    def _names(self) -> dict[str, str]:
        return dict(zip(self.communes["insee_com"], self.communes["nom_com"], strict=True))

    def name(self, zone: str) -> str:
        """Return a code followed by the name of its commune."""
        return f"{zone} {self._names[zone]}" if zone in self._names else zone

    def listed(self, code_qp: str, least: float) -> str | None:
        """Return the zones that a QPV lies in with their shares, the largest first."""
        overlaps = sorted(
            self.overlaps.get(code_qp, {}).items(), key=lambda item: (-item[1].share, item[0] or "")
        )
        named = [
            f"{self.name(zone) if zone else 'ailleurs'} ({number(overlap.share, 1)} %)"
            for zone, overlap in overlaps
            if overlap.is_member or overlap.share > least
        ]
        return ", ".join(named) or None

    def lapsed(self, codes: set[str], department: str) -> set[str]:
        """Return the codes that no zone has any more, if the official list covers the department."""
        not_drawn = codes - self.drawn
        return not_drawn - self._official if not_drawn and department in self._official else set()

    def shape(self, codes: set[str]) -> BaseGeometry:
        """Return the communes of zones as one collection."""
        return shapely.GeometryCollection(
            self.communes.geometry[self.communes[self.column].isin(codes)].tolist()
        )


def _judge(stated: set[str], code_qp: str, shape: BaseGeometry, zones: _Zones) -> tuple[Agreement, str]:
    """Return whether a declaration agrees with the contour of the QPV, and the reason."""
    overlaps = zones.overlaps.get(code_qp, {})
    computed = {zone for zone, overlap in overlaps.items() if zone and overlap.is_member}
    drawn = stated & zones.drawn
    lapsed = zones.lapsed(stated, department_of(code_qp))
    reasons = [
        f"{zone}, déclaré, n'a ni contour ni place au code officiel géographique (zone disparue ou code faux)"
        for zone in sorted(lapsed)
    ]
    for zone in sorted(drawn - computed):
        distance = shapely.distance(shape, zones.shape({zone}))
        if distance > COMMUNES_PRECISION:
            reasons.append(f"{zones.name(zone)}, déclaré, est à {number(distance / 1000, 1)} km du QPV")
    # If every declared zone has lapsed, there is nothing to measure from.
    if drawn or not lapsed:
        reasons += [
            f"le QPV est pour {number(overlaps[zone].share, 1)} % dans {zones.name(zone)}, non déclaré"
            for zone in sorted(computed - drawn)
            if _depth(overlaps[zone].pieces, zones.shape(drawn)) > COMMUNES_PRECISION
        ]
    if reasons:
        return "diverge", " ; ".join(reasons)
    if not drawn:
        return "non_verifiable", "aucun contour lu ne permet de vérifier ce qui est déclaré"
    return "concorde", "ce qui est déclaré concorde avec le contour"


def _depth(pieces: list[BaseGeometry], around: BaseGeometry) -> float:
    """Return how far pieces reach from other zones, in metres; infinite if there are no other zones."""
    if around.is_empty:
        return np.inf
    return float(shapely.distance(shapely.points(shapely.get_coordinates(pieces)), around).max())
