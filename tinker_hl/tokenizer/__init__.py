"""Tokenizers without transformers: `load_tokenizer(model_name, tokenizer_id)`.

The files are found by `sources`, read and used by `tokenizer`; chat templates are rendered by `chat_template`. Those
that are code are `remote_code`, and need the user's agreement; some of these `kimi` reads without their code. The
`tokenizers` library is imported when the first one is loaded.
"""

from functools import lru_cache
from typing import Any, Literal

from tinker_hl.tokenizer.kimi import KimiTokenizer, tiktoken_is_there
from tinker_hl.tokenizer.remote_code import RemoteCode, agreed
from tinker_hl.tokenizer.sources import files_of, find, resolve_tokenizer_id
from tinker_hl.tokenizer.tokenizer import Tokenizer

__all__ = ["Tokenizer", "load_tokenizer", "resolve_tokenizer_id"]


def load_tokenizer(
    model_name: str,
    tokenizer_id: str | None = None,
    *,
    trust_remote_code: bool | None = None,
    backend: Literal["tokenizers", "transformers"] = "tokenizers",
    revision: str | None = None,
) -> Tokenizer:
    """The tokenizer of a model; loaded once a process, so that all who ask for the same one get the same object.

    Args:
        model_name: as the service names it, e.g. `Qwen/Qwen3-8B`, or a folder.
        tokenizer_id: a hub name or a folder; wins over what follows from `model_name`.
        trust_remote_code: whether a tokenizer that is Python code on the hub may run here; None leaves it to
            `TINKER_TRUST_REMOTE_CODE`. Such a one is made by transformers and has at least the same methods. Without
            agreement Kimi's are read by tiktoken, where that is installed (the extra `kimi`).
        backend: `"transformers"` gives what `AutoTokenizer` makes of the same files.
        revision: a commit, branch or tag of the hub's repository; None is the pin of a tokenizer that is code, and else
            the newest.

    Returns:
        A `Tokenizer`, or transformers' object, which has at least the same methods.

    Raises:
        ConfigurationError: there is no such tokenizer within reach, or it is code that nobody agreed to run.
    """
    if backend not in ("tokenizers", "transformers"):
        raise ValueError(f"backend must be 'tokenizers' or 'transformers', got {backend!r}")
    name = resolve_tokenizer_id(model_name, tokenizer_id)
    found = _found(name, revision)
    if isinstance(found, RemoteCode) and not agreed(trust_remote_code):
        if found.reads_without and backend == "tokenizers" and tiktoken_is_there():
            return _read_without(found.name, found.revision)
        raise found.refuse()
    if isinstance(found, Tokenizer) and backend == "tokenizers":
        return found
    made: Tokenizer = _run(found if isinstance(found, RemoteCode) else RemoteCode(name, revision, is_code=False))
    return made


@lru_cache(maxsize=32)
def _found(name: str, revision: str | None) -> Tokenizer | RemoteCode:
    found = find(name, revision)
    return found if isinstance(found, RemoteCode) else Tokenizer.from_files(name, found)


@lru_cache(maxsize=32)
def _read_without(name: str, revision: str | None) -> Tokenizer:
    return KimiTokenizer.from_files(name, files_of(name, revision))


@lru_cache(maxsize=32)
def _run(code: RemoteCode) -> Any:
    return code.load()
