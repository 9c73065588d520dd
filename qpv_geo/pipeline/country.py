"""The communes, EPCI and QPV of the whole country: what descriptions of territories are made from."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from qpv_geo.errors import SourceUnavailableError
from qpv_geo.ingest.additions import declarations
from qpv_geo.ingest.cog import read_epci_members
from qpv_geo.ingest.communes import read_communes
from qpv_geo.ingest.contours import read_contours
from qpv_geo.ingest.outside import Outside
from qpv_geo.settings import Settings
from qpv_geo.sources.fetch import Policy, accept, fetch
from qpv_geo.sources.raw import RawFile
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


def attributes_of(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of several frames as one table without contours."""
    bare = [frame.drop(columns="geometry", errors="ignore") for frame in frames]
    together: pd.DataFrame = pd.concat(bare, ignore_index=True)
    return together


def read_country(settings: Settings, policy: Policy) -> Country:
    """Get and read the official files that territories are made from.

    Raises `SourceUnavailableError` if one of them can be had from nowhere, and `SourceContentError` or
    `ContractError` if one is not what it should be.
    """
    contours, communes, members = _fetch_all(load_territory("france"), settings, policy)
    # Nothing is drawn here: the territory that has a defective contour is described, and then not published.
    named = Outside(None)
    drawn = read_communes(communes, settings, outside=named).values()
    country = Country(
        communes=attributes_of([*drawn, *(aside.features for aside in named.set_aside)]),
        members=read_epci_members(members, settings),
        qpv=read_contours(contours, None, settings, Outside(None)).attributes,
    )
    accept((contours, communes, members), settings)
    return country


def _fetch_all(france: Territory, settings: Settings, policy: Policy) -> list[RawFile]:
    catalogue, _ = declarations(settings)
    raws = {name: fetch(catalogue[name], france, settings, policy) for name in _SOURCES}
    if missing := [name for name, raw in raws.items() if raw is None]:
        raise SourceUnavailableError(
            f"source {', '.join(missing)} could not be had, and no territory is described without it: run "
            "again when the site answers, or give --mirror"
        )
    return [raw for raw in raws.values() if raw]
