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
    for name in _names(VARIABLE):
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
    """Notify people of the sources that an older copy stands in for, and of those that no longer need one.

    A source without an official address is not news: a copy is all there ever is.
    """
    fallen = {
        key: f"- {key} ({raw.origin}, {raw.date}) : {raw.reason}"
        for key, raw in raws.items()
        if raw and raw.reason and not isinstance(raw.source.address, NoAddress)
    }
    variable = f"qpv_geo_copies_{territory.id.replace('-', '_')}"
    before = _names(variable)
    back = [f"- {key}, {raw.date}" for key in before if (raw := raws.get(key)) and not raw.reason]
    if fallen:
        notify(f"qpv-geo, {territory.id} : sources remplacées par une copie", "\n".join(fallen.values()))
    if back:
        notify(f"qpv-geo, {territory.id} : sources de nouveau disponibles", "\n".join(back))
    if list(fallen) != before:
        try:
            Variable.set(variable, list(fallen), overwrite=True)
        except Exception as error:  # noqa: BLE001 - the server may be gone
            _LOGGER.warning("variable %s cannot be written: %s", variable, type(error).__name__)


def _names(variable: str) -> list[str]:
    try:
        value: Any = Variable.get(variable, default=[])
    except Exception as error:  # noqa: BLE001 - as above
        _LOGGER.error("no notification: variable %s cannot be read: %s", variable, type(error).__name__)  # noqa: TRY400
        return []
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        _LOGGER.error('no notification: variable %s must be a list such as ["custom-webhook/x"]', variable)
        return []
    return names
