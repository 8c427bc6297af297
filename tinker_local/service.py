"""One service: its parts, its start and end, and what happens by itself (silence, expiry, the engine's death).

It does not know HTTP; `tinker_local.app` puts it behind routes.
"""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Iterator
from typing import Any

from tinker_local.audit import SERVICE, Audit
from tinker_local.autosave import Autosaves, snapshot_of
from tinker_local.callers import Callers
from tinker_local.clock import Clock, Steadiness
from tinker_local.digests import Digests
from tinker_local.draining import Draining
from tinker_local.engine.protocol import Engine, EngineError
from tinker_local.futures import Futures, JsonAnswer, Promise
from tinker_local.keeping import Keeping
from tinker_local.metrics import Metrics
from tinker_local.restoration import Replay, Restoration
from tinker_local.runs.models import Model, Models
from tinker_local.runs.samplers import CLONE, EngineSamplers, Samplers
from tinker_local.runs.sessions import Session, Sessions
from tinker_local.runs.submission import Intake
from tinker_local.saving import Checkpoints
from tinker_local.scheduler import Samples
from tinker_local.settings import DATABASE_FILE, Settings, is_loopback
from tinker_local.signing import API_KEYS, LINKS, SECRET_FILE, TOKENS, WEIGHTS_TOKENS, derived, kept_secret
from tinker_local.store.folders import Folders
from tinker_local.store.journal import Journal
from tinker_local.store.losses import LossRecords
from tinker_local.store.records import Records
from tinker_local.store.results import Results
from tinker_local.store.spool import Spool
from tinker_local.supervision import Supervision
from tinker_local.timeline import Timeline
from tinker_local.traces import Traces
from tinker_local.under_way import UnderWay
from tinker_local.unfetched import Unfetched
from tinker_local.usage import Usage

__all__ = ["Service"]

logger = logging.getLogger(__name__)

_SWEEP_SECONDS = 15.0
_FORGET_SECONDS = 7 * 24 * 3600.0
"""How long reports of clients and outcomes of saves are kept."""
_AUDIT_SECONDS = 365 * 24 * 3600.0


