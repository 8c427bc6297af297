"""One call of a training run: what it asks, the way it is made, and where its result goes.

A call can be made again: on the same model under the numbers that it had, or on another one. One that changes the model
has a content that a journal keeps; the others have none and are only made again while somebody waits for them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

import attrs
import orjson

from tinker_hl.clients.ordered import parsed
from tinker_hl.futures import APIFuture
from tinker_hl.model_calls import ModelCalls, Pass
from tinker_hl.operations import optim_step
from tinker_hl.recovery.errors import JournalError
from tinker_hl.recovery.journal import CallRow
from tinker_hl.recovery.recorded_datums import read_datums, recorded_datums
from tinker_hl.turns import Turn
from tinker_hl.types import OptimStepResponse

__all__ = ["Content", "NumberedTurn", "RunCall", "SameNumbersTurn", "StepContent", "pass_content", "read_content"]

R = TypeVar("R")

FORWARD_BACKWARD, OPTIM_STEP = "forward_backward", "optim_step"


@attrs.frozen(kw_only=True)
class PassContent:
    """A pass with gradients."""

    work: Pass
    """Its chunks are fixed, so that the sums are taken in the same order again."""

    async def perform(self, calls: ModelCalls, turn: Turn) -> Any:
        """Make the call."""
        return await calls.run_pass(turn, self.work)

    def row(self, number: int, step: int) -> CallRow:
        """What is kept; compresses the datums."""
        work = self.work
        fields = {
            "call": work.call,
            "loss_fn": work.loss_fn,
            "loss_fn_config": dict(work.loss_fn_config) if work.loss_fn_config else None,
            "chunks": [[chunk.start, chunk.stop] for chunk in work.chunks or ()],
        }
        return CallRow(
            number=number, step=step, operation=FORWARD_BACKWARD, fields=fields, data=recorded_datums(work.data)
        )


@attrs.frozen(kw_only=True)
class StepContent:
    """An optimizer step."""

    fields: Mapping[str, Any]
    """As they are sent, but for the model and the number."""

    async def perform(self, calls: ModelCalls, turn: Turn) -> Any:
        """Make the call."""
        payload = await calls.single(turn, optim_step.asyncio_detailed, "OptimStep", self.fields)
        return parsed(payload, OptimStepResponse)

    def row(self, number: int, step: int) -> CallRow:
        """What is kept."""
        return CallRow(number=number, step=step, operation=OPTIM_STEP, fields=self.fields)


Content = PassContent | StepContent


async def pass_content(calls: ModelCalls, work: Pass) -> PassContent:
    """A pass as the journal keeps it, cut into requests by the server's limits."""
    return PassContent(work=attrs.evolve(work, chunks=work.chunks or await calls.plan(work.data)))


def read_content(row: CallRow) -> Content:
    """What a row of the journal asks for. Raises `JournalError` for one that this release does not know."""
    if row.operation == OPTIM_STEP:
        return StepContent(fields=row.fields)
    if row.operation != FORWARD_BACKWARD or row.data is None:
        raise JournalError(f"call {row.number} of the journal is a {row.operation!r}, which this release cannot make")
    work = Pass(
        call=row.fields["call"],
        data=read_datums(row.data),
        loss_fn=row.fields["loss_fn"],
        loss_fn_config=row.fields["loss_fn_config"],
        backward=True,
        chunks=[range(start, stop) for start, stop in row.fields["chunks"]],
    )
    return PassContent(work=work)


@attrs.define(eq=False, kw_only=True)
class RunCall:
    """One call. Invariant: `outcome` is settled once, by whichever attempt ends the call."""

    name: str
    """The public method."""
    perform: Callable[[ModelCalls, Any], Coroutine[Any, Any, Any]]
    """Makes it, in a given turn of a given model."""
    content: Content | None = None
    """What changes the model; None for a call that does not."""
    number: int = 0
    """Its place among all calls of the run."""
    outcome: "asyncio.Future[Any]" = attrs.field(factory=lambda: asyncio.get_running_loop().create_future())
    attempt: APIFuture[Any] | None = None
    """The attempt that counts."""
    ids: range | None = None
    """The sequence ids under which it was submitted last."""
    posted: asyncio.Event = attrs.field(factory=asyncio.Event)
    """Set when the server has taken it."""
    suspect: bool = False
    """Whether its result was doubted once already."""

    @classmethod
    def of_content(cls, content: Content, number: int = 0) -> "RunCall":
        """A call that changes the model."""
        name = content.work.call if isinstance(content, PassContent) else "TrainingClient.optim_step"
        return cls(name=name, perform=content.perform, content=content, number=number)

    def settle(self, result: Any) -> None:
        """It has its result."""
        if not self.outcome.done():
            self.outcome.set_result(result)

    def fail(self, error: BaseException) -> None:
        """It has none."""
        if not self.outcome.done():
            self.outcome.set_exception(error)
            self.outcome.exception()  # whoever made the call may have gone


class NumberedTurn:
    """A turn that notes under which ids its call is submitted."""

    def __init__(self, turn: Turn, call: RunCall) -> None:
        self._turn = turn
        self._call = call
        self.name = turn.name

    async def submit(self, count: int, send: Callable[[range], Awaitable[R]], *, keep: bool = False) -> R:
        """See `Turn.submit`."""

        async def noted(ids: range) -> R:
            self._call.ids = ids
            return await send(ids)

        result = await self._turn.submit(count, noted, keep=keep)
        self._call.posted.set()
        return result


class SameNumbersTurn:
    """A turn that has come already: its call is submitted again under the ids that it had.

    A server that took it before gives the same promise; one that did not takes it now.
    """

    def __init__(self, call: RunCall, ids: range) -> None:
        self._call = call
        self._ids = ids
        self.name = call.name

    async def submit(self, count: int, send: Callable[[range], Awaitable[R]], *, keep: bool = False) -> R:
        """Submit at once."""
        if count != len(self._ids):
            raise RuntimeError(f"{self.name} had {len(self._ids)} requests and has {count} now")
        result = await send(self._ids)
        self._call.posted.set()
        return result


def metrics_of(result: Any) -> dict[str, float]:
    """The metrics that a result has, if any."""
    metrics: Mapping[str, float] | None = getattr(result, "metrics", None)
    return dict(metrics or {})


def step_fields(request: Any) -> dict[str, Any]:
    """A request as plain JSON values."""
    fields: dict[str, Any] = orjson.loads(orjson.dumps(request.wire_dict(), option=orjson.OPT_SERIALIZE_NUMPY))
    return fields
