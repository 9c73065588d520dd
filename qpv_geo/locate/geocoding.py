"""Coordinates of plain addresses, from IGN's geocoding service (Géoplateforme), many at a time.

Addresses leave the machine. Only the columns of the address are sent, each address once per batch, and no
address ever appears in a log or an error message.

Service: https://geoservices.ign.fr/documentation/services/services-geoplateforme/geocodage, a CSV file of up
to 200,000 lines and 50 MB per request, 50 requests a second.
"""

import csv
import io
import logging
from collections.abc import Sequence
from contextlib import closing

import httpx
import pyarrow as pa

from qpv_geo.errors import ConfigurationError, SourceContentError, SourceUnavailableError
from qpv_geo.locate.coordinates import to_floats
from qpv_geo.locate.points import GEOCODED
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import Source
from qpv_geo.sources.geocoder import SEARCH
from qpv_geo.sources.http_client import (
    BoundedClient,
    RetryableStatusError,
    official_client,
    raise_if_retryable,
    retrying,
    should_retry,
)

_LOGGER = logging.getLogger(__name__)

SERVICE = f"{SEARCH}/csv"
BATCH = 5_000
"""Addresses per request: answered in about a minute, and few to send again when a request fails."""

_READ_TIMEOUT = 300.0  # the service answers when it has found all addresses of a request
_NEEDED = ("n", *GEOCODED.names)


def geocode(addresses: Sequence[str], settings: Settings, source: Source) -> pa.Table:
    """Return the columns `GEOCODED` for addresses, in their order; an empty address is not sent.

    `source` is the entry ``geocodage`` of the catalogue, which must allow the host of the service.
    """
    host = httpx.URL(SERVICE).host
    if host not in source.hosts:
        raise ConfigurationError(
            f"the catalogue's entry {source.id!r} does not allow {host}: add it to 'hosts'"
        )
    distinct = list(dict.fromkeys(address for address in addresses if address))
    answers: list[list[str]] = []
    with closing(official_client(settings)) as client:  # its own exit leaves sockets open
        for start in range(0, len(distinct), BATCH):
            answers += _answers(client, distinct[start : start + BATCH], settings, source)
    place = {address: number for number, address in enumerate(distinct)}
    rows = pa.array([place.get(address) for address in addresses], pa.int64())
    columns = []
    for number, field in enumerate(GEOCODED):
        column = pa.array([answer[number] or None for answer in answers], pa.string()).take(rows)
        is_number = pa.types.is_floating(field.type)
        columns.append(pa.array(to_floats(column, field.name), from_pandas=True) if is_number else column)
    return pa.Table.from_arrays(columns, schema=GEOCODED)


def _answers(
    client: BoundedClient, addresses: Sequence[str], settings: Settings, source: Source
) -> list[list[str]]:
    """Return the service's answer for each address, in their order."""
    body = io.StringIO(newline="")
    writer = csv.writer(body)
    writer.writerow(["n", "adresse"])
    writer.writerows(enumerate(addresses))
    response = _post(client, body.getvalue().encode(), settings)
    if response.status_code != httpx.codes.OK:
        # The body is not shown: it may quote an address.
        raise SourceContentError(
            f"{SERVICE} answered {response.status_code}, 200 was expected; look at {source.page}"
        )
    reader = csv.reader(io.StringIO(response.content.decode("utf-8-sig", "replace"), newline=""))
    names = next(reader, [])
    if lacking := [name for name in _NEEDED if name not in names]:
        raise SourceContentError(
            f"{SERVICE}: its answer has no column {', '.join(lacking)}; look at {source.page}"
        )
    places = [names.index(name) for name in _NEEDED]
    rows = [[cells[place] for place in places] for cells in reader if len(cells) == len(names)]
    if [row[0] for row in rows] != [str(number) for number in range(len(addresses))]:
        raise SourceContentError(
            f"{SERVICE}: {len(addresses)} addresses were sent, {len(rows)} rows came back or in another"
            f" order; run again later, and look at {source.page} if it stays so"
        )
    return [row[1:] for row in rows]


def _post(client: BoundedClient, data: bytes, settings: Settings) -> httpx.Response:
    def once() -> httpx.Response:
        read = max(settings.read_timeout, _READ_TIMEOUT)
        response = client.post(
            SERVICE,
            data={"columns": "adresse"},
            files={"data": ("adresses.csv", data, "text/csv")},
            timeout=httpx.Timeout(read, connect=settings.connect_timeout),
        )
        raise_if_retryable(response)
        return response

    def try_again(error: Exception) -> bool | float:
        # The error itself may quote an address.
        reason = error if isinstance(error, RetryableStatusError) else type(error).__name__
        _LOGGER.info("geocoding: attempt failed: %s", reason)
        return should_retry(error, settings)

    try:
        with client.ended_after(settings.download_deadline):
            return retrying(settings, None)(try_again, once)
    except RetryableStatusError as error:
        raise SourceUnavailableError(
            f"{SERVICE} answered {error.status} to each attempt; run again later", transient=True
        ) from error
    except httpx.TransportError as error:
        raise SourceUnavailableError(
            f"{SERVICE} cannot be reached ({type(error).__name__}); check the connection, or give"
            " coordinates",
            transient=True,
        ) from error
