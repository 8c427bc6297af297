"""`checkpoint push-hf`, `export` and `import`: a checkpoint as others take it, on the hub or as a folder, and back."""

import tempfile
from pathlib import Path
from typing import Literal

import click

from tinker_hl.cli.checkpoint.transfer import TRANSFER_SECONDS, folder_name
from tinker_hl.cli.forms import format_option
from tinker_hl.cli.output import note, print_record
from tinker_hl.cli.pages import progress
from tinker_hl.cli.parameters import tinker_path
from tinker_hl.cli.reach import Reach, reaching
from tinker_hl.cli.wording import size

__all__ = ["export", "import_folder", "push_hf"]


@click.command(name="push-hf")
@format_option
@click.argument("path", type=tinker_path)
@click.option("-r", "--repo", metavar="[OWNER/]NAME", help="The repository.  [default: tinker-BASE-RUN-NAME]")
@click.option("--public", is_flag=True, help="Let a new repository be public.")
@click.option("--revision", metavar="BRANCH", help="The branch.  [default: the main one]")
@click.option("--commit-message", metavar="TEXT", help="Of the commit.")
@click.option("--create-pr", is_flag=True, help="Propose the files instead of committing them.")
@click.option("--allow-pattern", multiple=True, metavar="GLOB", help="Only files of this name. Repeatable.")
@click.option("--ignore-pattern", multiple=True, metavar="GLOB", help="No files of this name. Repeatable.")
@click.option("--hf-token", envvar="HF_TOKEN", metavar="TOKEN", help="Of the hub.  [default: HF_TOKEN, or its login]")
@click.option("--no-model-card", is_flag=True, help="Write no README.md.")
@click.option("--dry-run", is_flag=True, help="Show what would be published, and change nothing.")
@reaching
def push_hf(
    reach: Reach,
    path: str,
    repo: str | None,
    public: bool,
    revision: str | None,
    commit_message: str | None,
    create_pr: bool,
    allow_pattern: tuple[str, ...],
    ignore_pattern: tuple[str, ...],
    hf_token: str | None,
    no_model_card: bool,
    dry_run: bool,
) -> None:
    """Publish the checkpoint PATH on the Hugging Face hub.

    What is published is its adapter, with a model card. A repository whose card names another checkpoint is refused.
    """
    from tinker_hl.checkpoints.hub import push, repository_name, require_token

    if not dry_run:
        require_token(hf_token)
    base_model = reach.wait(reach.rest().get_weights_info_by_tinker_path(path)).base_model
    with tempfile.TemporaryDirectory(prefix="tinker-hl-push-") as work:
        folder = _fetched(reach, path, Path(work))
        done = push(
            folder,
            repo or repository_name(path, base_model),
            tinker_path=path,
            base_model=base_model,
            private=not public,
            revision=revision,
            commit_message=commit_message,
            create_pr=create_pr,
            allow_patterns=list(allow_pattern) or None,
            ignore_patterns=list(ignore_pattern) or None,
            model_card=not no_model_card,
            token=hf_token,
            dry_run=dry_run,
        )
    rows = [("Repository", done.repository), ("Size", size(sum(done.files.values()))), ("Files", ", ".join(done.files))]
    rows += [("Commit", done.commit_url)] if done.commit_url else []
    rows += [("Pull request", done.pull_request_url)] if done.pull_request_url else []
    print_record(done, rows)
    if dry_run:
        note(
            "Nothing was changed." if done.asked_hub else "Nothing was changed, and without a token nothing was asked."
        )


@click.command()
@format_option
@click.argument("path", type=tinker_path)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--kind",
    type=click.Choice(["peft", "merged"]),
    default="peft",
    show_default=True,
    help="The adapter alone, or the base model with the adapter in its weights.",
)
@click.option(
    "--base-model",
    metavar="NAME",
    help="The base model, as those who load it find it; a folder or a name on the hub.  [default: the adapter's]",
)
@reaching
def export(reach: Reach, path: str, folder: Path, kind: Literal["peft", "merged"], base_model: str | None) -> None:
    """Write the checkpoint PATH into FOLDER as others load it.

    That is: peft and vLLM, or with --kind merged also transformers alone.
    """
    from tinker_hl.checkpoints.export import export_merged, export_peft

    if folder.exists():
        raise click.ClickException(f"{folder} exists; choose another folder")
    with tempfile.TemporaryDirectory(prefix="tinker-hl-export-") as work:
        fetched = _fetched(reach, path, Path(work))
        make = export_peft if kind == "peft" else export_merged
        made = make(fetched, folder, base_model=base_model)
    files = {file.name: file.stat().st_size for file in sorted(made.iterdir())}
    record = {"tinker_path": path, "folder": str(folder), "kind": kind, "files": files}
    print_record(record, [("Folder", str(folder)), ("Size", size(sum(files.values()))), ("Files", ", ".join(files))])


@click.command(name="import")
@format_option
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--base-model", required=True, metavar="NAME", help="The base model, as the server names it.")
@click.option("--name", default="imported", show_default=True, help="Of the checkpoint.")
@click.option("--ttl", type=click.IntRange(min=1), metavar="SECONDS", help="Delete it so many seconds from now.")
@reaching
def import_folder(reach: Reach, folder: Path, base_model: str, name: str, ttl: int | None) -> None:
    """Make a checkpoint of the PEFT adapter in FOLDER.

    The server has to take adapters, as the local service does.
    """
    from tinker_hl.checkpoints import import_adapter

    with reach.service(display_name="tinker-hl checkpoint import") as service:
        seconds = max(reach.timeout, TRANSFER_SECONDS)
        path = import_adapter(service, folder, base_model, name=name, ttl_seconds=ttl, timeout=seconds)
    print_record({"tinker_path": path, "folder": str(folder), "base_model": base_model}, [("Path", path)])


def _fetched(reach: Reach, path: str, work: Path) -> Path:
    from tinker_hl.checkpoints import download

    with reach.service(display_name="tinker-hl checkpoint export") as service:
        seconds = max(reach.timeout, TRANSFER_SECONDS)
        folder = download(service, path, work / folder_name(path), timeout=seconds).folder
    progress("")
    return folder
