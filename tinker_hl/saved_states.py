"""The states that a model could be made again from: where it came from, and what was saved of it since.

It does not know how a state is saved or loaded.
"""

import itertools

import attrs

__all__ = ["SavedState", "SavedStates"]


@attrs.frozen
class SavedState:
    """A saved state."""

    path: str
    optimizer: bool = True
    """Whether the optimizer's state belongs to it."""
    weights_access_token: str | None = attrs.field(default=None, repr=False)


class SavedStates:
    """The states of one model. Invariant: `newest` is the one whose call was made last, whenever its result came."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._newest: tuple[int, SavedState] | None = None

    @property
    def newest(self) -> SavedState | None:
        """The one to go on from; None while there is none."""
        return None if self._newest is None else self._newest[1]

    def expect(self) -> int:
        """A number for a call that will save or load a state; taken in the order of the calls."""
        return next(self._numbers)

    def keep(self, number: int, state: SavedState) -> None:
        """The call with this number has saved or loaded a state."""
        if self._newest is None or self._newest[0] < number:
            self._newest = (number, state)
