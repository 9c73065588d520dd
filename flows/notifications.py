"""Notifications, through those of Prefect's notification blocks that a variable names; none by default.

A notification that cannot be sent is logged and nothing else: it never changes how a run ends. What a block
holds (addresses, passwords, tokens) never reaches a log.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block
from prefect.blocks.notifications import AppriseNotificationBlock
from prefect.logging import get_logger
from prefect.variables import Variable

from qpv_geo.sources.catalogue import NoAddress
from qpv_geo.sources.raw import RawFile
from qpv_geo.territory import Territory

# A list of blocks, ``["custom-webhook/astreinte", "courriel/sig"]``.
VARIABLE = "qpv_geo_notifications"

_LOGGER = get_logger("qpv_geo.notifications")


class Courriel(AppriseNotificationBlock):
    """E-mail through any SMTP server, by an Apprise address (``mailtos://…``).

    Prefect's own e-mail block knows one provider only; ``prefect block register -m flows.notifications``
    makes this one known to a server.
    """

    _block_type_name = "Courriel"
    _block_type_slug = "courriel"


def notify(subject: str, body: str) -> None:
    """Send a message through every block that the variable names."""
    for name in _names():
        try:
            block = Block.load(name)
            if not isinstance(block, NotificationBlock):
                _LOGGER.error("no notification through %s: it is not a notification block", name)
                continue
            with block.raise_on_failure():
                # Declared as a coroutine, it only is one where it is called from one.
                cast("Callable[[str, str], None]", block.notify)(body, subject)
        except Exception as error:  # noqa: BLE001 - any service may fail in any way, the run goes on
            # The message of the error may quote the address, and with it a token.
            _LOGGER.error("no notification through %s: %s", name, type(error).__name__)  # noqa: TRY400
        else:
            _LOGGER.info("notified through %s: %s", name, subject)


def notify_fallbacks(territory: Territory, raws: Mapping[str, RawFile | None]) -> None:
    """Notify people of the sources that an older copy stands in for, if any.

    A source without an official address is not news: a copy is all there ever is.
    """
    fallen = [
        raw for raw in raws.values() if raw and raw.reason and not isinstance(raw.source.address, NoAddress)
    ]
    if fallen:
        lines = [f"- {raw.source.id} ({raw.origin}, {raw.date}) : {raw.reason}" for raw in fallen]
        notify(f"qpv-geo, {territory.id} : sources remplacées par une copie", "\n".join(lines))


def _names() -> list[str]:
    try:
        value: Any = Variable.get(VARIABLE, default=[])
    except Exception as error:  # noqa: BLE001 - the server may be gone
        _LOGGER.error("no notification: variable %s cannot be read: %s", VARIABLE, type(error).__name__)  # noqa: TRY400
        return []
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        _LOGGER.error('no notification: variable %s must be a list such as ["custom-webhook/x"]', VARIABLE)
        return []
    return names
