"""The audit log: who did what to whose things, and when. It does not know what the events mean.

An event is written down when it has happened, by the store's own thread; nobody waits for it.
"""

from typing import Any

from tinker_local.clock import Clock
from tinker_local.store.audit import AuditRecord, AuditRecords
from tinker_local.store.records import CheckpointRecord, Records

__all__ = ["SERVICE", "Audit"]

SERVICE = "service"
"""Who does what nobody asked for, such as ending what has expired."""


class Audit:
    """The log of one service."""

    def __init__(self, records: Records, clock: Clock) -> None:
        self.records = AuditRecords(records.database)
        self._database = records.database
        self._clock = clock

    def note(self, event: str, actor: str, *, owner: str | None = None, **details: Any) -> None:
        """`actor` did something, to a thing of `owner`'s or its own."""
        record = AuditRecord(
            at=self._clock.wall(), owner=owner or actor, event=event, details={"actor": actor, **details}
        )
        self._database.post(self.records.add(record))

    async def between(self, owner: str | None, begin: float, end: float, resource: str) -> list[AuditRecord]:
        """See `AuditRecords.between`; what was noted before this call is there."""
        await self._database.write()  # comes after all that waits to be written
        return self.records.between(owner, begin, end, resource)

    def note_checkpoint(self, action: str, actor: str, record: CheckpointRecord, **details: Any) -> None:
        """`actor` did something with a checkpoint."""
        path = record.path
        self.note(
            f"checkpoint_{action}", actor, owner=record.owner, tinker_path=str(path), model_id=path.run_id, **details
        )
