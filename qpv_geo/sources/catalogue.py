"""The catalogue: every official source, declared as data and read into frozen, validated models."""

import re
from collections.abc import Iterator
from datetime import date
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from qpv_geo.errors import ConfigurationError
from qpv_geo.frozen import Frozen
from qpv_geo.statuses import ABSENCES, NOT_AVAILABLE
from qpv_geo.toml_file import read_declarations

_CATALOGUE = Path(__file__).with_name("catalogue.toml")

# `table` is CSV files or XLSX workbooks, recognised by what they hold.
Format = Literal["geojson", "gpkg", "shp", "csv", "table", "json"]
# The tables of a run that sources are read into (`ingest.tables.Tables`).
TableName = Literal[
    "contours",
    "communes",
    "epci_members",
    "statistics",
    "qpv_2015",
    "correspondence",
    "declared_zones",
    "iris",
    "facilities",
    "finess",
    "apl",
    "base_map",
    "district_contours",
    "fragile_contours",
]
Zone = Literal[
    "qpv",
    "commune",
    "epci",
    "departement",
    "region",
    "france",
    "iris",
    # The QPV of an EPCI, of a department, of a region or of metropolitan France, taken together by INSEE.
    "ensemble_qpv_epci",
    "ensemble_qpv_departement",
    "ensemble_qpv_region",
    "ensemble_qpv",
]


