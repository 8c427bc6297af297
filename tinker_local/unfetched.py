"""Results of open sessions that nobody has fetched: how many each session may have, and what happens beyond.

Beyond a limit the oldest are let go that have been there for as long as a delivered result would stay: their clients
have given them up. Where none is that old, new requests of the session are refused until some were fetched. So nothing
goes that somebody may still be on the way to. It does not know what the results are.
"""

from collections import OrderedDict
from collections.abc import Callable

import attrs

from tinker_local.errors import too_many

__all__ = ["Unfetched"]


@attrs.define
class _OfSession:
    results: OrderedDict[str, tuple[float, int]] = attrs.field(factory=OrderedDict)
    """Since when, and bytes, by request id; the oldest first."""
    size: int = 0


class Unfetched:
    """The unfetched results of one service."""

    def __init__(self, monotonic: Callable[[], float], patience: float, most: int, most_bytes: int) -> None:
        """Begin with none.

        Args:
            monotonic: the time.
            patience: seconds after which a result beyond a limit may go.
            most: results of one session.
            most_bytes: the bytes of their numbers.
        """
        self._monotonic = monotonic
        self._patience = patience
        self._most = most
        self._most_bytes = most_bytes
        self._sessions: dict[str, _OfSession] = {}

    def __len__(self) -> int:
        return sum(len(session.results) for session in self._sessions.values())

    def add(self, session_id: str, request_id: str, size: int) -> None:
        """One more is there."""
        session = self._sessions.setdefault(session_id, _OfSession())
        session.results[request_id] = self._monotonic(), size
        session.size += size

    def remove(self, session_id: str | None, request_id: str) -> None:
        """It was fetched, or its session is over; nothing happens if that is known."""
        session = self._sessions.get(session_id or "")
        if session is not None and session_id is not None and request_id in session.results:
            session.size -= session.results.pop(request_id)[1]
            if not session.results:
                del self._sessions[session_id]

    def end_session(self, session_id: str) -> None:
        """Its results have a time of their own now."""
        self._sessions.pop(session_id, None)

    def make_room(self, session_id: str) -> list[str]:
        """See that another request may come.

        Returns:
            The ids of those that go for it.

        Raises:
            ApiError: 429: there are too many, and all of them are new.
        """
        session = self._sessions.get(session_id)
        if session is None:
            return []
        count, size = len(session.results), session.size
        gone: list[str] = []
        for request_id, (since, bytes_of_it) in session.results.items():
            if count < self._most and size < self._most_bytes:
                break
            if since > self._monotonic() - self._patience:
                raise too_many(
                    f"{count} results of this session, with {size} bytes, were not fetched (max_unfetched_results "
                    f"{self._most}, max_unfetched_bytes {self._most_bytes}); fetch them first"
                )
            count, size = count - 1, size - bytes_of_it
            gone.append(request_id)
        for request_id in gone:
            self.remove(session_id, request_id)
        return gone
