"""The calls of one model since its newest automatic save, and whether it may be saved: bookkeeping alone."""

from collections.abc import Iterable

import attrs

from tinker_local.scheduler import Mark, Work

__all__ = ["Calls"]


@attrs.define(eq=False)
class Calls:
    """What went to the engine since the newest automatic save."""

    begun: dict[str, int | None] = attrs.field(factory=dict)
    """Request ids in the order of the calls, with their sequence ids."""
    steps: int = 0
    """Optimizer steps among them."""
    _gathered: int = 0
    """Passes with gradients, counted for ever."""
    _applied: int = 0
    """How many of these a finished step has used up."""

    def begin(self, work: Work) -> None:
        """A call goes to the engine."""
        self.begun[work.promise.request_id] = work.seq_id
        if work.mark == "gather":
            self._gathered += 1
        elif work.mark == "step":
            self.steps += 1
            self._apply(work, self._gathered)

    def due(self, mark: Mark, every: int, most: int) -> bool:
        """Whether to save behind the call that was begun last: after `every` steps, loaded weights, or `most` calls."""
        if mark == "step":
            return self.steps >= every
        return mark == "load" or (len(self.begun) >= most and self._gathered == self._applied)

    def covered(self, begun: Iterable[tuple[str, int | None]]) -> None:
        """A save stands for these."""
        for request_id, _ in begun:
            self.begun.pop(request_id, None)

    def _apply(self, work: Work, gathered: int) -> None:
        def done() -> None:
            if work.promise.answer is not None and not work.promise.answer.failed:
                self._applied = max(self._applied, gathered)

        if work.promise.done:
            done()
        else:
            work.promise.on_done.append(done)
