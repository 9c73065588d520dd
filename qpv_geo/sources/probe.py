"""Does each source still answer as the catalogue declares it? For ``qpv-geo sources check``."""

import csv
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import pyogrio

from qpv_geo.errors import SourceContentError, SourceUnavailableError
from qpv_geo.settings import Settings
from qpv_geo.sources.archive import Member, open_member, read_member, read_members
from qpv_geo.sources.catalogue import Source
from qpv_geo.sources.fetch import Policy, fetch_primary
from qpv_geo.sources.raw import RawFile, catalogue_entry, unreadable
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


def columns_of(raw: RawFile, settings: Settings) -> list[str]:
    """Return the names of the columns (of the properties, for GeoJSON) in the order of the file."""
    pattern = raw.source.member
    if raw.source.format == "csv":
        with open_member(raw, pattern, settings) as (_, stream):
            return _csv_header(raw, stream.readline())
    member = read_member(raw, pattern, settings)
    if raw.source.format in {"geojson", "json"}:
        return _json_keys(raw, member)
    return _vector_fields(raw, member, settings)


def _csv_header(raw: RawFile, line: bytes) -> list[str]:
    """Return the names in the first line."""
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


def _json_keys(raw: RawFile, member: Member) -> list[str]:
    try:
        content = json.loads(member.data)
        if raw.source.format == "geojson":
            rows = [feature["properties"] for feature in content["features"]]
        else:
            rows = content
        # Rows may leave out the keys for which they have no value.
        return list(dict.fromkeys(key for row in rows for key in row))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SourceContentError(
            f"{raw.label}: {member.name} is not the declared {raw.source.format} "
            f"({type(error).__name__}: {error})"
        ) from error


def _vector_fields(raw: RawFile, member: Member, settings: Settings) -> list[str]:
    """Return a Shapefile's or a GeoPackage's fields; GDAL wants a Shapefile's siblings beside it."""
    name = PurePosixPath(member.name)
    siblings = re.escape(str(name.with_suffix(""))) + r"\.\w+"
    with TemporaryDirectory() as folder:
        for sibling in read_members(raw, siblings, settings):
            Path(folder, PurePosixPath(sibling.name).name).write_bytes(sibling.data)
        try:
            return [str(field) for field in pyogrio.read_info(Path(folder, name.name))["fields"]]
        except pyogrio.errors.DataSourceError as error:
            raise unreadable(raw, f"{raw.label}: {member.name} cannot be read: {error}") from error
