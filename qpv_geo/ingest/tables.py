"""All raw files of a run to the checked tables that the analysis joins."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from datetime import date
from functools import partial
from typing import Any, Self

import geopandas as gpd
import numpy as np
import pandas as pd

from qpv_geo.checks import Check
from qpv_geo.errors import ContractError, SourceContentError
from qpv_geo.ingest.apl import AplSheet, read_apl
from qpv_geo.ingest.base_map import BackgroundFeatures, read_base_map
from qpv_geo.ingest.cog import read_epci_members
from qpv_geo.ingest.communes import TerritoryCommunes, read_iris, read_territory_communes, report_communes
from qpv_geo.ingest.contours import Contours, read_contours, read_qpv_2015
from qpv_geo.ingest.correspondence import read_correspondence, read_declared_zones
from qpv_geo.ingest.distribution import CountedFile
from qpv_geo.ingest.facilities import FacilityTable, read_facilities
from qpv_geo.ingest.finess import FinessTable, read_finess
from qpv_geo.ingest.local_contours import read_local_contours
from qpv_geo.ingest.outside import Outside, SetAside
from qpv_geo.ingest.registry import Registry
from qpv_geo.ingest.source_files import SourceFiles
from qpv_geo.ingest.statistic_rows import StatisticRows
from qpv_geo.ingest.statistic_tables import Scope
from qpv_geo.ingest.statistics import Statistics, read_statistics
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import Catalogue, TableName
from qpv_geo.sources.plan import source_id_of
from qpv_geo.sources.raw import Extract, RawFile
from qpv_geo.territory import Territory, codes_of

# A table that is drawn in Lambert-93, of metropolitan France only.
_METROPOLITAN = {"metropolitan": True}


@dataclass(frozen=True)
class Tables:
    """Checked tables of all sources; those of optional sources are None when the source is absent."""

    contours: Contours
    communes: gpd.GeoDataFrame
    """The territory's, in its CRS (see `read_communes`)."""
    rows: StatisticRows
    """Statistics of all sources: every zone of the files; of communes and IRIS, those of the territory."""
    epci_members: pd.DataFrame | None
    """Communes of every EPCI."""
    labels: pd.DataFrame
    """Indicators that the registry does not know: ``source``, ``code_producteur``, ``indicateur`` (their name
    in `statistics`), ``libelle`` (the producer's, may be empty)."""
    checks: tuple[Check, ...]
    """What was controlled, and which sources are absent."""
    qpv_2015: gpd.GeoDataFrame | None = field(default=None, metadata=_METROPOLITAN)
    correspondence: pd.DataFrame | None = None
    declared_zones: pd.DataFrame | None = None
    iris: gpd.GeoDataFrame | None = field(default=None, metadata=_METROPOLITAN)
    facilities: FacilityTable | None = field(default=None, metadata=_METROPOLITAN)
    apl: tuple[AplSheet, ...] = ()
    """Local potential accessibility of care: a sheet for each profession and year, of all of France."""
    finess: FinessTable | None = field(default=None, metadata=_METROPOLITAN)
    base_map: BackgroundFeatures | None = None
    district_contours: gpd.GeoDataFrame | None = None
    fragile_contours: gpd.GeoDataFrame | None = None
    """Contours that the territory declares (see `read_local_contours`)."""
    set_aside: tuple[SetAside, ...] = ()
    """Features outside the territory that are not used, because something is wrong with them."""
    around: gpd.GeoDataFrame | None = None
    """The other communes of the same EPCI, where the territory is no EPCI itself and holds parts of some."""
    overseas: Mapping[int, gpd.GeoDataFrame] = field(default_factory=dict)
    """Communes of the parts of France that have a CRS of their own, by CRS; of the territory France only."""
    defects: Mapping[str, str] = field(default_factory=dict)
    """What is wrong with each optional source that is bad, by key: nothing of it is used."""

    @property
    def statistics(self) -> pd.DataFrame:
        """All rows of statistics, columns of `Statistics.rows`."""
        return self.rows.frame

    @property
    def iris_geography(self) -> date | None:
        """Date of the geography of the IRIS; None if there are none, it is unknown, or there are several."""
        dates = set() if self.iris is None else set(self.iris["geographie"])
        return dates.pop() if len(dates) == 1 else None

    @property
    def extracts(self) -> tuple[Extract, ...]:
        """The lines that were read in place of whole national files."""
        extract = self.facilities and self.facilities.extract
        return (extract,) if extract else ()

    def without_metropole(self) -> Self:
        """Return the tables of a territory overseas: none that is drawn in Lambert-93."""
        nothing: dict[str, Any] = {table.name: None for table in fields(self) if table.metadata}
        return replace(self, **nothing)


