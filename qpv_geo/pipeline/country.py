"""The whole country: what territories are described from, and national files read once for many of them."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from qpv_geo.analysis.selection import declares, refuse_misplaced
from qpv_geo.errors import SourceUnavailableError
from qpv_geo.formats.provenance import Raws
from qpv_geo.ingest.additions import declarations
from qpv_geo.ingest.cog import read_epci_members
from qpv_geo.ingest.communes import choose_communes, read_communes
from qpv_geo.ingest.contours import read_contours
from qpv_geo.ingest.outside import Outside, may_hold
from qpv_geo.ingest.tables import Tables, read_tables
from qpv_geo.pipeline.job import Job
from qpv_geo.settings import Settings
from qpv_geo.sources.fetch import Policy, accept, fetch
from qpv_geo.territory import Territory, codes_of, load_territory
from qpv_geo.zones import department_of

_SOURCES = ("qpv_2024", "communes_france", "cog_epci")


@dataclass(frozen=True)
class Country:
    """The official files that describe territories, without contours.

    `communes` are those of France that have a contour, `members` the communes of each EPCI.
    """

    communes: pd.DataFrame
    members: pd.DataFrame
    qpv: pd.DataFrame

    @cached_property
    def _rows_by_code(self) -> dict[str, list[int]]:
        """Rows of `qpv` by the codes of EPCI, communes and departments that they declare."""
        rows: dict[str, list[int]] = {}
        columns = (self.qpv[name] for name in ("code_qp", "insee_com", "siren_epci"))
        for row, (qp, communes, epci) in enumerate(zip(*columns, strict=True)):
            for code in (department_of(qp), *codes_of(communes), *codes_of(epci)):
                rows.setdefault(code, []).append(row)
        return rows

    @cached_property
    def epci_of(self) -> dict[str, str]:
        """The SIREN of the EPCI of each commune."""
        return dict(zip(self.members["insee_com"], self.members["siren_epci"], strict=True))

    @cached_property
    def epci_names(self) -> dict[str, str]:
        """The name of each EPCI by its SIREN."""
        return dict(zip(self.members["siren_epci"], self.members["nom_epci"], strict=True))

    @cached_property
    def _places(self) -> dict[tuple[str, str], dict[Any, Any]]:
        """Rows of `communes` and `members` by the codes in a column, as far as they were asked for."""
        return {}

    def _with_any(
        self, table: Literal["communes", "members"], column: str, codes: Iterable[str]
    ) -> pd.DataFrame:
        rows: pd.DataFrame = getattr(self, table)
        if (table, column) not in self._places:
            self._places[table, column] = rows.groupby(column, sort=False).indices
        places = self._places[table, column]
        found = [places[code] for code in codes if code in places]
        return rows.iloc[np.sort(np.concatenate(found)) if found else []]

    def members_of(self, siren: str) -> pd.DataFrame:
        """Return the communes of an EPCI, rows of `members`."""
        return self._with_any("members", "siren_epci", [siren])

    def communes_with(self, column: str, codes: Iterable[str]) -> pd.DataFrame:
        """Return the rows of `communes` that hold one of some codes in a column."""
        return self._with_any("communes", column, codes)

    def qpv_near(self, territory: Territory) -> pd.DataFrame:
        """Return the QPV that declare one of the codes of a territory."""
        codes = {territory.code, *territory.communes}
        return self.qpv.iloc[sorted({row for code in codes for row in self._rows_by_code.get(code, [])})]

    def qpv_in_department(self, code: str | None) -> int:
        """Return the number of QPV of a department."""
        return len(self._rows_by_code.get(code or "", []))


def _country(frames: Iterable[pd.DataFrame], members: pd.DataFrame, qpv: pd.DataFrame) -> Country:
    bare = [frame.drop(columns="geometry", errors="ignore") for frame in frames]
    return Country(pd.concat(bare, ignore_index=True), members, qpv)


def read_country(settings: Settings, policy: Policy) -> Country:
    """Get and read the official files that territories are made from.

    Raises `SourceUnavailableError` if one of them can be had from nowhere, and `SourceContentError` or
    `ContractError` if one is not what it should be.
    """
    catalogue, _ = declarations(settings)
    france = load_territory("france")
    raws = {name: fetch(catalogue[name], france, settings, policy) for name in _SOURCES}
    if missing := [name for name, raw in raws.items() if raw is None]:
        raise SourceUnavailableError(
            f"source {', '.join(missing)} could not be had, and no territory is described without it: run "
            "again when the site answers, or give --mirror"
        )
    contours, communes, members = [raw for raw in raws.values() if raw]
    # Nothing is drawn here: the territory that has a defective contour is described, and then not published.
    named = Outside(None)
    drawn = read_communes(communes, settings, outside=named).values()
    country = _country(
        [*drawn, *(aside.features for aside in named.set_aside)],
        read_epci_members(members, settings),
        read_contours(contours, None, settings, Outside(None)).attributes,
    )
    accept((contours, communes, members), settings)
    return country


def read_national(job: Job, raws: Raws) -> Tables:
    """Read the national files into the tables of the territory France."""
    france = load_territory("france")
    return read_tables(raws, france, job.catalogue, job.registry, job.settings, several=True)


def country_of(national: Tables) -> Country:
    """Return what the national files hold; raises if the composition of the EPCI was not read."""
    if national.epci_members is None:
        raise SourceUnavailableError("source cog_epci is absent, and it alone says which EPCI there are")
    named = [aside.features for aside in national.set_aside if "communes" in aside.source.fills]
    communes = [national.communes, *national.overseas.values(), *named]
    return _country(communes, national.epci_members, national.contours.attributes)


def tables_of(territory: Territory, national: Tables) -> Tables:
    """Return the tables of an EPCI: what is drawn in Lambert-93 is of metropolitan France only.

    Raises `ContractError` if something is wrong with a feature that may be the territory's, or if a QPV that
    declares it lies elsewhere; the other territories have their releases all the same.
    """
    for aside in national.set_aside:
        aside.refuse(may_hold(territory, aside.features))
    metropolitan = territory.epsg == load_territory("france").epsg
    communes = national.communes if metropolitan else national.overseas[territory.epsg]
    found = choose_communes(communes, territory)
    if (qpv := national.contours.by_epsg.get(territory.epsg)) is not None:
        refuse_misplaced(qpv[declares(qpv, territory)], communes)
    tables = replace(national, communes=found.of_territory, around=None, overseas={})
    if not metropolitan:
        return tables.without_metropole()
    if national.iris is None:
        return tables
    iris = national.iris[national.iris["insee_com"].isin(found.codes)]
    return replace(tables, iris=iris.reset_index(drop=True) if len(iris) else None)
