"""How many things of one kind each owner has, and may have. It does not know what the things are."""

from collections import Counter

from tinker_local.errors import ApiError

__all__ = ["Quota"]


class Quota:
    """Invariant: an owner who has none is not remembered."""

    def __init__(self, things: str, most: int, limit: str, remedy: str) -> None:
        """Begin with none.

        Args:
            things: what is counted, for people.
            most: how many of them an owner may have.
            limit: the name of the setting that says so.
            remedy: what the owner can do.
        """
        self._things = things
        self._most = most
        self._limit = limit
        self._remedy = remedy
        self._counts: Counter[str] = Counter()

    def check(self, owner: str) -> None:
        """Raises `ApiError` 400 if the owner has as many as they may."""
        if self._counts.get(owner, 0) >= self._most:
            raise ApiError(
                400, "too_many", f"there are {self._most} {self._things} already ({self._limit}); {self._remedy}"
            )

    def more(self, owner: str) -> None:
        """One more, whether or not there is room: it may be from before."""
        self._counts[owner] += 1

    def fewer(self, owner: str) -> None:
        """One less."""
        self._counts[owner] -= 1
        if self._counts[owner] <= 0:
            del self._counts[owner]
