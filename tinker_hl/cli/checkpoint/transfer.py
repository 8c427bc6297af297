"""`checkpoint download`: the files of a checkpoint, as a folder here."""

from pathlib import Path

import attrs
import click

from tinker_hl.cli.forms import format_option
from tinker_hl.cli.output import print_record
from tinker_hl.cli.pages import progress
from tinker_hl.cli.parameters import tinker_path
from tinker_hl.cli.reach import Reach, reaching
from tinker_hl.cli.wording import size

__all__ = ["download", "folder_name"]

TRANSFER_SECONDS = 3600.0
"""How long a transfer may take, if --timeout is no longer."""


@click.command()
@format_option
@click.argument("path", type=tinker_path)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("."),
    show_default="the current folder",
    metavar="DIR",
    help="Where the checkpoint's folder is made.",
)
@click.option("--force", is_flag=True, help="Replace the folder if there is one.")
@reaching
def download(reach: Reach, path: str, output: Path, force: bool) -> None:
    """Fetch the files of the checkpoint PATH into a folder.

    The folder is named after the checkpoint. It appears whole or not at all, and holds what peft and vLLM load. After a
    cut, the same command goes on where this one stopped. On a server that makes no archives the checkpoint is loaded
    into a new run and exported.
    """
    from tinker_hl.checkpoints import download as fetch

    folder = output / folder_name(path)
    if folder.exists() and not force:
        raise click.ClickException(f"{folder} exists; --force replaces it")
    with reach.service(display_name="tinker-hl checkpoint download") as service:
        seconds = max(reach.timeout, TRANSFER_SECONDS)
        done = fetch(service, path, folder, overwrite=force, progress=_tell, timeout=seconds)
    progress("")
    rows = [("Folder", str(folder)), ("Fetched", size(done.size_bytes)), ("Files", ", ".join(done.files))]
    if done.resumed_from:
        rows.append(("Went on from", size(done.resumed_from)))
    print_record(attrs.evolve(done, folder=folder), rows)


def folder_name(path: str) -> str:
    """A folder's name for a checkpoint: the path's parts with `_` between them."""
    return path.removeprefix("tinker://").replace("/", "_")


def _tell(here: int, whole: int | None) -> None:
    progress(size(here) if whole is None else f"{size(here)} of {size(whole)}")
