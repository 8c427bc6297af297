"""What was used, counted: tokens trained, prefilled and sampled, checkpoints saved, storage over time.

Counting is an addition in memory; the sums go to the store with each sweep, when somebody asks, and at the end, so that
a service that is killed forgets some seconds of them. Storage counts for the time that a service runs on the folder and
the time before that since the last one did; a checkpoint that is deleted may lack its last minute.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from tinker_local.clock import Clock
from tinker_local.engine.protocol import SampleOutput, TrainingDatum
from tinker_local.store.records import CheckpointRecord, Records, RunRecord
from tinker_local.store.usage import HOUR, Kind, UsageRecords, UsageRow, Used

__all__ = ["Usage"]

_STORAGE_SECONDS = 60.0
"""How often storage is counted, unless somebody asks."""
_GIGABYTE = 1e9


class Usage:
    """The counters of one service."""

    def __init__(self, records: Records, clock: Clock) -> None:
        self._records = records
        self._usage = UsageRecords(records.database)
        self._clock = clock
        self._amounts: defaultdict[Used, float] = defaultdict(float)
        self.tokens: Counter[str] = Counter()
        """Tokens since this service was started, by what was done with them."""
        self._stored_until = self._usage.storage_counted() or clock.wall()

    def trained(self, run: RunRecord, data: Sequence[TrainingDatum]) -> None:
        """A pass over these data was made."""
        tokens = sum(datum.tokens.size for datum in data)
        self._add(run.owner, run.session_id, run.run_id, run.base_model, "training", tokens)

    def sampled(
        self, owner: str, session_id: str | None, run_id: str, base_model: str, prompt: int, output: SampleOutput
    ) -> None:
        """A prompt of so many tokens was sampled from."""
        cached = output.prompt_cache_hit_tokens
        drawn = sum(sequence.tokens.size for sequence in output.sequences)
        amounts: tuple[tuple[Kind, int], ...] = (
            ("sampling_prefill", prompt - cached),
            ("sampling_prefill_cached", cached),
            ("sampling_sample", drawn),
        )
        for kind, amount in amounts:
            if amount:
                self._add(owner, session_id or "", run_id, base_model, kind, amount)

    def saved(self, record: CheckpointRecord) -> None:
        """A checkpoint was saved."""
        run = self._records.run(record.path.run_id)
        session_id = "" if run is None else run.session_id
        self._add(record.owner, session_id, record.path.run_id, record.base_model, "checkpoint", 1)

    async def between(self, owner: str | None, begin: float, end: float) -> list[UsageRow]:
        """What an owner, or with None everybody, used until now in these hours."""
        await self.flush(storage=True)
        return self._usage.between(owner, begin, end)

    async def flush(self, *, storage: bool = False) -> None:
        """Store what was counted; storage too if its time has come, or if so wished."""
        now = self._clock.wall()
        if storage or now - self._stored_until >= _STORAGE_SECONDS:
            begin, self._stored_until = self._stored_until, now
            for used, amount in self._storage(begin, now):
                self._amounts[used] += amount
        amounts, self._amounts = self._amounts, defaultdict(float)
        if not amounts:
            return
        try:
            await self._records.write(*self._usage.add(amounts), self._usage.count_storage(self._stored_until))
        except BaseException:
            for used, amount in amounts.items():  # counted all the same, next time
                self._amounts[used] += amount
            raise

    def _add(self, owner: str, session_id: str, run_id: str, base_model: str, kind: Kind, amount: int) -> None:
        hour = int(self._clock.wall()) // HOUR * HOUR
        self._amounts[Used(hour, owner, session_id, run_id, base_model, kind)] += amount
        if kind != "checkpoint":
            self.tokens[kind] += amount

    def _storage(self, begin: float, end: float) -> Iterator[tuple[Used, float]]:
        for owner, session_id, run_id, base_model, saved_at, size in self._usage.stored():
            for hour, seconds in _hours(max(begin, saved_at), end):
                yield Used(hour, owner, session_id, run_id, base_model, "storage"), size / _GIGABYTE * seconds / HOUR


def _hours(begin: float, end: float) -> Iterator[tuple[int, float]]:
    """The hours of a time, and the seconds of it that lie in each."""
    while begin < end:
        hour = int(begin) // HOUR * HOUR
        until = min(end, hour + HOUR)
        yield hour, until - begin
        begin = until