def _read_declared_zones(files: SourceFiles, settings: Settings) -> pd.DataFrame | None:
    """Read what is declared of the QPV beside their contours, to compare producers."""
    frames = []
    for key, raw in files.of("declared_zones").items():
        if "statistics" in raw.source.fills:
            # Read for its figures: if it is bad, that reader says so.
            with suppress(ContractError, SourceContentError):
                frames.append(files.keep_checks(read_declared_zones(raw, settings)))
        else:
            result = files.read([key], partial(read_declared_zones, raw, settings))
            frames.append(files.keep_checks(result))
    read = [frame for frame in frames if frame is not None]
    return pd.concat(read, ignore_index=True) if read else None


def _read_apl(files: SourceFiles, territory: Territory, settings: Settings) -> tuple[AplSheet, ...]:
    """Read each profession that there is: one that is bad leaves the others."""
    # For many territories several processes read the same files at the same time.
    keep = territory.genre != "france"
    results = [
        files.keep_checks(files.read([key], partial(read_apl, raw, settings, keep=keep)))
        for key, raw in files.of("apl").items()
    ]
    return tuple(sheet for sheets in results if sheets for sheet in sheets)


def _read_optional(
    files: SourceFiles,
    territory: Territory,
    settings: Settings,
    outside: Outside,
    communes: gpd.GeoDataFrame | None,
) -> dict[str, Any]:
    """Read the optional tables, in the order in which their checks are published."""

    def first(table: TableName, read: Callable[[RawFile], tuple[Any, Sequence[Check]]]) -> object:
        return files.keep_checks(files.read_first(table, read))

    def near(table: TableName, read: Callable[..., tuple[Any, Sequence[Check]]]) -> object:
        return None if communes is None else first(table, lambda raw: read(raw, communes, settings))

    def declared(table: TableName) -> object:
        def read(raw: RawFile) -> tuple[gpd.GeoDataFrame, tuple[Check, ...]]:
            file = territory.files[raw.source.territory_key or ""]
            return read_local_contours(raw, file, territory, communes, settings)

        return first(table, read)

    def iris() -> gpd.GeoDataFrame | None:
        """Read those of the communes whose file was had, or of all main communes in one file."""
        raws = files.of("iris")
        of_communes = {key.partition("-")[2] for key in raws}
        if country := {key: raw for key, raw in raws.items() if key == raw.source.id}:
            # What is overseas has files of its own.
            drawn = () if communes is None else communes["insee_com"]
            raws, of_communes = country, set(territory.communes_principales or drawn)
        read = partial(read_iris, raws, of_communes, settings, territory.epsg, outside)
        return files.keep_checks(files.read(list(raws), read)) if raws else None

    return {
        "qpv_2015": first("qpv_2015", lambda raw: read_qpv_2015(raw, settings, territory.epsg, outside)),
        "correspondence": first("correspondence", lambda raw: read_correspondence(raw, settings)),
        "declared_zones": _read_declared_zones(files, settings),
        "iris": iris(),
        "facilities": near("facilities", read_facilities),
        "apl": _read_apl(files, territory, settings),
        "finess": near("finess", read_finess),
        "base_map": near("base_map", read_base_map),
        "district_contours": declared("district_contours"),
        "fragile_contours": declared("fragile_contours"),
    }


def read_tables(
    raws: Mapping[str, RawFile | None],
    territory: Territory,
    catalogue: Catalogue,
    registry: Registry,
    settings: Settings,
    *,
    several: bool = False,
) -> Tables:
    """Read every source into the table that the catalogue says it fills.

    `raws` are by key (`plan.Wanted`), None (or nothing) for an optional source that is absent. If the
    releases of `several` territories are made from these tables, the statistics of every commune of the EPCI
    that have a QPV are read, not only those of the communes that hold one, and a defect of a single feature
    is no error: `Tables.set_aside` is asked whose it is.

    Errors of required sources are raised together; other bad sources are left out. Raises
    `SourceUnavailableError` if the contours, the communes or every table of statistics are absent, and
    `SourceContentError` or `ContractError` if the file of a required source, or of the territory itself, is
    not what its format says or breaks its contract.
    """
    files = SourceFiles(raws, catalogue)
    files.require()
    outside = Outside(None if several else territory)
    contours = files.read_first("contours", lambda raw: read_contours(raw, territory, settings, outside))
    communes = files.read_first(
        "communes", lambda raw: read_territory_communes(raw, territory, settings, outside)
    )
    members = files.read_first("epci_members", lambda raw: read_epci_members(raw, settings))
    scope = _scope(contours, communes, members, territory, whole_epci=several)
    figures = {
        key: files.read([key], partial(read_statistics, raw, registry, settings, scope))
        for key, raw in files.of("statistics").items()
    }
    parts = {key: part for key, part in figures.items() if part is not None}
    optional = _read_optional(files, territory, settings, outside, communes and communes.of_territory)
    files.raise_errors()
    # Both were read, or their error was raised.
    assert contours is not None  # noqa: S101
    assert communes is not None  # noqa: S101
    statistics = _with_unique_names(
        pd.concat([part.rows for part in parts.values()], ignore_index=True), registry
    )
    national = {
        key: CountedFile(key, raw.path.name, raw.sha256, shipped=False)
        for key, raw in files.of("statistics").items()
        if key in parts and raw.national
    }
    checks = [*contours.checks, *report_communes(communes.all, next(iter(files.of("communes"))))]
    checks += [check for part in parts.values() for check in part.checks]
    checks += [*outside.checks(), *files.checks, *_left_out(files.defects, catalogue)]
    checks += _absent(raws, territory, catalogue)
    return Tables(
        contours,
        communes.of_territory,
        StatisticRows(statistics, national),
        members,
        _labels(statistics, parts),
        tuple(checks),
        set_aside=tuple(outside.set_aside),
        around=communes.around,
        overseas=communes.overseas,
        defects=files.defects,
        **optional,
    )


