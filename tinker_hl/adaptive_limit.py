"""How many may be under way at a server that pushes back: additive increase, multiplicative decrease.

Without a push-back there is no limit but the server's own. The first one sets it to half of what is under way; each
further one halves it again, but at most once in `EPOCH` seconds, for many answers of one moment say one thing. While c
are allowed, each success raises it by 1 / c, so by one for each round of c. Callers that share a server in this way
come to equal shares of it, whatever they begin with (Chiu and Jain 1989). A server that was once too busy for a few
must not keep thousands waiting, where a round takes many seconds: the limit never falls below `LEAST`, and is forgotten
when the server has not pushed back for `QUIET` seconds. It does not know what it limits.
"""

__all__ = ["DECREASE", "EPOCH", "LEAST", "QUIET", "AdaptiveLimit"]

DECREASE = 0.5
EPOCH = 1.0
"""Seconds."""
LEAST = 10.0
"""As many as the official SDK submits at once after a push-back."""
QUIET = 60.0
"""Seconds."""


class AdaptiveLimit:
    """The limit of one server and key. Used on the loop thread only. Invariant: at least `LEAST` may be under way."""

    def __init__(self) -> None:
        self._limit: float | None = None
        self._decreased = float("-inf")

    def under(self, ceiling: int) -> int:
        """How many may be under way, where the server allows `ceiling` at most."""
        return ceiling if self._limit is None else min(ceiling, int(self._limit))

    def pushed_back(self, in_flight: int, now: float) -> None:
        """The server said that it is too much.

        Args:
            in_flight: How many are under way.
            now: The time, in seconds.
        """
        if now < self._decreased + EPOCH:
            return
        self._decreased = now
        before = float(in_flight) if self._limit is None else min(self._limit, in_flight)
        self._limit = max(LEAST, before * DECREASE)

    def succeeded(self, ceiling: int, now: float) -> None:
        """One came to an end as it should; at the server's own limit there is none of ours any more.

        Args:
            ceiling: How many the server allows.
            now: The time, in seconds.
        """
        if self._limit is not None:
            self._limit += 1.0 / self._limit
            if self._limit >= ceiling or now >= self._decreased + QUIET:
                self._limit = None
