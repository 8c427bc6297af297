"""`lineage`: which run started from which checkpoint, from the newest run back to those that began fresh.

A server that remembers it says so (`TrainingRun.started_from`, as the local service does). For others there is a label
of the run: pass `user_metadata=started_from(path)` when you make a client from a state. It changes nothing.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import attrs

from tinker_hl.clients.rest import RestClient
from tinker_hl.errors import NotFoundError, PermissionDeniedError
from tinker_hl.types import ParsedCheckpointTinkerPath, TrainingRun

if TYPE_CHECKING:
    from tinker_hl import ServiceClient

__all__ = ["LABEL", "Lineage", "LineageNode", "lineage", "started_from"]

LABEL: Final = "started_from"
MOST_STEPS: Final = 1000
PAGE: Final = 200


@attrs.frozen(kw_only=True)
class LineageNode:
    """A run, and the checkpoint that it was made from."""

    training_run_id: str
    started_from: str | None
    """None for a run that began fresh, or of which nobody noted where it began."""
    run: TrainingRun | None
    """None for a run that is gone, or is somebody else's."""


@attrs.frozen(kw_only=True)
class Lineage:
    """A run's ancestors, and what was made from it."""

    ancestors: tuple[LineageNode, ...]
    """The run itself first, then the run that its checkpoint is of, and so on."""
    descendants: tuple[LineageNode, ...]
    """Runs made from any checkpoint of the run, or of a run that was; empty unless they were asked for."""


def started_from(tinker_path: str, user_metadata: Mapping[str, str] | None = None) -> dict[str, str]:
    """Labels for a run that is made from a checkpoint, so that its lineage is known on any server.

    Args:
        tinker_path: `tinker://<run>/<segment>/<name>`.
        user_metadata: Other labels.
    """
    ParsedCheckpointTinkerPath.from_tinker_path(tinker_path)
    return {**(user_metadata or {}), LABEL: tinker_path}


def lineage(
    client: "ServiceClient | RestClient", of: str, *, descendants: bool = False, timeout: float = 600.0
) -> Lineage:
    """Where a run comes from.

    Args:
        client: Asks for the runs.
        of: A run's id, or the path of one of its checkpoints.
        descendants: Also find what was made from it, which reads the list of all runs.
        timeout: Seconds for each question to the server.

    Raises:
        NotFoundError: There is no such run.
        ValueError: `of` begins like a path and is none.
    """
    rest = client if isinstance(client, RestClient) else client.create_rest_client()
    run_id = _run_of(of) if of.startswith("tinker://") else of
    first = _node(rest.get_training_run(run_id).result(timeout))
    chain, seen = [first], {run_id}
    while chain[-1].started_from is not None and len(chain) < MOST_STEPS:
        parent = _run_of(chain[-1].started_from)
        if parent in seen:
            break  # labels can be wrong
        seen.add(parent)
        try:
            chain.append(_node(rest.get_training_run(parent).result(timeout)))
        except (NotFoundError, PermissionDeniedError):
            chain.append(LineageNode(training_run_id=parent, started_from=None, run=None))
    found = _descendants(rest, run_id, timeout) if descendants else ()
    return Lineage(ancestors=tuple(chain), descendants=found)


def _descendants(rest: RestClient, run_id: str, timeout: float) -> tuple[LineageNode, ...]:
    """Parents before their children."""
    children: dict[str, list[LineageNode]] = {}
    for run in _all_runs(rest, timeout):
        node = _node(run)
        if node.started_from is not None:
            children.setdefault(_run_of(node.started_from), []).append(node)
    found: list[LineageNode] = []
    seen, waiting = {run_id}, [run_id]
    while waiting:
        for node in children.get(waiting.pop(0), ()):
            if node.training_run_id not in seen:
                seen.add(node.training_run_id)
                found.append(node)
                waiting.append(node.training_run_id)
    return tuple(found)


def _all_runs(rest: RestClient, timeout: float) -> list[TrainingRun]:
    runs: dict[str, TrainingRun] = {}
    offset = 0
    while True:
        page = rest.list_training_runs(limit=PAGE, offset=offset).result(timeout)
        runs.update((run.training_run_id, run) for run in page.training_runs)
        offset += len(page.training_runs)
        if not page.training_runs or offset >= page.cursor.total_count:
            return list(runs.values())


def _node(run: TrainingRun) -> LineageNode:
    noted = run.started_from or (run.user_metadata or {}).get(LABEL)
    try:
        path = None if noted is None else ParsedCheckpointTinkerPath.from_tinker_path(noted).tinker_path
    except ValueError:
        path = None  # a label of the user's that means something else
    return LineageNode(training_run_id=run.training_run_id, started_from=path, run=run)


def _run_of(tinker_path: str) -> str:
    return ParsedCheckpointTinkerPath.from_tinker_path(tinker_path).training_run_id
