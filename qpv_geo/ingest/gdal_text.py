"""Text that GDAL hides or changes, read from the file itself.

In GeoJSON, GDAL keeps one of two equal keys, cuts a text at a NUL, replaces half a surrogate pair, and makes
text of a number that stands among texts. In a GeoPackage it cuts a text at a NUL. It believes what the
``.cpg`` of a Shapefile says of the encoding, and takes text without one for Latin-1.
"""

import json
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from qpv_geo.errors import SourceContentError
from qpv_geo.ingest.contracts import Problems

_UTF_8 = {"UTF8", "65001"}

_PROPERTIES = re.compile(r'"properties"\s*:\s*')


class _Object(dict[str, Any]):
    """A JSON object that remembers which of its keys were written twice."""

    doubled: tuple[str, ...] = ()


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    found = _Object(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        found.doubled = tuple(dict.fromkeys(name for name in names if names.count(name) > 1))
    return found


_NOTHING = _Object()
# Control characters in a text are against the rules of JSON, and are to be found here.
_DECODER = json.JSONDecoder(object_pairs_hook=_object, strict=False)


def read_properties(text: str, count: int, problems: Problems) -> Sequence[dict[str, Any]]:
    """Return the properties of each feature as they are written; keys that are there twice are problems.

    Raises `SourceContentError` for what is not JSON, or does not hold the `count` features that GDAL found.
    """
    try:
        properties = _scan(text, count, problems)
    except (ValueError, RecursionError) as error:
        raise SourceContentError(
            f"{problems.label}: expected GeoJSON, found text that is not ({error})"
        ) from error
    if len(properties) != count:
        raise SourceContentError(
            f"{problems.label}: expected GeoJSON, found {len(properties)} features and could read {count}"
        )
    return properties


def _scan(text: str, count: int, problems: Problems) -> list[_Object]:
    """Read the properties alone, a tenth of the file; all of it if another object has one of their keys."""
    start = max(0, text.find('"features"'))
    places = [match.end() for match in _PROPERTIES.finditer(text, start)]
    once = text.count('"features"') == 1 and text.count('"geometry"') == count == len(places)
    if once and text.count('"coordinates"') <= count:
        features: Sequence[_Object] = []
        properties = [_DECODER.raw_decode(text, place)[0] for place in places]
    else:
        document = _as_object(_DECODER.decode(text))
        listed = document.get("features", [document])
        features = [_as_object(feature) for feature in listed] if isinstance(listed, list) else []
        properties = [feature.get("properties") for feature in features]
        for name in document.doubled:
            problems.add("each key once", f"{name!r} twice")
    found = [_as_object(one) for one in properties]
    for objects in (found, features, [_as_object(feature.get("geometry")) for feature in features]):
        for number, one in enumerate(objects, start=1):
            for name in one.doubled:
                place = f"feature {number}{_code(found[number - 1], problems.source.key)}"
                problems.add("each column once", f"{name!r} twice", where=place)
    return found


def _as_object(value: object) -> _Object:
    return value if isinstance(value, _Object) else _NOTHING


def _code(properties: _Object, key: Sequence[str]) -> str:
    """Return the code of a feature, in brackets, if the source declares where that is."""
    code = next((str(properties[name]) for name in key if name in properties), "")
    return f" ({code})" if code and code.isprintable() else ""


def cut_at_nul(path: Path, layer: str, columns: Sequence[str]) -> dict[str, list[object]]:
    """Return, as the file has them, the columns of a layer in which GDAL cut a text at a NUL."""
    found = {}
    table = _quoted(layer)
    with closing(sqlite3.connect(path)) as database:
        there = {name for _, name, *_ in database.execute(f"PRAGMA table_info({table})")}
        for column in there & set(columns):
            name = _quoted(column)
            with_nul = f"typeof({name}) = 'text' AND instr(CAST({name} AS BLOB), x'00')"
            if database.execute(f"SELECT 1 FROM {table} WHERE {with_nul}").fetchone():  # noqa: S608 - quoted
                cells = database.execute(f"SELECT {name} FROM {table}")  # noqa: S608 - quoted
                found[column] = [cell for (cell,) in cells]
    return found


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def encoding_of(dbf: bytes) -> str:
    """Tell the encoding of a ``.dbf`` by its records, which follow a header of stated length."""
    records = dbf[int.from_bytes(dbf[8:10], "little") :]
    if records.isascii():
        return "ASCII"
    try:
        records.decode()
    except UnicodeDecodeError:
        return "CP1252"
    return "UTF-8"


def check_encoding(dbf: bytes, cpg: bytes, problems: Problems) -> None:
    """Add a problem if the ``.cpg`` contradicts the text: one of them is UTF-8 and the other is not."""
    declared = cpg.decode("ascii", "replace").strip()
    found = encoding_of(dbf)
    is_utf_8 = declared.upper().replace("-", "") in _UTF_8
    if found == "ASCII" or not declared or is_utf_8 == (found == "UTF-8"):
        return
    actual = "UTF-8" if found == "UTF-8" else "not UTF-8, perhaps Windows-1252"
    problems.add("the encoding of the text", f"{declared}; the text is {actual}", column=".cpg")
    if problems.source.territory_key:
        right = "UTF-8" if found == "UTF-8" else "1252"
        problems.advise(f"write {right} into the .cpg file, a text of one line, or delete it")
