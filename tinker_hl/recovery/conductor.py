"""Makes the calls of one training run, on whatever model it has at the time, so that each one counts exactly once.

A call is written to the journal, then made, and marked when it was answered. When the model is in doubt, the calls that
are open are submitted again under their numbers; when it is gone, another one is made from the newest checkpoint, and
everything after that is made again in its order: what had been answered before, and what is still open, whose callers
get the result as if nothing had happened.

It knows no verb, no schedule, and nothing of the user's state. Everything here runs on the loop thread.
"""

import asyncio
import copy
import itertools
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextvars import ContextVar
from typing import Any

import attrs

from tinker_hl import loop
from tinker_hl.clients.model_making import TrainedModel
from tinker_hl.clients.recovery import retire
from tinker_hl.clients.training import TrainingClient
from tinker_hl.custom_loss.metrics import with_surrogate_metrics
from tinker_hl.custom_loss.own_thread import in_own_thread
from tinker_hl.custom_loss.surrogate import Surrogate
from tinker_hl.errors import ConflictError, RequestFailedError, TinkerError
from tinker_hl.futures import APIFuture
from tinker_hl.model_calls import ModelCalls, MovedError, Pass
from tinker_hl.recovery.detection import (
    Detection,
    LossSpikes,
    is_the_callers,
    model_may_live,
    non_finite_metric,
    trouble_of,
)
from tinker_hl.recovery.errors import JournalError, MissingCheckpointError, RecoveryFailedError
from tinker_hl.recovery.events import tell
from tinker_hl.recovery.executor import RecoveryExecutor
from tinker_hl.recovery.journal import Journal, SavedPoint
from tinker_hl.recovery.policy import RecoveryPolicy
from tinker_hl.recovery.run_call import (
    Content,
    NumberedTurn,
    PassContent,
    RunCall,
    SameNumbersTurn,
    metrics_of,
    pass_content,
    read_content,
)
from tinker_hl.recovery.successors import Successors
from tinker_hl.session import Session
from tinker_hl.types import Datum, ForwardBackwardOutput

__all__ = ["Conductor"]

REPLAYED_AT_ONCE = 8
"""Calls under way while a run is replayed: enough to keep a server busy, few enough to hold in memory."""
CALL = "TrainingRun"
VERIFIES = "yes"
"""What a journal has noted of a run whose results are verified."""


class _ModelGoneError(Exception):
    """Calls that were submitted again came to nothing; `__cause__` says why."""


