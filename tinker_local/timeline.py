"""What happened when, in each session: requests accepted, begun and done, and the engine's time for them.

In memory and bounded: the newest requests of each session, and the sessions that ended last. It does not know what the
requests are, nor how a timeline is shown (`tinker_local.traces`).
"""

from collections import OrderedDict, deque
from collections.abc import Sequence
from contextvars import ContextVar

import attrs

from tinker_local.clock import Clock
from tinker_local.engine.timing import TIMES, EngineTime
from tinker_local.futures import Promise

__all__ = ["OPERATION", "Step", "Timeline"]

OPERATION: ContextVar[str] = ContextVar("operation", default="")
"""The id of the operation that is being answered: what an accepted request is called."""

_MOST_STEPS = 10_000
"""Of one session; some 3 MB."""
_MOST_ENDED = 32
"""Sessions that are over and still have their timeline."""


@attrs.define(eq=False)
class Step:
    """One accepted request. Times are Unix seconds; None is not yet."""

    operation: str
    request_id: str
    accepted_at: float
    began_at: float | None = None
    """When it went to the engine; the engine may have had others before it."""
    ended_at: float | None = None
    failed: bool = False
    engine: list[EngineTime] = attrs.field(factory=list)

    @property
    def track(self) -> str:
        """The model or sampler that it was asked of."""
        return self.request_id.rpartition(":")[0] or self.request_id


class Timeline:
    """The timelines of one service's sessions."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._steps: dict[str, deque[Step]] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()

    def follow(self, promise: Promise) -> None:
        """Note what becomes of a promise; one without a session is not followed."""
        if promise.session_id is None:
            return
        step = Step(OPERATION.get(), promise.request_id, self._clock.wall())

        def begun() -> None:
            step.began_at = self._clock.wall()
            TIMES.set(step.engine)

        def done() -> None:
            step.ended_at = self._clock.wall()
            step.failed = promise.answer is not None and promise.answer.failed

        promise.on_begin = begun
        promise.on_done.append(done)
        self._steps.setdefault(promise.session_id, deque(maxlen=_MOST_STEPS)).append(step)

    def of(self, session_id: str) -> Sequence[Step]:
        """A session's steps, in the order in which they were accepted; none if it has none, or is forgotten."""
        return tuple(self._steps.get(session_id, ()))

    def end_session(self, session_id: str) -> None:
        """It is over; its timeline stays until enough others are."""
        self._ended[session_id] = None
        while len(self._ended) > _MOST_ENDED:
            forgotten, _ = self._ended.popitem(last=False)
            self._steps.pop(forgotten, None)
