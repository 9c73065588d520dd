"""Features of a WFS 2.0 around the QPV: page after page, rectangle after rectangle, into one GeoJSON file.

They are kept as they were sent, those of each type by their key, without the envelope, which holds the time:
the same features give the same bytes.

A server may send fewer features than were asked for. If their number changes between two pages, or a page
repeats features of another, features are missing: the rectangle is asked for again from its first page.
"""

import hashlib
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from threading import Lock
from typing import Any, BinaryIO, cast
from urllib.parse import urlencode

import orjson

from qpv_geo.errors import SourceContentError
from qpv_geo.sources.catalogue import Box, Source, WfsAddress
from qpv_geo.sources.download import Downloader, Received
from qpv_geo.sources.file_kinds import kind_of
from qpv_geo.sources.resolve import wfs_url

Feature = dict[str, Any]

# How often a rectangle whose pages do not fit together is asked for.
_ATTEMPTS = 3
_EXCEPTION = re.compile(rb"<(?:\w+:)?ExceptionText[^>]*>\s*(.*?)\s*</", re.DOTALL)
# One request at a time in a process, whatever its threads, and a pause after each.
_TURN = Lock()


class _ChangedError(Exception):
    """The pages of a rectangle do not fit together."""


def download_features(
    source: Source, address: WfsAddress, epsg: int, downloader: Downloader, sink: BinaryIO
) -> Received:
    """Download the features of every type in every rectangle into `sink`, as one GeoJSON in the CRS `epsg`.

    Without rectangles, one feature of each type from anywhere: enough to see what they look like. Raises as
    `Downloader.get`, and `SourceContentError` if an answer is not a page of features, or pages do not fit
    together at each attempt.
    """
    pages = _Pages(source, address, epsg, downloader, source.max_bytes)
    features: list[Feature] = []
    for type_name in address.types:
        found: dict[str, Feature] = {}
        for box in address.boxes or (None,):
            found |= pages.features_in(type_name, box)
        features += [found[key] for key in sorted(found)]
    crs = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{epsg}"}}
    # A line per feature, as GDAL writes it.
    lines = b",\n".join(map(orjson.dumps, features))
    data = b'{"type":"FeatureCollection","crs":' + orjson.dumps(crs) + b',"features":[\n' + lines + b"\n]}\n"
    sink.write(data)
    dates = (feature["properties"].get(address.dated) for feature in features)
    newest = max(filter(None, map(_moment, dates)), default=None)
    return Received(wfs_url(address, epsg), None, newest, hashlib.sha256(data).hexdigest(), len(data))


def _moment(text: object) -> datetime | None:
    """Return a moment in UTC, in whole seconds; None if the text is none."""
    with suppress(TypeError, ValueError):
        moment = datetime.fromisoformat(cast("str", text)).replace(microsecond=0)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


@dataclass
class _Pages:
    """The requests of one download, and the bytes that are left of its limit."""

    source: Source
    address: WfsAddress
    epsg: int
    downloader: Downloader
    left: int

    def features_in(self, type_name: str, box: Box | None) -> dict[str, Feature]:
        """Return the features of a type that meet a rectangle, by key."""
        for _ in range(_ATTEMPTS):
            try:
                return self._whole(type_name, box)
            except _ChangedError as error:
                reason = error
        raise SourceContentError(
            f"source {self.source.id}: {self._url(type_name, box, 0)}: pages did not fit together at any "
            f"of {_ATTEMPTS} attempts ({reason}): its features are being changed, run again later"
        )

    def _whole(self, type_name: str, box: Box | None) -> dict[str, Feature]:
        found: dict[str, Feature] = {}
        received, more = 0, True
        expected: int | None = None
        while more:
            page, matched = self._page(type_name, box, received)
            if expected not in {None, matched}:
                raise _ChangedError(f"{expected} features were announced, then {matched}")
            expected = matched
            received += len(page)
            found |= page
            # Where the server does not say how many there are, the last page is empty.
            more = bool(page) and box is not None and (matched is None or received < matched)
        if box is not None and expected is not None and len(found) != expected:
            raise _ChangedError(f"{expected} features were announced, {len(found)} came")
        return found

    def _page(self, type_name: str, box: Box | None, start: int) -> tuple[dict[str, Feature], int | None]:
        """Return the features of a page by key, and how many there are in all; None if unsaid."""
        url, body = self._url(type_name, box, start), BytesIO()
        with _TURN:
            received = self.downloader.get(url, body, self.left)
            time.sleep(self.address.pause)
        self.left -= received.size if received else 0
        data = body.getvalue()
        try:
            answer = orjson.loads(data)
            page = {self._key(type_name, feature): feature for feature in answer["features"]}
            matched = answer.get("numberMatched", answer.get("totalFeatures"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._unexpected(url, data, error) from error
        return page, matched if isinstance(matched, int) else None

    def _key(self, type_name: str, feature: Feature) -> str:
        if not feature["id"].startswith(f"{type_name.rpartition(':')[2]}."):
            raise ValueError(f"feature {feature['id']!r} is not a {type_name}")
        return str(feature["properties"][self.address.key])

    def _url(self, type_name: str, box: Box | None, start: int) -> str:
        crs = f"EPSG:{self.epsg}"
        query = {
            "SERVICE": "WFS",
            "VERSION": "2.0.0",
            "REQUEST": "GetFeature",
            "TYPENAMES": type_name,
            "OUTPUTFORMAT": "application/json",
            "SRSNAME": crs,
            "SORTBY": self.address.key,
            "COUNT": self.address.page if box else 1,
            "STARTINDEX": start,
        }
        if box:
            query["BBOX"] = ",".join([*(f"{side:.0f}" for side in box), crs])
        return f"{self.address.url}?{urlencode(query, safe=':,/')}"

    def _unexpected(self, url: str, data: bytes, error: Exception) -> SourceContentError:
        """Return the error of an answer that is not a page: what the server says, or what it is."""
        if exception := _EXCEPTION.search(data):
            found = f"an exception: {exception[1].decode('utf-8', errors='replace')[:300]}"
        elif (kind := kind_of(data)).name == "json":
            found = f"{kind.description} ({error})"
        else:
            found = kind.description
        return SourceContentError(
            f"source {self.source.id}: {url}: a page of GeoJSON features was expected, found {found}; run "
            f"again later, and look at {self.source.page} if it stays so"
        )
