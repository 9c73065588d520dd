"""What a source sent, before it replaces anything: is it the kind of file that the catalogue declares."""

import re
from dataclasses import replace

from qpv_geo.errors import SourceContentError
from qpv_geo.settings import Settings
from qpv_geo.sources.archive import check_archive, list_members, open_member, read_member, read_tables_of
from qpv_geo.sources.catalogue import Format
from qpv_geo.sources.file_kinds import excerpt, kind_of
from qpv_geo.sources.raw import RawFile, catalogue_entry, remedy, unreadable

_ENDING = 60
_JSON_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)

_EXPECTED: dict[Format, tuple[str, frozenset[str]]] = {
    "geojson": ("GeoJSON", frozenset({"json"})),
    "json": ("JSON", frozenset({"json"})),
    "csv": ("a text table (CSV)", frozenset({"text"})),
    "table": ("a table of statistics (CSV or XLSX)", frozenset({"text"})),
    "gpkg": ("a GeoPackage", frozenset({"sqlite"})),
    "shp": ("an archive that holds a Shapefile", frozenset({"shp"})),
}
_PACKED = {"zip", "gzip", "7z"}


def as_shipped(raw: RawFile, settings: Settings) -> RawFile:
    """Return a raw file whose source declares the format and the member in which this file came."""
    source = raw.source
    if not source.forms:
        return raw
    declared = [(source.format, source.member), *source.forms.items()]
    names = list_members(raw, settings)
    for form, member in declared:
        if any(re.fullmatch(member or ".*", name) for name in names):
            return replace(raw, source=source.model_copy(update={"format": form, "member": member}))
    return raw


def check_content(raw: RawFile, settings: Settings) -> None:
    """Check that a file, bare or packed, is what its source declares; raise `SourceContentError` if not.

    An archive is read to its end, its declared member must be there exactly once and have the right format;
    JSON must be complete. Of tables of statistics, every CSV file must be text.
    """
    raw = as_shipped(raw, settings)
    if raw.path.is_file():
        with raw.path.open("rb") as stream:
            kind, found = kind_of(stream.read(2048))
        if kind not in _PACKED | _EXPECTED[raw.source.format][1]:
            raise _unexpected(raw, raw.path.name, found)
        check_archive(raw, settings)
    if raw.source.format == "table":
        for member in read_tables_of(raw, settings):
            kind, found = kind_of(member.data)
            if kind not in {"text", "zip"}:
                raise _unexpected(raw, member.name, found)
        return
    pattern = raw.source.member
    with open_member(raw, pattern, settings) as (name, stream):
        kind, found = kind_of(stream.peek())
    if kind not in _EXPECTED[raw.source.format][1]:
        raise _unexpected(raw, name, found)
    if kind == "json" and not _is_complete(data := read_member(raw, pattern, settings).data):
        ending = excerpt(data[-_ENDING:])
        raise unreadable(
            raw, f"{raw.label}: {name} is truncated: it ends with {ending} before all brackets are closed"
        )


def _unexpected(raw: RawFile, name: str, found: str) -> SourceContentError:
    expected, _ = _EXPECTED[raw.source.format]
    what_to_do = remedy(
        raw.source,
        f"look at {raw.source.page}; if the publisher changed the format, change 'format' and 'member' in "
        f"{catalogue_entry(raw.source)}",
    )
    return SourceContentError(
        f"{raw.label}: {expected} was expected, {name} is {found}. What to do: {what_to_do}"
    )


def _is_complete(data: bytes) -> bool:
    """Tell complete JSON from the beginning of one, whose brackets are not all closed."""
    # Brackets inside strings come in pairs as a rule: strings are set aside, which is slow, only in doubt.
    return _is_closed(data) or _is_closed(_JSON_STRING.sub(b"", data))


def _is_closed(data: bytes) -> bool:
    pairs = ((b"{", b"}"), (b"[", b"]"))
    balanced = all(data.count(left) == data.count(right) for left, right in pairs)
    return balanced and data.rstrip().endswith((b"}", b"]"))
