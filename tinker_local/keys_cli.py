"""`tinker-hl keys`: make, list and revoke the API keys of a data folder, and hand out access to single checkpoints.

It works on the folder, whether or not a service is running on it: a running one takes note within a second. Whoever may
write the folder may do all of this.
"""

import asyncio
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from tinker_local.printing import form, format_option, print_record, print_records
from tinker_local.settings import DATABASE_FILE, default_data_dir

if TYPE_CHECKING:
    from tinker_local.store.database import Database, Statement

__all__ = ["keys"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_data_dir = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=default_data_dir,
    help="Of the service.  [default: ~/.tinker-hl/local]",
)


@click.group()
@format_option
def keys() -> None:
    """Make, list and revoke API keys of a local service.

    Its first key locks it: from then on every request needs one, and what was made without a key belongs to `local`.
    """


@keys.command()
@format_option
@click.option("--name", required=True, help="Who it is for. Keys of one name own the same runs.")
@click.option("--note", default="", help="Whatever helps you to remember, such as the machine that has it.")
@click.option(
    "--scope",
    type=click.Choice(["own", "all"]),
    default="own",
    show_default=True,
    help="`all` may see and manage everybody's runs, sessions and checkpoints.",
)
@_data_dir
def create(name: str, note: str, scope: Literal["own", "all"], data_dir: Path) -> None:
    """Make a key and print it. It is shown this once; only a hash of it is kept."""
    from tinker_local.keys import digest_of, new_key
    from tinker_local.signing import API_KEYS
    from tinker_local.store.keys import KeyRecords

    if not _NAME.fullmatch(name):
        raise click.UsageError(f"--name {name[:80]!r}: use 1 to 64 letters, digits, '.', '_', '@' or '-'")
    key = new_key()
    data_dir.expanduser().mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = digest_of(key, _secret(data_dir, API_KEYS))
    with _database(data_dir) as database:
        _write(
            database,
            KeyRecords(database).add(digest, name, note, scope, time.time()),
            _audited(database, "key_create", name, scope=scope),
        )
    print_record({"key": key, "name": name, "scope": scope, "note": note}, text=key)


@keys.command(name="list")
@format_option
@_data_dir
def list_keys(data_dir: Path) -> None:
    """Show every key that was made, the revoked ones too.

    The keys themselves are not known any more.
    """
    from tinker_local.clock import rfc3339
    from tinker_local.store.keys import KeyRecords

    with _database(data_dir) as database:
        records = KeyRecords(database).all()
    made = [
        {
            "key_id": record.key_id,
            "name": record.name,
            "scope": record.scope,
            "created": f"{rfc3339(record.created_at)[:19]}Z",
            "revoked": None if record.revoked_at is None else f"{rfc3339(record.revoked_at)[:19]}Z",
            "note": record.note,
        }
        for record in records
    ]
    print_records(made, name="keys", nothing="No key was made here.")


@keys.command()
@format_option
@click.argument("key_id", type=int)
@_data_dir
def revoke(key_id: int, data_dir: Path) -> None:
    """Let the key KEY_ID in no more.

    KEY_ID is its number in `list`. Tokens that were got with it end, too.
    """
    from tinker_local.store.keys import KeyRecords

    with _database(data_dir) as database:
        records = KeyRecords(database)
        record = records.by_id(key_id)
        if record is None:
            raise click.ClickException(f"there is no key {key_id}; `tinker-hl keys list` shows them")
        if record.revoked_at is None:
            revoked = records.revoke(key_id, time.time())
            _write(database, revoked, _audited(database, "key_revoke", record.name, key_id=key_id))
    if form() == "table":
        click.echo(f"Key {key_id} of {record.name} lets nobody in any more.", err=True)
    else:
        print_record({"key_id": key_id, "name": record.name, "revoked": True}, text="")


@keys.command()
@format_option
@click.argument("path")
@click.option(
    "--hours",
    type=click.FloatRange(min=0, min_open=True),
    default=24.0,
    show_default=True,
    help="How long it opens the checkpoint.",
)
@_data_dir
def share(path: str, hours: float, data_dir: Path) -> None:
    """Print a token that opens the checkpoint PATH to others.

    PATH is tinker://RUN/KIND/NAME. Whoever has it may load and copy this one checkpoint until it ends
    (`weights_access_token=` of the clients).
    """
    from tinker_local.clock import rfc3339
    from tinker_local.errors import ApiError
    from tinker_local.signing import WEIGHTS_TOKENS
    from tinker_local.store.paths import CheckpointPath
    from tinker_local.weights_tokens import new_token

    try:
        checkpoint = CheckpointPath.parse(path)
    except ApiError as error:
        raise click.UsageError(error.text) from None
    if not (data_dir.expanduser() / "checkpoints" / checkpoint.run_id / checkpoint.checkpoint_id).is_dir():
        raise click.ClickException(f"there is no checkpoint {checkpoint} in {data_dir}")
    ends = time.time() + hours * 3600
    token = new_token(checkpoint, ends, _secret(data_dir, WEIGHTS_TOKENS))
    print_record({"weights_access_token": token, "tinker_path": path, "expires": f"{rfc3339(ends)[:19]}Z"}, text=token)


def _secret(data_dir: Path, purpose: str) -> bytes:
    from tinker_local.signing import SECRET_FILE, derived, kept_secret

    return derived(kept_secret(data_dir.expanduser() / SECRET_FILE), purpose)


@contextmanager
def _database(data_dir: Path) -> "Iterator[Database]":
    from tinker_local.store.database import Database

    folder = data_dir.expanduser()
    if not folder.is_dir():
        raise click.ClickException(f"there is no data folder {folder}; give the service's --data-dir")
    database = Database(folder / DATABASE_FILE, "")
    try:
        yield database
    finally:
        database.close()


def _audited(database: "Database", event: str, owner: str, **details: Any) -> "Statement":
    from tinker_local.store.audit import AuditRecord, AuditRecords

    record = AuditRecord(at=time.time(), owner=owner, event=event, details={"actor": "command line", **details})
    return AuditRecords(database).add(record)


def _write(database: "Database", *statements: "Statement") -> None:
    asyncio.run(database.write(*statements))
