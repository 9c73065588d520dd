"""All raw files of a run to the checked tables that the analysis joins."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from typing import TypeVar

import geopandas as gpd
import numpy as np
import pandas as pd

from qpv_geo.checks import Check
from qpv_geo.errors import ContractError, SourceContentError, SourceUnavailableError
from qpv_geo.ingest.cog import read_epci_members
from qpv_geo.ingest.communes import report_communes
from qpv_geo.ingest.contours import Contours, read_contours
from qpv_geo.ingest.correspondence import read_correspondence
from qpv_geo.ingest.declared_zones import read_declared_zones
from qpv_geo.ingest.distribution import Origin
from qpv_geo.ingest.facilities import Facilities, read_facilities
from qpv_geo.ingest.iris import read_iris
from qpv_geo.ingest.local_contours import read_local_contours
from qpv_geo.ingest.outside import Outside, SetAside
from qpv_geo.ingest.qpv_2015 import read_qpv_2015
from qpv_geo.ingest.recognition import OfficialCodes
from qpv_geo.ingest.registry import Registry
from qpv_geo.ingest.statistic_rows import StatisticRows
from qpv_geo.ingest.statistic_tables import Scope
from qpv_geo.ingest.statistics import Statistics, read_statistics
from qpv_geo.ingest.territory_communes import TerritoryCommunes, read_territory_communes
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import Catalogue
from qpv_geo.sources.plan import source_id_of
from qpv_geo.sources.raw import RawFile, usable
from qpv_geo.territory import Territory, codes_of

CONTOURS = "qpv_2024"
COMMUNES = ("communes_epci", "communes_france")
EPCI_MEMBERS = "cog_epci"
CORRESPONDENCE = "correspondance_2024_2015"
FACILITIES = "bpe"
# Tables that say in which communes and EPCI each QPV is: ANCT's lists, and INSEE's populations.
_LISTS, _POPULATION = ("listeqp_2025", "listeqp_2024"), "insee_population"
# First and second choices.
CONTOURS_2015 = ("qpv_2015", "qpv_2015_wfs")
IRIS, IRIS_FRANCE = "iris", "iris_france"
# The territory's own files, under the names that its configuration gives them.
_LOCAL = ("quartiers_fichier", "quartiers_fragiles_fichier")

T = TypeVar("T")


@dataclass(frozen=True)
class Tables:
    """Checked tables of all sources; those of optional sources are None when the source is absent.

    Attributes
    ----------
    contours
        The QPV of the file.
    communes
        The territory's, in its CRS (see `read_communes`).
    around
        The other communes of the same EPCI, where the territory is no EPCI itself and holds parts of some.
    overseas
        Communes of the parts of France that have a CRS of their own, by CRS; of the territory France only.
    rows
        Statistics of all sources: every zone of the files; of communes and IRIS, those of the territory.
    epci_members
        Communes of every EPCI.
    labels
        Indicators that the registry does not know: ``source``, ``code_producteur``, ``indicateur`` (their
        name in `statistics`), ``libelle`` (the producer's dictionary's, may be empty).
    checks
        What was controlled, and which sources are absent.
    qpv_2015
        QPV of 2015 of the whole file (see `read_qpv_2015`).
    correspondence
        Pairs of QPV 2024 and 2015 (see `read_correspondence`).
    declared_zones
        Communes and EPCI of each QPV, as tables beside the contours declare them (see
        `read_declared_zones`).
    iris
        IRIS of the main communes (see `read_iris`).
    facilities
        Facilities of the territory and around it.
    district_contours, fragile_contours
        Contours that the territory declares (see `read_local_contours`).
    defects
        What is wrong with the optional sources that are bad, by key: nothing of them is used.
    set_aside
        Features outside the territory that are not used, because something is wrong with them.
    """

    contours: Contours
    communes: gpd.GeoDataFrame
    rows: StatisticRows
    epci_members: pd.DataFrame | None
    labels: pd.DataFrame
    checks: tuple[Check, ...]
    qpv_2015: gpd.GeoDataFrame | None = None
    correspondence: pd.DataFrame | None = None
    declared_zones: pd.DataFrame | None = None
    iris: gpd.GeoDataFrame | None = None
    facilities: Facilities | None = None
    district_contours: gpd.GeoDataFrame | None = None
    fragile_contours: gpd.GeoDataFrame | None = None
    set_aside: tuple[SetAside, ...] = ()
    around: gpd.GeoDataFrame | None = None
    overseas: Mapping[int, gpd.GeoDataFrame] = field(default_factory=dict)
    defects: Mapping[str, str] = field(default_factory=dict)

    @property
    def statistics(self) -> pd.DataFrame:
        """All rows of statistics, columns of `Statistics.rows`."""
        return self.rows.frame

    @property
    def iris_geography(self) -> date | None:
        """Date of the geography of the IRIS; None if there are none, it is unknown, or there are several."""
        dates = set() if self.iris is None else set(self.iris["geographie"])
        return dates.pop() if len(dates) == 1 else None


def read_tables(
    raws: Mapping[str, RawFile | None],
    territory: Territory,
    catalogue: Catalogue,
    registry: Registry,
    settings: Settings,
    *,
    several: bool = False,
) -> Tables:
    """Read every source; the errors of those that are required are told together, other bad ones left out.

    Parameters
    ----------
    raws
        By key (see `plan.Wanted`); None (or nothing) for an optional source that is absent.
    territory
        The EPCI.
    catalogue
        Its used sources that the registry knows indicators of are read as statistics, in its order.
    registry
        Names the indicators.
    settings
        Limits of archives.
    several
        Whether the releases of many territories are made from these tables: then the statistics of every
        commune of the EPCI that have a QPV are read, rather than those of the communes that hold one, and no
        defect of a single feature is an error: `Tables.set_aside` is asked whose it is.

    Raises
    ------
    SourceUnavailableError
        If the contours, the communes or every table of statistics are absent.
    SourceContentError
        If the file of a required source, or one of the territory's own, is not what its format says.
    ContractError
        If a table of such a source breaks its contract.
    """
    for choices in ((CONTOURS,), COMMUNES):
        if not any(usable(raws.get(source_id)) for source_id in choices):
            named = " or ".join(choices)
            raise SourceUnavailableError(f"source {named} is absent, and there is no release without it")
    reading = _Reading(raws)
    outside = Outside(None if several else territory)
    communes_id = reading.first_of(COMMUNES)
    contours = reading.read(CONTOURS, lambda raw: read_contours(raw, territory, settings, outside))
    found = reading.read(communes_id, lambda raw: read_territory_communes(raw, territory, settings, outside))
    communes = None if found is None else found.of_territory
    members = reading.read(EPCI_MEMBERS, lambda raw: read_epci_members(raw, settings))
    scope = _scope(contours, found, members, territory, whole_epci=several)
    parts = _read_statistics(reading, scope, catalogue, registry, settings)
    qpv_2015 = reading.read_checked(
        reading.first_of(CONTOURS_2015), lambda raw: read_qpv_2015(raw, settings, territory.epsg, outside)
    )
    correspondence = reading.read_checked(CORRESPONDENCE, lambda raw: read_correspondence(raw, settings))
    declared_zones = _read_declared_zones(reading, settings)
    # What is overseas has files of its own.
    codes = () if communes is None else tuple(communes["insee_com"])
    iris = _read_iris(reading, territory, codes, settings, outside)
    facilities = None
    if communes is not None:
        facilities = reading.read_checked(FACILITIES, lambda raw: read_facilities(raw, communes, settings))
    districts, fragile = (_read_local(reading, key, territory, communes, settings) for key in _LOCAL)
    reading.raise_together()
    # What is required was read, or its error was raised.
    assert contours is not None  # noqa: S101
    assert found is not None  # noqa: S101
    statistics = _with_unique_names(
        pd.concat([part.rows for part in parts.values()], ignore_index=True), registry
    )
    checks = [*contours.checks, *report_communes(found.all, communes_id)]
    checks += [check for part in parts.values() for check in part.checks]
    checks += [*outside.checks(), *reading.checks, *_left_out(reading.defects, catalogue)]
    checks += _absent(raws, territory, catalogue)
    return Tables(
        contours,
        found.of_territory,
        StatisticRows(statistics, _national(reading, parts)),
        members,
        _labels(statistics, parts),
        tuple(checks),
        qpv_2015=qpv_2015,
        correspondence=correspondence,
        declared_zones=declared_zones,
        iris=iris,
        facilities=facilities,
        district_contours=districts,
        fragile_contours=fragile,
        set_aside=tuple(outside.set_aside),
        around=found.around,
        overseas=found.overseas,
        defects=reading.defects,
    )


class _Reading:
    """Reads sources one after the other, and keeps what they report and what is wrong with them.

    A required source, or a file of the territory itself, that is bad is an error; any other is left out.
    """

    def __init__(self, raws: Mapping[str, RawFile | None]) -> None:
        self.raws = {key: raw if usable(raw) else None for key, raw in raws.items()}
        self.checks: list[Check] = []
        self.defects = {key: raw.defect for key, raw in raws.items() if raw and raw.defect}
        self._errors: list[ContractError | SourceContentError] = []

    def read(self, key: str, reader: Callable[[RawFile], T]) -> T | None:
        """Return what a reader makes of a source; None if it is absent or bad."""
        raw = self.raws.get(key)
        return None if raw is None else self.attempt([key], lambda: reader(raw))

    def read_checked(self, key: str, reader: Callable[[RawFile], tuple[T, tuple[Check, ...]]]) -> T | None:
        """Do as `read` with a reader that returns its checks as well."""
        return self.keep_checks(self.read(key, reader))

    def keep_checks(self, found: tuple[T, tuple[Check, ...]] | None) -> T | None:
        """Keep the checks of what was read, and return the rest."""
        if found is None:
            return None
        self.checks += found[1]
        return found[0]

    def attempt(self, keys: Sequence[str], reader: Callable[[], T]) -> T | None:
        """Return what a reader gives, None if the raw files that it reads are bad."""
        try:
            return reader()
        except (ContractError, SourceContentError) as error:
            raws = [raw for key in keys if (raw := self.raws[key])]
            # Either choice of contours or communes is one that there is no release without.
            indispensable = any(key in {CONTOURS, *COMMUNES} for key in keys)
            if indispensable or any(raw.source.required or raw.provenance == "local" for raw in raws):
                self._errors.append(error)
            else:
                defect = str(error)
                for raw in raws:
                    # The sentence is published: it names the file, not where it lies on this machine.
                    defect = defect.replace(str(raw.path), raw.path.name)
                self.defects |= dict.fromkeys(keys, defect)
            return None

    def first_of(self, keys: Sequence[str]) -> str:
        """Return the first source that is there; the first of all if none is."""
        return next((key for key in keys if self.raws.get(key)), keys[0])

    def raise_together(self) -> None:
        """Raise the errors of several sources as one; a broken contract outweighs a bad file."""
        if not self._errors:
            return
        worst = next((error for error in self._errors if isinstance(error, ContractError)), self._errors[0])
        if len(self._errors) == 1:
            raise worst
        raise type(worst)("\n".join(map(str, self._errors))) from worst


def _scope(
    contours: Contours | None,
    found: TerritoryCommunes | None,
    members: pd.DataFrame | None,
    territory: Territory,
    *,
    whole_epci: bool,
) -> Scope:
    """Say which rows of national tables concern a territory; of France, the communes that hold a QPV."""
    official = OfficialCodes(frozenset() if members is None else frozenset(members["siren_epci"]))
    if found is None:
        return Scope(official=official)
    frames = contours.by_epsg.values() if contours else ()
    if territory.genre != "france":
        places = (zip(*(frame[name] for name in _DECLARED), strict=True) for frame in frames)
        qpv = {row[0] for rows in places for row in rows if _concerns(row, territory)}
        return Scope(frozenset(found.codes), frozenset(qpv), official)
    declared = {code for frame in frames for codes in frame["insee_com"] for code in codes_of(codes)}
    if whole_epci and members is not None:
        # A QPV overseas declares a commune and no EPCI.
        epci = {code for frame in frames for codes in frame["siren_epci"] for code in codes_of(codes)}
        epci |= set(members.loc[members["insee_com"].isin(declared), "siren_epci"])
        declared |= set(members.loc[members["siren_epci"].isin(epci), "insee_com"])
    return Scope(frozenset(declared), official=official)


_DECLARED = ("code_qp", "insee_com", "siren_epci")


def _concerns(row: tuple[str, str | None, str | None], territory: Territory) -> bool:
    """Tell whether a QPV declares that it is in a territory, or declares nothing."""
    return territory.is_declared(*row) or row[1:] == (None, None)


def _read_statistics(
    reading: _Reading, scope: Scope, catalogue: Catalogue, registry: Registry, settings: Settings
) -> dict[str, Statistics]:
    sources = [source.id for source in catalogue.used() if source.format == "table"]
    if not any(reading.raws.get(source_id) for source_id in sources):
        raise SourceUnavailableError(f"no statistics: give one of {', '.join(sources)}")
    parts = {}
    for source_id in sources:
        part = reading.read(source_id, lambda raw: read_statistics(raw, registry, settings, scope))
        if part is not None:
            parts[source_id] = part
    return parts


def _national(reading: _Reading, sources: Iterable[str]) -> dict[str, Origin]:
    """Return the files of statistics that cover the country, by source."""
    raws = {source_id: reading.raws[source_id] for source_id in sources}
    return {
        source_id: Origin(source_id, raw.path.name, raw.sha256, shipped=False)
        for source_id, raw in raws.items()
        if raw and raw.national
    }


def _read_iris(
    reading: _Reading,
    territory: Territory,
    codes: Collection[str],
    settings: Settings,
    outside: Outside,
) -> gpd.GeoDataFrame | None:
    """Read the IRIS of the communes whose file was had, or those of all main communes in one file."""
    keys = [key for key in reading.raws if source_id_of(key) == IRIS]
    raws = {key: raw for key in keys if (raw := reading.raws[key])}
    communes = {key.partition("-")[2] for key in raws}
    if country := reading.raws.get(IRIS_FRANCE):
        raws, communes = {IRIS_FRANCE: country}, set(territory.communes_principales or codes)
    if not raws:
        return None
    return reading.keep_checks(
        reading.attempt(list(raws), lambda: read_iris(raws, communes, settings, territory.epsg, outside))
    )


def _read_declared_zones(reading: _Reading, settings: Settings) -> pd.DataFrame | None:
    """Read what is declared of the QPV beside their contours, to compare producers."""
    frames = [reading.read_checked(key, lambda raw: read_declared_zones(raw, settings)) for key in _LISTS]
    if population := reading.raws.get(_POPULATION):
        # Read for its figures above: whether it is bad was told there.
        with suppress(ContractError, SourceContentError):
            frames.append(reading.keep_checks(read_declared_zones(population, settings)))
    found = [frame for frame in frames if frame is not None]
    return pd.concat(found, ignore_index=True) if found else None


def _read_local(
    reading: _Reading,
    key: str,
    territory: Territory,
    communes: gpd.GeoDataFrame | None,
    settings: Settings,
) -> gpd.GeoDataFrame | None:
    file = territory.files.get(key)
    if file is None:
        return None
    return reading.read_checked(
        key, lambda raw: read_local_contours(raw, file, territory, communes, settings)
    )


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
    for key, raw in raws.items():
        if raw is not None:
            continue
        source = catalogue[source_id_of(key)]
        reason = "source facultative qui n'a pu être lue, ses données manquent à cette version"
        if source.id in territory.sources_ignorees:
            reason = "source que la configuration du territoire ignore (sources_ignorees)"
        second = next((other for other in catalogue.used() if other.alternative_to == source.id), None)
        if second and raws.get(second.id):
            reason = f"source remplacée par son second choix, {second.id}"
        message = f"{source.title} : {reason}."
        yield Check("source_absente", key, "non_verifiable", "", "", message)


def _with_unique_names(statistics: pd.DataFrame, registry: Registry) -> pd.DataFrame:
    """Add the source to a name that two sources use for columns that the registry does not know."""
    known = {indicator.id for indicator in registry.indicators}
    pairs = statistics[["source", "indicateur"]].drop_duplicates()
    shared = set(pairs.loc[pairs["indicateur"].duplicated(), "indicateur"]) - known
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
