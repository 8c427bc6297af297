"""`tinker-hl session`: the sessions of a server, what belongs to one, and the trace of its work."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinker_hl.cli.forms import form, format_option
from tinker_hl.cli.output import Column, print_record, print_records
from tinker_hl.cli.pages import collect, limit_option, offset_option
from tinker_hl.cli.parameters import pair
from tinker_hl.cli.reach import Reach, reaching
from tinker_hl.cli.run import scope_option
from tinker_hl.cli.wording import MISSING, age, size

if TYPE_CHECKING:
    from tinker_hl.clients.rest import AccessScope, RestClient
    from tinker_hl.types import SessionStatus, SessionSummary

__all__ = ["session"]

PAGE = 1000
MAX_TRACE = 64 << 30
TRANSFER_SECONDS = 3600.0
FOUND: "tuple[Column[SessionSummary], ...]" = (
    Column("Session ID", lambda found: found.session_id),
    Column("Name", lambda found: found.display_name or MISSING),
    Column("Status", lambda found: _status(found.status)),
    Column("Created", lambda found: age(found.created_at)),
    Column("Checkpoints", lambda found: f"{found.checkpoints_count:,}", right=True),
    Column("Stored", lambda found: size(found.checkpoint_storage_bytes), right=True),
    Column("Owner", lambda found: found.owner),
)


@click.group()
@format_option
def session() -> None:
    """List, find and look at sessions, and export their traces."""


@session.command(name="list")
@format_option
@limit_option
@offset_option
@scope_option
@reaching
def list_sessions(reach: Reach, limit: int, offset: int, access_scope: "AccessScope") -> None:
    """List the ids of sessions, newest first.

    `search` tells more of each.
    """
    rest = reach.rest()

    def fetch(count: int, start: int) -> tuple[list[str], None]:
        return reach.wait(rest.list_sessions(count, start, access_scope)).sessions, None

    listed = collect(fetch, limit=limit, offset=offset, page=PAGE, what="sessions")
    columns = [Column[str]("Session ID", lambda session_id: session_id)]
    print_records(listed.items, columns, name="sessions", nothing="No sessions.")


@session.command()
@format_option
@click.option("--name", metavar="NAME", help="Sessions of this display name.")
@click.option("--metadata", type=pair, multiple=True, help="Sessions with this in their metadata. Repeatable.")
@click.option("--project-id", metavar="ID", multiple=True, help="Sessions of this project. Repeatable.")
@click.option("--accessible", is_flag=True, help="Also those of others that one may see.")
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True, help="At most so many.")
@reaching
def search(
    reach: Reach,
    name: str | None,
    metadata: tuple[tuple[str, str], ...],
    project_id: tuple[str, ...],
    accessible: bool,
    limit: int,
) -> None:
    """Find sessions that match every condition, newest first."""
    import warnings

    from tinker_hl import ExperimentalWarning
    from tinker_hl.types import AccessibleSearchOwner, OwnSearchOwner, SessionSearchRequest

    asked = SessionSearchRequest(
        display_name=name,
        user_metadata=dict(metadata),
        project_ids=list(project_id) or None,
        owner=AccessibleSearchOwner() if accessible else OwnSearchOwner(),
        limit=limit,
    )
    with warnings.catch_warnings():
        # It is for those who write programs; whoever types this sees what comes.
        warnings.simplefilter("ignore", ExperimentalWarning)
        found = reach.wait(reach.rest().search_sessions(asked))
    print_records(found.sessions, FOUND, name="sessions", nothing="No session matches.")


@session.command()
@format_option
@click.argument("session_id")
@scope_option
@reaching
def info(reach: Reach, session_id: str, access_scope: "AccessScope") -> None:
    """Show what belongs to the session SESSION_ID."""
    found = reach.wait(reach.rest().get_session(session_id, access_scope))
    rows = [("Session ID", session_id), ("Name", found.display_name or MISSING)]
    rows += [("Training Run", run_id) for run_id in found.training_run_ids]
    rows += [("Sampler", sampler_id) for sampler_id in found.sampler_ids]
    rows += [(f"Metadata: {name}", value) for name, value in sorted((found.user_metadata or {}).items())]
    print_record({"session_id": session_id, **found.model_dump(mode="json")}, rows)


@session.command(name="export-trace")
@format_option
@click.argument("session_id")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write.  [default: SESSION_ID.pftrace]",
)
@click.option("--url-only", is_flag=True, help="Print the address of the trace, and fetch nothing.")
@reaching
def export_trace(reach: Reach, session_id: str, output: Path | None, url_only: bool) -> None:
    """Fetch a trace of what the session SESSION_ID did.

    It is for ui.perfetto.dev. The server may take minutes to make it.
    """
    rest = reach.rest()
    url = reach.wait(rest.export_session_trace(session_id))
    if url_only:
        click.echo(url) if form() == "table" else print_record({"url": url}, [])
        return
    target = output or Path(f"{session_id}.pftrace")
    count = _fetched(rest, session_id, url, target, max(reach.timeout, TRANSFER_SECONDS))
    print_record({"path": str(target), "size_bytes": count}, [("Trace", str(target)), ("Size", size(count))])


def _fetched(rest: "RestClient", session_id: str, url: str, target: Path, timeout: float) -> int:
    """Stream to the file, which appears whole or not at all; returns its bytes."""
    from tinker_hl.checkpoints.fetching import Fetch
    from tinker_hl.checkpoints.patience import Patience

    part = target.with_name(f".{target.name}.part")
    notes = part.with_name(f"{part.name}.json")
    links = iter([url])
    try:
        fetch = Fetch(
            link=lambda: next(links, None) or rest.export_session_trace(session_id).result(timeout),
            target=part,
            patience=Patience(rest._connection),
            deadline=time.monotonic() + timeout,
            max_bytes=MAX_TRACE,
            progress=lambda here, whole: None,
        )
        size_bytes = fetch.run().size
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
        notes.unlink(missing_ok=True)
    return size_bytes


def _status(status: "SessionStatus | None") -> str:
    if status is None:
        return MISSING
    reason = getattr(status, "reason", None)
    detail = getattr(reason, "type", None)
    return f"{status.type} ({detail})" if detail else status.type
