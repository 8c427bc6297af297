"""Automatic saves of models in training: after every N optimizer steps, and after weights were loaded.

A save holds adapter and optimizer, not gathered gradients, so it is taken only where there are none: the engine is told
to save right behind the step, before the model's next call. Once it is in place, the calls before it leave the journal.
It does not know how a run is brought back (`tinker_local.restoration`).
"""

import asyncio
import logging
import uuid
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from tinker_local.autosave_room import AutosaveRoom
from tinker_local.engine.protocol import EngineDiedError, EngineError, UserFaultError
from tinker_local.errors import unavailable
from tinker_local.futures import Answer, Futures, JsonAnswer, Promise
from tinker_local.runs.models import Model, Models
from tinker_local.scheduler import Work
from tinker_local.store.folders import Folders
from tinker_local.store.journal import ABANDONED, REFUSED, Autosave, Entry, Journal
from tinker_local.store.paths import SAMPLER, TRAINING, CheckpointPath
from tinker_local.supervision import Supervision

__all__ = ["Autosaves", "snapshot_of", "state_of"]

logger = logging.getLogger(__name__)

_MOST_CALLS: Final = 256
"""Calls after which a model is saved without a step, once no gradients wait: the journal shall not grow for ever."""
_FEW_CALLS: Final = 16
"""The same while the journal is short of room; and then a model is saved after each step."""
_PATIENCE_SECONDS: Final = 60.0

_Begun = tuple[tuple[str, int | None], ...]
"""Request ids and sequence ids, in the order of the calls."""


def state_of(model_id: str, version: str) -> CheckpointPath:
    """Where an automatic save is, under a root of its own."""
    return CheckpointPath(model_id, TRAINING, version)


def snapshot_of(sampler_id: str) -> CheckpointPath:
    """Where the weights of a sampling session are that has no checkpoint, under the same root."""
    return CheckpointPath(sampler_id, SAMPLER, "snapshot")


