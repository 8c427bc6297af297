"""What clients without a session have in common: a connection that the process shares, and calls through it.

It knows nothing of particular calls.
"""

import hashlib
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from tinker_hl.configuration.settings import read_settings
from tinker_hl.connection import Connection
from tinker_hl.credentials import find_source, resolve_base_url
from tinker_hl.errors import APIResponseValidationError, ResponseInfo
from tinker_hl.futures import APIFuture
from tinker_hl.retry import LoopClock, default_clock
from tinker_hl.telemetry import Telemetry
from tinker_hl.types.record import Answer

__all__ = ["SessionlessClient", "parsed"]

A = TypeVar("A", bound=Answer)

_shared: dict[tuple[str, str], Connection] = {}
_lock = threading.Lock()


class SessionlessClient:
    """Making one makes no request, and starts no session.

    Invariant: all that are made from one address, key and environment use one connection, which lives as long as the
    process. One that is made from another client's connection shares that client's end.

    Args:
        _holder: A connection to share, as `ServiceClient.create_rest_client` hands it over; None for the process's own.
        base_url: See `ServiceClient`.
        api_key: See `ServiceClient`.

    Raises:
        ValueError: A connection was given, and an address or a key as well.
        ConfigurationError: There is no key.
    """

    def __init__(
        self, _holder: Connection | None = None, *, base_url: str | None = None, api_key: str | None = None
    ) -> None:
        if _holder is not None and (base_url is not None or api_key is not None):
            raise ValueError(
                f"{type(self).__name__} takes a connection, or base_url and api_key, not both: "
                "a connection has an address and a key already"
            )
        self._connection = _holder or _of_this_process(base_url, api_key)

    def get_telemetry(self) -> Telemetry | None:
        """The reports to the service; None where they are off, as for any service but the hosted one."""
        return self._connection.telemetry

    async def _call(self, name: str, function: Callable[..., Awaitable[Any]], **arguments: Any) -> Any:
        call = self._connection.call(f"{type(self).__name__}.{name}")
        return await self._connection.request(function, call, **arguments)

    def _get(self, name: str, kind: type[A], function: Callable[..., Awaitable[Any]], **arguments: Any) -> APIFuture[A]:
        """A future of a call's answer as a public type."""

        async def run() -> A:
            answer = await self._call(name, function, **arguments)
            return parsed(answer, kind)

        return APIFuture(run())

    def _do(self, name: str, function: Callable[..., Awaitable[Any]], **arguments: Any) -> APIFuture[None]:
        """A future of a call whose answer has nothing to say."""

        async def run() -> None:
            await self._call(name, function, **arguments)

        return APIFuture(run())


def _of_this_process(base_url: str | None, api_key: str | None) -> Connection:
    """The one connection for what a client is told here and now: another login or another variable makes another."""
    clock, address = default_clock(), resolve_base_url(base_url)
    source = find_source(api_key, address, clock, lambda notice, level: None)
    settings = read_settings()
    told = [source.origin, source.identity, *((name, setting.value) for name, setting in settings.all.items())]
    # The key itself is not kept a second time.
    which = address, hashlib.sha256(repr(told).encode()).hexdigest()
    with _lock:
        connection = _shared.get(which) if isinstance(clock, LoopClock) else None
        if connection is None or connection.closed:
            connection = Connection(base_url, api_key, settings=settings)
            if isinstance(connection.clock, LoopClock):  # a test's clock ends with the test
                _shared[which] = connection
    return connection


def parsed(answer: Any, kind: type[A]) -> A:
    """The public type that an answer holds; a typed error where it holds something else."""
    try:
        return kind.model_validate_json(answer.content)
    except ValueError as error:
        info = ResponseInfo(int(answer.status_code), dict(answer.headers), answer.content)
        raise APIResponseValidationError(info, answer.content[:2000], str(error)) from error
