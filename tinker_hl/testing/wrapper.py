"""What the transports of this package share: an end that plain code can reach."""

from types import TracebackType
from typing import Self

from tinker_hl import loop
from tinker_hl.transport.base import Transport

__all__ = ["TransportWrapper"]

CLOSE_SECONDS = 10.0


class TransportWrapper:
    """A transport around another one. A context manager: leaving it closes both.

    A client closes no transport that it was given, as several clients may share it.
    """

    def __init__(self, inner: Transport) -> None:
        self._inner = inner

    async def aclose(self) -> None:
        """Close the inner transport; see `Transport.aclose`."""
        await self._inner.aclose()

    def close(self) -> None:
        """The same, from any thread but the client's own."""
        loop.run(self.aclose()).result(CLOSE_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
