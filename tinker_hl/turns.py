"""Turns: training calls reach the server in the order in which they were made.

A call reserves its turn in the calling thread, before anything else happens; encoding and everything else that can
fail locally overlaps freely. When all earlier turns have ended the call has the turn: it takes the next sequence ids,
submits, spends the ids that the server took, and ends its turn. So a call that is cancelled, fails locally or is
refused outright spends nothing and leaves no gap. When it cannot be known whether the server took a call, or it took
only a part of it, no later call can be right: the turns are broken, and every later call fails with an error that names
the first failure. What was being submitted then is kept, so that it can be sent again under the same ids.

It knows nothing of requests, sessions or models.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, TypeVar

import attrs

from tinker_hl import loop

__all__ = ["LostSubmission", "PartlyTakenError", "Turn", "Turns"]

R = TypeVar("R")


class PartlyTakenError(Exception):
    """The server took some of a call's requests and not the others; `__cause__` says why."""


@attrs.frozen
class LostSubmission:
    """What was being submitted when the order broke: nobody knows whether the server took it."""

    ids: range
    send: Callable[[range], Awaitable[Any]]
    """Submits the same content again, under given ids; it holds the content."""


class Turn:
    """One call's place in the order.

    Invariant: it ends once, after its last submission or when its call is given up, whichever is later.
    """

    __slots__ = ("_given_up", "_ready", "_sending", "_turns", "ended", "name")

    def __init__(self, turns: "Turns", name: str) -> None:
        self._turns = turns
        self._ready: asyncio.Future[None] | None = None
        self._sending = False
        self._given_up = False
        self.ended = False
        self.name = name

    async def submit(self, count: int, send: Callable[[range], Awaitable[R]], *, keep: bool = False) -> R:
        """Wait for the turn and submit; only on the loop thread.

        Once begun, the submission goes on when its caller is cancelled: cut off halfway nobody would know whether the
        server took it.

        Args:
            count: How many sequence ids the call needs.
            send: Submits under the given ids.
            keep: Whether to keep the turn for another submission.

        Raises:
            Exception: What `send` raised, or the error of turns that an earlier call broke.
        """
        await self._come()
        self._sending = True
        return await asyncio.shield(loop.spawn(self._send(count, send, keep), name="tinker-hl-submission", shared=True))

    def give_up(self) -> None:
        """The call is over: let the next one have its turn, after what is being submitted. Safe to repeat."""
        self._given_up = True
        if not self._sending:
            self._end()

    async def _come(self) -> None:
        if self.ended:
            raise asyncio.CancelledError("the call was interrupted while it was being made")
        if not self._turns._is_first(self):
            self._ready = asyncio.get_running_loop().create_future()
            await self._ready
        self._turns.raise_if_broken(self.name)

    async def _send(self, count: int, send: Callable[[range], Awaitable[R]], keep: bool) -> R:
        over = True
        ids = range(self._turns.next_id, self._turns.next_id + count)
        try:
            result = await send(ids)
            self._turns.next_id += count
            over = not keep
            return result
        except PartlyTakenError as error:
            cause = error.__cause__ or error
            self._turns.fail(self.name, cause, LostSubmission(ids, send))
            raise cause from None
        except BaseException as error:
            if not self._turns.certainly_not_taken(error):
                self._turns.fail(self.name, error, LostSubmission(ids, send))
            raise
        finally:
            self._sending = False
            if over or self._given_up:
                self._end()

    def _end(self) -> None:
        if not self.ended:
            self.ended = True
            self._turns._advance()

    def _wake(self) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)


class Turns:
    """The order of one model's training calls. Invariant: at most one turn is had at a time, the oldest not ended.

    Args:
        certainly_not_taken: Whether an error of a submission means that the server did not take it.
        broken_error: Makes the error of a call (its name) that comes after a call (its name) whose failure was fatal.
        next_id: The first sequence id to spend; 0 made the model.
    """

    def __init__(
        self,
        certainly_not_taken: Callable[[BaseException], bool],
        broken_error: Callable[[str, str, BaseException], Exception],
        next_id: int = 1,
    ) -> None:
        self.next_id = next_id
        self.certainly_not_taken = certainly_not_taken
        self._broken_error = broken_error
        self._queue: deque[Turn] = deque()
        self._lock = threading.Lock()
        self._failure: tuple[str, BaseException] | None = None
        self.lost: LostSubmission | None = None
        """What the first failure left open; whoever settles it sets it to None, which frees its content."""
        loop.reset_after_fork(self)

    def reserve(self, name: str) -> Turn:
        """Take the next place; thread-safe, and does not wait.

        Args:
            name: What the call is, for errors.

        Raises:
            RuntimeError: Called by code that the turn before this one waits for.
        """
        turn = Turn(self, name)
        self.enter(turn)
        return turn

    def enter(self, turn: Turn) -> None:
        """Let a turn take the next place; see `reserve`."""
        if waited_for.get() is self:
            raise RuntimeError(
                f"{turn.name} was called on a training client from inside its own custom loss, which would wait for "
                "itself; use another client there, or return first"
            )
        with self._lock:
            self._queue.append(turn)

    @property
    def is_broken(self) -> bool:
        """Whether every later turn raises."""
        return self._failure is not None

    def fail(self, name: str, error: BaseException, lost: LostSubmission | None = None) -> None:
        """Break the order: every later turn raises. The first failure counts.

        Args:
            name: The call that failed.
            error: Why.
            lost: The submission whose fate is unknown.
        """
        if self._failure is None:
            self._failure, self.lost = (name, error), lost

    def raise_if_broken(self, name: str) -> None:
        """Raise the error of a broken order, a fresh one for each caller."""
        if self._failure is not None:
            raise self._broken_error(name, *self._failure)

    def after_fork(self) -> None:
        """The calls under way are the parent's; the child starts with an empty queue."""
        self._lock = threading.Lock()
        self._queue = deque()

    def _is_first(self, turn: Turn) -> bool:
        with self._lock:
            return bool(self._queue) and self._queue[0] is turn

    def _advance(self) -> None:
        with self._lock:
            while self._queue and self._queue[0].ended:
                self._queue.popleft()
            first = self._queue[0] if self._queue else None
        if first is not None:
            first._wake()


waited_for: ContextVar[Turns | None] = ContextVar("waited_for", default=None)
"""The turns that wait for the running code: set around user code that runs between two submissions of one turn."""
