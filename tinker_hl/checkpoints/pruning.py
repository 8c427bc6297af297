"""`prune`: which checkpoints of a run stay and which go, by a policy that gives its reasons; by default nothing goes.

The rules look at each run and each kind of checkpoint by itself:

    keep_last n     the n newest
    keep_every k    those whose step is a multiple of k
    keep_best m     the m best by a metric
    pinned          those that are named, or saved with the label pinned=true
    always          the newest, published ones, and those of which a rule cannot tell (no step, no metric)

Steps are what is counted, not places in a list: after some have gone, the same policy keeps the same ones. A step is
the label `step` of a checkpoint (`save_state(..., user_metadata={"step": "40"})`), or else the number at the end of its
name.
"""

import asyncio
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Final, Literal

import attrs

from tinker_hl.clients.rest import RestClient
from tinker_hl.errors import APITimeoutError, NotFoundError, TinkerError
from tinker_hl.futures import APIFuture
from tinker_hl.types import Checkpoint, ParsedCheckpointTinkerPath

if TYPE_CHECKING:
    from tinker_hl import ServiceClient

__all__ = ["Decision", "PrunePlan", "RetentionPolicy", "list_all", "plan_prune", "prune", "prune_async", "step_of"]

PAGE: Final = 1000
AT_ONCE: Final = 8
"""Deletions under way."""
_TRAILING_NUMBER: Final = re.compile(r"(\d{1,15})$")
STEP_LABEL: Final = "step"
PIN_LABEL: Final = "pinned"
_YES: Final = frozenset({"1", "true", "yes"})


@attrs.frozen(kw_only=True)
class RetentionPolicy:
    """What stays. A checkpoint that any rule keeps is kept.

    Raises:
        ValueError: No rule is set, so that almost everything would go; or a number makes no sense.
    """

    keep_last: int = 0
    """The n newest."""
    keep_every: int = 0
    """Those whose step is a multiple of this."""
    keep_best: int = 0
    """The m best by `best_by`."""
    best_by: str | None = None
    """The label that holds the metric, or what the metric that `plan_prune` is given is called."""
    best_is: Literal["lowest", "highest"] = "lowest"
    pinned: Collection[str] = ()
    """Paths (`tinker://...`) or names."""

    def __attrs_post_init__(self) -> None:
        for name in ("keep_last", "keep_every", "keep_best"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}")
        if not (self.keep_last or self.keep_every or self.keep_best):
            raise ValueError("the policy keeps nothing: set keep_last, keep_every or keep_best")
        if self.keep_best and not self.best_by:
            raise ValueError("keep_best needs best_by: the label of the checkpoints that holds the metric")
        if self.best_is not in ("lowest", "highest"):
            raise ValueError(f"best_is must be 'lowest' or 'highest', got {self.best_is!r}")


@attrs.frozen(kw_only=True)
class Decision:
    """One checkpoint, whether it stays, and why."""

    checkpoint: Checkpoint
    keep: bool
    reasons: tuple[str, ...]
    deleted: bool = False
    """Whether it is gone: False in a dry run, and where deleting failed."""
    failure: TinkerError | None = None
    """Why it could not be deleted."""


@attrs.frozen(kw_only=True)
class PrunePlan:
    """A decision for each checkpoint, oldest first within its run and kind."""

    decisions: tuple[Decision, ...]
    dry_run: bool = True

    @property
    def kept(self) -> list[Decision]:
        """Those that stay."""
        return [decision for decision in self.decisions if decision.keep]

    @property
    def going(self) -> list[Decision]:
        """Those that go, or have gone."""
        return [decision for decision in self.decisions if not decision.keep]

    @property
    def failures(self) -> list[Decision]:
        """Those that should have gone and could not be deleted."""
        return [decision for decision in self.decisions if decision.failure is not None]

    @property
    def freed_bytes(self) -> int:
        """What those that go take, as far as the server says."""
        return sum(decision.checkpoint.size_bytes or 0 for decision in self.going)


