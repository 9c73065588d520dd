"""What a run asks for: which sources, for which part of the territory, and second choices only if needed."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from operator import itemgetter

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
    return _wanted(
        catalogue,
        territory,
        lambda source: source.alternative_to is None and not isinstance(source.address, WfsAddress),
    )


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
    found = _wanted(catalogue, territory, lambda source: isinstance(source.address, WfsAddress))
    if boxes is None:
        return found
    filled = []
    for wanted in found:
        address = wanted.source.address
        assert isinstance(address, WfsAddress)  # noqa: S101 - chosen above
        around = boxes(address.metres)
        area = sum((east - west) * (north - south) for west, south, east, north in around) / 1e6
        if around and area <= address.square_kilometres:
            source = wanted.source.model_copy(
                update={"address": address.model_copy(update={"boxes": around})}
            )
            filled.append(replace(wanted, source=source))
        else:
            _LOGGER.info(
                "%s is left out: %.0f km² around the QPV, %g at most",
                wanted.key,
                area,
                address.square_kilometres,
            )
    return filled


def one_of_each_host_first(choices: list[Wanted]) -> list[Wanted]:
    """Return the choices in an order that tells soon which hosts cannot be reached."""
    asked: Counter[str] = Counter()
    turns = []
    for wanted in choices:
        host = next(iter(wanted.source.hosts), "")
        turns.append(asked[host])
        asked[host] += 1
    return [wanted for _, wanted in sorted(zip(turns, choices, strict=True), key=itemgetter(0))]


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
