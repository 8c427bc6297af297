"""The records of usage: how much of what was used in which hour, by whom, for which run. It does not know prices."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, get_args

import attrs

from tinker_local.store.database import Database, Statement

__all__ = ["HOUR", "Kind", "UsageRecords", "UsageRow", "Used"]

HOUR: Final = 3600
Kind = Literal["training", "sampling_prefill", "sampling_prefill_cached", "sampling_sample", "checkpoint", "storage"]
"""Tokens of four kinds, checkpoints that were saved, and gigabyte-hours."""
assert len(get_args(Kind)) == 6

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS usage (
    hour INTEGER NOT NULL, owner TEXT NOT NULL, session_id TEXT NOT NULL, run_id TEXT NOT NULL,
    base_model TEXT NOT NULL, kind TEXT NOT NULL, amount REAL NOT NULL,
    PRIMARY KEY (hour, owner, session_id, run_id, base_model, kind)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS storage_counted (one INTEGER PRIMARY KEY CHECK (one = 1), until REAL NOT NULL);
"""
_ADD = "INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET amount = amount + excluded.amount"
_EVENTS = """
SELECT hour, usage.owner AS owner, base_model, nullif(usage.session_id, '') AS session_id, project_id,
    kind, sum(amount) AS amount, user_metadata
FROM usage LEFT JOIN sessions USING (session_id)
WHERE hour >= ? AND hour < ? AND usage.owner = coalesce(?, usage.owner)
GROUP BY hour, usage.owner, base_model, usage.session_id, project_id, kind ORDER BY hour, amount DESC
"""


@attrs.frozen
class Used:
    """What an amount is counted for. Sampling without a session has no session and no run."""

    hour: int
    """Unix time at which the hour begins."""
    owner: str
    session_id: str
    run_id: str
    base_model: str
    kind: Kind


@attrs.frozen(kw_only=True)
class UsageRow:
    """What one owner used of one kind in one hour, in one session, over all its runs."""

    hour: int
    owner: str
    base_model: str
    session_id: str | None
    project_id: str | None
    kind: Kind
    amount: float
    user_metadata: bytes | None
    """Of the session, as JSON."""


class UsageRecords:
    """All usage of one data folder."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.prepare(_SCHEMA)

    def add(self, amounts: Mapping[Used, float]) -> Sequence[Statement]:
        """Add to what is there."""
        return [(_ADD, (*attrs.astuple(used), amount)) for used, amount in amounts.items()]

    def storage_counted(self) -> float | None:
        """Until when storage was counted."""
        rows = self._database.read("SELECT until FROM storage_counted")
        return float(rows[0][0]) if rows else None

    def count_storage(self, until: float) -> Statement:
        """It is counted until then."""
        return "INSERT OR REPLACE INTO storage_counted VALUES (1, ?)", (until,)

    def stored(self) -> list[tuple[str, str, str, str, float, int]]:
        """Owner, session, run, base model, when it was saved, and bytes, of each checkpoint that there is."""
        sql = (
            "SELECT checkpoints.owner, coalesce(session_id, ''), run_id, checkpoints.base_model, "
            "checkpoints.created_at, size_bytes FROM checkpoints LEFT JOIN runs USING (run_id)"
        )
        return [(row[0], row[1], row[2], row[3], row[4], row[5]) for row in self._database.read(sql)]

    def between(self, owner: str | None, begin: float, end: float) -> list[UsageRow]:
        """What an owner, or with None everybody, used in these hours: by hour, the largest amounts first."""
        return [UsageRow(**dict(row)) for row in self._database.read(_EVENTS, begin, end, owner)]

    def forget_before(self, moment: float) -> Statement:
        """Nobody asks for it any more."""
        return "DELETE FROM usage WHERE hour < ?", (moment,)