def plan_prune(
    checkpoints: Iterable[Checkpoint],
    policy: RetentionPolicy,
    *,
    metrics: Mapping[str, float] | None = None,
) -> PrunePlan:
    """Decide, and change nothing.

    Args:
        checkpoints: Of any number of runs and kinds.
        policy: What stays.
        metrics: A value for each path; replaces the label `policy.best_by`.

    Returns:
        A decision for each.
    """

    def group(checkpoint: Checkpoint) -> tuple[str, str]:
        return _run(checkpoint), checkpoint.checkpoint_type

    ordered = sorted(checkpoints, key=lambda one: (group(one), one.time, one.tinker_path))
    decisions: list[Decision] = []
    for _, members in groupby(ordered, key=group):
        decisions += _decided(list(members), policy, metrics)
    return PrunePlan(decisions=tuple(decisions))


def prune(
    client: "ServiceClient | RestClient",
    policy: RetentionPolicy,
    *,
    training_run_id: str | None = None,
    dry_run: bool = True,
    metrics: Mapping[str, float] | None = None,
    progress: Callable[[Decision], None] | None = None,
    timeout: float = 600.0,
) -> PrunePlan:
    """Delete the checkpoints that a policy does not keep; by default only say which.

    Before each is deleted the list is read again: one that was replaced, or published, since it was decided on stays.

    Args:
        client: Lists and deletes.
        policy: What stays.
        training_run_id: Only this run's; None for all runs of the caller.
        dry_run: False deletes, for good.
        metrics: See `plan_prune`.
        progress: Told each deletion, as it ends.
        timeout: Seconds for each question to the server.

    Returns:
        The plan, and what came of it. Deletions that failed are in it, and stop no others.

    Raises:
        TinkerError: The list could not be read.
    """
    rest = client if isinstance(client, RestClient) else client.create_rest_client()
    plan = plan_prune(list_all(rest, training_run_id, timeout=timeout), policy, metrics=metrics)
    if dry_run or not plan.going:
        return attrs.evolve(plan, dry_run=dry_run)
    now = {one.tinker_path: one for one in list_all(rest, training_run_id, timeout=timeout)}
    done: list[Decision] = []
    going = list(plan.going)
    for begin in range(0, len(going), AT_ONCE):
        done += _deleted(rest, going[begin : begin + AT_ONCE], now, progress or _quiet, timeout)
    by_path = {decision.checkpoint.tinker_path: decision for decision in done}
    decisions = tuple(by_path.get(one.checkpoint.tinker_path, one) for one in plan.decisions)
    return PrunePlan(decisions=decisions, dry_run=False)


async def prune_async(
    client: "ServiceClient | RestClient",
    policy: RetentionPolicy,
    *,
    training_run_id: str | None = None,
    dry_run: bool = True,
    metrics: Mapping[str, float] | None = None,
    progress: Callable[[Decision], None] | None = None,
    timeout: float = 600.0,
) -> PrunePlan:
    """See `prune`; the work is done in a thread, from which `progress` is called, too."""
    return await asyncio.to_thread(
        prune,
        client,
        policy,
        training_run_id=training_run_id,
        dry_run=dry_run,
        metrics=metrics,
        progress=progress,
        timeout=timeout,
    )


def list_all(rest: RestClient, training_run_id: str | None = None, *, timeout: float = 600.0) -> list[Checkpoint]:
    """All checkpoints of a run, or of the caller, page by page."""
    if training_run_id is not None:
        return rest.list_checkpoints(training_run_id).result(timeout).checkpoints
    found: dict[str, Checkpoint] = {}
    offset = 0
    while True:
        page = rest.list_user_checkpoints(limit=PAGE, offset=offset).result(timeout)
        found.update((one.tinker_path, one) for one in page.checkpoints)
        offset += len(page.checkpoints)
        if not page.checkpoints or page.cursor is None or offset >= page.cursor.total_count:
            return list(found.values())


def step_of(checkpoint: Checkpoint) -> int | None:
    """The step of a checkpoint: its label `step`, or the number at the end of its name; None if it has neither."""
    label = (checkpoint.user_metadata or {}).get(STEP_LABEL)
    if label is not None:
        return int(label) if str(label).isdecimal() else None
    found = _TRAILING_NUMBER.search(_name(checkpoint))
    return int(found[1]) if found else None


