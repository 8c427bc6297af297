"""`TokenLedger`: tokens that were read, drawn and trained, and a limit that is kept before anything is asked.

Before a call the most that it can take is reserved; afterwards what it did take is written down, and the rest is free
again. So the limit is never passed, however many calls are under way; where a call cannot say how much it may take, it
is let through while there is anything left. Safe from any thread.
"""

import threading
from collections.abc import Iterable, Mapping
from typing import Final, Literal

from tinker_hl.errors import TinkerError
from tinker_hl.types import Datum, SampleResponse

__all__ = ["KINDS", "BudgetExceededError", "TokenKind", "TokenLedger"]

TokenKind = Literal["prompt", "sampled", "trained"]
KINDS: Final[tuple[TokenKind, ...]] = ("prompt", "sampled", "trained")


class BudgetExceededError(TinkerError):
    """A call would take more tokens than are left; it was not made. Attributes: `asked`, `left`, in tokens."""

    def __init__(self, asked: int, left: int, limit: int) -> None:
        super().__init__(
            f"{asked} tokens may be needed, and {left} of the budget of {limit} are left",
            hint="raise the budget, or ask for less: a lower max_tokens, fewer samples",
        )
        self.asked = asked
        self.left = left
        self.limit = limit

    def __reduce__(self) -> tuple[type["BudgetExceededError"], tuple[int, int, int]]:
        return type(self), (self.asked, self.left, self.limit)


class TokenLedger:
    """Invariant: `total` and what is reserved never exceed `budget`, but by calls that could not say what they take.

    Args:
        budget: Tokens of all kinds together; None for no limit.
        prices: What a million tokens of a kind cost, in any currency; kinds without a price cost nothing.
    """

    def __init__(self, budget: int | None = None, *, prices: Mapping[TokenKind, float] | None = None) -> None:
        if budget is not None and budget < 0:
            raise ValueError(f"budget must be 0 or more tokens, got {budget}")
        unknown = set(prices or {}) - set(KINDS)
        if unknown:
            raise ValueError(f"prices are of {', '.join(KINDS)}, not of {', '.join(sorted(unknown))}")
        self.budget = budget
        self._prices = dict(prices or {})
        self._tokens: dict[TokenKind, int] = dict.fromkeys(KINDS, 0)
        self._reserved = 0
        self._lock = threading.Lock()

    @property
    def tokens(self) -> Mapping[TokenKind, int]:
        """What was taken, by kind."""
        with self._lock:
            return dict(self._tokens)

    @property
    def total(self) -> int:
        """What was taken, of all kinds."""
        return sum(self.tokens.values())

    @property
    def left(self) -> int | None:
        """What may still be asked for; None without a limit."""
        with self._lock:
            return None if self.budget is None else max(0, self._left())

    @property
    def cost(self) -> float:
        """What was taken, by the prices."""
        return sum(self._prices.get(kind, 0.0) * count / 1e6 for kind, count in self.tokens.items())

    def reserve(self, tokens: int | None) -> int:
        """Set tokens aside for a call that is about to be made; give them to `settle` when it is over.

        Args:
            tokens: The most it can take; None where that is not known.

        Returns:
            What was set aside.

        Raises:
            BudgetExceededError: There are not so many left, or none at all.
        """
        with self._lock:
            if self.budget is not None and (tokens or 1) > self._left():
                raise BudgetExceededError(tokens or 1, max(0, self._left()), self.budget)
            self._reserved += tokens or 0
            return tokens or 0

    def settle(self, reserved: int, taken: Mapping[TokenKind, int] | None = None) -> None:
        """A call is over.

        Args:
            reserved: From `reserve`.
            taken: What it took; None for nothing, as of one that failed.
        """
        with self._lock:
            self._reserved -= reserved
            for kind, count in (taken or {}).items():
                self._tokens[kind] += count

    def sampled(self, prompt_tokens: int, response: SampleResponse) -> Mapping[TokenKind, int]:
        """What a sample took, for `settle`: its prompt once, and all that was drawn."""
        drawn = sum(int(sequence.tokens_np.size) for sequence in response.sequences)
        return {"prompt": prompt_tokens, "sampled": drawn}

    def train(self, data: Iterable[Datum]) -> None:
        """Take the tokens of a pass over data: call it before `forward_backward`.

        Raises:
            BudgetExceededError: There are not so many left; nothing was taken.
        """
        count = sum(datum.model_input.known_length or 0 for datum in data)
        self.settle(self.reserve(count), {"trained": count})

    def _left(self) -> int:
        return (self.budget or 0) - sum(self._tokens.values()) - self._reserved
