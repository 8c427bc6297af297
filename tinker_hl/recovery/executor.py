"""Replaces lost models: chooses a checkpoint, makes a client from it, tries again after a while, tells the callbacks.

It does not look for trouble, and it knows nothing of what was done with a model after its checkpoint.
"""

import asyncio
import inspect
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from tinker_hl import loop
from tinker_hl.clients.training import TrainingClient
from tinker_hl.errors import ConfigurationError
from tinker_hl.futures import APIFuture
from tinker_hl.recovery.detection import Detection
from tinker_hl.recovery.errors import MissingCheckpointError, RecoveryFailedError, RecoveryPendingError
from tinker_hl.recovery.events import tell
from tinker_hl.recovery.policy import RecoveryPolicy
from tinker_hl.recovery.successors import Successors
from tinker_hl.session import Session
from tinker_hl.types import Checkpoint

if TYPE_CHECKING:
    from tinker_hl.clients.service import ServiceClient

__all__ = ["Recovered", "RecoveryExecutor", "Restore", "best_checkpoint"]

CALLBACK_SECONDS = 60.0
"""Seconds that a callback is waited for."""

Restore = Callable[[str], Awaitable[TrainingClient]]
"""Makes a client from a checkpoint's path, in one attempt."""


@attrs.frozen(kw_only=True)
class Recovered:
    """A recovery that succeeded."""

    run_id: str
    """The training run that was lost."""
    client: TrainingClient
    checkpoint: str
    """The path that the client was made from."""
    attempts: int