def _scope(
    contours: Contours | None,
    communes: TerritoryCommunes | None,
    members: pd.DataFrame | None,
    territory: Territory,
    *,
    whole_epci: bool,
) -> Scope:
    """Say which rows of national tables concern a territory; of France, the communes that hold a QPV."""
    official = frozenset() if members is None else frozenset(members["siren_epci"])
    if communes is None:
        return Scope(epci=official)
    frames = contours.by_epsg.values() if contours else ()
    if territory.genre != "france":
        columns = ("code_qp", "insee_com", "siren_epci")
        places = (row for frame in frames for row in zip(*(frame[name] for name in columns), strict=True))
        # A QPV that declares no place may be the territory's.
        qpv = {row[0] for row in places if territory.is_declared(*row) or row[1:] == (None, None)}
        return Scope(frozenset(communes.codes), frozenset(qpv), official)
    declared = {code for frame in frames for codes in frame["insee_com"] for code in codes_of(codes)}
    if whole_epci and members is not None:
        # A QPV overseas declares a commune and no EPCI.
        epci = {code for frame in frames for codes in frame["siren_epci"] for code in codes_of(codes)}
        epci |= set(members.loc[members["insee_com"].isin(declared), "siren_epci"])
        declared |= set(members.loc[members["siren_epci"].isin(epci), "insee_com"])
    return Scope(frozenset(declared), epci=official)


def _left_out(defects: Mapping[str, str], catalogue: Catalogue) -> Iterator[Check]:
    """Name each source that was had and is bad."""
    for key, defect in defects.items():
        title = catalogue[source_id_of(key)].title
        message = f"{title} : le fichier n'est pas conforme, rien n'en est repris. {defect}"
        yield Check("source_ecartee", key, "avertissement", "", "", message)


def _absent(
    raws: Mapping[str, RawFile | None], territory: Territory, catalogue: Catalogue
) -> Iterator[Check]:
    """Name each source that is not in the release, with what is known of the reason."""
    for key in (key for key, raw in raws.items() if raw is None):
        source = catalogue[source_id_of(key)]
        reason = "source facultative qui n'a pas pu être lue, ses données manquent à cette publication"
        if source.id in territory.sources_ignorees:
            reason = "source que la configuration du territoire ignore (sources_ignorees)"
        second = next((other for other in catalogue.used() if other.alternative_to == source.id), None)
        if second and raws.get(second.id):
            reason = f"source remplacée par son second choix, {second.id}"
        yield Check("source_absente", key, "non_verifiable", "", "", f"{source.title} : {reason}.")


def _with_unique_names(statistics: pd.DataFrame, registry: Registry) -> pd.DataFrame:
    """Add the source to a name that two sources use for columns that the registry does not know."""
    pairs = statistics[["source", "indicateur"]].drop_duplicates()
    shared = set(pairs.loc[pairs["indicateur"].duplicated(), "indicateur"]) - registry.by_id.keys()
    if not shared:
        return statistics
    ambiguous = statistics["indicateur"].isin(shared)
    named = statistics["indicateur"].where(~ambiguous, statistics["indicateur"] + "_" + statistics["source"])
    return statistics.assign(indicateur=named)


def _labels(statistics: pd.DataFrame, parts: dict[str, Statistics]) -> pd.DataFrame:
    """Return the producers' labels of the indicators that the registry does not know."""
    names = statistics[["source", "code_producteur", "indicateur"]].drop_duplicates(ignore_index=True)
    labels = {(source, code): label for source, part in parts.items() for code, label in part.unknown}
    found = [labels.get(pair) for pair in zip(names["source"], names["code_producteur"], strict=True)]
    names["libelle"] = np.array(found, dtype=object)
    return names[names["libelle"].notna()].reset_index(drop=True)
