"""Samplers: what a sampling session samples from, and the engine's half of it.

The engine's half is made when it is needed, once in each life of the engine, shared by all who sample from the same
weights, and freed with the last of them. Weights that were only ever in the engine's memory cannot be made again.
"""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import attrs

from tinker_local.engine.protocol import EngineDiedError, EngineError, UserFaultError
from tinker_local.errors import bad_request, not_found
from tinker_local.runs.quota import Quota
from tinker_local.runs.sessions import Sessions
from tinker_local.store.folders import Folders
from tinker_local.store.paths import CheckpointPath
from tinker_local.store.records import Records, SamplerRecord
from tinker_local.supervision import Supervision

__all__ = ["CLONE", "MOST_CLIENTS", "EngineSamplers", "Sampler", "Samplers", "Source", "sampler_id_of"]

CLONE = 1_000_000_000
"""Sequence ids that one client of a sampling session has for itself."""
MOST_CLIENTS = 65_536
"""Copies of a client that one sampling session may have: each has news of its own in memory.

Their numbers may lie anywhere below 2^63 / `CLONE`: many releases of the official SDK draw them at random.
"""


def sampler_id_of(session_id: str, sampling_session_seq_id: int) -> str:
    """A sampling session's id."""
    return f"{session_id}:sample:{sampling_session_seq_id}"


@attrs.frozen
class Source:
    """Weights to sample from: a base model's, a checkpoint's (`path`), or some in the engine's memory (`in_memory`)."""

    key: str
    """The engine's name for it; the same weights have the same."""
    base_model: str
    path: CheckpointPath | None = None
    version: str | None = None
    in_memory: bool = False

    @classmethod
    def of_base(cls, base_model: str) -> "Source":
        """A base model without an adapter."""
        return cls(f"base:{base_model}", base_model)

    @classmethod
    def of_checkpoint(cls, path: CheckpointPath, version: str, base_model: str) -> "Source":
        """A checkpoint as it was saved under that version."""
        return cls(f"{path}@{version}", base_model, path, version)

    @classmethod
    def of_record(cls, record: SamplerRecord) -> "Source":
        """What a sampling session was opened on."""
        if record.model_path is not None and record.version is not None:
            path = CheckpointPath.parse(record.model_path)
            return cls.of_checkpoint(path, record.version, record.base_model)
        if record.model_id is not None:
            return cls(record.sampler_id, record.base_model, in_memory=True)
        return cls.of_base(record.base_model)


@attrs.define
class _Held:
    source: Source
    users: int = 0
    life: int | None = None
    making: "asyncio.Task[None] | None" = None


