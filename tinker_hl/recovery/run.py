"""`TrainingRun`: a training loop that outlives the death of its service and of its own process.

It puts together what the other modules do: the journal, the client that keeps its model, the checkpoints on schedule,
the monitor, and what the user wants to have again. What a step computes is the loop's business.
"""

import asyncio
import math
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import attrs
import orjson

from tinker_hl import loop
from tinker_hl.clients.training import TrainingClient
from tinker_hl.errors import ConfigurationError, NotFoundError, SessionClosedError, TinkerError
from tinker_hl.futures import APIFuture
from tinker_hl.recovery.conductor import Conductor
from tinker_hl.recovery.detection import Detection
from tinker_hl.recovery.events import tell
from tinker_hl.recovery.executor import RecoveryExecutor
from tinker_hl.recovery.journal import Journal, SavedPoint, StepRow
from tinker_hl.recovery.monitor import RecoveryMonitor
from tinker_hl.recovery.policy import RecoveryPolicy
from tinker_hl.recovery.random_states import Generator, random_states, restore_random_states
from tinker_hl.recovery.run_call import RunCall
from tinker_hl.recovery.run_client import RunClient, save_request
from tinker_hl.recovery.schedule import CheckpointSchedule
from tinker_hl.recovery.successors import Successors
from tinker_hl.token_counts import pass_tokens
from tinker_hl.types import Datum, SaveWeightsRequest

if TYPE_CHECKING:
    from tinker_hl.clients.service import ServiceClient

__all__ = ["TrainingRun"]

BEGINNING = -1
"""The number of the step before the first."""
SAVE = "TrainingRun.checkpoint"


