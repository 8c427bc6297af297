"""Whether the call that is being taken in is one that was accepted before, and is carried out once more."""

from contextvars import ContextVar

from tinker_local.futures import Promise

__all__ = ["REPLAYED", "had_its_result"]

REPLAYED: ContextVar[Promise | None] = ContextVar("replayed", default=None)
"""What was promised when the call was first accepted; None for a call that comes from a client."""


def had_its_result() -> bool:
    """Whether the call is only carried out for what it does to its model: all else of it was done before."""
    promise = REPLAYED.get()
    return promise is not None and promise.done
