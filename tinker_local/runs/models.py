"""Models in training, as the service sees them: their order, their lane to the engine, and whether they still exist.

Pure bookkeeping: weights are in the engine. A model that an earlier life of the engine had is known, but lost.
"""

import asyncio
from collections.abc import Callable, Iterator

import attrs

from tinker_local.clock import Clock
from tinker_local.engine.protocol import EngineDiedError, LoraSpec, UserFaultError
from tinker_local.errors import not_found, too_many, unavailable
from tinker_local.futures import Category
from tinker_local.runs.calls import Calls
from tinker_local.runs.order import SequenceOrder
from tinker_local.runs.quota import Quota
from tinker_local.runs.replay import REPLAYED
from tinker_local.runs.sessions import Sessions
from tinker_local.scheduler import Lane, Work
from tinker_local.store.paths import TRAINING
from tinker_local.store.records import Records, RunRecord

__all__ = ["Model", "Models", "model_id_of"]

_MOST_KEYS = 1024
_MOST_HELD = 1024
"""Requests of one model that may wait for a gap to be filled."""


def model_id_of(session_id: str, model_seq_id: int) -> str:
    """A model's id. Clients of 0.24 and later rely on this form."""
    return f"{session_id}:train:{model_seq_id}"


@attrs.define(eq=False)
class Model:
    """One model, whose requests go to the engine in the order of their sequence ids."""

    record: RunRecord
    fingerprint: bytes = b""
    """Of the request that made it; empty after a restart."""
    life: int | None = None
    """Of the engine that has its weights; None until it is made."""
    unloaded: bool = False
    order: SequenceOrder[Work] = attrs.field(factory=SequenceOrder)
    lane: Lane = attrs.field(factory=Lane)
    calls: Calls = attrs.field(factory=Calls)
    saving: asyncio.Lock = attrs.field(factory=asyncio.Lock)
    """Automatic saves are put in place one after the other."""
    gap_since: float | None = None
    """Monotonic: since when requests wait for one that has not come."""
    unnumbered: int = 0
    by_key: dict[str, str] = attrs.field(factory=dict)
    """Request ids of the last requests without a number, by their idempotency keys."""
    dirty: bool = False
    """Whether `record.last_request_at` is newer than what is stored."""

    @property
    def model_id(self) -> str:
        """Its id, which is also its training run's."""
        return self.record.run_id

    @property
    def waiting(self) -> int:
        """Calls that were accepted and have not begun: behind others, or behind a gap."""
        return len(self.order) + len(self.lane)

    def remember_key(self, idempotency_key: str, request_id: str) -> None:
        """A request without a number can be told from its repeats by this key."""
        self.by_key[idempotency_key] = request_id
        if len(self.by_key) > _MOST_KEYS:
            self.by_key.pop(next(iter(self.by_key)))

    def reshape(self, lora: LoraSpec) -> None:
        """It has a checkpoint's shape now."""
        self.record = attrs.evolve(self.record, lora=lora)

    def submit(self, seq_id: int | None, work: Work, now: float) -> None:
        """Carry out the work when its turn comes; without a number, after what has come so far."""
        if seq_id is None:
            self.lane.add(work)
            return
        before = self.order.next_id
        for ready in self.order.accept(seq_id, work):
            ready.promise.held_by = None
            ready.on_turn()
            self.lane.add(ready)
        self._note_gap(before, now)

    def check_room(self, most: int) -> None:
        """Raises `ApiError` 429 if `most` requests wait for the engine, or too many for a gap to be filled."""
        if len(self.lane) >= most:
            raise too_many(f"{most} requests of this model wait already (max_pending_requests); fetch results first")
        if len(self.order) >= _MOST_HELD:
            raise too_many(f"{_MOST_HELD} requests wait for sequence id {self.order.next_id}; send that one first", 5)

    def give_up_gap(self, error: str, category: Category = "user") -> None:
        """Fail what waits for a request that will not come."""
        for work in self.order.abandon():
            work.promise.fail(error, category)
        self.gap_since = None

    def _note_gap(self, before: int, now: float) -> None:
        if not len(self.order):
            self.gap_since = None
        elif self.gap_since is None or self.order.next_id != before:
            self.gap_since = now
        for work in self.order.waiting():
            work.promise.held_by = f"waiting for the request with sequence id {self.order.next_id}"


