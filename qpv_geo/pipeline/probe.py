"""Does each source still answer as the catalogue declares it? For ``qpv-geo sources check``."""

import csv
import json
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

from qpv_geo.errors import ContractError, SourceContentError, SourceUnavailableError
from qpv_geo.ingest.apl import read_apl
from qpv_geo.ingest.contracts import Problems, find_columns, refuse_doubled
from qpv_geo.ingest.registry import Registry
from qpv_geo.ingest.statistics import differences_from_declaration
from qpv_geo.ingest.vector import read_layer
from qpv_geo.settings import Settings
from qpv_geo.sources.archive import open_member, read_member
from qpv_geo.sources.catalogue import Source
from qpv_geo.sources.fetch import Policy, fetch_primary
from qpv_geo.sources.raw import RawFile
from qpv_geo.territory import Territory

# What GDAL warns about is caught for a whole process.
_ALONE = Lock()


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


def probe(
    source: Source, territory: Territory, settings: Settings, policy: Policy, registry: Registry
) -> Probe:
    """Download a source apart from the store, and compare it with its declaration."""
    # One commune tells as much as all of them about an address by commune.
    narrowed = territory.model_copy(update={"communes_principales": territory.communes_principales[:1]})
    found = Probe(source.id, reachable=True, differences=())
    with TemporaryDirectory() as folder:
        apart = replace(settings, data_dir=Path(folder))
        try:
            raw = fetch_primary(source, narrowed, apart, policy)
            found = replace(found, resolved_url=raw.resolved_url, last_modified=raw.last_modified)
            return replace(found, differences=tuple(_differences(raw, registry, apart)))
        except SourceUnavailableError as error:
            return replace(found, reachable=False, differences=(str(error),))
        except (ContractError, SourceContentError) as error:
            return replace(found, differences=(str(error),))


def _differences(raw: RawFile, registry: Registry, settings: Settings) -> list[str]:
    """Read a table of statistics, and the columns of another file; raise or say what is not as declared."""
    source = raw.source
    if "apl" in source.fills:
        read_apl(raw, settings)
    elif source.format == "table":
        return differences_from_declaration(raw, registry, settings)
    else:
        columns, problems = _columns(raw, settings), Problems(raw.label, source)
        refuse_doubled(columns, problems)
        named = set(source.key).intersection(source.columns)
        key = {"key": source.key} if source.key and not named else {}
        find_columns(columns, dict(source.columns) | key, problems)
        problems.raise_if_any()
    return []


def _columns(raw: RawFile, settings: Settings) -> list[str]:
    """Return the names of the columns in the order of the file."""
    pattern = raw.source.member
    if raw.source.format == "csv":
        with open_member(raw, pattern, settings) as (_, stream):
            return _csv_header(raw, stream.readline())
    if raw.source.format == "json":
        try:
            # Rows may leave out the keys for which they have no value.
            rows = json.loads(read_member(raw, pattern, settings).data)
            return list(dict.fromkeys(key for row in rows for key in row))
        except (ValueError, TypeError, RecursionError) as error:
            raise SourceContentError(f"{raw.label}: expected a list of objects in JSON ({error})") from error
    with _ALONE:
        return [str(column) for column in read_layer(raw, settings).frame.columns]


def _csv_header(raw: RawFile, line: bytes) -> list[str]:
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = line.decode("cp1252", errors="replace")
    try:
        return [name.strip() for name in next(csv.reader([text], delimiter=";"), [])]
    except csv.Error as error:
        raise SourceContentError(
            f"{raw.label}: its first line is not a header of columns ({error})"
        ) from error