class Service:
    """All state of one service. Made inside a running event loop, used from it alone."""

    def __init__(self, settings: Settings, engine: Engine, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        secret = kept_secret(settings.data_dir / SECRET_FILE)
        self.link_secret = derived(secret, LINKS)
        self.records = Records(settings.data_dir / DATABASE_FILE)
        self.folders = Folders(settings.data_dir / "checkpoints")
        self.audit = Audit(self.records, clock)
        self.usage = Usage(self.records, clock)
        self.losses = LossRecords(self.records.database)
        self.checkpoints = Checkpoints(
            self.records,
            self.folders,
            clock,
            derived(secret, WEIGHTS_TOKENS),
            self.audit,
            self.usage,
            settings.max_checkpoints,
        )
        self.callers = Callers(
            settings,
            self.records,
            clock,
            salt=derived(secret, API_KEYS),
            token_secret=derived(secret, TOKENS),
            local=is_loopback(settings.host),
        )
        self.supervision = Supervision(engine)
        self.sessions = Sessions(self.records, clock, settings.max_sessions)
        autosaved = Folders(settings.data_dir / "autosaves")
        self.engine_samplers = EngineSamplers(
            self.supervision, self.records, self.folders, lambda sampler_id: autosaved.at(snapshot_of(sampler_id))
        )
        self.samplers = Samplers(self.records, self.sessions, self.engine_samplers, settings.max_samplers)
        self.samples = Samples(
            settings.max_pending_samples, self._revived if settings.autosave_every is not None else None
        )
        self.timeline = Timeline(clock)
        self.under_way = UnderWay(settings.max_bytes_under_way)
        self.spool = Spool(settings.data_dir / "spool", settings.max_spooled_bytes)
        self.traces = Traces(settings.data_dir / "traces", clock)
        self.digests = Digests()
        self.keeping = Keeping(
            Results(self.records.database, settings.data_dir / "results"),
            settings.result_retention_seconds,
            clock.monotonic,
        )
        self.models = Models(
            self.records,
            self.sessions,
            clock,
            lambda: self.supervision.life,
            self.keeping.unnumbered,
            settings.max_models,
        )
        self.futures = Futures(
            clock,
            settings.result_retention_seconds,
            unfetched=Unfetched(
                clock.monotonic,
                settings.result_retention_seconds,
                settings.max_unfetched_results,
                settings.max_unfetched_bytes,
            ),
            recall=self._recalled,
            existed=self._existed_before,
            follow=self.timeline.follow,
            unfinished=self._unfinished,
            keep=self._keep,
            gone_before=self.keeping.gone,
            news_before=self._news_before,
        )
        self.intake = Intake(self.futures, self.models, clock.monotonic, settings.max_pending_requests)
        self.autosaves = Autosaves(
            Journal(self.records.database, settings.data_dir / "journal"),
            autosaved,
            self.supervision,
            self.futures,
            self.models,
            settings.autosave_every,
            settings.max_autosave_bytes,
        )
        self.models.attend = self.autosaves.attend
        self.restoration = Restoration(
            self.autosaves, self.records, self.sessions, self.models, self.futures, self.supervision
        )
        self.metrics = Metrics(self)
        self.steadiness = Steadiness(clock)
        self.draining = Draining(self._running)
        self.began = clock.wall()
        self.copying = asyncio.Lock()
        """Copies are made one after the other: a repeat that comes meanwhile finds what the first one made."""
        self._saved_before = self.records.outcome_ids()  # in memory: each new request asks
        self._background: set[asyncio.Task[Any]] = set()
        self._closing = False
        self.supervision.on_death.append(self._engine_died)
        self.supervision.on_life.append(self.restoration.begin)

    async def start(self, replay: Replay) -> None:
        """Begin to start the engine, and to sweep; `replay` takes accepted calls in again."""
        await self._drop_records_without_folders()
        await self.autosaves.tidy(self.sessions.is_open)
        self.restoration.replay = replay
        self.restoration.find()
        self.supervision.start()
        self.in_background(self._sweep_forever())

    async def close(self) -> None:
        """End what is under way, then the engine, then the store."""
        self._closing = True
        for task in list(self._background):
            task.cancel()
        if self._background:
            await asyncio.wait(self._background)
        await self.restoration.close()
        await self.samples.close()
        for model in self.models.all():
            self.restoration.engine_died(model)  # the next life of the service goes on with what is open
        await self.models.close()
        await self.engine_samplers.close()
        await self.digests.close()
        await self._store_last_requests()
        await self.usage.flush(storage=True)
        await self.traces.close()
        await self.supervision.close()
        self.records.close()

    def _running(self) -> Iterator[asyncio.Task[None]]:
        yield from self.samples.running
        yield from self.models.running()

    def in_background(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine that nobody waits for; it ends with the service, and does not begin once that ends."""
        if self._closing:
            work.close()
            return
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background_ended)

    async def end_session(self, session: Session, status: dict[str, Any], why: str) -> None:
        """The session is over: what has not begun fails, what it had in the engine is freed. Saved weights stay."""
        await self.sessions.end(session, status)
        self.samples.cancel_session(session.session_id, why)
        self.futures.end_session(session.session_id)
        self.timeline.end_session(session.session_id)
        self.records.database.post(self.losses.drop_session(session.session_id))
        for model in self.models.of_session(session.session_id):
            model.give_up_gap(why)
            model.lane.drop(why)
            self.models.forget(model)  # before anything is waited for: nobody may submit to it in between
            await self._store_last_request(model)
            if self.supervision.ready:
                self.in_background(self.supervision.engine.unload_adapter(model.model_id))
        for sampler in self.samplers.of_session(session.session_id):
            await self.samplers.forget(sampler)
        await self.autosaves.drop_session(session.session_id)

    async def sweep(self) -> None:
        """Do what is due: end silent sessions and hopeless waits, delete what expired, forget what was delivered."""
        timeout = self.settings.session_timeout_seconds
        for session in self.sessions.silent(timeout):
            why = f"session {session.session_id} is over: nothing was heard from its client for {timeout:g} s"
            logger.info("%s", why)
            await self.end_session(session, {"type": "cancelled", "detail": "no heartbeat"}, why)
            owner = session.record.owner
            self.audit.note("session_cancel", SERVICE, owner=owner, session_id=session.session_id, reason="silent")
        for model in self.models.all():
            if model.gap_since is not None and model.gap_since < self.clock.monotonic() - timeout:
                missing = model.order.next_id
                self.autosaves.abandoned(model)
                model.give_up_gap(f"sequence id {missing} of {model.model_id} did not come within {timeout:g} s")
        if self.steadiness.look():
            await self.checkpoints.delete_expired()
        forgotten = self.futures.sweep(self.sessions.is_open)
        self.futures.note_gone(self.keeping.sweep(forgotten, self.sessions.is_open))
        await self._store_last_requests()
        await self.usage.flush()
        self.traces.delete_old()
        self.autosaves.journal.delete_unused_files()
        now = self.clock.wall()
        await self.records.write(
            *self.records.forget_before(now - _FORGET_SECONDS), self.audit.records.forget_before(now - _AUDIT_SECONDS)
        )

    async def _sweep_forever(self) -> None:
        pause = min(_SWEEP_SECONDS, self.settings.session_timeout_seconds / 4)
        while True:
            await asyncio.sleep(pause)
            try:
                await self.sweep()
            except Exception:
                logger.exception("a sweep failed; the next one tries again")

    async def _store_last_requests(self) -> None:
        for model in self.models.all():
            await self._store_last_request(model)

    async def _store_last_request(self, model: Model) -> None:
        """When a model was last used; a model that is still being made has no record to change."""
        if model.dirty and model.life is not None:
            model.dirty = False
            await self.records.write(self.records.put_run(model.record))

    async def _drop_records_without_folders(self) -> None:
        for checkpoint in self.records.all_checkpoints():
            if not self.folders.at(checkpoint.path).is_dir():
                logger.warning("the folder of %s is gone, so its record goes too", checkpoint.path)
                await self.records.write(self.records.drop_checkpoint(checkpoint.path))

    def _engine_died(self) -> None:
        for model in self.models.all():
            if not self.restoration.engine_died(model):
                model.give_up_gap(self.models.loss(model), "server")

    async def _revived(self, promise: Promise) -> bool:
        promise.held_by = "the engine died, and is being started again"
        with contextlib.suppress(EngineError):
            await self.supervision.wait_ready()
        promise.held_by = None
        return self.supervision.ready

    def _keep(self, promise: Promise) -> None:
        """That the end of this process cut a request short is no result: the next one knows better what to tell."""
        if promise.answer is not None and not (self._closing and promise.answer.failed):
            self.keeping.keep(promise)

    def _recalled(self, request_id: str) -> Promise | None:
        kept = self.keeping.recall(request_id)
        if kept is not None:
            return kept
        saved = self.records.outcome(request_id) if request_id in self._saved_before else None
        if saved is None:
            return None
        model_id = request_id.rpartition(":")[0]
        promise = Promise(request_id=request_id, owner=saved.owner, model_id=model_id, fingerprint=saved.fingerprint)
        promise.resolve(JsonAnswer(saved.outcome))
        return promise

    def _unfinished(self, request_id: str) -> Promise | None:
        """What a model's request of an earlier life came to that had no result then."""
        model = self.models.find(request_id.rpartition(":")[0])
        if model is None or model.record.created_at >= self.began or not self.models.is_lost(model):
            return None
        promise = Promise(request_id=request_id, owner=model.record.owner, model_id=model.model_id)
        promise.fail(self.models.loss(model), "server")
        return promise

    def _existed_before(self, request_id: str, owner: str) -> bool:
        """Whether the id belongs to a model or sampler that the owner had before this service was started."""
        parent = request_id.rpartition(":")[0]
        record = self.records.run(parent) or self.records.sampler(parent)
        return record is not None and record.owner == owner and record.created_at < self.began

    def _news_before(self, sampler_id: str, clone: int) -> list[Promise] | None:
        """What a client of a sampling session has not fetched of an earlier life; what was lost is a failure."""
        record = self.records.sampler(sampler_id)
        if record is None or record.created_at >= self.began:
            return None
        news = []
        for request_id, owner in self.keeping.undelivered_below(sampler_id):
            if int(request_id.rpartition(":")[2]) // CLONE == clone:
                promise = self.futures.find(request_id)
                if promise is None:
                    promise = Promise(request_id=request_id, owner=owner)
                    promise.fail("it was lost with an earlier life of the service", "server")
                news.append(promise)
        return news

    def _background_ended(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        with contextlib.suppress(asyncio.CancelledError):
            if (problem := task.exception()) is not None:
                logger.warning("work in the background failed: %s", problem)