class TrainingRun:
    """A training loop whose lost steps are made again, exactly as they were.

    Use it in a `with` or an `async with` block. Entered on a folder without a journal, it makes the model; on one with
    a journal, it goes on where that ends. Left without an error, it saves the model for good; left by an error, it can
    be entered again in another process.

    Invariant: when `steps` begins step n, the steps before it are written down as a whole, and each of their calls that
    was answered counts exactly once in the model.

    Args:
        service: The client whose server trains.
        folder: Of the journal; one for each run.
        make: Makes the training client at the very beginning: `lambda: service.create_lora_training_client(...)`.
        schedule: When the run is saved.
        policy: What is done about trouble; None recovers with the defaults.
        generators: Random generators by name, whose states are part of the run: `random.Random`, numpy's, torch's.

    Raises:
        ConfigurationError: The policy asks for what a replay cannot do.
        JournalError: On entering: another process makes this run.
        RecoveryFailedError: On entering: the model could not be made again. From a call: it was lost, and could not.
    """

    def __init__(
        self,
        service: "ServiceClient",
        folder: str | os.PathLike[str],
        make: Callable[[], TrainingClient],
        *,
        schedule: CheckpointSchedule | None = None,
        policy: RecoveryPolicy | None = None,
        generators: Mapping[str, Generator] | None = None,
    ) -> None:
        self._policy = policy or RecoveryPolicy(enabled=True)
        if self._policy.checkpoint_strategy != "latest" or not self._policy.restore_optimizer:
            raise ConfigurationError(
                "a TrainingRun goes back to its newest checkpoint, optimizer included, and replays what came after; "
                "for checkpoint_strategy='best', a path, or restore_optimizer=False use a RecoveryExecutor"
            )
        self.schedule = schedule or CheckpointSchedule()
        self.folder = Path(folder)
        self._service = service
        self._make = make
        self._generators = dict(generators or {})
        random_states(self._generators)  # refuses what it does not know before anything is made
        self._state: dict[str, Any] = {}
        self._step = 0
        self._final: str | None = None
        self._entered = False
        self._saved_at = 0.0
        self._saved_step = 0
        self._tokens = 0
        self._saving: asyncio.Task[None] | None = None
        self._ended_at = 0

    # What the loop uses.

    @property
    def client(self) -> TrainingClient:
        """The training client; it stays valid whatever happens to its model."""
        self._refuse_outside()
        return self._client

    @property
    def step(self) -> int:
        """The number of the step that is to be made, from 0."""
        return self._step

    @property
    def state(self) -> dict[str, Any]:
        """What you want to have again: position in the data, best loss, ...; JSON values. Kept at each step's end."""
        return self._state

    @property
    def final_path(self) -> str | None:
        """The checkpoint at the end of the run; None before."""
        return self._final

    def steps(self, total: int) -> "_Steps":
        """The numbers of the steps that are left until there are `total`, for a `for` or an `async for` loop."""
        self._refuse_outside()
        return _Steps(self, total)

    def end_step(self) -> APIFuture[None]:
        """All calls of a step have been made; `steps` calls it. The future is done when they are written down.

        Raises:
            ConfigurationError: `state` holds what JSON cannot.
            RecoveryFailedError: From the future: the run cannot go on.
        """
        self._refuse_outside()
        kept = self._kept()
        step, self._step = self._step, self._step + 1
        return self._conductor.in_order(lambda: self._end_step(step, kept))

    def checkpoint(self) -> APIFuture[None]:
        """Save the run at the end of the newest step, schedule or not. The future is done when that is acknowledged.

        Raises:
            ConfigurationError: From the future: a step is under way, or gradients wait for an optimizer step.
        """
        self._refuse_outside()
        return APIFuture(self._checkpointed())

    # The block.

    def __enter__(self) -> Self:
        self._refuse_again()
        self._enter(Journal(self.folder)).result()
        return self

    async def __aenter__(self) -> Self:
        self._refuse_again()
        # Another process may be about to let go of it, which is waited for.
        await self._enter(await asyncio.to_thread(Journal, self.folder))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave(error).result()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._leave(error)

    def __repr__(self) -> str:
        return f"TrainingRun({str(self.folder)!r}, step={self._step})"

    def _enter(self, journal: Journal) -> APIFuture[None]:
        self._entered = True
        self._journal = journal
        session = self._service._session
        self._events = session.connection.events
        # Where recovery is off, going on from a journal is one attempt.
        policy = self._policy if self._policy.enabled else attrs.evolve(self._policy, max_attempts=1)
        executor = RecoveryExecutor(self._service, attrs.evolve(policy, enabled=True))
        successors = Successors(session)
        self._conductor = Conductor(self._journal, executor, successors, self._policy, self._watch)
        self._client = RunClient(self._conductor, self._count)
        self._monitor = RecoveryMonitor(self._service.create_rest_client(), self._policy, _Handover(self._conductor))
        return APIFuture(self._begin())

    async def _begin(self) -> None:
        try:
            last = await loop.in_worker(self._journal.last_step)
            points = await loop.in_worker(self._journal.checkpoints)
            if last is None or not points:
                await self._begin_fresh()
            else:
                await self._resume(last, points[0])
        except BaseException as error:
            await self._conductor.stop(SessionClosedError(f"the training run did not begin: {error}"))
            self._journal.close()
            raise
        self._saved_at = time.monotonic()
        if self._policy.enabled:
            await self._monitor._start()

    async def _begin_fresh(self) -> None:
        await loop.in_worker(self._journal.drop_calls_after, 0)
        made = await loop.in_user_thread(self._make)
        client = await made if isinstance(made, APIFuture) else made
        await self._conductor.begin(client)
        beginning = StepRow(step=BEGINNING, last_call=0, state=orjson.loads(self._kept()))
        await loop.in_worker(self._journal.end_step, beginning)
        # Without it a lost model could only be made anew, with other weights where no seed was given.
        await self._conductor.in_order(lambda: self._save("start", BEGINNING, must=True))
        await self._saving_done()

    async def _resume(self, last: StepRow, point: SavedPoint) -> None:
        dropped = await loop.in_worker(self._journal.drop_calls_after, last.last_call)
        if dropped:
            self._tell("replayed", f"{dropped} calls of step {last.step + 1}, which had not ended, are forgotten")
        self._state = dict(last.state.get("state", {}))
        restore_random_states(self._generators, last.state.get("random", {}))
        self._step = self._conductor.step = last.step + 1
        self._ended_at = last.last_call
        self._saved_step = point.step + 1
        self._final = point.path if not point.rolling and point.step == last.step else None
        await self._conductor.resume(point, last.last_call)
        self._ended_at = self._conductor.last_number

    def _leave(self, error: BaseException | None) -> APIFuture[None]:
        if error is not None:
            return APIFuture(self._end(SessionClosedError("the training run was left by an error")))
        kept = self._kept()
        return APIFuture(self._finish(kept))

    async def _finish(self, kept: bytes) -> None:
        problem: TinkerError = SessionClosedError("the training run has ended")
        try:
            if self._final is None or self._conductor.last_number > self._ended_at:
                await self._conductor.in_order(lambda: self._finished(kept))
                await self._saving_done()
                await self._drop_older(keep=0)
        except TinkerError as error:
            problem = error
            raise
        finally:
            await self._end(problem)

    async def _finished(self, kept: bytes) -> None:
        if self._conductor.last_number > self._ended_at:
            step, self._step = self._step, self._step + 1
            await self._write_step(step, kept)
        await self._saving_done()
        await self._save(self.schedule.final_name, self._step - 1, must=True, rolling=False)

    async def _end(self, error: TinkerError) -> None:
        self._monitor._stop()
        await self._conductor.stop(error)
        if self._saving is not None:
            self._saving.cancel()
        await loop.in_worker(self._journal.close)

    # Steps.

    def _kept(self) -> bytes:
        """The user's state as it is now."""
        try:
            return orjson.dumps(
                {"state": self._state, "random": random_states(self._generators)}, option=orjson.OPT_SERIALIZE_NUMPY
            )
        except TypeError as error:
            raise ConfigurationError(f"TrainingRun.state must hold JSON values only: {error}") from error

    async def _end_step(self, step: int, kept: bytes) -> None:
        await self._write_step(step, kept)
        is_due = self.schedule.is_due(
            steps=step + 1 - self._saved_step, seconds=time.monotonic() - self._saved_at, tokens=self._tokens
        )
        idle = self._saving is None or self._saving.done()
        if is_due and idle and self._conductor.is_sound and not self._conductor.gradients_wait:
            await self._save(f"step-{step + 1:06d}", step)

    async def _write_step(self, step: int, kept: bytes) -> None:
        self._conductor.raise_if_over()
        row = StepRow(step=step, last_call=self._conductor.last_number, state=orjson.loads(kept))
        await loop.in_worker(self._journal.end_step, row)
        self._ended_at = row.last_call
        self._final = None
        self._conductor.step = step + 1

    def _count(self, data: Sequence[Datum]) -> None:
        self._tokens += pass_tokens(data)

    # Checkpoints.

    async def _checkpointed(self) -> None:
        await self._saving_done()
        await self._conductor.in_order(self._save_now)
        await self._saving_done()

    async def _save_now(self) -> None:
        if self._conductor.last_number > self._ended_at or self._conductor.gradients_wait:
            raise ConfigurationError(
                "a checkpoint of a TrainingRun is made between steps: end_step() first, and after an optim_step"
            )
        await self._save(f"step-{self._step:06d}-now-{self._conductor.last_number}", self._step - 1, must=True)

    async def _save(self, name: str, step: int, *, must: bool = False, rolling: bool = True) -> None:
        """Save in the order of the calls; `_saving` is done when that was acknowledged and written down."""
        metrics = dict(self._conductor.metrics)
        request = SaveWeightsRequest(
            model_id="",
            path=name,
            ttl_seconds=self.schedule.ttl_seconds if rolling else None,
            user_metadata={"step": str(step + 1)} | {key: repr(value) for key, value in metrics.items()},
        )
        call = RunCall(name=SAVE, perform=save_request(request))
        await self._conductor.begin_call(call)
        self._ended_at = call.number
        self._saved_at, self._saved_step, self._tokens = time.monotonic(), step + 1, 0
        self._saving = loop.spawn(self._acknowledged(call, step, metrics, must=must, rolling=rolling), shared=True)

    async def _acknowledged(
        self, call: RunCall, step: int, metrics: Mapping[str, float], *, must: bool, rolling: bool
    ) -> None:
        try:
            path = (await call.outcome).path
        except TinkerError as error:
            if must:
                raise
            self._tell("checkpoint_failed", f"after step {step}: {error}; the next one will be tried")
            return
        await self._conductor.answered_before(call.number)
        finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
        point = SavedPoint(path=path, step=step, after_call=call.number, rolling=rolling, metrics=finite)
        await loop.in_worker(self._journal.add_checkpoint, point)
        if not rolling:
            self._final = path
        self._tell("checkpointed", path, path=path, step=step)
        await self._drop_older(keep=self.schedule.keep)

    async def _saving_done(self) -> None:
        if self._saving is not None:
            await asyncio.shield(self._saving)

    async def _drop_older(self, keep: int) -> None:
        """Delete rolling checkpoints beyond the newest ones; what cannot be deleted now goes by its time to live."""
        rolling = [point for point in await loop.in_worker(self._journal.checkpoints) if point.rolling]
        for point in rolling[keep:]:
            try:
                await self._service.create_rest_client().delete_checkpoint_from_tinker_path(point.path)
            except NotFoundError:
                pass  # deleted already, by an attempt whose answer was lost
            except TinkerError as error:
                self._tell("checkpoint_failed", f"{point.path} was not deleted: {error}")
            await loop.in_worker(self._journal.drop_checkpoint, point.path)

    # Trouble.

    def _watch(self, client: TrainingClient) -> None:
        """A model to watch; one before it is not watched any more."""
        for run_id in self._monitor.watched:
            self._monitor.unwatch(run_id)
        if self._policy.enabled:
            self._monitor.watch(client.model_id, probe=self._conductor.stuck)

    def _tell(self, stage: Any, detail: str, **fields: Any) -> None:
        tell(self._events, stage, str(self.folder), detail, **fields)

    def _refuse_again(self) -> None:
        if self._entered:
            raise ConfigurationError("this TrainingRun was entered already; make another one on the same folder")

    def _refuse_outside(self) -> None:
        if not self._entered:
            raise ConfigurationError("a TrainingRun is used in a `with` or an `async with` block")


class _Handover:
    """What the run's monitor hands troubled models to."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor

    def submit(self, detection: Detection, client: TrainingClient | None = None, checkpoint: str | None = None) -> None:
        """Replace the run's model."""
        self._conductor.submit_detection(detection)


class _Steps:
    """The steps of a run that are left; each one is ended when the next is asked for."""

    def __init__(self, run: TrainingRun, total: int) -> None:
        self._run = run
        self._total = total

    def __iter__(self) -> Iterator[int]:
        while (step := self._run.step) < self._total:
            yield step
            if self._run.step == step:
                self._run.end_step().result()

    async def __aiter__(self) -> AsyncIterator[int]:
        while (step := self._run.step) < self._total:
            yield step
            if self._run.step == step:
                await self._run.end_step()
