"""`push`: a downloaded checkpoint as a repository of the Hugging Face hub, with a model card.

A repository that holds another checkpoint is refused, so that nothing is overwritten by a slip. The hub's own library
does the transfer. Knows nothing of Tinker services.
"""

import re
import tempfile
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

import attrs

from tinker_hl.checkpoints.adapter import read_adapter_config
from tinker_hl.checkpoints.errors import PublishError
from tinker_hl.checkpoints.export import export_peft
from tinker_hl.errors import ConfigurationError

__all__ = ["Pushed", "push", "repository_name", "require_token"]

CARD: Final = "README.md"
_PATH_LINE: Final = re.compile(r"^tinker_path:\s*[\"']?(\S+?)[\"']?\s*$", re.MULTILINE)


@attrs.frozen(kw_only=True)
class Pushed:
    """What was published, or would be."""

    repository: str
    files: Mapping[str, int]
    """Bytes of each file."""
    card: str | None
    """The text of the model card; None without one."""
    commit_url: str | None
    """None in a dry run."""
    pull_request_url: str | None = None
    asked_hub: bool = True
    """False in a dry run without a token: the hub was not asked whether the repository holds another checkpoint."""


def push(
    checkpoint: str | Path,
    repository: str,
    *,
    tinker_path: str | None = None,
    base_model: str | None = None,
    private: bool = True,
    revision: str | None = None,
    commit_message: str | None = None,
    create_pr: bool = False,
    allow_patterns: Sequence[str] | None = None,
    ignore_patterns: Sequence[str] | None = None,
    model_card: bool = True,
    token: str | None = None,
    endpoint: str | None = None,
    dry_run: bool = False,
) -> Pushed:
    """Publish the adapter of a downloaded checkpoint.

    Args:
        checkpoint: A folder from `download`.
        repository: `<name>` or `<owner>/<name>`; made if need be. `repository_name` proposes one.
        tinker_path: Where the checkpoint is from. The card says it, and a repository whose card says another is
            refused.
        base_model: The hub's name of the base model, for the card and for those who load the adapter. None leaves what
            the adapter says.
        private: Whether a new repository is. One that exists stays as it is.
        revision: A branch; None for the main one.
        commit_message: None for one that names the checkpoint.
        create_pr: Propose the files instead of committing them.
        allow_patterns: Only files of these names, such as `*.safetensors`.
        ignore_patterns: No files of these names.
        model_card: Whether to write `README.md`.
        token: None for `HF_TOKEN`, or the login of `hf auth login`.
        endpoint: None for `HF_ENDPOINT`, or the public hub.
        dry_run: Look, and change nothing. It needs no token.

    Raises:
        AdapterError: There is no plain LoRA adapter.
        PublishError: The hub refused, or the repository holds another checkpoint.
        ConfigurationError: huggingface_hub is not installed.
    """
    hub = _library()
    source = Path(checkpoint)
    config = read_adapter_config(source)
    base = base_model or config.get("base_model_name_or_path")
    api = hub.HfApi(endpoint=endpoint, token=token)
    with tempfile.TemporaryDirectory(prefix="tinker-hl-push-") as work:
        folder = export_peft(source, Path(work) / "files", base_model=base_model)
        card = _card(config, base, tinker_path, repository) if model_card else None
        if card is not None:
            (folder / CARD).write_text(card, encoding="utf-8")
        files = _chosen(folder, allow_patterns, ignore_patterns)
        if dry_run and not _has_token(hub, token):
            return Pushed(repository=repository, files=files, card=card, commit_url=None, asked_hub=False)
        try:
            _refuse_another(api, hub, repository, revision, tinker_path)
            if dry_run:
                return Pushed(repository=repository, files=files, card=card, commit_url=None)
            made = api.create_repo(repository, private=private, exist_ok=True)
            if revision is not None and not create_pr:
                api.create_branch(made.repo_id, branch=revision, exist_ok=True)
            commit = api.upload_folder(
                repo_id=made.repo_id,
                folder_path=folder,
                commit_message=commit_message or f"Adapter {tinker_path or source.name}",
                revision=revision,
                create_pr=create_pr or None,
                allow_patterns=list(files),
            )
        except hub.errors.HfHubHTTPError as error:
            raise PublishError(
                f"the hub refused {repository}: {error}", hint="check the token (HF_TOKEN) and the repository's name"
            ) from error
        except hub.errors.LocalTokenNotFoundError as error:
            raise _no_token() from error
        except (ValueError, RuntimeError, OSError) as error:  # a name that no repository can have, a broken upload
            raise PublishError(f"{repository} could not be published: {error}") from error
    return Pushed(
        repository=made.repo_id, files=files, card=card, commit_url=commit.commit_url, pull_request_url=commit.pr_url
    )