def _compiles(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return value


Pattern = Annotated[str, AfterValidator(_compiles)]
Box = tuple[float, float, float, float]


class DataGouvAddress(Frozen):
    """A resource of a data.gouv.fr dataset: by its id, behind a redirect, or by a pattern on titles."""

    kind: Literal["data_gouv"]
    dataset: str
    resource: str | None = None
    pattern: Pattern | None = None

    @model_validator(mode="after")
    def _one_way_to_find_it(self) -> Self:
        if (self.resource is None) == (self.pattern is None):
            raise ValueError("give either 'resource' or 'pattern'")
        return self


class InseePageAddress(Frozen):
    """A file linked from a page of insee.fr: the page's links are the truth, the pattern says which one."""

    kind: Literal["insee_page"]
    page: str = Field(pattern=r"^\d{7}$")
    pattern: Pattern


class PlainAddress(Frozen):
    """An address without look-up; ``{epci}``, ``{departement}`` and ``{commune}`` are the territory's."""

    kind: Literal["plain"]
    url: str


class WfsAddress(Frozen):
    """Features of a WFS 2.0 around the QPV of a territory, whose number is known once the contours are read.

    It is asked for the features of each of some `types` within `metres` of the QPV, `page` at a time, sorted
    by `key`, with a pause of some seconds after each request. Never for a territory whose QPV have more than
    `square_kilometres` around them. A copy that is younger than `days` is not asked for again. The newest
    `dated` of the features is the date of the file.
    """

    kind: Literal["wfs"]
    url: str
    types: tuple[str, ...]
    key: str
    dated: str
    metres: float = Field(gt=0)
    square_kilometres: float = Field(gt=0)
    page: int = Field(gt=0)
    pause: float = Field(ge=0)
    days: int = Field(ge=0)
    boxes: tuple[Box, ...] = ()
    """What to ask for, filled in by each run: west, south, east, north in metres of the territory's CRS."""


class TerritoryFileAddress(Frozen):
    """A file of the territory itself: `key` is the entry of its configuration that declares it."""

    kind: Literal["territory_file"]
    key: Literal["quartiers_fichier", "quartiers_fragiles_fichier"]


class NoAddress(Frozen):
    """No official address is known: the file comes from a mirror, the store or the snapshot."""

    kind: Literal["none"]


Address = Annotated[
    DataGouvAddress | InseePageAddress | PlainAddress | WfsAddress | TerritoryFileAddress | NoAddress,
    Field(discriminator="kind"),
]


class Source(Frozen):
    """One official file."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]+$")
    """Lower snake case, never renamed."""
    theme: str
    """French theme under which the report lists it."""
    title: str
    publisher: str
    page: str
    address: Address
    hosts: tuple[str, ...] = ()
    """How its official address is found, and the hosts that its download may touch, redirects included."""
    mirror: tuple[str, ...] = ()
    """Paths in a mirror or in the shipped snapshot; the first that exists is read."""
    format: Format
    zone: Zone = "qpv"
    """Kind of zone that a table of statistics is about."""
    member: Pattern | None = None
    """Regular expression for the data file inside the archive (full match on the path). Tables of statistics
    need none."""
    forms: dict[Format, Pattern] = Field(default={})
    """Further formats in which the same edition is published, and the data file in the archive of each; a
    mirror may hold any."""
    vintage: str
    """``millesime`` of the values, as INSEE writes it."""
    geography: date | None = None
    """Date of the geography the codes belong to."""
    published: date
    """Date of the edition described here; stands in for a date that the server does not give."""
    licence: str = "Licence Ouverte 2.0 (Etalab)"
    licence_url: str = "https://www.etalab.gouv.fr/licence-ouverte-open-licence"
    key: tuple[str, ...] = ()
    columns: dict[str, tuple[str, ...]] = Field(default={})
    """Key column and expected columns; for each, the accepted spellings. Of tables of statistics, spellings
    of the key beyond those that every table may have, and of columns that describe zones."""
    keep_unknown: bool = True
    """Whether columns that the registry does not know are kept under their own code."""
    counts: dict[str, int] = Field(default={})
    """Expected number of rows of the national file, by scope (``metropole``)."""
    max_bytes: int = Field(default=200 * 1024**2, gt=0)
    alternative_to: str | None = None
    """Id of the source of which this is the second choice: it is asked for only if that one cannot be had."""
    edition_of: str | None = None
    """Id of the source of which this is another edition, with the same indicators."""
    comparable_after: int = Field(default=2, ge=0)
    """Years that lie between two of its vintages whose values may be compared: INSEE advises against
    consecutive ones."""
    comparable_from: str = ""
    """First vintage of a series that may not be compared with those before; empty if there is none."""
    blank: str = NOT_AVAILABLE
    """Status of an empty cell in its tables."""
    required: bool = False
    fills: tuple[TableName, ...] = ()
    """Tables that it is read into; none for a source that a refresh does not read."""
    seen: date | None = None
    seen_as: str = ""
    """When a genuine file of it was seen, and which; None and empty if it was declared from documentation."""
    note: str = ""

    @model_validator(mode="before")
    @classmethod
    def _usual_table(cls, entry: dict[str, Any]) -> dict[str, Any]:
        return {"fills": ("statistics",)} | entry if entry.get("format") == "table" else entry

    @model_validator(mode="after")
    def _downloads_are_bounded(self) -> Self:
        if not self.hosts and not isinstance(self.address, TerritoryFileAddress | NoAddress):
            raise ValueError("'hosts' says which hosts a download may touch: give at least one")
        if self.hosts and isinstance(self.address, NoAddress):
            raise ValueError("'hosts' of a source without address")
        if (self.seen is None) != (not self.seen_as):
            raise ValueError(
                "'seen' says when a genuine file was seen, 'seen_as' which: give both, or neither"
            )
        if self.blank not in ABSENCES:
            raise ValueError(f"'blank' is one of {', '.join(ABSENCES)}")
        if self.required and self.alternative_to:
            raise ValueError("a second choice cannot be 'required'")
        return self

    @property
    def used(self) -> bool:
        """Whether a refresh reads it."""
        return bool(self.fills)

    @property
    def is_around(self) -> bool:
        """Whether it is asked for around the QPV, once their contours are there."""
        return isinstance(self.address, WfsAddress)

    @property
    def family(self) -> str:
        """Id of the source whose indicators it holds: its own, or that of which it is an edition."""
        return self.edition_of or self.id

    @property
    def territory_key(self) -> str | None:
        """The entry of a territory's configuration that names this file; None for a producer's."""
        return self.address.key if isinstance(self.address, TerritoryFileAddress) else None

    @property
    def attribution(self) -> str:
        """The mention that the licence asks for, without the date of last update."""
        return f"{self.publisher}, {self.title}"


class Catalogue(Frozen):
    """All sources, by id, in the order of the file."""

    sources: tuple[Source, ...]

    @field_validator("sources")
    @classmethod
    def _ids_are_unique(cls, value: tuple[Source, ...]) -> tuple[Source, ...]:
        ids = [source.id for source in value]
        if twice := sorted({i for i in ids if ids.count(i) > 1}):
            raise ValueError(f"source declared twice: {', '.join(twice)}")
        for field in ("alternative_to", "edition_of"):
            if lost := [source.id for source in value if getattr(source, field) not in {None, *ids}]:
                raise ValueError(f"{field!r} names no source: {', '.join(lost)}")
        return value

    def __getitem__(self, source_id: str) -> Source:
        """Return a source by its id."""
        for source in self.sources:
            if source.id == source_id:
                return source
        known = ", ".join(source.id for source in self.sources)
        raise ConfigurationError(f"unknown source {source_id!r}; the catalogue declares: {known}")

    def used(self) -> Iterator[Source]:
        """Yield the sources that a refresh reads."""
        return (source for source in self.sources if source.used)

    def filling(self, table: TableName) -> tuple[Source, ...]:
        """Return the sources that are read into a table, first choices before second ones."""
        return tuple(source for source in self.sources if table in source.fills)


@cache
def load_catalogue(path: Path = _CATALOGUE) -> Catalogue:
    """Read and validate a catalogue; a `ConfigurationError` names the entry and the field at fault."""
    with read_declarations(path, "the catalogue of sources is not valid") as entries:
        return Catalogue(sources=tuple(Source(id=key, **entry) for key, entry in entries.items()))
