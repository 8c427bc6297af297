"""Checkpoints as a whole, folder and record: saved, copied, found, let go. It does not know requests.

A checkpoint exists when its record does; the folder is complete before that, and outlives it by a moment.
"""

import asyncio
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from tinker_local.audit import SERVICE, Audit
from tinker_local.clock import Clock
from tinker_local.engine.protocol import LoraSpec
from tinker_local.errors import bad_request, not_found
from tinker_local.store.folders import Folders
from tinker_local.store.paths import EXTERNAL, CheckpointPath
from tinker_local.store.records import CheckpointRecord, Records
from tinker_local.usage import Usage
from tinker_local.weights_tokens import permits

__all__ = ["MAX_TTL_SECONDS", "MIN_TTL_SECONDS", "Checkpoints"]

MIN_TTL_SECONDS = 3600
MAX_TTL_SECONDS = 10 * 365 * 24 * 3600


class Checkpoints:
    """All checkpoints of one service."""

    def __init__(
        self,
        records: Records,
        folders: Folders,
        clock: Clock,
        token_secret: bytes,
        audit: Audit,
        usage: Usage,
        most: int,
    ) -> None:
        """`most` of them one owner may have."""
        self._records = records
        self._most = most
        self.folders = folders
        self._clock = clock
        self._token_secret = token_secret
        self._audit = audit
        self._usage = usage
        self._committing = asyncio.Lock()

    def readable(self, path: CheckpointPath, owner: str | None, token: str | None = None) -> CheckpointRecord:
        """One that this owner may read: their own, a published one, or one that the weights access token is for.

        None as the owner may read everything.

        Raises:
            ApiError: 404.
        """
        record = self._records.checkpoint(path)
        if record is None or self._expired(record):
            raise not_found(f"no checkpoint {path}")
        if owner in (None, record.owner) or record.public:
            return record
        if token and permits(token, path, self._token_secret, now=self._clock.wall()):
            return record
        raise not_found(f"no checkpoint {path}")

    def loadable(self, path: CheckpointPath, owner: str | None, token: str | None = None) -> CheckpointRecord:
        """One that this owner may train on, sample from or copy. Raises `ApiError` 404, or 400 for external weights."""
        record = self.readable(path, owner, token)
        if path.kind == EXTERNAL:
            raise bad_request(
                f"{path} was saved to be downloaded; load what save_weights or save_weights_for_sampler saved",
                "external_weights",
            )
        return record

    def owned(self, path: CheckpointPath, owner: str | None) -> CheckpointRecord:
        """One that this owner may change. Raises `ApiError` 404."""
        record = self.readable(path, owner)
        if owner not in (None, record.owner):
            raise not_found(f"no checkpoint {path}")
        return record

    def check_free(self, path: CheckpointPath) -> None:
        """Raises `ApiError` 400 if there is a checkpoint of that name."""
        record = self._records.checkpoint(path)
        if record is not None and not self._expired(record):
            raise bad_request(
                f"{path} exists already; choose another name, delete it, or save with overwrite", "checkpoint_exists"
            )

    def check_room(self, owner: str) -> None:
        """Raises `ApiError` 400 if this owner may have no more."""
        if self._records.storage_of(owner, None)[0] >= self._most:
            raise bad_request(
                f"there are {self._most} checkpoints already (max_checkpoints); delete some, or save with ttl_seconds",
                "too_many",
            )

    def expiry(self, ttl_seconds: int | None) -> float | None:
        """When something ends that lives so long from now. Raises `ApiError` 400."""
        if ttl_seconds is None:
            return None
        if not MIN_TTL_SECONDS <= ttl_seconds <= MAX_TTL_SECONDS:
            raise bad_request(
                f"ttl_seconds is {ttl_seconds}; it must lie between {MIN_TTL_SECONDS} and {MAX_TTL_SECONDS}",
                "out_of_range",
            )
        return self._clock.wall() + ttl_seconds

    async def commit(
        self,
        staged: Path,
        path: CheckpointPath,
        *,
        owner: str,
        base_model: str,
        lora: LoraSpec,
        ttl_seconds: int | None,
        user_metadata: dict[str, Any] | None,
        overwrite: bool,
    ) -> CheckpointRecord:
        """Make a written folder a checkpoint. If that fails the folder is gone; what it would have replaced stays."""
        record = CheckpointRecord(
            path=path,
            owner=owner,
            version=uuid.uuid4().hex,
            created_at=self._clock.wall(),
            expires_at=self.expiry(ttl_seconds),
            public=False,
            size_bytes=0,
            user_metadata=user_metadata,
            base_model=base_model,
            lora=lora,
        )
        async with self._committing:
            try:
                if not overwrite:
                    self.check_free(path)
                placed = await asyncio.to_thread(self.folders.place, staged, path, _about(record))
            except BaseException:
                await asyncio.to_thread(self.folders.discard, staged)
                raise
            record = attrs.evolve(record, size_bytes=placed.size)
            try:
                await self._records.write(self._records.put_checkpoint(record))
            except Exception:
                await asyncio.to_thread(self.folders.take_back, placed)
                raise
            await asyncio.to_thread(self.folders.settle, placed)
        self._usage.saved(record)
        self._audit.note_checkpoint("save", owner, record, size_bytes=placed.size)
        return record

    async def change(self, record: CheckpointRecord, **changes: Any) -> None:
        """Store something new about one, beside what others changed since it was looked at.

        Raises:
            ApiError: 404 if it was deleted or replaced since.
        """
        async with self._committing:
            await self._records.write(self._records.put_checkpoint(attrs.evolve(self._same(record), **changes)))

    async def delete(self, record: CheckpointRecord) -> None:
        """For good; what was saved under its name meanwhile stays.

        Raises:
            ApiError: 404 if it was deleted or replaced since it was looked at.
        """
        async with self._committing:
            self._same(record)
            await self._remove(record.path)

    async def delete_expired(self) -> None:
        """Those whose time is over."""
        for record in self._records.expired_checkpoints(self._clock.wall()):
            async with self._committing:
                now = self._records.checkpoint(record.path)
                if now is None or not self._expired(now):  # deleted, replaced or given more time meanwhile
                    continue
                await self._remove(record.path)
            self._audit.note_checkpoint("expire", SERVICE, record)

    async def _remove(self, path: CheckpointPath) -> None:
        """The record first: whoever sees a record finds its folder."""
        await self._records.write(self._records.drop_checkpoint(path))
        await asyncio.to_thread(self.folders.delete, path)

    def _same(self, record: CheckpointRecord) -> CheckpointRecord:
        """What is stored now of what was looked at before. Raises `ApiError` 404 if that is gone."""
        now = self._records.checkpoint(record.path)
        if now is None or now.version != record.version:
            raise not_found(f"{record.path} was deleted or replaced meanwhile")
        return now

    def _expired(self, record: CheckpointRecord) -> bool:
        return record.expires_at is not None and record.expires_at <= self._clock.wall()


def _about(record: CheckpointRecord) -> Mapping[str, Any]:
    """What `run.json` says beside the path."""
    return {
        "base_model": record.base_model,
        "created_at": record.created_at,
        "lora": attrs.asdict(record.lora),
        "user_metadata": record.user_metadata,
        "version": record.version,
    }
