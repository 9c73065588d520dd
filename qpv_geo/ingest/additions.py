"""What an administrator adds to the declarations without a new version: a spelling, an address, a member.

Additions stand in the file that ``QPV_GEO_SOURCES`` names, and in the tables ``sources`` and ``indicators``
of a territory's file. They are validated like the catalogue and the registry, and noted in the completed
sources. That file may also declare the contact of all territories.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, model_validator

from qpv_geo.errors import ConfigurationError
from qpv_geo.frozen import Frozen, problems_of
from qpv_geo.ingest.registry import Indicator, Registry, load_registry
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import (
    Catalogue,
    DataGouvAddress,
    InseePageAddress,
    Pattern,
    PlainAddress,
    Source,
    Zone,
    load_catalogue,
)
from qpv_geo.territory import Contact, Territory
from qpv_geo.toml_file import read_toml

_Address = Annotated[DataGouvAddress | InseePageAddress | PlainAddress, Field(discriminator="kind")]
# The host that an address without one of its own asks first.
_HOSTS: Mapping[type, str] = {InseePageAddress: "www.insee.fr", DataGouvAddress: "www.data.gouv.fr"}


class SourceAddition(Frozen):
    """Additions to a source: `mirror` goes first, spellings last; the rest replaces what was declared."""

    address: _Address | None = None
    hosts: tuple[str, ...] = ()
    member: Pattern | None = None
    mirror: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    columns: dict[str, tuple[str, ...]] = Field(default={})

    @model_validator(mode="after")
    def _hosts_are_meant(self) -> Self:
        asked = _HOSTS.get(type(self.address), "")
        if isinstance(self.address, PlainAddress):
            asked = urlsplit(self.address.url).hostname or ""
        if self.address and asked not in self.hosts:
            raise ValueError(
                f"'address' asks {asked}: name it in 'hosts', with the hosts that it redirects to, if a "
                "download may go there"
            )
        return self


class IndicatorAddition(Frozen):
    """Spellings added to one indicator, after the registry's; a plain list is of its first kind of zone."""

    codes: tuple[str, ...] | dict[Zone, tuple[str, ...]] = Field(min_length=1)


class Additions(Frozen):
    """Everything that one place adds."""

    sources: dict[str, SourceAddition] = Field(default={})
    indicators: dict[str, IndicatorAddition] = Field(default={})
    contact: Contact | None = None


def administrator_contact(settings: Settings) -> Contact | None:
    """Return the contact that the administrator's file declares for territories that have none."""
    if settings.sources_file is None:
        return None
    return Additions.model_validate(read_toml(settings.sources_file)).contact


def declarations(settings: Settings, territory: Territory | None = None) -> tuple[Catalogue, Registry]:
    """Return the catalogue and the registry, with what the administrator and the territory add.

    Raises `ConfigurationError` for an addition that is not valid, naming its file and the key.
    """
    catalogue, registry = load_catalogue(), load_registry()
    places: dict[str, Mapping[str, Any]] = {}
    if settings.sources_file:
        places[str(settings.sources_file)] = read_toml(settings.sources_file)
    if territory and (territory.sources or territory.indicators):
        places[f"territory {territory.id!r}"] = territory.model_dump(include={"sources", "indicators"})
    for place, entries in places.items():
        try:
            additions = Additions.model_validate(entries)
            catalogue, registry = _complete(catalogue, registry, additions, Path(place).name)
        except (ConfigurationError, ValidationError) as error:
            problems = problems_of(error, Additions) if isinstance(error, ValidationError) else error
            raise ConfigurationError(f"{place}: {problems}") from error
    return catalogue, registry


def _complete(
    catalogue: Catalogue, registry: Registry, additions: Additions, place: str
) -> tuple[Catalogue, Registry]:
    notes: dict[str, list[str]] = {}
    sources = {source.id: source for source in catalogue.sources}
    for source_id, addition in additions.sources.items():
        sources[source_id] = _with(catalogue[source_id], addition)
        notes.setdefault(source_id, []).extend(sorted(addition.model_fields_set))
    indicators = dict(registry.by_id)
    for name, spelled in additions.indicators.items():
        if name not in indicators:
            raise ConfigurationError(f"'indicators.{name}': the registry has no such indicator")
        codes = spelled.codes
        if not isinstance(codes, dict):
            codes = {indicators[name].zones[0]: codes}
        declared = indicators[name].codes
        added = {zone: _after(declared.get(zone, ()), spellings) for zone, spellings in codes.items()}
        indicators[name] = Indicator(**(indicators[name].model_dump() | {"codes": declared | added}))
        for zone, spellings in codes.items():
            source_id = indicators[name].source_of(zone)
            notes.setdefault(source_id, []).append(f"{name} = {', '.join(spellings)}")
    for source_id, changes in notes.items():
        words = f"Déclaration complétée par l'administrateur ({place}) : {' ; '.join(changes)}."
        note = f"{sources[source_id].note} {words}".strip()
        sources[source_id] = sources[source_id].model_copy(update={"note": note})
    return Catalogue(sources=tuple(sources.values())), Registry(indicators=tuple(indicators.values()))


def _with(source: Source, added: SourceAddition) -> Source:
    if strangers := sorted(added.columns.keys() - source.columns.keys()):
        listed = ", ".join(source.columns) or "none"
        raise ConfigurationError(
            f"'sources.{source.id}.columns' names {', '.join(strangers)}; the catalogue declares: {listed}"
        )
    entry = {name: getattr(source, name) for name in Source.model_fields}
    entry |= {
        "mirror": (*added.mirror, *source.mirror),
        "key": _after(source.key, added.key),
        "columns": {
            name: _after(spellings, added.columns.get(name, ())) for name, spellings in source.columns.items()
        },
    }
    replaced = {"address": added.address, "hosts": added.hosts, "member": added.member}
    return Source(**(entry | {name: value for name, value in replaced.items() if value}))


def _after(declared: tuple[str, ...], added: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*declared, *added]))
