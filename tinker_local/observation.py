"""Each request as it was answered: counted, timed, and told in the log. It does not know what is asked.

It wraps the whole app, so that refusals and unknown paths are seen as well.
"""

import logging
import time
from typing import TYPE_CHECKING

from tinker_local.timeline import OPERATION

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["CUT", "OTHER", "Observation"]

logger = logging.getLogger(__name__)

OTHER = "other"
"""The operation of requests that are none of the API."""
_HEALTH = "get_health"
CUT = 499
"""The status of requests whose client went away before the answer; the number is nginx's."""


class Observation:
    """An ASGI app around another, whose lifespan puts a `Service` into its state."""

    def __init__(self, app: "ASGIApp") -> None:
        self._app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass everything on, and note the answer's status on its way."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        OPERATION.set("")
        began = time.perf_counter()
        status = CUT

        async def noted(message: "Message") -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception:
            status = 500
            raise
        finally:
            self._tell(scope, status, time.perf_counter() - began)

    def _tell(self, scope: "Scope", status: int, seconds: float) -> None:
        operation = OPERATION.get() or OTHER
        scope["app"].state.service.metrics.answered(operation, status, seconds)
        # Whoever waits for a start asks many times a second, and is told in time that it is ready.
        level = logging.DEBUG if status < 400 or operation == _HEALTH else logging.INFO
        if logger.isEnabledFor(level):
            what = {"operation": operation, "status": status, "ms": round(1000 * seconds, 1)}
            logger.log(level, "%s %s", scope["method"], scope["path"], extra={"fields": what})
