"""Runs brought back after the death of the engine or of the whole service: the newest automatic save of each is loaded,
and the calls that were accepted after it are carried out again in their order, under the request ids that they had.

What a client sees is a pause. A run that cannot be brought back is lost as without automatic saves: each of its open
requests ends in an error that names its newest checkpoint. It does not know how a call is taken in.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from tinker_local.autosave import Autosaves, state_of
from tinker_local.engine.protocol import EngineError
from tinker_local.errors import ApiError
from tinker_local.futures import Answer, Futures, JsonAnswer, Promise
from tinker_local.runs.models import Model, Models
from tinker_local.runs.replay import REPLAYED
from tinker_local.runs.sessions import Sessions
from tinker_local.scheduler import Work
from tinker_local.store.journal import ABANDONED, REFUSED, Autosave, Entry
from tinker_local.store.records import Records
from tinker_local.supervision import Supervision
from tinker_local.timeline import OPERATION

__all__ = ["Replay", "Restoration"]

logger = logging.getLogger(__name__)

Replay = Callable[[Entry, bytes], Awaitable[None]]
"""Takes a call in again, as it was sent; within it `REPLAYED` is its promise."""

_ATTEMPTS: Final = 3
"""How often a run is brought back whose calls the engine dies of."""
_WITHOUT_EFFECT: Final = frozenset({"forward", "save_weights", "save_weights_external", "save_weights_for_sampler"})
"""Operations that leave their model as it is: with a result, they need not be carried out again."""


class Restoration:
    """Brings runs back, each by a task of its own."""

    def __init__(
        self,
        autosaves: Autosaves,
        records: Records,
        sessions: Sessions,
        models: Models,
        futures: Futures,
        supervision: Supervision,
    ) -> None:
        self._autosaves = autosaves
        self._records = records
        self._sessions = sessions
        self._models = models
        self._futures = futures
        self._supervision = supervision
        self._attempts: dict[str, int] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._under_way: set[asyncio.Task[None]] = set()
        self.replay: Replay | None = None
        """Given by who takes calls in."""

    def find(self) -> None:
        """Find what an earlier life of the service left, before anybody asks for it."""
        for model_id, session_id in self._autosaves.journal.models().items():
            if self._sessions.is_open(session_id):
                self._mark(model_id, "the service was started again, and the run is being restored")
                for entry in self._autosaves.journal.entries(model_id):
                    self._promised(entry)

    def engine_died(self, model: Model) -> bool:
        """Whether a model will be brought back; if so, nothing of it fails now."""
        if model.model_id in self._models.restoring:
            return True
        if not self._autosaves.on or self._models.is_lost(model) or model.unloaded:
            return False
        self._mark(model.model_id, "the engine died, and the run is being restored")
        model.lane.clear()
        return True

    def begin(self) -> None:
        """The engine lives: bring back what waits for that."""
        for model_id in self._models.restoring:
            earlier = self._tasks.get(model_id)
            task = self._tasks[model_id] = asyncio.create_task(self._after(earlier, model_id))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def settled(self) -> None:
        """Return when every run that is being brought back is there, or lost; its calls may still be under way."""
        await self._idle.wait()

    async def close(self) -> None:
        """Give up what is under way."""
        tasks = list(self._under_way)  # one that was begun anew may not have ended yet
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _mark(self, model_id: str, why: str) -> None:
        self._models.restoring[model_id] = why
        self._idle.clear()

    def _unmark(self, model_id: str) -> None:
        self._models.restoring.pop(model_id, None)
        if not self._models.restoring:
            self._idle.set()

    async def _after(self, earlier: "asyncio.Task[None] | None", model_id: str) -> None:
        if earlier is not None and not earlier.done():
            earlier.cancel()
            await asyncio.wait([earlier])
        life = self._supervision.life
        try:
            self._attempts[model_id] = self._attempts.get(model_id, 0) + 1
            if self._attempts[model_id] > _ATTEMPTS:
                raise EngineError(f"the engine died {_ATTEMPTS} times while the run was being restored")
            promises = await self._restored(model_id)
        except Exception as problem:
            if self._supervision.life != life or not self._supervision.ready:
                return  # it died again; the next one begins anew
            await self._give_up(model_id, problem)
            return
        logger.info("the run %s is restored; %d of its calls are carried out again", model_id, len(promises))
        self._unmark(model_id)
        for promise in promises:
            while not promise.done:
                await promise.wait(60)
        self._attempts.pop(model_id, None)
        if not self._autosaves.on:
            await self._autosaves.drop(model_id)

    async def _restored(self, model_id: str) -> list[Promise]:
        """Bring a model back, and have its calls taken in again; returns what they promised."""
        before = self._models.in_memory(model_id)
        if before is not None:
            await before.lane.halt()
        await self._records.write()  # what was accepted until now is in the journal behind this
        saved = self._autosaves.journal.autosave(model_id)
        if before is not None:
            self._models.forget(before)
        if saved is not None:
            self._models.add(await self._loaded(saved, before))
        promises = []
        for entry in self._autosaves.journal.entries(model_id):
            promise = self._promised(entry)
            promises.append(promise)
            await self._again(entry, promise)
        if self._models.in_memory(model_id) is None:
            raise EngineError("neither a save nor the call that made it is there")
        if not self._sessions.is_open(model_id.partition(":")[0]):
            raise EngineError("its session is over")
        return promises

    async def _loaded(self, saved: Autosave, before: Model | None) -> Model:
        record = self._records.run(saved.model_id)
        if record is None:
            raise EngineError("its record is gone")
        self._supervision.require()
        await self._supervision.engine.load_adapter(
            saved.model_id,
            self._supervision.model(record.base_model).name,
            self._autosaves.folders.at(state_of(saved.model_id, saved.version)),
            optimizer=True,
            family=record.lora.optimizer,
        )
        model = Model(record, life=self._supervision.life)
        model.order.next_id = saved.next_id
        if before is not None:
            model.record, model.fingerprint = before.record, before.fingerprint
            model.unnumbered, model.by_key = before.unnumbered, before.by_key
        else:
            model.unnumbered, model.by_key = self._models.unnumbered_before(saved.model_id)
        model.unnumbered = max(model.unnumbered, saved.unnumbered)
        return model

    async def _again(self, entry: Entry, promise: Promise) -> None:
        model = self._models.in_memory(entry.model_id)
        if entry.operation == REFUSED and model is not None and entry.seq_id is not None:
            model.order.refuse(entry.seq_id)
        elif entry.operation == ABANDONED and model is not None:
            model.give_up_gap("it waited for a request that did not come")
        elif promise.done and model is not None and entry.operation in _WITHOUT_EFFECT:
            if entry.seq_id is not None:
                model.submit(entry.seq_id, Work(promise, _nothing, seq_id=entry.seq_id), 0.0)
        else:
            body = await asyncio.to_thread(self._autosaves.journal.body, entry)
            OPERATION.set(entry.operation)
            token = REPLAYED.set(promise)
            try:
                assert self.replay is not None
                await self.replay(entry, body)
            finally:
                REPLAYED.reset(token)
            made = self._models.in_memory(entry.model_id)
            if model is None and made is not None:  # a client sends nothing to a model before it is made, nor do we
                await made.lane.idle()

    def _promised(self, entry: Entry) -> Promise:
        promise = self._futures.find(entry.request_id)
        if promise is None:
            OPERATION.set(entry.operation)
            promise = Promise(
                request_id=entry.request_id,
                owner=entry.owner,
                session_id=entry.session_id,
                model_id=entry.model_id,
                fingerprint=entry.fingerprint,
                idempotency_key=entry.idempotency_key,
            )
            if entry.operation in (REFUSED, ABANDONED):
                promise.fail("it was no request", "user")
                return promise
            self._futures.add(promise)
        promise.journalled = asyncio.get_running_loop().create_future()
        promise.journalled.set_result(None)
        if not promise.done:
            promise.held_by = self._models.restoring.get(entry.model_id)
        return promise

    async def _give_up(self, model_id: str, problem: Exception) -> None:
        told = problem.text if isinstance(problem, ApiError) else str(problem)
        logger.error("the run %s could not be restored: %s", model_id, told)
        entries = self._autosaves.journal.entries(model_id)
        half = self._models.in_memory(model_id)
        if half is not None:
            half.lane.clear()
            self._models.forget(half)
        self._unmark(model_id)
        model = self._models.find(model_id)
        why = f"{model_id} could not be restored" if model is None else self._models.loss(model)
        for entry in entries:
            self._promised(entry).fail(f"{why} ({told})", "server")
        await self._autosaves.drop(model_id)


async def _nothing() -> Answer:
    return JsonAnswer({})
