"""The order of one model's requests: they arrive in any order and are released strictly by sequence id.

Pure bookkeeping: it does not know what a request is, nor how it is carried out.
"""

from collections.abc import Iterator
from typing import Generic, TypeVar

__all__ = ["FIRST", "SequenceOrder"]

Item = TypeVar("Item")

FIRST = 1
"""The first sequence id of a model."""


class SequenceOrder(Generic[Item]):
    """Invariant: everything below `next_id` was released or refused; nothing that waits is at `next_id` or below."""

    def __init__(self) -> None:
        self.next_id = FIRST
        self._waiting: dict[int, Item] = {}
        self._refused: set[int] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def accept(self, seq_id: int, item: Item) -> list[Item]:
        """Take an item whose id is at or above `next_id` and does not wait yet; returns what may go now, in order."""
        if seq_id < self.next_id or seq_id in self._waiting:
            raise ValueError(f"sequence id {seq_id} was accepted before")
        self._refused.discard(seq_id)
        self._waiting[seq_id] = item
        return list(self._released())

    def waits(self, seq_id: int) -> bool:
        """Whether a request with this id would wait for another one to come."""
        return any(between not in self._refused for between in range(self.next_id, seq_id))

    def fills_gap(self, seq_id: int | None) -> bool:
        """Whether others wait for a request with this id, or for one before it."""
        return seq_id is not None and any(other > seq_id for other in self._waiting)

    def refuse(self, seq_id: int) -> None:
        """A request with this id was turned away. Its sender may use the id again, or go on with the next.

        Until it is used again it counts as a gap that need not be filled. Some clients give the id to their next
        request, others never use it again. Whoever comes next shows which: a later id passes it, the same takes its
        place.
        """
        if seq_id >= self.next_id and seq_id not in self._waiting:
            self._refused.add(seq_id)

    def abandon(self) -> list[Item]:
        """Give up the gap: what waits comes back, in order, and the order goes on after it."""
        waiting = [self._waiting[seq_id] for seq_id in sorted(self._waiting)]
        if waiting:
            self.next_id = max(self._waiting) + 1
        self._waiting.clear()
        self._refused = {seq_id for seq_id in self._refused if seq_id >= self.next_id}
        return waiting

    def waiting(self) -> Iterator[Item]:
        """What waits for a gap to be filled."""
        return iter(self._waiting.values())

    def _released(self) -> Iterator[Item]:
        while self._waiting:
            following = self.next_id
            while following in self._refused:
                following += 1
            if following not in self._waiting:
                return
            self._refused = {seq_id for seq_id in self._refused if seq_id > following}
            self.next_id = following + 1
            yield self._waiting.pop(following)