def _decided(
    members: Sequence[Checkpoint], policy: RetentionPolicy, metrics: Mapping[str, float] | None
) -> list[Decision]:
    """`members` are of one run and kind, oldest first."""
    reasons: dict[str, list[str]] = {one.tinker_path: [] for one in members}
    for place, one in enumerate(reversed(members), start=1):
        why = reasons[one.tinker_path]
        if place <= policy.keep_last:
            why.append(f"one of the last {policy.keep_last}")
        elif place == 1:
            why.append("the newest")
        if one.public:
            why.append("published")
        if _is_pinned(one, policy):
            why.append("pinned")
        if policy.keep_every:
            step = step_of(one)
            if step is None:
                why.append("its step is not known")
            elif step % policy.keep_every == 0:
                why.append(f"step {step} is a multiple of {policy.keep_every}")
    if policy.keep_best:
        _keep_best(members, policy, metrics, reasons)
    decisions = []
    for one in members:
        why = reasons[one.tinker_path]
        decisions.append(Decision(checkpoint=one, keep=bool(why), reasons=tuple(why) or ("no rule keeps it",)))
    return decisions


def _keep_best(
    members: Sequence[Checkpoint],
    policy: RetentionPolicy,
    metrics: Mapping[str, float] | None,
    reasons: dict[str, list[str]],
) -> None:
    values: dict[str, float] = {}
    for one in members:
        value = _metric(one, policy.best_by or "", metrics)
        if value is None:
            reasons[one.tinker_path].append(f"its {policy.best_by} is not known")
        else:
            values[one.tinker_path] = value
    sign = 1 if policy.best_is == "lowest" else -1
    # Of equal ones the older is kept, so that a plan stays as it is when newer ones come.
    for path in sorted(values, key=lambda path: sign * values[path])[: policy.keep_best]:
        reasons[path].append(f"one of the {policy.keep_best} best: {policy.best_by} {values[path]:g}")


def _metric(checkpoint: Checkpoint, name: str, metrics: Mapping[str, float] | None) -> float | None:
    """None where it is not known, or no number: a diverged run must not look like the best one."""
    found = metrics.get(checkpoint.tinker_path) if metrics is not None else (checkpoint.user_metadata or {}).get(name)
    try:
        value = float(found)  # type: ignore[arg-type]  # None and other things raise
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _is_pinned(checkpoint: Checkpoint, policy: RetentionPolicy) -> bool:
    label = str((checkpoint.user_metadata or {}).get(PIN_LABEL, "")).lower()
    return label in _YES or bool({checkpoint.tinker_path, _name(checkpoint)} & set(policy.pinned))


def _deleted(
    rest: RestClient,
    going: Sequence[Decision],
    now: Mapping[str, Checkpoint],
    progress: Callable[[Decision], None],
    timeout: float,
) -> list[Decision]:
    waiting: list[tuple[Decision, APIFuture[None] | None]] = []
    for decision in going:
        then = decision.checkpoint
        current = now.get(then.tinker_path)
        if current is not None and (current.time != then.time or current.public):
            waiting.append((attrs.evolve(decision, keep=True, reasons=("it changed meanwhile",)), None))
        else:
            waiting.append((decision, rest.delete_checkpoint_from_tinker_path(then.tinker_path)))
    done = []
    for decision, future in waiting:
        if future is not None:
            try:
                future.result(timeout)
                decision = attrs.evolve(decision, deleted=True)
            except NotFoundError:
                decision = attrs.evolve(decision, deleted=True)  # it is gone, as it should be
            except TinkerError as error:
                decision = attrs.evolve(decision, failure=error)
            except TimeoutError:
                failure = APITimeoutError(message=f"no answer within {timeout:g} s; it may be deleted, or not")
                decision = attrs.evolve(decision, failure=failure)
        progress(decision)
        done.append(decision)
    return done


def _run(checkpoint: Checkpoint) -> str:
    return ParsedCheckpointTinkerPath.from_tinker_path(checkpoint.tinker_path).training_run_id


def _name(checkpoint: Checkpoint) -> str:
    return checkpoint.tinker_path.rpartition("/")[2]


def _quiet(decision: Decision) -> None:
    pass
