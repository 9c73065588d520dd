"""Contours of communes and IRIS, of one EPCI or of France, and which communes are a territory's."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import geopandas as gpd
import numpy as np
import pandas as pd
import pandera.pandas as pa

from qpv_geo.checks import Check
from qpv_geo.ingest.cell_text import report_reading
from qpv_geo.ingest.codes import COMMUNE, DEPARTEMENT, EPCI, IRIS, REGION
from qpv_geo.ingest.contracts import Names, Problems, code_column, shown, validate
from qpv_geo.ingest.geometry import draw, report_repairs
from qpv_geo.ingest.outside import Outside, raise_inside
from qpv_geo.ingest.vector import read_layer
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import PlainAddress
from qpv_geo.sources.raw import RawFile
from qpv_geo.territory import Territory
from qpv_geo.zones import department_of_commune, place_of

# The API's names, and those of the official geographic code that the layers use.
_NAMES = {
    "code": "insee_com",
    "nom": "nom_com",
    "codeEpci": "siren_epci",
    "codeDepartement": "insee_dep",
    "codeRegion": "insee_reg",
    "population": "population",
}
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

    Raises as `read_communes`, and if communes are missing or are not the territory's.
    """
    if territory.genre == "france":
        by_epsg = read_communes(raw, settings, None, outside)
        found = TerritoryCommunes(by_epsg.pop(territory.epsg), None, by_epsg)
    else:
        communes = read_communes(raw, settings, territory.epsg, outside)[territory.epsg]
        address = raw.source.address
        of_epci = isinstance(address, PlainAddress) and "{epci}" in address.url
        found = TerritoryCommunes(communes) if of_epci else choose_communes(communes, territory)
    _check(found, raw, territory)
    if found.around is not None and outside:
        # The EPCI is drawn whole, though the territory is but a part of it.
        sirens = set(found.of_territory["siren_epci"].dropna())
        for aside in outside.set_aside:
            if aside.source == raw.source:
                aside.refuse(aside.features["siren_epci"].isin(sirens).to_numpy())
    return found


def choose_communes(communes: gpd.GeoDataFrame, territory: Territory) -> TerritoryCommunes:
    """Choose a territory's communes among those of the country, all in its CRS; it is not France."""
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
    listed = set(territory.communes)
    if listed and not problems:
        for what, codes in (("missing", listed - found.codes), ("not listed", found.codes - listed)):
            if codes:
                named = ", ".join(sorted(codes)[:_NAMED_AT_MOST])
                problems.add(f"the {len(listed)} communes that the territory file lists", f"{what}: {named}")
                problems.advise("if communes have merged or moved, run `qpv-geo territory init` again")
    problems.raise_if_any()


def read_communes(
    raw: RawFile, settings: Settings, epsg: int | None = None, outside: Outside | None = None
) -> dict[int, gpd.GeoDataFrame]:
    """Read communes, GeoJSON of geo.api.gouv.fr or of Etalab, and hold them to their contract.

    Returned are those that the projected CRS `epsg` serves; without it, those of each part of France in its
    own (`outside`: see `raise_inside`). By CRS: ``insee_com``, ``nom_com``, ``siren_epci``, ``insee_dep``,
    ``insee_reg`` (text or None), ``population`` (Int64), and what `geometry.project` adds, in the file's
    order; ``attrs["remarques"]``, what was unusual in the file, in French.
    """
    layer = read_layer(raw, settings)
    problems = Problems(layer.label, raw.source)
    table, where = layer.official_columns(problems, ("nom",))
    table = table.rename(columns=_NAMES)
    with raise_inside(outside, problems, table, where, COMMUNE) as readable:
        population, whole = _numbers(table["population"], where, problems)
        validate(table.assign(population=population), _SCHEMA, problems, where, as_published=table)
        table["population"] = population.where(whole).astype("Int64")
        departments = table["insee_com"].where(readable, "").map(department_of_commune)
        zones = departments.map({code: place_of([code]) for code in departments.unique()}).tolist()
        by_epsg = draw(table, layer.frame.geometry, zones, where, problems, epsg=epsg)
    for communes in by_epsg.values():
        communes.attrs["remarques"] = layer.remarks
    return by_epsg


