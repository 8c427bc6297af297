"""The connections that are open, and their end: with the interpreter, or with the object that nobody closed.

It does not know what goes over a connection.
"""

import asyncio
import atexit
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tinker_hl import loop
from tinker_hl.transport import Transport

if TYPE_CHECKING:
    from tinker_hl.connection import Connection

__all__ = ["close_at_the_end"]

EXIT_SECONDS = 2.0

_open: "weakref.WeakSet[Connection]" = weakref.WeakSet()


def close_at_the_end(connection: "Connection") -> None:
    """Have the connection's own transport closed when it is dropped, or when the interpreter ends."""
    weakref.finalize(connection, _close_later, connection.transport).atexit = False
    _open.add(connection)


@atexit.register
def _close_all() -> None:
    """Close the sockets that are still open when the interpreter ends, once the last reports are sent."""
    connections = [connection for connection in _open if not connection.closed]
    if connections and loop.is_running():
        future = loop.run(_close(connections))
        try:
            future.result(EXIT_SECONDS)
        except TimeoutError:
            future.cancel()


async def _close(connections: Sequence["Connection"]) -> None:
    reports = [connection.telemetry.aclose() for connection in connections if connection.telemetry is not None]
    await asyncio.gather(*reports, return_exceptions=True)
    for connection in connections:
        # Or else what is under way would be tried again, with a warning for each, while the program ends.
        connection.end_calls()
    closings = (connection.transport.aclose() for connection in connections)
    await asyncio.gather(*closings, return_exceptions=True)


def _close_later(transport: Transport) -> None:
    """The connection was dropped without being closed: close its sockets when the loop has a moment."""
    loop.run(transport.aclose())
