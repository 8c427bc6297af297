"""Sessions: opened by a client, kept alive by its heartbeats, ended by it or by its silence.

It knows who owns a session and whether it is over; what belongs to it is in `models` and `samplers`.
"""

import uuid
from typing import Any

import attrs

from tinker_local.clock import Clock
from tinker_local.errors import gone, not_found
from tinker_local.runs.quota import Quota
from tinker_local.store.records import Records, SessionRecord

__all__ = ["ACTIVE", "Session", "Sessions"]

ACTIVE: dict[str, Any] = {"type": "active"}


@attrs.define(eq=False)
class Session:
    """An open session."""

    record: SessionRecord
    last_heard: float
    """Monotonic."""

    @property
    def session_id(self) -> str:
        """Its id."""
        return self.record.session_id


class Sessions:
    """All open sessions, those from before a restart included; ended ones are in the records."""

    def __init__(self, records: Records, clock: Clock, most: int) -> None:
        """`most` of one owner may be open at once."""
        self._records = records
        self._clock = clock
        now = clock.monotonic()
        self._open = {record.session_id: Session(record, now) for record in records.open_sessions()}
        self._by_key = {
            key: self._open[session_id]
            for key, session_id in records.session_keys().items()
            if session_id in self._open
        }
        self._quota = Quota("open sessions", most, "max_sessions", "finish one, or wait until a silent one ends")
        for session in self._open.values():
            self._quota.more(session.record.owner)

    def __len__(self) -> int:
        return len(self._open)

    async def create(
        self,
        owner: str,
        *,
        tags: list[str],
        user_metadata: dict[str, Any] | None,
        sdk_version: str,
        project_id: str | None,
        display_name: str | None,
        idempotency_key: str | None = None,
    ) -> Session:
        """Open one; the same key of one owner opens one, for as long as that is open."""
        repeated = self._by_key.get((owner, idempotency_key or ""))
        if repeated is not None and self.is_open(repeated.session_id):
            return repeated
        self._quota.check(owner)
        record = SessionRecord(
            session_id=str(uuid.uuid4()),
            owner=owner,
            created_at=round(self._clock.wall(), 6),  # as exact as the cursor of a search can say
            project_id=project_id,
            display_name=display_name,
            tags=tags,
            user_metadata=user_metadata,
            sdk_version=sdk_version,
            status=ACTIVE,
        )
        session = Session(record, self._clock.monotonic())
        self._open[record.session_id] = session
        self._quota.more(owner)
        statements = [self._records.put_session(record)]
        if idempotency_key:
            self._by_key[owner, idempotency_key] = session
            statements.append(self._records.put_session_key(owner, idempotency_key, record.session_id))
        await self._records.write(*statements)
        return session

    def is_open(self, session_id: str) -> bool:
        """Whether it is known and not over."""
        return session_id in self._open

    def get(self, session_id: str, owner: str | None) -> Session:
        """An owner's open session, or with None anybody's. Raises `ApiError` 404, or 410 if it is over."""
        session = self._open.get(session_id)
        if session is not None and owner in (None, session.record.owner):
            return session
        self.record(session_id, owner)
        raise gone(f"session {session_id} is over; open another one")

    def record(self, session_id: str, owner: str | None) -> SessionRecord:
        """An owner's session, or with None anybody's, over or not. Raises `ApiError` 404."""
        session = self._open.get(session_id)
        record = session.record if session is not None else self._records.session(session_id)
        if record is None or owner not in (None, record.owner):
            raise not_found(f"no session {session_id[:120]}")
        return record

    def heard(self, session: Session) -> None:
        """Its client is alive."""
        session.last_heard = self._clock.monotonic()

    def silent(self, seconds: float) -> list[Session]:
        """Those from which nothing was heard for so long."""
        before = self._clock.monotonic() - seconds
        return [session for session in self._open.values() if session.last_heard < before]

    async def change(self, session: Session, **changes: Any) -> None:
        """Store something new about an open session."""
        session.record = attrs.evolve(session.record, **changes)
        await self._records.write(self._records.put_session(session.record))

    async def end(self, session: Session, status: dict[str, Any]) -> None:
        """It is over from now on; the first reason stays."""
        if self._open.pop(session.session_id, None) is not None:
            self._quota.fewer(session.record.owner)
            self._by_key = {key: other for key, other in self._by_key.items() if other is not session}
            session.record = attrs.evolve(session.record, status=status, ended_at=self._clock.wall())
            await self._records.write(
                self._records.put_session(session.record), self._records.drop_session_keys(session.session_id)
            )
