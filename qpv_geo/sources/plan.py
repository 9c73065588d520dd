"""What a run asks for: which sources, for which part of the territory, and second choices only if needed."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import cast

from qpv_geo.errors import ConfigurationError
from qpv_geo.sources.catalogue import Box, Catalogue, PlainAddress, Source, WfsAddress
from qpv_geo.sources.raw import RawFile, usable
from qpv_geo.sources.resolve import variants
from qpv_geo.territory import Territory

_LOGGER = logging.getLogger(__name__)

# Rectangles that cover what is within some metres of the QPV.
Boxes = Callable[[float], tuple[Box, ...]]


@dataclass(frozen=True)
class Wanted:
    """One raw file to get: of a source, or of one main commune (``iris-25056``), the narrowed territory."""

    key: str
    source: Source
    territory: Territory


def source_id_of(key: str) -> str:
    """Return the id of the source that a raw file's key belongs to."""
    return key.partition("-")[0]


def ignored(catalogue: Catalogue, territory: Territory) -> tuple[str, ...]:
    """Return the sources that the territory does without; refuse one that is unknown, or required."""
    for source_id in territory.sources_ignorees:
        if catalogue[source_id].required:
            raise ConfigurationError(
                f"territory {territory.id!r}: 'sources_ignorees' names {source_id}, and there is no release "
                "without it"
            )
    return territory.sources_ignorees


def first_choices(catalogue: Catalogue, territory: Territory) -> list[Wanted]:
    """Return the raw files that a run asks for first: neither second choices, nor what is around the QPV."""
    return _wanted(catalogue, territory, lambda source: not (source.alternative_to or source.is_around))


def second_choices(
    catalogue: Catalogue, territory: Territory, raws: Mapping[str, RawFile | None]
) -> list[Wanted]:
    """Return the second choices of the sources of which a raw file is bad, or could not be had (None)."""
    missing = {source_id_of(key) for key, raw in raws.items() if not usable(raw)}
    missing |= {source.id for source in catalogue.used() if _is_in_parts(source, territory)}
    return _wanted(catalogue, territory, lambda source: source.alternative_to in missing)


def around_qpv(catalogue: Catalogue, territory: Territory, boxes: Boxes | None) -> list[Wanted]:
    """Return the raw files of what is around the QPV.

    `boxes` gives the rectangles to ask for within some metres of them; without it, addresses are not filled
    in: no site will be asked. A source is left out where they have more square kilometres than it allows.
    """
    found = _wanted(catalogue, territory, lambda source: source.is_around)
    if boxes is None:
        return found
    filled = []
    for wanted in found:
        address = cast("WfsAddress", wanted.source.address)
        around, most = boxes(address.metres), address.square_kilometres
        area = sum((east - west) * (north - south) for west, south, east, north in around) / 1e6
        if around and area <= most:
            known = address.model_copy(update={"boxes": around})
            filled.append(replace(wanted, source=wanted.source.model_copy(update={"address": known})))
        else:
            _LOGGER.info("%s is left out: %.0f km² around the QPV, %g at most", wanted.key, area, most)
    return filled


def one_of_each_host_first(choices: list[Wanted]) -> list[Wanted]:
    """Return the choices in an order that tells soon which hosts cannot be reached."""
    by_host: dict[str, list[Wanted]] = {}
    for wanted in choices:
        by_host.setdefault(next(iter(wanted.source.hosts), ""), []).append(wanted)
    return [wanted for turn in zip_longest(*by_host.values()) for wanted in turn if wanted]


def _is_in_parts(source: Source, territory: Territory) -> bool:
    """Tell whether a source comes in parts that do not suit a territory: too small, or another's."""
    url = source.address.url if isinstance(source.address, PlainAddress) else ""
    by_epci = "{epci}" in url and territory.genre != "epci"
    return by_epci or ("{commune}" in url and territory.genre == "france")


def _wanted(catalogue: Catalogue, territory: Territory, chosen: Callable[[Source], bool]) -> list[Wanted]:
    left_out = ignored(catalogue, territory)
    return [
        Wanted(key, source, narrowed)
        for source in catalogue.used()
        if chosen(source) and source.id not in left_out
        for key, narrowed in variants(source, territory).items()
    ]
