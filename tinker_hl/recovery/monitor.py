"""Watches training runs: asks for the record of each one now and then, and hands over those that are in trouble.

It repairs nothing. One question at a time, and none more often than the policy says.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

import attrs

from tinker_hl import loop
from tinker_hl.errors import ConfigurationError, NotFoundError, ResultExpiredError, TinkerError
from tinker_hl.futures import APIFuture
from tinker_hl.recovery.detection import Detection
from tinker_hl.recovery.events import tell
from tinker_hl.recovery.policy import RecoveryPolicy

if TYPE_CHECKING:
    from tinker_hl.clients.rest import RestClient
    from tinker_hl.clients.training import TrainingClient

__all__ = ["Probe", "Recoverer", "RecoveryMonitor"]

Probe = Callable[[], Detection | None]
"""Says without waiting whether something is wrong with a run."""


class Recoverer(Protocol):
    """What a monitor hands troubled runs to."""

    def submit(
        self, detection: Detection, client: "TrainingClient | None" = None, checkpoint: str | None = None
    ) -> None:
        """Take care of a run; does not wait, and does not raise."""
        ...


@attrs.frozen(kw_only=True)
class _Watched:
    run_id: str
    client: "TrainingClient | None"
    checkpoint: str | None
    probe: Probe | None


class RecoveryMonitor:
    """See the module. Invariant: a run that was handed over is not watched any more.

    Leaving it as a context manager, sync or async, stops it.

    Args:
        rest: Where records are read.
        policy: How often, and whether at all.
        executor: Who gets what is found: a `RecoveryExecutor`.
    """

    def __init__(self, rest: "RestClient", policy: RecoveryPolicy, executor: Recoverer | None = None) -> None:
        self._rest = rest
        self._policy = policy
        self._executor = executor
        self._watched: dict[str, _Watched] = {}
        self._polling: asyncio.Task[None] | None = None

    @property
    def watched(self) -> tuple[str, ...]:
        """The ids of the runs that are watched."""
        return tuple(self._watched)

    def watch(
        self,
        run_id: str,
        *,
        client: "TrainingClient | None" = None,
        checkpoint: str | None = None,
        probe: Probe | None = None,
    ) -> None:
        """Watch a run.

        Args:
            run_id: Its id, which is the model's.
            client: The client that trains it, for the callbacks.
            checkpoint: A path to go on from, if it comes to that.
            probe: Asked at each look, before the server is.

        Raises:
            ConfigurationError: The policy is not enabled, or there is no executor.
        """
        if not self._policy.enabled:
            raise ConfigurationError("recovery is off: RecoveryPolicy(enabled=True) turns it on")
        if self._executor is None:
            raise ConfigurationError(
                "a monitor needs somebody to hand runs to: RecoveryMonitor(rest, policy, executor)"
            )
        self._watched[run_id] = _Watched(run_id=run_id, client=client, checkpoint=checkpoint, probe=probe)

    def unwatch(self, run_id: str) -> None:
        """Stop watching a run."""
        self._watched.pop(run_id, None)

    def start(self) -> Self:
        """Look at all runs every `poll_interval` seconds from now on. Does nothing a second time."""
        loop.run(self._start()).result()
        return self

    def stop(self) -> None:
        """Do not look any more."""
        loop.event_loop().call_soon_threadsafe(self._stop)

    def poll(self) -> APIFuture[None]:
        """Look at all runs once, now."""
        return APIFuture(self._poll())

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await asyncio.wrap_future(loop.run(self._start()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    async def _start(self) -> None:
        if self._polling is None or self._polling.done():
            self._polling = loop.spawn(self._poll_on(), name="tinker-hl-recovery-monitor", own_context=True)

    def _stop(self) -> None:
        if self._polling is not None:
            self._polling.cancel()
            self._polling = None

    async def _poll_on(self) -> None:
        # Real time, also where a test's clock skips the waits between attempts: a look now and then is no wait.
        while not self._rest._connection.closed:
            await asyncio.sleep(self._policy.poll_interval)
            await self._poll()

    async def _poll(self) -> None:
        for watched in list(self._watched.values()):
            try:
                await self._look_after(watched)
            except Exception as error:
                # A probe's, or that of who takes runs over: no reason to watch nobody any more.
                self._could_not_look(watched.run_id, error)

    async def _look_after(self, watched: _Watched) -> None:
        found = await self._look(watched)
        if found is not None and self._watched.get(watched.run_id) is watched:
            tell(self._rest._connection.events, "detected", found.run_id, found.detail, reason=found.reason)
            assert self._executor is not None  # watch() saw to it
            self._executor.submit(found, watched.client, watched.checkpoint)
            self.unwatch(watched.run_id)

    async def _look(self, watched: _Watched) -> Detection | None:
        run_id = watched.run_id
        if watched.probe is not None and (found := watched.probe()) is not None:
            return found
        try:
            record = await self._rest.get_training_run(run_id)
        except (NotFoundError, ResultExpiredError) as error:
            return Detection(run_id=run_id, reason="lost", detail=f"the server does not know it: {error}", error=error)
        except TinkerError as error:
            self._could_not_look(run_id, error)
            return None
        if record.corrupted:
            return Detection(run_id=run_id, reason="corrupted", detail="its record says that it is corrupted")
        return None

    def _could_not_look(self, run_id: str, error: Exception) -> None:
        tell(self._rest._connection.events, "poll_error", run_id, str(error), error=repr(error))
