"""Waits between the attempts of a download, by the client's retry policy. It does not know what is downloaded.

The link leads to a store of files, which may be another host than the API's: it has a retry budget of its own, so that
a store that fails takes nothing from the calls of the client.
"""

from tinker_hl import loop
from tinker_hl.connection import Connection
from tinker_hl.retry import AttemptLog, RetryBudget

__all__ = ["Patience"]


class Patience:
    """How long failures are borne. Used in a thread that may block, never on the loop thread.

    Attributes:
        named: Seconds that the server asked for, before the next attempt.
    """

    def __init__(self, connection: Connection) -> None:
        self.named: float | None = None
        self._connection = connection
        self._log = loop.run(self._begin()).result()

    def wait(self) -> bool:
        """Wait before the next attempt; False if there must not be one.

        Raises:
            SessionClosedError: The client was closed.
        """
        named, self.named = self.named, None
        return loop.run(self._connection.while_open(self._log.wait(named=named))).result()

    def moved(self) -> None:
        """Bytes came: the next failure is a first one again."""
        loop.run(self._moved()).result()

    async def _begin(self) -> AttemptLog:
        return AttemptLog(self._connection.policy_in_force, RetryBudget(), self._connection.clock)

    async def _moved(self) -> None:
        self._log.succeeded()
