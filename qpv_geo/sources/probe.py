"""Does each source still answer as the catalogue declares it? For ``qpv-geo sources check``."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from qpv_geo.errors import SourceContentError, SourceUnavailableError
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import Source
from qpv_geo.sources.columns import columns_of
from qpv_geo.sources.fetch import Policy, fetch_primary
from qpv_geo.sources.raw import RawFile, catalogue_entry
from qpv_geo.territory import Territory


@dataclass(frozen=True)
class Probe:
    """What a source's official address gave: what is not as declared, nothing if all is well.

    `resolved_url` and `last_modified` are the address of the file after look-up and redirects, and the
    server's date; None if what is there is not the file.
    """

    source_id: str
    reachable: bool
    differences: tuple[str, ...]
    resolved_url: str | None = None
    last_modified: datetime | None = None


Inspect = Callable[[RawFile, Settings], list[str]]
"""Says what is not as declared in a table of statistics: which tables it holds is told by reading it."""


def probe(
    source: Source, territory: Territory, settings: Settings, policy: Policy, inspect: Inspect
) -> Probe:
    """Download a source apart from the store, and compare it with its declaration."""
    # One commune tells as much as all of them about an address by commune.
    narrowed = territory.model_copy(update={"communes_principales": territory.communes_principales[:1]})
    with TemporaryDirectory() as folder:
        apart = replace(settings, data_dir=Path(folder))
        try:
            raw = fetch_primary(source, narrowed, apart, policy)
            differences = (inspect if source.format == "table" else _differences)(raw, apart)
        except SourceUnavailableError as error:
            return Probe(source.id, reachable=False, differences=(str(error),))
        except SourceContentError as error:
            return Probe(source.id, reachable=True, differences=(str(error),))
        return Probe(
            source.id,
            reachable=True,
            differences=tuple(differences),
            resolved_url=raw.resolved_url,
            last_modified=raw.last_modified,
        )


def _differences(raw: RawFile, settings: Settings) -> list[str]:
    source = raw.source
    found = columns_of(raw, settings)
    # Tables are read whatever the case of their columns; the properties of GeoJSON are not.
    same = str.upper if source.format == "csv" else str
    spelled = set(map(same, found))
    expected = dict(source.columns)
    if source.key and not set(source.key) & set(source.columns):
        expected["key"] = source.key
    missing = [
        f"no column {name!r}"
        if spellings == (name,)
        else f"no column {name!r} (accepted: {', '.join(spellings)})"
        for name, spellings in expected.items()
        if not spelled.intersection(map(same, spellings))
    ]
    twice = sorted({f"column {name!r} is there more than once" for name in found if found.count(name) > 1})
    if missing:
        missing.append(f"columns found: {', '.join(found)}; correct 'columns' in {catalogue_entry(source)}")
    return missing + twice