class RecoveryExecutor:
    """Takes runs in the order in which they come, `max_concurrent` at a time, each one at most once at a time.

    Args:
        service: Whose server it is. New models get sessions of their own.
        policy: What may be done.
        max_concurrent: Recoveries at once.

    Raises:
        ConfigurationError: `max_concurrent` is below 1.
    """

    def __init__(self, service: "ServiceClient", policy: RecoveryPolicy, *, max_concurrent: int = 1) -> None:
        if max_concurrent < 1:
            raise ConfigurationError(f"max_concurrent must be 1 or more, got {max_concurrent!r}")
        self.policy = policy
        session: Session = service._session
        self._connection = session.connection
        self._rest = service.create_rest_client()
        self._successors = Successors(session)
        self._places = asyncio.Semaphore(max_concurrent)
        self._pending: set[str] = set()

    def recover(
        self,
        run_id: str,
        *,
        client: TrainingClient | None = None,
        checkpoint: str | None = None,
        restore: Restore | None = None,
    ) -> APIFuture[Recovered]:
        """Replace a run's model.

        The checkpoint is the policy's, if it names one; else the best one, if it asks for that; else the one that is
        given; else the run's last; else the newest in the run's list.

        Args:
            run_id: The training run, which is the model's id.
            client: The client that is replaced, for the callback.
            checkpoint: A path to go on from.
            restore: What to do with the path; None makes a client from it.

        Returns:
            A future. It raises `RecoveryFailedError` when all attempts failed.

        Raises:
            ConfigurationError: The policy is not enabled.
            RecoveryPendingError: The run is being recovered already.
        """
        if not self.policy.enabled:
            raise ConfigurationError("recovery is off: RecoveryPolicy(enabled=True) turns it on")
        if run_id in self._pending:
            raise RecoveryPendingError(f"a recovery of {run_id} is under way already")
        self._pending.add(run_id)
        return APIFuture(
            self._in_turn(run_id, client, checkpoint, restore or self._from_state),
            on_end=lambda: self._pending.discard(run_id),
        )

    def submit(self, detection: Detection, client: TrainingClient | None = None, checkpoint: str | None = None) -> None:
        """Recover what a monitor has found; how it ends is told by events and callbacks."""
        if detection.run_id not in self._pending:
            self.recover(detection.run_id, client=client, checkpoint=checkpoint)

    async def _in_turn(
        self, run_id: str, client: TrainingClient | None, checkpoint: str | None, restore: Restore
    ) -> Recovered:
        async with self._places:
            return await self._tried(run_id, client, checkpoint, restore)

    async def _tried(
        self, run_id: str, client: TrainingClient | None, given: str | None, restore: Restore
    ) -> Recovered:
        events = self._connection.events
        attempt = 1
        while True:
            tell(events, "started", run_id, f"attempt {attempt}", attempt=attempt)
            try:
                path = await self._checkpoint(run_id, given)
                tell(events, "checkpoint_selected", run_id, path, path=path)
                made = await restore(path)
                tell(events, "client_created", run_id, made.model_id, model_id=made.model_id)
                break
            except Exception as error:
                tell(events, "failed", run_id, f"attempt {attempt}: {error}", attempt=attempt, error=repr(error))
                if attempt >= self.policy.max_attempts:
                    raise await self._given_up(run_id, attempt, error) from error
                await self._connection.clock.sleep(self.policy.delay(attempt))
            attempt += 1
        tell(events, "completed", run_id, f"from {path}", path=path, attempt=attempt, model_id=made.model_id)
        await self._call_back(run_id, self.policy.on_recovery, client, made, path)
        return Recovered(run_id=run_id, client=made, checkpoint=path, attempts=attempt)

    async def _given_up(self, run_id: str, attempts: int, error: Exception) -> RecoveryFailedError:
        reason = f"{type(error).__name__}: {error}"
        tell(self._connection.events, "exhausted", run_id, reason, attempts=attempts)
        await self._call_back(run_id, self.policy.on_failure, run_id, reason)
        return RecoveryFailedError(
            f"{run_id} could not be recovered in {attempts} attempts: {reason}", attempts=attempts
        )

    async def _checkpoint(self, run_id: str, given: str | None) -> str:
        strategy = self.policy.checkpoint_strategy
        if strategy not in ("latest", "best"):
            return strategy
        if strategy == "latest" and given is not None:
            return given
        if strategy == "latest":
            last = (await self._rest.get_training_run(run_id)).last_checkpoint
            if last is not None and last.checkpoint_type == "training":
                return last.tinker_path
        listed = (await self._rest.list_checkpoints(run_id)).checkpoints
        states = [each for each in listed if each.checkpoint_type == "training"]
        if strategy == "best":
            states = [best] if (best := best_checkpoint(states, self.policy)) is not None else []
        if not states:
            raise MissingCheckpointError(f"{run_id} has no checkpoint to go on from ({strategy})")
        return max(states, key=lambda state: state.time).tinker_path

    async def _from_state(self, path: str) -> TrainingClient:
        return await self._successors.make(path, optimizer=self.policy.restore_optimizer)

    async def _call_back(self, run_id: str, callback: Callable[..., Any] | None, *values: Any) -> None:
        """Call the user's function, in a thread of its own kind so that it may block; it cannot do harm."""
        if callback is None:
            return
        try:
            answer = await asyncio.wait_for(loop.in_user_thread(callback, *values), CALLBACK_SECONDS)
            if inspect.isawaitable(answer):
                await asyncio.wait_for(answer, CALLBACK_SECONDS)
        except Exception as error:
            detail = f"{getattr(callback, '__qualname__', callback)!s} raised {error!r}"
            tell(self._connection.events, "callback_failed", run_id, detail, error=repr(error))


def best_checkpoint(checkpoints: Sequence[Checkpoint], policy: RecoveryPolicy) -> Checkpoint | None:
    """The one whose `user_metadata` has the best finite value of the policy's metric; None if none has one."""
    found = [(value, each) for each in checkpoints if (value := _metric(each, policy.best_metric)) is not None]
    if not found:
        return None
    choose = min if policy.best_mode == "min" else max
    return choose(found, key=lambda pair: pair[0])[1]


def _metric(checkpoint: Checkpoint, name: str) -> float | None:
    try:
        value = float((checkpoint.user_metadata or {})[name])
    except (KeyError, ValueError):
        return None
    return value if math.isfinite(value) else None
