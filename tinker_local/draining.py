"""The time between the wish to stop a service and its end: nothing new is begun, what is under way comes to its result.

    open -> draining (submissions are answered 503 with Retry-After, polls and reads go on) -> idle, or out of time

Clients take the 503 for what it is, and try again until the next service takes the same call. It does not know why a
service is stopped, nor how.
"""

import asyncio
from collections.abc import Callable, Iterable

from tinker_local.errors import ApiError, unavailable
from tinker_local.spec import Operation

__all__ = ["Draining", "begins_work"]

_RETRY_AFTER = 2
_PROMISE = "UntypedAPIFuture"

Running = Callable[[], Iterable["asyncio.Task[None]"]]


def begins_work(operation: Operation) -> bool:
    """Whether an operation begins something that a service would have to finish: it promises a result, or it opens a
    session.
    """
    content = operation.responses.get("200", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    return str(schema.get("$ref", "")).endswith(f"/{_PROMISE}") or operation.operation_id == "create_session"


class Draining:
    """Whether a service still takes work, and the wait for what it has taken.

    Args:
        running: the tasks of the work under way, asked again and again.
    """

    def __init__(self, running: Running) -> None:
        self._running = running
        self.begun = False

    def check_open(self) -> None:
        """Raises `ApiError` 503 once the end was asked for."""
        if self.begun:
            raise self.refusal()

    def refusal(self) -> ApiError:
        """What a submission is answered."""
        return unavailable("the service is being stopped; send this again in a while", _RETRY_AFTER)

    async def drain(self, seconds: float) -> bool:
        """Begin nothing any more, and wait until nothing is under way.

        Args:
            seconds: how long to wait at most.

        Returns:
            Whether everything is done.
        """
        self.begun = True
        ends = asyncio.get_running_loop().time() + seconds
        while running := list(self._running()):
            left = ends - asyncio.get_running_loop().time()
            if left <= 0:
                return False
            await asyncio.wait(running, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        return True