class EngineSamplers:
    """The engine's samplers, counted by their users."""

    def __init__(
        self, supervision: Supervision, records: Records, folders: Folders, snapshot: Callable[[str], Path]
    ) -> None:
        """`snapshot` tells where a sampling session's own weights are, if they were saved."""
        self._supervision = supervision
        self._records = records
        self._folders = folders
        self._snapshot = snapshot
        self._held: dict[str, _Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    async def close(self) -> None:
        """Give up what is being made."""
        making = [held.making for held in self._held.values() if held.making is not None]
        for task in making:
            task.cancel()
        if making:
            await asyncio.wait(making)

    def hold(self, source: Source) -> None:
        """One more user."""
        self._held.setdefault(source.key, _Held(source)).users += 1

    async def made(self, source: Source) -> bool:
        """The engine has it, from elsewhere than here. Whether somebody holds it still; if not, it is freed again."""
        held = self._held.get(source.key)
        if held is None:
            await self._supervision.engine.unload_sampler(source.key)
            return False
        held.life = self._supervision.life
        return True

    def lost(self, source: Source) -> None:
        """It was in the memory of an engine that is no more."""
        self._held[source.key].life = -1

    async def release(self, source: Source) -> None:
        """One user less; the last one's leaving frees it."""
        held = self._held.get(source.key)
        if held is None:
            return
        held.users -= 1
        if held.users > 0:
            return
        del self._held[source.key]
        if held.making is not None:
            await asyncio.wait([held.making])
            if source.key in self._held:
                return  # somebody has come meanwhile, who needs it
        if held.life == self._supervision.life and self._supervision.ready:
            with contextlib.suppress(EngineDiedError):  # what it had died with it
                await self._supervision.engine.unload_sampler(source.key)

    async def ready(self, source: Source) -> None:
        """Return when the engine can sample from it.

        Raises:
            EngineError: the weights are lost, or changed since.
            ApiError: there is no engine at the moment.
        """
        held = self._held[source.key]
        if held.life == self._supervision.life:
            return
        if source.in_memory and not self._snapshot(source.key).is_dir():
            if held.life is None:
                raise UserFaultError(f"{source.key} was never made; the result of its save tells why")
            raise EngineError(
                f"the engine died, and the weights of {source.key} were only in its memory; save them again"
            )
        if held.making is None:
            held.making = asyncio.create_task(self._make(held))
        await asyncio.shield(held.making)

    async def _make(self, held: _Held) -> None:
        try:
            engine = self._supervision.require()
            life = self._supervision.life
            model = self._supervision.model(held.source.base_model)
            await engine.create_sampler(held.source.key, model.name, directory=self._directory(held.source))
            held.life = life
        finally:
            held.making = None

    def _directory(self, source: Source) -> Path | None:
        if source.in_memory:
            return self._snapshot(source.key)
        if source.path is None:
            return None
        record = self._records.checkpoint(source.path)
        if record is None or record.version != source.version:
            fate = "was deleted" if record is None else "was overwritten"
            raise EngineError(f"{source.path} {fate} since this sampling session was opened; open another one")
        return self._folders.at(source.path)


@attrs.define(eq=False)
class Sampler:
    """A sampling session."""

    record: SamplerRecord
    source: Source
    joined: int = 0
    """The last number that was given to a copy of the client."""
    _seen: set[int] = attrs.field(factory=set, init=False)
    """Numbers of the clients that asked for anything in this life of the service."""

    @property
    def sampler_id(self) -> str:
        """Its id."""
        return self.record.sampler_id

    def join(self) -> int:
        """A number for one more copy of the client, which no other has. Raises `ApiError` 400 if there are too many."""
        number = self.joined + 1
        while number in self._seen:
            number += 1
        self.admit(number)
        self.joined = number
        return number

    def admit(self, client: int) -> None:
        """A client of this number asks for something. Raises `ApiError` 400 if there are too many others."""
        if client not in self._seen and len(self._seen) >= MOST_CLIENTS:
            raise bad_request(f"a sampling session has at most {MOST_CLIENTS} clients; open another one", "too_many")
        self._seen.add(client)


class Samplers:
    """All sampling sessions of open sessions."""

    def __init__(self, records: Records, sessions: Sessions, engine: EngineSamplers, most: int) -> None:
        """`most` of them one owner may have."""
        self._records = records
        self._sessions = sessions
        self._engine = engine
        self._samplers: dict[str, Sampler] = {}
        self._quota = Quota("sampling sessions", most, "max_samplers", "finish the session that has them")

    def check_room(self, owner: str) -> None:
        """Raises `ApiError` 400 if this owner may have no more."""
        self._quota.check(owner)

    def add(self, record: SamplerRecord) -> Sampler:
        """A new sampling session."""
        sampler = Sampler(record, Source.of_record(record))
        self._samplers[record.sampler_id] = sampler
        self._quota.more(record.owner)
        self._engine.hold(sampler.source)
        return sampler

    def find(self, sampler_id: str) -> Sampler | None:
        """One of an open session; one that was opened before a restart is known by its record."""
        sampler = self._samplers.get(sampler_id)
        if sampler is None:
            record = self._records.sampler(sampler_id)
            if record is None or not self._sessions.is_open(record.session_id):
                return None
            sampler = self.add(record)
            sampler.joined = self._records.joined(sampler_id)
            if sampler.source.in_memory:
                self._engine.lost(sampler.source)
        return sampler

    def get(self, sampler_id: str, owner: str) -> Sampler:
        """An owner's. Raises `ApiError` 404, or 410 if its session is over."""
        sampler = self.find(sampler_id)
        if sampler is None:
            record = self._records.sampler(sampler_id)
            if record is not None and record.owner == owner:
                self._sessions.get(record.session_id, owner)  # tells why it is over
        if sampler is None or sampler.record.owner != owner:
            raise not_found(f"no sampling session {sampler_id[:120]}")
        return sampler

    def record(self, sampler_id: str, owner: str | None) -> SamplerRecord:
        """What an owner's sampling session is or was on; its session may be over. Raises `ApiError` 404."""
        sampler = self._samplers.get(sampler_id)
        record = sampler.record if sampler is not None else self._records.sampler(sampler_id)
        if record is None or owner not in (None, record.owner):
            raise not_found(f"no sampling session {sampler_id[:120]}")
        return record

    def of_session(self, session_id: str) -> list[Sampler]:
        """The sampling sessions of a session that are in memory."""
        return [sampler for sampler in self._samplers.values() if sampler.record.session_id == session_id]

    async def forget(self, sampler: Sampler) -> None:
        """Its session is over."""
        if self._samplers.pop(sampler.sampler_id, None) is not None:
            self._quota.fewer(sampler.record.owner)
            await self._engine.release(sampler.source)
