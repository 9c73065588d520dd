"""All raw files of a run to the checked tables that the analysis joins."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

import geopandas as gpd
import numpy as np
import pandas as pd

from qpv_geo.checks import Check
from qpv_geo.errors import ContractError, SourceContentError, SourceUnavailableError
from qpv_geo.ingest.cog import read_epci_members
from qpv_geo.ingest.communes import read_communes, report_communes
from qpv_geo.ingest.contours import Contours, read_contours
from qpv_geo.ingest.contracts import Problems, shown
from qpv_geo.ingest.registry import Registry
from qpv_geo.ingest.statistics import Statistics, read_statistics
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import Catalogue
from qpv_geo.sources.raw import RawFile
from qpv_geo.territory import Territory

CONTOURS = "qpv_2024"
COMMUNES = "communes_epci"
EPCI_MEMBERS = "cog_epci"


@dataclass(frozen=True)
class Facilities:
    """Facilities of the BPE: `points` (``type_equipement``, ``insee_com``, ``x``, ``y``) and `types`."""

    points: pd.DataFrame
    types: pd.DataFrame
    vintage: str


@dataclass(frozen=True)
class Tables:
    """Checked tables of all sources.

    Attributes
    ----------
    contours
        The QPV of the file.
    communes
        The territory's, in its CRS (see `read_communes`).
    statistics
        Rows of all sources, columns of `Statistics.rows`, every zone of the files.
    epci_members
        Communes of every EPCI; None when the source is absent.
    labels
        Indicators that the registry does not know: ``source``, ``code_producteur``, ``indicateur`` (their
        name in `statistics`), ``libelle`` (the producer's dictionary's, may be empty).
    checks
        What was controlled.
    qpv_2015, correspondence
        QPV 2015 of the whole file in the territory's CRS (``code_qp``, ``nom_qp``, ``commune_qp``), and the
        official table of their successors (``code_qp_2024``, ``code_qp_2015``).
    iris, iris_geography
        IRIS contours (``code_iris``, ``nom_iris``, ``type_iris``, ``insee_com``, ``nom_com``) in the same
        CRS, and the date of their geography.
    facilities
        Points of the BPE and the types to count.
    fragile_contours, district_contours
        Contour files of the metropolis (``nom``), in the territory's CRS.
    """

    contours: Contours
    communes: gpd.GeoDataFrame
    statistics: pd.DataFrame
    epci_members: pd.DataFrame | None
    labels: pd.DataFrame
    checks: tuple[Check, ...]
    qpv_2015: gpd.GeoDataFrame | None = None
    correspondence: pd.DataFrame | None = None
    iris: gpd.GeoDataFrame | None = None
    iris_geography: date | None = None
    facilities: Facilities | None = None
    fragile_contours: gpd.GeoDataFrame | None = None
    district_contours: gpd.GeoDataFrame | None = None


def read_tables(
    raws: Mapping[str, RawFile | None],
    territory: Territory,
    catalogue: Catalogue,
    registry: Registry,
    settings: Settings,
) -> Tables:
    """Read every source; the errors of all of them are told together.

    Parameters
    ----------
    raws
        By source id; None (or nothing) for an optional source that is absent.
    territory
        The EPCI.
    catalogue
        Its used sources that the registry knows indicators of are read as statistics, in its order.
    registry
        Names the indicators.
    settings
        Limits of archives.

    Raises
    ------
    SourceUnavailableError
        If the contours, the communes or every table of statistics are absent.
    SourceContentError
        If a file is not what its format says.
    ContractError
        If a table breaks its contract.
    """
    sources = [source for source in catalogue.used() if registry.of_source(source.id)]
    contours_raw, communes_raw = _present(raws, CONTOURS), _present(raws, COMMUNES)
    cog = raws.get(EPCI_MEMBERS)
    members = None
    parts: dict[str, Statistics] = {}
    errors: list[ContractError | SourceContentError] = []
    with _collecting(errors):
        contours = read_contours(contours_raw, territory, settings)
    with _collecting(errors):
        communes = read_communes(communes_raw, settings, territory.epsg)
        _check_membership(communes, communes_raw, territory)
    if cog:
        with _collecting(errors):
            members = read_epci_members(cog, settings)
    for source in sources:
        if raw := raws.get(source.id):
            with _collecting(errors):
                parts[source.id] = read_statistics(raw, registry, settings)
    _raise_together(errors)
    if not parts:
        raise SourceUnavailableError(f"no statistics: give one of {', '.join(s.id for s in sources)}")
    rows = pd.concat([part.rows for part in parts.values()], ignore_index=True)
    statistics = _with_unique_names(rows, registry)
    checks = [*contours.checks, *report_communes(communes, COMMUNES)]
    checks += [check for part in parts.values() for check in part.checks]
    return Tables(
        contours,
        communes,
        statistics,
        members,
        _labels(statistics, parts),
        tuple(checks),
    )


def _present(raws: Mapping[str, RawFile | None], source_id: str) -> RawFile:
    raw = raws.get(source_id)
    if raw is None:
        raise SourceUnavailableError(f"source {source_id} is absent, and there is no release without it")
    return raw


@contextmanager
def _collecting(errors: list[ContractError | SourceContentError]) -> Iterator[None]:
    try:
        yield
    except (ContractError, SourceContentError) as error:
        errors.append(error)


def _raise_together(errors: list[ContractError | SourceContentError]) -> None:
    """Raise the errors of several sources as one; a broken contract outweighs a bad file."""
    if not errors:
        return
    worst = next((error for error in errors if isinstance(error, ContractError)), errors[0])
    if len(errors) == 1:
        raise worst
    raise type(worst)("\n".join(map(str, errors))) from worst


def _check_membership(communes: gpd.GeoDataFrame, raw: RawFile, territory: Territory) -> None:
    """Raise for communes of another EPCI than the one that was asked for."""
    problems = Problems(raw.label, raw.source)
    strangers = communes[communes["siren_epci"] != territory.epci]
    problems.add_rows(
        f"{territory.epci} ({territory.nom}) for each commune",
        strangers["insee_com"] + " " + strangers["nom_com"],
        map(shown, strangers["siren_epci"]),
        column="codeEpci",
    )
    if communes.empty:
        problems.add(f"communes in EPSG:{territory.epsg}", "none")
    problems.raise_if_any()


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
