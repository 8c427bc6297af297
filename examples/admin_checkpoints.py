"""Clean up old checkpoints, with the generated client alone: no session, no training code, no torch.

    python examples/admin_checkpoints.py                          list runs and checkpoints
    python examples/admin_checkpoints.py --older-than 30          and say which ones would be deleted
    python examples/admin_checkpoints.py --older-than 30 --yes    delete them

The service is TINKER_BASE_URL, the key TINKER_API_KEY. Published checkpoints stay: others may be using them.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import httpx
from tinker_api import AuthenticatedClient
from tinker_api.api.checkpoints import delete_checkpoint
from tinker_api.api.training_runs import list_training_run_checkpoints, list_training_runs
from tinker_api.errors import UnexpectedStatus
from tinker_api.models import Checkpoint, CheckpointKind, TrainingRun

PAGE = 100
TIMEOUT = httpx.Timeout(30.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and do the job; return the exit code."""
    parser = argparse.ArgumentParser(description="List checkpoints, and delete old ones.")
    parser.add_argument("--older-than", type=float, metavar="DAYS", help="choose checkpoints saved before that")
    parser.add_argument("--yes", action="store_true", help="delete them (default: only say which)")
    options = parser.parse_args(arguments)
    if options.yes and options.older_than is None:
        parser.error("--yes wants --older-than DAYS, which says what to delete")
    base_url = os.environ.get("TINKER_BASE_URL")
    if not base_url:
        parser.error("TINKER_BASE_URL is not set; a local service is http://127.0.0.1:8787")
    try:
        with connect(base_url, os.environ.get("TINKER_API_KEY", "")) as client:
            return clean_up(client, options.older_than, delete=options.yes)
    except (UnexpectedStatus, httpx.HTTPError) as error:
        print(f"{base_url}: {error}", file=sys.stderr)
        return 1


def connect(base_url: str, api_key: str) -> AuthenticatedClient:
    """Return a client that raises on every answer but the documented success."""
    return AuthenticatedClient(
        base_url.rstrip("/"),
        token=api_key,
        prefix="",
        auth_header_name="X-API-Key",
        timeout=TIMEOUT,
        raise_on_unexpected_status=True,
    )


def clean_up(client: AuthenticatedClient, days: float | None, *, delete: bool) -> int:
    """Print every run with its checkpoints; delete those older than `days`, or say that it would."""
    limit = datetime.now(UTC) - timedelta(days=days) if days is not None else None
    chosen: list[tuple[TrainingRun, Checkpoint]] = []
    for run in training_runs(client):
        print(f"{run.training_run_id}  {run.base_model}  last used {run.last_request_time:%Y-%m-%d %H:%M}")
        for checkpoint in checkpoints(client, run):
            old = limit is not None and checkpoint.time < limit and checkpoint.public is not True
            print(f"  {describe(checkpoint)}{'  <- old' if old else ''}")
            if old:
                chosen.append((run, checkpoint))
    if days is None:
        return 0
    size = sum(checkpoint.size_bytes or 0 for _, checkpoint in chosen)
    print(f"{len(chosen)} checkpoints older than {days:g} days, {size / 2**20:.1f} MiB")
    if not delete:
        print("Nothing was deleted; add --yes to delete them.")
        return 0
    for run, checkpoint in chosen:
        print(f"{checkpoint.tinker_path}: {delete_one(client, run, checkpoint)}")
    return 0


def training_runs(client: AuthenticatedClient) -> Iterator[TrainingRun]:
    """Yield all runs, page by page."""
    offset = 0
    while True:
        page = list_training_runs.sync(client=client, limit=PAGE, offset=offset)
        if page is None or not page.training_runs:
            return
        yield from page.training_runs
        offset += len(page.training_runs)
        if offset >= page.cursor.total_count:
            return


def checkpoints(client: AuthenticatedClient, run: TrainingRun) -> list[Checkpoint]:
    """Return a run's checkpoints, the oldest first."""
    page = list_training_run_checkpoints.sync(run.training_run_id, client=client)
    return sorted(page.checkpoints, key=lambda checkpoint: checkpoint.time) if page else []


def describe(checkpoint: Checkpoint) -> str:
    """Return one line on a checkpoint."""
    size = f"{checkpoint.size_bytes / 2**20:.1f} MiB" if checkpoint.size_bytes else "? MiB"
    expiry = f"  until {checkpoint.expires_at:%Y-%m-%d}" if checkpoint.expires_at else ""
    public = "  public" if checkpoint.public is True else ""
    return f"{checkpoint.checkpoint_id}  {checkpoint.time:%Y-%m-%d %H:%M}  {size}{expiry}{public}"


def delete_one(client: AuthenticatedClient, run: TrainingRun, checkpoint: Checkpoint) -> str:
    """Delete a checkpoint and say how it went; it may have gone in the meantime."""
    kind, name = checkpoint.checkpoint_id.split("/", 1)
    try:
        delete_checkpoint.sync_detailed(run.training_run_id, CheckpointKind(kind), name, client=client)
    except UnexpectedStatus as error:
        if error.status_code != HTTPStatus.NOT_FOUND:
            raise
        return "was gone already"
    return "deleted"


if __name__ == "__main__":
    sys.exit(main())