class Models:
    """All models of open sessions."""

    def __init__(
        self,
        records: Records,
        sessions: Sessions,
        clock: Clock,
        life: Callable[[], int],
        unnumbered: Callable[[str], tuple[int, dict[str, str]]],
        most: int,
    ) -> None:
        """Begin with those of the records.

        Args:
            records: what outlives a restart.
            sessions: those that are open.
            clock: when a model was used.
            life: the engine's present life.
            unnumbered: how many requests without a number an earlier life of the service took for a model, and their
                ids by their idempotency keys.
            most: how many an owner may have.
        """
        self._records = records
        self._sessions = sessions
        self._clock = clock
        self._life = life
        self.unnumbered_before = unnumbered
        self._models: dict[str, Model] = {}
        self._leaving: list[Lane] = []
        """Of models that were forgotten while something of theirs was with the engine, which ends by itself."""
        self._quota = Quota("models", most, "max_models", "unload some, or finish their session")
        self.restoring: dict[str, str] = {}
        """Models that are being brought back, and why, for people; until they are, their clients wait."""
        self.attend: Callable[[Model], None] = lambda _: None
        """Told of each new model."""

    def check_room(self, owner: str) -> None:
        """Raises `ApiError` 400 if this owner may have no more."""
        self._quota.check(owner)

    def add(self, model: Model) -> None:
        """A new model."""
        self._models[model.model_id] = model
        self.attend(model)
        self._quota.more(model.record.owner)

    def freed(self, model: Model) -> None:
        """It was unloaded, and no longer counts."""
        if not model.unloaded:
            model.unloaded = True
            self._quota.fewer(model.record.owner)

    def find(self, model_id: str) -> Model | None:
        """A model of an open session; one that was made before a restart is known by its record."""
        model = self._models.get(model_id)
        if model is None:
            record = self._records.run(model_id)
            if record is None or not record.trainable or not self._sessions.is_open(record.session_id):
                return None
            count, keys = self.unnumbered_before(model_id)
            model = Model(record, life=-1, unnumbered=count, by_key=keys)
            self.add(model)
        return model

    def get(self, model_id: str, owner: str) -> Model:
        """An owner's model, which is noted as used. Raises `ApiError` 404, or 410 if its session is over."""
        self.check_restored(model_id)
        model = self.find(model_id)
        if model is None:
            record = self._records.run(model_id)
            if record is not None and record.owner == owner and record.trainable:
                self._sessions.get(record.session_id, owner)  # tells why it is over
        if model is None or model.record.owner != owner:
            raise not_found(f"no model {model_id[:120]}")
        if model.unloaded:
            raise not_found(f"model {model_id} was unloaded")
        model.record = attrs.evolve(model.record, last_request_at=self._clock.wall())
        model.dirty = True
        return model

    def record(self, model_id: str, owner: str | None) -> RunRecord:
        """What an owner's model is or was; its session may be over. Raises `ApiError` 404."""
        model = self.in_memory(model_id)
        record = model.record if model is not None else self._records.run(model_id)
        if (
            record is None
            or owner not in (None, record.owner)
            or not record.trainable
            or (model is not None and model.unloaded)
        ):
            raise not_found(f"no model {model_id[:120]}")
        return record

    def in_memory(self, model_id: str) -> Model | None:
        """A model that is at hand."""
        return self._models.get(model_id)

    def of_session(self, session_id: str) -> list[Model]:
        """The models of a session that are in memory."""
        return [model for model in self._models.values() if model.record.session_id == session_id]

    def all(self) -> list[Model]:
        """Every model in memory."""
        return list(self._models.values())

    def forget(self, model: Model) -> None:
        """Its session is over."""
        self._leaving = [lane for lane in self._leaving if lane.running]
        if model.lane.running:
            self._leaving.append(model.lane)
        if self._models.pop(model.model_id, None) is not None and not model.unloaded:
            self._quota.fewer(model.record.owner)

    def running(self) -> Iterator["asyncio.Task[None]"]:
        """What is with the engine, of forgotten models too."""
        for lane in [*self._leaving, *(model.lane for model in self._models.values())]:
            yield from lane.running

    async def close(self) -> None:
        """Cancel what is under way, and let nothing begin."""
        for lane in [*self._leaving, *(model.lane for model in self._models.values())]:
            await lane.close()

    def check_restored(self, model_id: str) -> None:
        """Raises `ApiError` 503 while a model is being brought back, for anything but its own earlier calls."""
        if model_id in self.restoring and REPLAYED.get() is None:
            raise unavailable(self.restoring[model_id])

    def is_lost(self, model: Model) -> bool:
        """Whether its weights were in an engine that is no more."""
        return model.life is not None and model.life != self._life()

    def check(self, model: Model) -> None:
        """Raises `EngineDiedError` for a model whose weights are lost, `UserFaultError` for one that never was."""
        if model.life is None:
            raise UserFaultError(f"model {model.model_id} could not be made; its creation's result tells why")
        if self.is_lost(model):
            raise EngineDiedError(self.loss(model))

    def loss(self, model: Model) -> str:
        """What to tell the owner of a lost model."""
        newest = self._records.newest_checkpoint(model.model_id, TRAINING)
        told = (
            f"its newest checkpoint is {newest.path}: make a training client from that one"
            if newest is not None
            else "no checkpoint of it was saved"
        )
        return f"the engine died, and the weights of {model.model_id} in its memory are lost; {told}"