def report_communes(layers: Sequence[gpd.GeoDataFrame], source_id: str) -> tuple[Check, ...]:
    """Return the controls that `read_communes` made, of one layer or of one per CRS."""
    found = f"{sum(map(len, layers))} communes"
    return (
        report_reading(layers[0].attrs["remarques"], found, source_id),
        report_repairs(layers, "insee_com", source_id),
    )


_SCHEMA = pa.DataFrameSchema(
    {
        "insee_com": code_column(COMMUNE, key=True),
        "nom_com": pa.Column(),
        "siren_epci": code_column(EPCI, nullable=True),
        "insee_dep": code_column(DEPARTEMENT),
        "insee_reg": code_column(REGION, nullable=True),
        "population": pa.Column(checks=pa.Check.ge(0, error="a population of at least 0"), nullable=True),
    }
)


def _numbers(
    text: pd.Series, where: Names, problems: Problems
) -> tuple["pd.Series[float]", "pd.Series[bool]"]:
    """Return populations as numbers, and which of them are whole."""
    numbers = pd.to_numeric(text, errors="coerce").astype("float64")
    # Beyond that, a double does not tell whole numbers apart.
    whole = numbers.notna() & (numbers % 1 == 0) & (numbers.abs() < 2**53)
    wrong = text.notna() & ~whole
    found = map(shown, text[wrong])
    problems.add_rows("a whole number of inhabitants", where[wrong], found, column="population")
    return numbers, whole


_IRIS_SCHEMA = pa.DataFrameSchema(
    {
        "code_iris": code_column(IRIS, key=True),
        "nom_iris": pa.Column(),
        "type_iris": pa.Column(nullable=True),
        "insee_com": code_column(COMMUNE),
        "nom_com": pa.Column(),
    }
)


def read_iris(
    raws: Mapping[str, RawFile],
    communes: Collection[str],
    settings: Settings,
    epsg: int,
    outside: Outside | None = None,
) -> tuple[gpd.GeoDataFrame, tuple[Check, ...]]:
    """Read the IRIS of communes, from a file for each or one for the country; hold them to their contract.

    Returned are ``code_iris``, ``nom_iris``, ``type_iris`` (or None), ``insee_com``, ``nom_com``,
    ``geographie`` (date of the geography, or None), and what `geometry.project` adds, sorted by code.
    `outside`: see `raise_inside`.
    """
    frames, checks = [], []
    # Communes that have any, even without a usable contour.
    there: set[str] = set()
    for key, raw in raws.items():
        layer = read_layer(raw, settings)
        problems = Problems(layer.label, raw.source)
        every, names = layer.official_columns(problems, ("nom_iris", "nom_com"))
        wanted = np.flatnonzero(every["insee_com"].isin(communes))
        table, where = every.iloc[wanted].reset_index(drop=True), names[wanted]
        placed = table.assign(siren_epci=None, insee_dep=table["insee_com"].map(department_of_commune))
        with raise_inside(outside, problems, placed, where, IRIS):
            validate(table, _IRIS_SCHEMA, problems, where)
            for place, code, commune in zip(where, table["code_iris"], table["insee_com"], strict=True):
                if not str(code).startswith(str(commune)):
                    expected = "a code that begins with that of the commune"
                    problems.add(expected, f"{shown(code)} in {commune}", column="code_iris", where=place)
            zones = [place_of([department]) for department in placed["insee_dep"]]
            contours = layer.frame.geometry.iloc[wanted]
            frame = draw(table, contours, zones, where, problems, epsg=epsg)[epsg]
        there |= set(table["insee_com"])
        frames.append(frame.assign(geographie=raw.source.geography))
        checks.append(report_reading(layer.remarks, f"{len(frame)} IRIS", key))
        checks.append(report_repairs([frame], "code_iris", key))
    iris = gpd.GeoDataFrame(pd.concat(frames, ignore_index=True), crs=epsg)
    last = Problems(", ".join(raw.label for raw in raws.values()), next(iter(raws.values())).source)
    for commune in sorted(set(communes) - there):
        last.add(f"IRIS of commune {commune}", "none")
        last.advise("if this commune has none, take it out of 'communes_principales' in the territory file")
    last.raise_if_any()
    return iris.sort_values("code_iris", ignore_index=True), tuple(checks)
