"""`checkpoint publish`, `unpublish` and `set-ttl`: who may load a checkpoint, and how long it is kept.

What became of it is a note for people, on stderr, and a record on stdout in the other forms.
"""

from typing import Any

import click

from tinker_hl.cli.forms import form, format_option
from tinker_hl.cli.output import note, print_record
from tinker_hl.cli.parameters import tinker_path
from tinker_hl.cli.reach import Reach, reaching

__all__ = ["publish", "set_ttl", "unpublish"]


@click.command()
@format_option
@click.argument("path", type=tinker_path)
@reaching
def publish(reach: Reach, path: str) -> None:
    """Let everybody who knows its path load the checkpoint PATH."""
    reach.wait(reach.rest().publish_checkpoint_from_tinker_path(path))
    _told(f"Everybody who knows its path can load {path}.", tinker_path=path, public=True)


@click.command()
@format_option
@click.argument("path", type=tinker_path)
@reaching
def unpublish(reach: Reach, path: str) -> None:
    """Make the checkpoint PATH private again."""
    reach.wait(reach.rest().unpublish_checkpoint_from_tinker_path(path))
    _told(f"{path} is private.", tinker_path=path, public=False)


@click.command(name="set-ttl")
@format_option
@click.argument("path", type=tinker_path)
@click.option("--ttl", type=click.IntRange(min=1), metavar="SECONDS", help="Delete it so many seconds from now.")
@click.option("--remove", is_flag=True, help="Keep it for good.")
@reaching
def set_ttl(reach: Reach, path: str, ttl: int | None, remove: bool) -> None:
    """Say how long the checkpoint PATH is kept."""
    if (ttl is None) != remove:
        raise click.UsageError("give one of --ttl and --remove.")
    reach.wait(reach.rest().set_checkpoint_ttl_from_tinker_path(path, ttl))
    kept = "for good" if ttl is None else f"for {ttl:,} seconds"
    _told(f"{path} is kept {kept}.", tinker_path=path, ttl_seconds=ttl)


def _told(sentence: str, **fields: Any) -> None:
    if form() == "table":
        note(sentence)
    else:
        print_record(fields, ())
