"""What GDAL hides in a GeoJSON file: properties as they are written, and keys that are there twice.

GDAL keeps one of two equal keys, cuts a text at a NUL, replaces half a surrogate pair, and makes text of a
number that stands among texts.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

from qpv_geo.errors import SourceContentError
from qpv_geo.ingest.contracts import Problems

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

    Raises
    ------
    SourceContentError
        If the text is not JSON, or does not hold `count` features, which is what GDAL found.
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
