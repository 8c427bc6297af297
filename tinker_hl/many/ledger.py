"""`TokenLedger`: tokens that were read, drawn and trained, and a limit that is kept before anything is asked.

Before a call the most that it can take is reserved; afterwards what it did take is written down, and the rest is free
again. So the limit is never passed, however many calls are under way; where a call cannot say how much it may take, it
is let through while there is anything left. Safe from any thread.

A ledger that watches a client counts all that this client does by itself: it is a guard of its calls and a listener of
its events.
"""

import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final, Literal

from tinker_hl import loop
from tinker_hl.errors import TinkerError
from tinker_hl.events import Event, EventBus
from tinker_hl.token_counts import pass_tokens
from tinker_hl.types import Datum, SampleResponse

if TYPE_CHECKING:
    from tinker_hl import ServiceClient

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
        self._watches: weakref.WeakKeyDictionary[EventBus, _Watch] = weakref.WeakKeyDictionary()
        loop.reset_after_fork(self)

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
        count = pass_tokens(data)
        self.settle(self.reserve(count), {"trained": count})

    def watch(self, service: "ServiceClient") -> Callable[[], None]:
        """Count all that a client does from now on, and all clients made by it; refuse what would pass the budget.

        A sample takes its prompt once, and what was drawn; a pass, with or without gradients, takes its data as
        trained, also where nobody waits for its result any more; a custom loss that is evaluated here is two passes. A
        refused call ends in a `BudgetExceededError` before anything of it is sent: a pass raises it, a sample's future
        does. The passes of a `TrainingRun` are refused before they are written down, replays are not.

        Args:
            service: One client or, by further calls, several: they share the budget.

        Returns:
            A function that ends it; calls under way are not counted any more.

        Raises:
            ValueError: It watches this client already.
        """
        events = service._session.connection.events
        watch = _Watch(self)
        with self._lock:
            if events in self._watches:
                raise ValueError("this ledger watches the client already, and would count all of it twice")
            self._watches[events] = watch
        ends = events.guard(watch.admit), events.subscribe(watch.hear)

        def end() -> None:
            for stop in ends:
                stop()
            with self._lock:
                if self._watches.get(events) is watch:
                    del self._watches[events]
            watch.end()

        return end

    def watches(self, events: EventBus) -> bool:
        """Whether what these events tell is counted without anybody's help."""
        with self._lock:
            return events in self._watches

    def after_fork(self) -> None:
        """A thread of the parent may have held the lock; its calls are not the child's."""
        self._lock = threading.Lock()
        self._reserved = 0
        for watch in self._watches.values():
            watch.forget()

    def _left(self) -> int:
        return (self.budget or 0) - sum(self._tokens.values()) - self._reserved


class _Watch:
    """Holds what the calls of one client may still take. Invariant: a call that has ended holds nothing."""

    def __init__(self, ledger: TokenLedger) -> None:
        self._ledger = ledger
        self._ended = False
        self.forget()

    def forget(self) -> None:
        """Nothing is held."""
        self._lock = threading.Lock()
        self._held: dict[int, int] = {}

    def admit(self, event: Event) -> None:
        """A guard: sets aside what the call may take. Raises `BudgetExceededError` if there is not so much left."""
        if "most_tokens" not in event.fields:
            return
        reserved = self._ledger.reserve(event.fields["most_tokens"])
        with self._lock:
            if event.call_id is not None and not self._ended:
                self._held[event.call_id] = reserved
                return
        self._ledger.settle(reserved)

    def hear(self, event: Event) -> None:
        """A listener: writes down what was taken, and frees what was not."""
        if event.kind == "tokens":
            taken: dict[TokenKind, int] = {kind: event.fields[kind] for kind in KINDS if kind in event.fields}
            self._ledger.settle(self._released(event.call_id, sum(taken.values())), taken)
        elif event.kind == "ended":
            self._ledger.settle(self._released(event.call_id))

    def end(self) -> None:
        """Free all that calls under way hold."""
        with self._lock:
            self._ended = True
            held, self._held = sum(self._held.values()), {}
        self._ledger.settle(held)

    def _released(self, call_id: int | None, most: int | None = None) -> int:
        """What a call held, of which `most` at most is given back now; None for all, as at its end."""
        if call_id is None:
            return 0
        with self._lock:
            held = self._held.pop(call_id, 0)
            if most is None or most >= held:
                return held
            self._held[call_id] = held - most
            return most
