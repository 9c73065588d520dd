"""What the server takes of a client: size and rate of requests; and that nothing of them is logged."""

import logging
from collections import OrderedDict
from time import monotonic
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 1_000_000
"""Of the body of a request."""
_MOST_CLIENTS = 10_000
"""Whose rate is remembered."""
_LOGGER = logging.getLogger(__name__)
_SECURITY = {b"x-content-type-options": b"nosniff", b"referrer-policy": b"no-referrer"}


def refusal(status: int, code: str, description: str) -> JSONResponse:
    """Return an error as OGC API has it."""
    return JSONResponse({"code": code, "type": code, "description": description}, status)


class Limits:
    """Refuses bodies that are too long or of unknown length, and clients that ask too often.

    A failure is logged by its place alone: its message might hold an address or coordinates.
    """

    def __init__(self, app: "ASGIApp", rate: float) -> None:
        self._app, self._rate = app, rate
        self._clients: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """For each, when it was last seen, and how many requests it may make at once."""

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_on(message: "Message") -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message["headers"], *_SECURITY.items()]
            await send(message)

        response = self._refuse(scope)
        try:
            await (response or self._app)(scope, receive, send_on)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client learns that it failed
            trace = error.__traceback__
            while trace is not None and trace.tb_next:
                trace = trace.tb_next
            place = trace and f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
            _LOGGER.error("%s at %s", type(error).__name__, place)  # noqa: TRY400 - see the class
            if not started:
                await refusal(500, "NoApplicableCode", "the server failed")(scope, receive, send_on)

    def _refuse(self, scope: "Scope") -> JSONResponse | None:
        headers = dict(scope["headers"])
        most = MOST_BYTES if scope["method"] == "POST" else 0
        length = headers.get(b"content-length", b"0")
        if b"transfer-encoding" in headers:
            return refusal(411, "InvalidParameterValue", "give the length of the body (Content-Length)")
        if not length.isdigit() or int(length) > most:
            return refusal(413, "InvalidParameterValue", f"the body may have {most:,} bytes")
        if not self._may_ask(scope["client"][0] if scope["client"] else ""):
            refused = refusal(429, "TooManyRequests", f"{self._rate:g} requests a second are taken")
            refused.headers["Retry-After"] = "1"
            return refused
        return None

    def _may_ask(self, client: str) -> bool:
        """Take one of the requests that a client may make: those of two seconds at once, then the rate."""
        if not self._rate:
            return True
        now, most = monotonic(), max(2 * self._rate, 1.0)
        last, left = self._clients.pop(client, (now, most))
        left = min(most, left + (now - last) * self._rate)
        self._clients[client] = now, max(left - 1, 0.0) if left >= 1 else left
        if len(self._clients) > _MOST_CLIENTS:
            self._clients.popitem(last=False)
        return left >= 1