def require_token(token: str | None = None) -> None:
    """Refuse early, before anything large is fetched.

    Args:
        token: As for `push`.

    Raises:
        PublishError: There is none.
        ConfigurationError: huggingface_hub is not installed.
    """
    if not _has_token(_library(), token):
        raise _no_token()


def _has_token(hub: Any, token: str | None) -> bool:
    return bool(token or hub.get_token())


def _no_token() -> PublishError:
    return PublishError("there is no token for the hub", hint="set HF_TOKEN, or run hf auth login")


def repository_name(tinker_path: str, base_model: str) -> str:
    """A name for the repository of a checkpoint: `tinker-<base>-<run>-<name>`, of characters that the hub takes."""
    run, _, name = tinker_path.removeprefix("tinker://").partition("/")
    text = f"tinker-{base_model.rpartition('/')[2]}-{run.partition(':')[0]}-{name.rpartition('/')[2]}"
    return re.sub(r"[-.]{2,}", "-", re.sub(r"[^A-Za-z0-9._-]", "-", text)).strip("-.")[:96].rstrip("-.")


def _refuse_another(api: Any, hub: Any, repository: str, revision: str | None, tinker_path: str | None) -> None:
    """Raise `PublishError` if the repository's card names another checkpoint."""
    if "/" not in repository:
        repository = f"{api.whoami()['name']}/{repository}"
    with tempfile.TemporaryDirectory(prefix="tinker-hl-card-") as work:
        try:
            path = api.hf_hub_download(repository, CARD, revision=revision, local_dir=work)
        except hub.errors.LocalEntryNotFoundError as error:
            # Nobody answered, or with a failure: that is no repository without a card, though the library's error says
            # so by its class.
            raise PublishError(f"what {repository} holds could not be looked at: {error}") from error
        except (hub.errors.EntryNotFoundError, hub.errors.RepositoryNotFoundError, hub.errors.RevisionNotFoundError):
            return
        found = _PATH_LINE.search(Path(path).read_text(encoding="utf-8", errors="replace"))
    if found and found[1] != tinker_path:
        raise PublishError(
            f"{repository} holds {found[1]}, not {tinker_path or 'a checkpoint without a path'}",
            hint="choose another repository or revision",
        )


def _chosen(folder: Path, allow: Sequence[str] | None, ignore: Sequence[str] | None) -> dict[str, int]:
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    chosen = {
        name: size
        for name, size in files.items()
        if (allow is None or any(fnmatch(name, pattern) for pattern in allow))
        and not any(fnmatch(name, pattern) for pattern in ignore or ())
    }
    if not chosen:
        raise PublishError(f"no file is left to publish of {', '.join(files)}", hint="look at the patterns")
    return chosen


def _card(config: Mapping[str, Any], base: str | None, tinker_path: str | None, repository: str) -> str:
    """A model card: what the hub reads, and a few lines for people."""
    # A folder of some machine means nothing to others.
    public_base = base if base and not base.startswith(("/", ".", "~")) and "\\" not in base else None
    head = ["---", "library_name: peft"]
    if public_base:
        head.append(f"base_model: {public_base}")
    if tinker_path:
        head.append(f"tinker_path: {tinker_path}")
    head += ["tags:", "- lora", "- peft", "- tinker", "---"]
    targets = config.get("target_modules")
    layers = targets if isinstance(targets, str) else ", ".join(map(str, targets or ()))
    loaded = public_base or "the base model"
    body = f"""
# {repository.rpartition("/")[2]}

A LoRA adapter (rank {config["r"]}, alpha {config["lora_alpha"]:g}) on {loaded}, trained through the Tinker API.

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained("{public_base or "BASE_MODEL"}")
model = PeftModel.from_pretrained(model, "{repository}")
```

Layers: {layers}
"""
    return "\n".join(head) + "\n" + body


def _library() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError:
        raise ConfigurationError(
            "publishing needs huggingface_hub, which is not installed", hint="pip install 'tinker-hl[hub]'"
        ) from None
    return huggingface_hub