class Autosaves:
    """The automatic saves and the journal of one service."""

    def __init__(
        self,
        journal: Journal,
        folders: Folders,
        supervision: Supervision,
        futures: Futures,
        models: Models,
        every: int | None,
        most: int,
    ) -> None:
        """`every` is after how many optimizer steps a model is saved; None saves nothing and journals nothing. `most`
        bytes are on the disk for that.
        """
        self.journal = journal
        self.folders = folders
        self._supervision = supervision
        self._futures = futures
        self._models = models
        self._every = every
        self.room = AutosaveRoom(folders, lambda: journal.size, most)

    @property
    def on(self) -> bool:
        """Whether models are saved."""
        return self._every is not None

    def check_room(self, size: int = 0) -> None:
        """Raises `ApiError` 429 if models are saved, and there is no room for a call of so many bytes."""
        if self._every is not None:
            self.room.check(size)

    def attend(self, model: Model) -> None:
        """Save this model from now on, if any."""
        if self._every is not None:
            model.lane.follow = partial(self._follow, model, self._every)

    async def accepted(
        self, operation_id: str, answer: Mapping[str, Any], raw: bytes, *, protobuf: bool, idempotency_key: str | None
    ) -> None:
        """Return when an accepted training call is durable; called before its sender is told, at once.

        Raises:
            ApiError: 503: it could not be written down. It may be carried out nevertheless; its repeat tries again.
        """
        promise = self._futures.find(str(answer.get("request_id")))
        if self._every is None or promise is None or promise.model_id is None or promise.session_id is None:
            return
        if promise.journalled is None:
            model = self._models.in_memory(promise.model_id)
            if promise.done or (model is not None and self._models.is_lost(model)):
                return  # it was carried out in an earlier life, or never will be
            number = promise.request_id.rpartition(":")[2]
            entry = Entry(
                model_id=promise.model_id,
                request_id=promise.request_id,
                operation=operation_id,
                seq_id=int(number) if number.isdecimal() and number != "0" else None,
                session_id=promise.session_id,
                owner=promise.owner,
                fingerprint=promise.fingerprint,
                idempotency_key=idempotency_key,
                protobuf=protobuf,
            )
            promise.journalled = self.journal.add(entry, raw)
        written = promise.journalled
        try:
            await asyncio.shield(written)
        except Exception as problem:
            if promise.journalled is written:
                promise.journalled = None
            logger.error("the call %s could not be written to the journal: %s", promise.request_id, problem)
            raise unavailable("the call could not be made durable; send it again") from None

    def snapshot(self, model_id: str, sampler_id: str) -> Coroutine[Any, Any, None]:
        """Save the weights of a sampling session, so that it can be made again; the engine is told at the call."""
        staged = self.folders.stage()
        saving = self._supervision.engine.save_adapter(model_id, staged, optimizer=False)
        return self._snapshot(saving, staged, model_id, sampler_id)

    async def _snapshot(self, saving: Coroutine[Any, Any, None], staged: Path, model_id: str, sampler_id: str) -> None:
        try:
            await saving
            about = {"model_id": model_id}
            size = await asyncio.to_thread(self.folders.commit, staged, snapshot_of(sampler_id), about)
            self.room.snapshot(sampler_id, size)
            if self._models.in_memory(model_id) is None:  # its session ended meanwhile
                await self._delete(sampler_id)
            await self._make_room()
        except BaseException:
            self.folders.discard(staged)
            raise

    def refused(self, model: Model, seq_id: int) -> None:
        """A request with this number was turned away, so that others may pass it by."""
        self._note(model, REFUSED, seq_id)

    def abandoned(self, model: Model) -> None:
        """What waited for a missing request was given up."""
        self._note(model, ABANDONED, model.order.next_id - 1)

    def _note(self, model: Model, what: str, seq_id: int) -> None:
        if self._every is None:
            return
        entry = Entry(
            model_id=model.model_id,
            request_id=f"{model.model_id}:{what}:{seq_id}",
            operation=what,
            seq_id=seq_id,
            session_id=model.record.session_id,
            owner=model.record.owner,
        )
        self.journal.add(entry, b"").add_done_callback(_logged)

    async def drop(self, model_id: str) -> None:
        """Forget all of a model."""
        await self.journal.drop(model_id)
        await self._delete(model_id)

    async def drop_session(self, session_id: str) -> None:
        """Forget all of a session, its samplers' weights included."""
        await self.journal.drop_session(session_id)
        await self._delete_where(lambda run_id: run_id.startswith(f"{session_id}:"))

    async def tidy(self, is_open: Callable[[str], bool]) -> None:
        """Delete what belongs to no open session, and states that a newer one replaced; for the start."""
        for model_id, session_id in self.journal.models().items():
            if not is_open(session_id):
                await self.journal.drop(model_id)
        await self._delete_where(lambda run_id: not is_open(run_id.partition(":")[0]))
        for model_id in self.journal.models():
            newest = self.journal.autosave(model_id)
            for path in self.folders.paths(model_id, TRAINING):
                if newest is None or path.name != newest.version:
                    self.folders.delete(path)
        await asyncio.to_thread(self.room.measure, lambda run_id: bool(self.folders.paths(run_id, SAMPLER)))
        await self._make_room()

    async def _make_room(self) -> None:
        """Let go what was used least lately, if there is too much."""
        for sampler_id in self.room.excess():
            logger.warning(
                "the weights of %s are no longer on the disk (max_autosave_bytes): if the engine dies they are lost",
                sampler_id,
            )
            await self._delete(sampler_id)

    async def _delete_where(self, over: Callable[[str], bool]) -> None:
        for run_id in await asyncio.to_thread(self.folders.runs):
            if over(run_id):
                await self._delete(run_id)

    async def _delete(self, run_id: str) -> None:
        await asyncio.to_thread(self.folders.delete_run, run_id)
        self.room.gone(run_id)

    def _follow(self, model: Model, every: int, work: Work) -> Work | None:
        """The save that comes right behind a call, if one is due."""
        calls = model.calls
        calls.begin(work)
        crowded = self.room.crowded
        due = calls.due(work.mark, 1 if crowded else every, _FEW_CALLS if crowded else _MOST_CALLS)
        if self._models.is_lost(model) or not due:
            return None
        calls.steps = 0
        promise = Promise(request_id=f"{model.model_id}:autosave", owner=model.record.owner)
        save = partial(self._saved, model, work.promise, tuple(calls.begun.items()), every)
        return Work(promise, save, lost=lambda: "the engine died during an automatic save")

    async def _saved(self, model: Model, last: Promise, begun: _Begun, every: int) -> Answer:
        staged = self.folders.stage()
        try:
            await self._supervision.engine.save_adapter(model.model_id, staged, optimizer=True)
            for request_id, _ in begun:
                await self._ended(request_id)
            if last.answer is None or last.answer.failed:
                model.calls.steps = every - 1  # gradients may be waiting still, which a save would lose
                raise UserFaultError("the call before the automatic save failed")
            async with model.saving:
                await self._put(model, begun, staged)
        except BaseException as problem:
            self.folders.discard(staged)
            if isinstance(problem, (EngineError, OSError)) and not isinstance(problem, EngineDiedError):
                logger.warning("the automatic save of %s failed: %s", model.model_id, problem)
            raise
        return JsonAnswer({})

    async def _ended(self, request_id: str) -> None:
        """Return when a call has its result, whose row is on the way to the disk then."""
        promise = self._futures.find(request_id)
        while promise is not None and not promise.done:
            await promise.wait(_PATIENCE_SECONDS)

    async def _put(self, model: Model, begun: _Begun, staged: Path) -> None:
        before = self.journal.autosave(model.model_id)
        numbers = [seq_id + 1 for _, seq_id in begun if seq_id is not None]
        autosave = Autosave(
            model_id=model.model_id,
            session_id=model.record.session_id,
            version=uuid.uuid4().hex,
            next_id=max([1 if before is None else before.next_id, *numbers]),
            unnumbered=model.unnumbered,
        )
        about = {"next_id": autosave.next_id, "version": autosave.version}
        size = await asyncio.to_thread(self.folders.commit, staged, state_of(model.model_id, autosave.version), about)
        self.room.state(model.model_id, size)
        present = self._models.in_memory(model.model_id)
        if present is not model:
            if present is None:  # its session ended
                await self._delete(model.model_id)
            raise EngineDiedError("the model went away during its automatic save")
        await self.journal.saved(autosave, [request_id for request_id, _ in begun])
        model.calls.covered(begun)
        for path in await asyncio.to_thread(self.folders.paths, model.model_id, TRAINING):
            if path.name != autosave.version:
                await asyncio.to_thread(self.folders.delete, path)
        await self._make_room()


def _logged(written: "asyncio.Future[None]") -> None:
    if not written.cancelled() and (problem := written.exception()) is not None:
        logger.error("the journal could not be written: %s", problem)
