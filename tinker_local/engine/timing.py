"""How long an engine worked for whoever called it, told beside the results and not in them.

Who wants to know sets `TIMES` in the context of the calling task; an engine that measures adds to it. One that does not
measure adds nothing.
"""

from contextvars import ContextVar

import attrs

__all__ = ["TIMES", "EngineTime"]


@attrs.frozen
class EngineTime:
    """One call. Times are Unix seconds."""

    method: str
    began_at: float
    ended_at: float
    busy_seconds: float
    """Spent on this call: less than from begin to end where other models had their turn in between. A sample shares
    its batch, and counts all of its time.
    """


TIMES: ContextVar[list[EngineTime] | None] = ContextVar("engine_times", default=None)
