"""A downloaded checkpoint as others want it: a PEFT folder, or a whole Hugging Face model with the adapter merged in.

Nothing is fetched from a service here. torch, transformers and peft are imported only to merge.
"""

import json
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tinker_hl.checkpoints.adapter import CONFIG_FILE, WEIGHTS_FILE, read_adapter_config
from tinker_hl.checkpoints.errors import AdapterError, CheckpointError
from tinker_hl.errors import ConfigurationError

__all__ = ["export_merged", "export_peft"]

TOKENIZER_FILES: Final = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
    "preprocessor_config.json",
    "processor_config.json",
)


def export_peft(checkpoint: str | Path, folder: str | Path, *, base_model: str | None = None) -> Path:
    """The adapter alone, as peft, vLLM and the hub take it: two files, without optimizer state and a service's notes.

    Args:
        checkpoint: A folder from `download`.
        folder: Appears whole or not at all.
        base_model: A repository or a folder to name as the base model, for those who load the adapter; None leaves what
            the service wrote, which may be a folder on its machine.

    Returns:
        `folder`, absolute.

    Raises:
        AdapterError: There is no plain LoRA adapter.
        CheckpointError: `folder` exists.
    """
    source = Path(checkpoint)
    config = read_adapter_config(source)
    if base_model is not None:
        config["base_model_name_or_path"] = base_model
    with _staged(folder) as (staged, target):
        shutil.copyfile(source / WEIGHTS_FILE, staged / WEIGHTS_FILE)
        (staged / CONFIG_FILE).write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")
    return target


def export_merged(
    checkpoint: str | Path, folder: str | Path, *, base_model: str | Path | None = None, dtype: str = "auto"
) -> Path:
    """The base model with the adapter's effect in its weights, as safetensors that transformers loads without peft.

    The base model is read whole into memory. Where it ties its output layer to its embeddings and the adapter changes
    one of them, they are untied first: merging would change both.

    Args:
        checkpoint: A folder from `download`.
        folder: Appears whole or not at all; holds the tokenizer, too, where the base model's folder has one.
        base_model: A folder or a repository; None takes what the adapter names.
        dtype: Of the weights, such as "float32" or "bfloat16"; "auto" keeps the base model's.

    Returns:
        `folder`, absolute.

    Raises:
        AdapterError: There is no plain LoRA adapter, it names no base model, or it does not fit this one.
        CheckpointError: `folder` exists.
        ConfigurationError: torch, transformers or peft are not installed.
    """
    source = Path(checkpoint)
    config = read_adapter_config(source)
    base = str(base_model or config.get("base_model_name_or_path") or "")
    if not base:
        raise AdapterError(f"{source / CONFIG_FILE} names no base model", hint="give base_model=")
    peft, transformers, torch = _libraries()
    if dtype != "auto" and not isinstance(getattr(torch, dtype, None), torch.dtype):
        raise ConfigurationError(f"dtype must be 'auto' or the name of a torch dtype, got {dtype!r}")
    with _staged(folder) as (staged, target), warnings.catch_warnings():
        # peft and transformers warn of each other's plans, which nobody here can act on.
        warnings.simplefilter("ignore", FutureWarning)
        try:
            model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
        except (OSError, ValueError) as error:
            raise AdapterError(f"the base model {base!r} cannot be loaded: {error}", hint="give base_model=") from error
        _untie(model, config, torch)
        try:
            adapted = peft.PeftModel.from_pretrained(model, str(source))
            merged = adapted.merge_and_unload(safe_merge=True)
        except (RuntimeError, ValueError) as error:
            raise AdapterError(f"the adapter in {source} does not fit {base!r}: {error}") from error
        merged.save_pretrained(staged)
        for name in TOKENIZER_FILES:
            if (Path(base) / name).is_file():
                shutil.copyfile(Path(base) / name, staged / name)
    return target


def _untie(model: Any, config: dict[str, Any], torch: Any) -> None:
    """Give the output layer weights of its own, where it shares those of the embeddings and the adapter is on it."""
    output, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    if output is None or embeddings is None or output.weight is not embeddings.weight:
        return
    names = {name.rpartition(".")[2] for name, module in model.named_modules() if module in (output, embeddings)}
    targets = config.get("target_modules")
    chosen = {targets} if isinstance(targets, str) else {str(name).rpartition(".")[2] for name in targets or ()}
    if chosen & names:
        output.weight = torch.nn.Parameter(output.weight.detach().clone())
        model.config.tie_word_embeddings = False


def _libraries() -> tuple[Any, Any, Any]:
    try:
        import peft
        import torch
        import transformers
    except ImportError as error:
        raise ConfigurationError(
            f"merging needs torch, transformers and peft: {error}", hint="pip install 'tinker-hl[local]'"
        ) from None
    return peft, transformers, torch


@contextmanager
def _staged(folder: str | Path) -> Iterator[tuple[Path, Path]]:
    """A folder to write into, and the one that it becomes when the block ends well."""
    target = Path(folder).absolute()
    if target.exists():
        raise CheckpointError(f"{target} exists", hint="choose another folder, or remove it")
    staged = target.with_name(f".{target.name}.{os.getpid()}.new")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    try:
        yield staged, target
        staged.rename(target)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