class Conductor:
    """See the module. Invariant: each call of the journal that was answered is in the model, and none is in it twice.

    Args:
        journal: Of the run.
        executor: Makes attempts, waits between them, tells callbacks.
        successors: Where other models come from.
        policy: Of the run; `enabled` says whether anything is recovered.
        on_new_client: Told of each model that the run goes on with.
    """

    def __init__(
        self,
        journal: Journal,
        executor: RecoveryExecutor,
        successors: Successors,
        policy: RecoveryPolicy,
        on_new_client: Callable[[TrainingClient], None] = lambda client: None,
    ) -> None:
        self._journal = journal
        self._executor = executor
        self._policy = policy
        self._successors = successors
        self._on_new_client = on_new_client
        self._order = asyncio.Lock()
        self._well = asyncio.Event()
        self._client: TrainingClient | None = None
        self._own_session: Session | None = None
        self._verifies = False
        self._open: dict[int, RunCall] = {}
        self._numbers = itertools.count(1)
        self._last_started = 0
        self._failure: TinkerError | None = None
        self._fruitless = 0
        self._last_answer = 0.0
        self._spikes = None if self._policy.loss_spike is None else LossSpikes(self._policy.loss_spike)
        self.step = 0
        """The step that calls belong to now."""
        self.last_number = 0
        """Of the last call that was written down or made."""
        self.gradients_wait = False
        """Whether a pass was made since the last optimizer step."""
        self.is_sound = True
        """Whether the last losses and gradient norms were finite numbers."""
        self.metrics: dict[str, float] = {}
        """The newest value of each metric."""

    # The model.

    @property
    def client(self) -> TrainingClient:
        """The client of the model that there is now."""
        if self._client is None:
            raise RuntimeError("the training run has no model yet: use it in a `with` block")
        return self._client

    async def begin(self, client: TrainingClient) -> None:
        """Go on with a model that has everything that was written down; results are verified if its client does so."""
        self._verifies = client._calls.verifies
        await self._adopt(client, own=False)

    async def resume(self, point: SavedPoint, up_to: int) -> None:
        """Go on where a journal ends.

        Args:
            point: The checkpoint to begin with.
            up_to: The last call to make again.

        Raises:
            RecoveryFailedError: It could not be done in the attempts that the executor makes.
        """
        self._numbers = itertools.count(max(up_to, point.after_call) + 1)
        self.last_number = self._last_started = max(up_to, point.after_call)
        self._verifies = await loop.in_worker(self._journal.noted, "verify") == VERIFIES
        before = await loop.in_worker(self._journal.noted, "session_id")
        if before is not None:
            # The process that had it is dead, or could not have left the journal to this one.
            await self._successors.finish(before)
        run_id = await loop.in_worker(self._journal.noted, "model_id") or point.path
        await self._executor.recover(run_id, checkpoint=point.path, restore=self._restored)

    # Calls.

    def submit(self, name: str, perform: Callable[[ModelCalls, Any], Coroutine[Any, Any, Any]]) -> APIFuture[Any]:
        """Make a call that does not change the model."""
        return self._future(lambda: self._made(RunCall(name=name, perform=perform)))

    def submit_pass(self, work: Pass) -> APIFuture[Any]:
        """Make a pass; one with gradients is written down."""
        return self._future(lambda: self._passed(work))

    def submit_step(self, content: Content) -> APIFuture[Any]:
        """Make an optimizer step, which is written down."""
        return self._future(lambda: self._made(RunCall.of_content(content)))

    def submit_custom(
        self, name: str, first: list[Datum], evaluation: Callable[[ForwardBackwardOutput], Surrogate]
    ) -> APIFuture[Any]:
        """Make the two passes of a custom loss; the second, which has its result, is written down."""
        return self._future(lambda: self._customized(name, first, evaluation))

    def in_order(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> APIFuture[Any]:
        """Do something else after all calls made so far were written down, and before those made later."""

        async def locked() -> Any:
            async with self._order:
                return await work()

        return self._future(locked)

    async def begin_call(self, call: RunCall) -> None:
        """Make a call now, from within `in_order`."""
        self.raise_if_over()
        if call.content is not None:
            call.number = next(self._numbers)
            row = await loop.in_worker(call.content.row, call.number, self.step)
            await loop.in_worker(self._journal.add_call, row)
            self.gradients_wait = isinstance(call.content, PassContent)
        else:
            call.number = next(self._numbers)
        self.last_number = call.number
        await self._well.wait()
        if self._failure is not None:
            await self._settled(call, self._failure)
            return
        self._last_started = call.number
        self._attempt(call, self.client._calls)

    async def answered_before(self, number: int) -> None:
        """Wait until all calls before this one have ended: until then a replay may still have to make them again."""
        await asyncio.gather(
            *(call.outcome for call in list(self._open.values()) if call.number < number), return_exceptions=True
        )

    async def stop(self, error: TinkerError) -> None:
        """Make no calls any more; open ones end with this error. What was written down stays."""
        self._failure = self._failure or error
        for call in list(self._open.values()):
            self._detach(call)
            call.fail(self._failure)
        self._open.clear()
        self._well.set()

    # Trouble.

    def submit_detection(self, detection: Detection) -> None:
        """Something is wrong with the model, as a monitor has told: replace it."""
        if detection.run_id == self.client.model_id:
            self._trouble(detection)

    def stuck(self) -> Detection | None:
        """Whether calls are open and none has been answered for too long."""
        patience, now = self._policy.stuck_after, asyncio.get_running_loop().time()
        if patience is None or not self._open or now - self._last_answer < patience:
            return None
        detail = f"no call was answered for {now - self._last_answer:.0f} s, and {len(self._open)} are open"
        return Detection(run_id=self.client.model_id, reason="stuck", detail=detail)

    # How calls are made.

    def _future(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> APIFuture[Any]:
        if _inside_loss.get() is self:
            raise RuntimeError(
                "a training client was called from inside its own custom loss, which would wait for itself; use "
                "another client there, or return first"
            )

        async def shielded() -> Any:
            # Once begun it goes on when its caller is cancelled: what is written down half-way is made to the end.
            return await asyncio.shield(loop.spawn(work(), name="tinker-hl-run-call", shared=True))

        return APIFuture(shielded())

    async def _made(self, call: RunCall) -> Any:
        async with self._order:
            await self.begin_call(call)
        return await call.outcome

    async def _passed(self, work: Pass) -> Any:
        return await self._verified(work, await self._pass_made(work))

    async def _pass_made(self, work: Pass) -> Any:
        async with self._order:
            call = await self._pass_call(work)
            await self.begin_call(call)
        return await call.outcome

    async def _verified(self, work: Pass, output: ForwardBackwardOutput, *, ordered: bool = False) -> Any:
        """A result, held against the formula of its loss if the run does so. The pass counts in any case: it was made.

        Args:
            work: The pass.
            output: Its result.
            ordered: Whether the caller holds the order, so that no passes can be made to find the place of a mistake.
        """
        if self._verifies:
            from tinker_hl.losses.verification import Expectation, verify_pass

            def forward(data: Sequence[Datum]) -> APIFuture[ForwardBackwardOutput]:
                again = attrs.evolve(work, data=data, backward=False, chunks=None)
                return self._future(lambda: self._pass_made(again))

            expected = Expectation(work.data, work.loss_fn, work.loss_fn_config)
            await verify_pass(expected, output, None if ordered else forward)
        return output

    async def _pass_call(self, work: Pass) -> RunCall:
        content = await pass_content(self.client._calls, work)
        if work.backward:
            return RunCall.of_content(content)
        return RunCall(name=work.call, perform=content.perform)

    async def _customized(
        self, name: str, first: list[Datum], evaluation: Callable[[ForwardBackwardOutput], Surrogate]
    ) -> Any:
        async with self._order:
            forward = Pass(call=name, data=first, loss_fn="cross_entropy", loss_fn_config=None, backward=False)
            content = await pass_content(self.client._calls, forward)
            call = RunCall(name=name, perform=content.perform)
            await self.begin_call(call)
            output = await self._verified(content.work, await call.outcome, ordered=True)
            token = _inside_loss.set(self)
            try:
                surrogate = await in_own_thread(evaluation, output)
            finally:
                _inside_loss.reset(token)
            second = attrs.evolve(content.work, data=surrogate.data, backward=True)
            call = RunCall.of_content(PassContent(work=second))
            await self.begin_call(call)
        result = await self._verified(second, await call.outcome)
        return with_surrogate_metrics(result, surrogate.loss, surrogate.metrics)

    def _attempt(self, call: RunCall, calls: ModelCalls) -> None:
        """Make a call on a model, in the next turn."""
        if not self._open:
            self._last_answer = asyncio.get_running_loop().time()
        self._open[call.number] = call
        try:
            future = self._started(call, calls)
        except Exception as error:  # the session is over
            call.attempt = None
            loop.spawn(self._failed(call, error))
            return
        self._watch(call, future)

    def _watch(self, call: RunCall, future: APIFuture[Any]) -> None:
        call.attempt = future
        loop.spawn(self._watched(call, future))

    def _started(self, call: RunCall, calls: ModelCalls) -> APIFuture[Any]:
        call.ids = None
        call.posted = asyncio.Event()
        return calls.start(
            call.name,
            lambda turn: APIFuture(call.perform(calls, NumberedTurn(turn, call)), on_end=turn.give_up),
        )

    async def _watched(self, call: RunCall, future: APIFuture[Any]) -> None:
        try:
            result = await future
        except (Exception, asyncio.CancelledError) as error:
            if call.attempt is future:
                await self._failed(call, error)
        else:
            if call.attempt is future:
                await self._answered(call, result)

    def _detach(self, call: RunCall) -> None:
        """An attempt does not count any more."""
        attempt, call.attempt = call.attempt, None
        if attempt is not None:
            attempt.cancel()

    # How calls end.

    async def _answered(self, call: RunCall, result: Any) -> None:
        metrics = metrics_of(result)
        broken = non_finite_metric(metrics) if self._policy.non_finite else None
        if broken is not None and self._policy.enabled and not call.suspect:
            # Once more, from the checkpoint: if it is the data's fault and no machine's, it will be the same again.
            call.suspect = True
            detail = f"{call.name} answered {broken} = {metrics[broken]}"
            self._found(Detection(run_id=self.client.model_id, reason="non_finite", detail=detail))
            return
        self.is_sound = broken is None
        self.metrics.update(metrics)
        self._look_for_spike(metrics)
        await self._settled(call, result=result)

    async def _failed(self, call: RunCall, error: BaseException) -> None:
        untaken = not call.posted.is_set()
        refused = is_the_callers(error) and (untaken or isinstance(error, RequestFailedError))
        name_taken = isinstance(error, ConflictError) and call.content is None and untaken
        over = not self._policy.enabled or self._executor._connection.closed
        if over or refused or name_taken:
            await self._settled(call, error)
        else:
            self._found(trouble_of(self.client.model_id, error))

    async def _settled(self, call: RunCall, error: BaseException | None = None, result: Any = None) -> None:
        """Write down how a call ended, then tell whoever made it."""
        call.attempt = None
        try:
            if call.content is not None and error is None:
                await loop.in_worker(self._journal.mark_applied, call.number, metrics_of(result))
            elif call.content is not None and error is not None and is_the_callers(error):
                await loop.in_worker(self._journal.drop_call, call.number)
        except JournalError as problem:
            error = problem
        self._open.pop(call.number, None)
        self._fruitless = 0
        self._last_answer = asyncio.get_running_loop().time()
        if error is None:
            call.settle(result)
        else:
            call.fail(error)

    def _look_for_spike(self, metrics: dict[str, float]) -> None:
        loss = metrics.get("loss:sum", metrics.get("loss:mean"))
        if self._spikes is not None and loss is not None and self._spikes.is_spike(loss):
            self._tell("detected", f"a loss of {loss:g} stands out", reason="loss_spike", loss=loss)

    # How a model is replaced.

    def _found(self, detection: Detection) -> None:
        if self._well.is_set() and self._failure is None:
            self._tell("detected", detection.detail, reason=detection.reason)
        self._trouble(detection)

    def _trouble(self, detection: Detection) -> None:
        if not self._well.is_set() or self._failure is not None:
            return  # it is being seen to, or nothing can be done
        self._well.clear()
        loop.spawn(self._recover(detection), name="tinker-hl-recovery")

    async def _recover(self, detection: Detection) -> None:
        try:
            for call in self._open.values():
                self._detach(call)
            self._fruitless += 1
            if self._fruitless > self._policy.max_attempts:
                fruitless = self._fruitless - 1
                raise RecoveryFailedError(
                    f"{fruitless} recoveries in a row brought no result; the last trouble: {detection.detail}",
                    attempts=fruitless,
                )
            await self._replaced(detection)
        except Exception as error:
            await self._give_up(error)
        finally:
            self._well.set()

    async def _replaced(self, detection: Detection) -> None:
        old, hopeless = self.client, detection.error is None or not model_may_live(detection.error)
        points = await loop.in_worker(self._journal.checkpoints)
        if not points:
            raise MissingCheckpointError(f"the journal {self._journal.path} names no checkpoint")

        async def restore(_path: str) -> TrainingClient:
            nonlocal hopeless
            if not hopeless:
                try:
                    return await self._same_model()
                except _ModelGoneError as gone:
                    hopeless = True
                    self._tell("failed", f"the model does not go on: {gone.__cause__}")
            return await self._restored(_path)

        await self._executor.recover(old.model_id, client=old, checkpoint=points[0].path, restore=restore)

    async def _give_up(self, error: Exception) -> None:
        if not isinstance(error, TinkerError):
            error = RecoveryFailedError(f"{type(error).__name__}: {error}")
        if not isinstance(error, RecoveryFailedError):
            error = RecoveryFailedError(f"the training run cannot go on: {error.message}", hint=error.hint)
        await self.stop(error)

    async def _same_model(self) -> TrainingClient:
        """Submit what is open again, under its numbers. Raises `_ModelGoneError` where the server will not have it."""
        old = self.client
        await retire(old._calls)
        new = ModelCalls(old._calls.session)
        new.states = old._calls.states
        taken = [call.ids.stop for call in self._open.values() if call.ids is not None]
        new.begin(old.model_id, max([old._calls.turns.next_id, *taken]))
        old._calls.turns.lost = None
        gate = new.turns.reserve(CALL)
        try:
            for call in list(self._open.values()):
                await self._submitted_again(call, new)
        finally:
            gate.give_up()
        client = TrainingClient(TrainedModel(new, old.get_info()))
        await self._adopt(client, own=self._own_session is new.session)
        return client

    async def _submitted_again(self, call: RunCall, calls: ModelCalls) -> None:
        if call.ids is None:
            self._attempt(call, calls)
            return
        call.posted = asyncio.Event()
        future = APIFuture(call.perform(calls, SameNumbersTurn(call, call.ids)))
        ways = [loop.spawn(each, shared=True) for each in (call.posted.wait(), future.result_async())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
        if call.posted.is_set():
            self._watch(call, future)
            return
        for other in self._open.values():
            self._detach(other)
        error = future.exception()
        if error is not None and model_may_live(error) and not is_the_callers(error):
            raise error
        raise _ModelGoneError from error

    async def _restored(self, _path: str) -> TrainingClient:
        """Another model, from the newest checkpoint of the journal, with everything after it made again.

        The newest may be a newer one than at the first attempt, which saved it.
        """
        point = (await loop.in_worker(self._journal.checkpoints))[0]
        client = await self._successors.make(point.path, optimizer=True)
        await self._replay(client._calls, point)
        await self._adopt(client, own=True)
        return client

    async def _replay(self, calls: ModelCalls, point: SavedPoint) -> None:
        written = await loop.in_worker(self._journal.call_numbers, point.after_call, self._last_started)
        numbers = sorted({*written, *self._open})
        window: deque[tuple[RunCall, APIFuture[Any]]] = deque()
        try:
            for number in numbers:
                window.append(await self._made_again(number, calls))
                if len(window) >= REPLAYED_AT_ONCE:
                    await self._replayed(*window.popleft())
            while window:
                await self._replayed(*window.popleft())
        except BaseException:
            for _, future in window:
                future.cancel()
            raise
        if numbers:
            self._tell("replayed", f"{len(numbers)} calls after {point.path}", calls=len(numbers))

    async def _made_again(self, number: int, calls: ModelCalls) -> tuple[RunCall, APIFuture[Any]]:
        call = self._open.get(number)
        if call is None:
            row = await loop.in_worker(self._journal.call, number)
            call = RunCall.of_content(read_content(row), number)
        return call, self._started(call, calls)

    async def _replayed(self, call: RunCall, future: APIFuture[Any]) -> None:
        try:
            result = await future
        except TinkerError as error:
            if not is_the_callers(error):
                raise
            await self._settled(call, error)
            return
        if call.number in self._open:
            call.suspect = True  # what a fresh model answers is the run's own, whatever it is
            await self._answered(call, result)
        else:
            await self._compare(call.number, metrics_of(result))

    async def _compare(self, number: int, metrics: dict[str, float]) -> None:
        """Tell of a replay that the server did not compute as it did the first time."""
        row = await loop.in_worker(self._journal.call, number)
        before = {name: value for name, value in (row.metrics or {}).items() if value is not None}
        different = sorted(name for name, value in before.items() if name in metrics and metrics[name] != value)
        if different:
            named = ", ".join(f"{name} {before[name]!r} then, {metrics[name]!r} now" for name in different)
            self._tell("replay_differs", f"call {number} ({row.operation}): {named}", number=number)

    async def _adopt(self, client: TrainingClient, *, own: bool) -> None:
        before, self._client = self._client, client
        session = client._calls.session
        if before is not None and before._calls is not client._calls:
            before._calls.turns.fail(CALL, MovedError("the training run went on with another client"))
        replaced, self._own_session = self._own_session, session if own else None
        if replaced is not None and replaced is not session:
            loop.spawn(replaced.finish("interrupted"), own_context=True)
        client._calls.verifies = self._verifies
        noted = {"session_id": str(session.session_id), "model_id": client.model_id}
        await loop.in_worker(lambda: self._journal.note(**noted, verify=VERIFIES if self._verifies else ""))
        self._last_answer = asyncio.get_running_loop().time()
        self._on_new_client(client)
        if before is None:
            self._well.set()

    def raise_if_over(self) -> None:
        """Raise if the run cannot go on."""
        if self._failure is not None:
            raise copy.copy(self._failure)  # a fresh one for each caller

    def _tell(self, stage: Any, detail: str, **fields: Any) -> None:
        run_id = self._client.model_id if self._client is not None else ""
        connection = self._executor._connection
        tell(connection.events, stage, run_id, detail, **fields)


_inside_loss: ContextVar[Conductor | None] = ContextVar("_inside_loss", default=None)
"""The run whose custom loss the running code is."""
