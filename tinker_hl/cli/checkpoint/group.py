"""The group `tinker-hl checkpoint`, put together."""

import click

from tinker_hl.cli.checkpoint.comparing import diff
from tinker_hl.cli.checkpoint.deletion import delete
from tinker_hl.cli.checkpoint.listing import info, list_checkpoints
from tinker_hl.cli.checkpoint.pruning import prune
from tinker_hl.cli.checkpoint.publishing import export, import_folder, push_hf
from tinker_hl.cli.checkpoint.saving import save
from tinker_hl.cli.checkpoint.sharing import publish, set_ttl, unpublish
from tinker_hl.cli.checkpoint.transfer import download
from tinker_hl.cli.forms import format_option

__all__ = ["checkpoint"]


@click.group()
@format_option
def checkpoint() -> None:
    """List, save, share, fetch and delete checkpoints."""


for command in (
    list_checkpoints,
    info,
    save,
    publish,
    unpublish,
    set_ttl,
    delete,
    prune,
    download,
    export,
    import_folder,
    push_hf,
    diff,
):
    checkpoint.add_command(command)
