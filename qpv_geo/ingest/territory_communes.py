"""Which communes of a file are a territory's: all of an EPCI's file, some of the national one."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import geopandas as gpd

from qpv_geo.ingest.communes import read_communes
from qpv_geo.ingest.contracts import Problems, shown
from qpv_geo.ingest.outside import Outside
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import PlainAddress
from qpv_geo.sources.raw import RawFile
from qpv_geo.territory import Territory

_NAMED_AT_MOST = 30


@dataclass(frozen=True)
class TerritoryCommunes:
    """The communes that a release is about, in the territory's CRS (see `read_communes`).

    `around` are the other communes of the EPCI that it holds parts of, None for an EPCI, which is whole;
    `overseas`, of the territory France, those of the parts with another CRS, by CRS.
    """

    of_territory: gpd.GeoDataFrame
    around: gpd.GeoDataFrame | None = None
    overseas: Mapping[int, gpd.GeoDataFrame] = field(default_factory=dict)

    @property
    def all(self) -> list[gpd.GeoDataFrame]:
        """The territory's, one frame per CRS."""
        return [self.of_territory, *self.overseas.values()]

    @property
    def codes(self) -> set[str]:
        """Codes of the territory's communes."""
        return {code for part in self.all for code in part["insee_com"]}


def read_territory_communes(
    raw: RawFile, territory: Territory, settings: Settings, outside: Outside | None = None
) -> TerritoryCommunes:
    """Read the communes of a territory from the file of its EPCI or from that of the country.

    `outside` receives the defective communes of other territories. Raises as `read_communes`, and if communes
    are missing or are not the territory's.
    """
    if territory.genre == "france":
        by_epsg = read_communes(raw, settings, None, outside)
        found = TerritoryCommunes(by_epsg.pop(territory.epsg), None, by_epsg)
    else:
        communes = read_communes(raw, settings, territory.epsg, outside)[territory.epsg]
        address = raw.source.address
        of_epci = isinstance(address, PlainAddress) and "{epci}" in address.url
        found = choose_communes(communes, territory, national=not of_epci)
    _check(found, raw, territory)
    if found.around is not None and outside:
        # The EPCI is drawn whole, though the territory is but a part of it.
        sirens = set(found.of_territory["siren_epci"].dropna())
        for aside in outside.set_aside:
            if aside.source == raw.source:
                aside.refuse(aside.places["siren_epci"].isin(sirens).to_numpy())
    return found


def choose_communes(
    communes: gpd.GeoDataFrame, territory: Territory, *, national: bool = True
) -> TerritoryCommunes:
    """Choose a territory's communes among those of a file, all in its CRS; the territory is not France.

    All those of an EPCI's own file, which is not `national`, are taken and checked afterwards.
    """
    if not national:
        return TerritoryCommunes(communes)
    column = {"epci": "siren_epci", "commune": "insee_com", "departement": "insee_dep"}[territory.genre]
    chosen = communes[column] == territory.code
    mine = communes[chosen].reset_index(drop=True)
    mine.attrs["remarques"] = communes.attrs["remarques"]
    if territory.genre == "epci":
        return TerritoryCommunes(mine)
    others = communes[~chosen & communes["siren_epci"].isin(set(mine["siren_epci"].dropna()))]
    return TerritoryCommunes(mine, others.reset_index(drop=True))


def _check(found: TerritoryCommunes, raw: RawFile, territory: Territory) -> None:
    """Raise for communes that are missing or are not the territory's."""
    problems = Problems(raw.label, raw.source)
    mine = found.of_territory
    if territory.genre == "epci":
        strangers = mine[mine["siren_epci"] != territory.epci]
        problems.add_rows(
            f"{territory.epci} ({territory.nom}) for each commune",
            strangers["insee_com"] + " " + strangers["nom_com"],
            map(shown, strangers["siren_epci"]),
            column="codeEpci",
        )
    if mine.empty:
        problems.add(f"communes in EPSG:{territory.epsg}", "none")
    elif territory.communes and not problems:
        _check_list(found.codes, territory, problems)
    problems.raise_if_any()


def _check_list(found: set[str], territory: Territory, problems: Problems) -> None:
    listed = set(territory.communes)
    for what, codes in (("missing", listed - found), ("not listed", found - listed)):
        if codes:
            named = ", ".join(sorted(codes)[:_NAMED_AT_MOST])
            problems.add(f"the {len(listed)} communes that the territory file lists", f"{what}: {named}")
    if listed != found:
        problems.advise("if communes have merged or moved, run `qpv-geo territory init` again")
