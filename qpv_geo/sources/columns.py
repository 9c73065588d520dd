"""The columns of a raw file, without its rows: what `probe` compares."""

import csv
import json
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import pyogrio

from qpv_geo.errors import SourceContentError
from qpv_geo.settings import Settings
from qpv_geo.sources.archive import Member, read_member, read_members, stream_member
from qpv_geo.sources.raw import RawFile, unreadable


def columns_of(raw: RawFile, settings: Settings) -> list[str]:
    """Return the names of the columns (of the properties, for GeoJSON) in the order of the file."""
    pattern = raw.source.member
    if raw.source.format == "csv":
        with stream_member(raw, pattern, settings) as (_, chunks):
            return _csv_header(raw, chunks)
    member = read_member(raw, pattern, settings)
    if raw.source.format in {"geojson", "json"}:
        return _json_keys(raw, member)
    return _vector_fields(raw, member, settings)


def _csv_header(raw: RawFile, chunks: Iterable[bytes]) -> list[str]:
    """Return the first line's names; a national file is not read any further."""
    head = b""
    for chunk in chunks:
        head += chunk
        if b"\n" in chunk:
            break
    line = head.partition(b"\n")[0]
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
