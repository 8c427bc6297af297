"""Tokenizers without transformers: `load_tokenizer(model_name, tokenizer_id)`.

The files are found by `sources`, read and used by `tokenizer`; chat templates are rendered by `chat_template`. The
`tokenizers` library is imported when the first one is loaded.
"""

from functools import lru_cache

from tinker_hl.tokenizer.sources import fetch_files, resolve_tokenizer_id
from tinker_hl.tokenizer.tokenizer import Tokenizer

__all__ = ["Tokenizer", "load_tokenizer", "resolve_tokenizer_id"]


@lru_cache(maxsize=32)
def load_tokenizer(model_name: str, tokenizer_id: str | None = None) -> Tokenizer:
    """The tokenizer of a model; loaded once a process.

    Args:
        model_name: as the service names it, e.g. `Qwen/Qwen3-8B`, or a folder.
        tokenizer_id: a hub name or a folder; wins over what follows from `model_name`.

    Raises:
        ConfigurationError: there is no such tokenizer within reach, or it needs code that is not run here.
    """
    name = resolve_tokenizer_id(model_name, tokenizer_id)
    return Tokenizer.from_files(name, fetch_files(name))
