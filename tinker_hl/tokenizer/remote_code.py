"""Tokenizers that transformers makes, among them those that are code of others: run only for a user who agreed to it.

Knows how agreement is given and how transformers (which is optional) is asked, nothing of files or models.
"""

import os
from typing import Any, Final

import attrs

from tinker_hl.errors import ConfigurationError

__all__ = ["VARIABLE", "RemoteCode", "agreed"]

VARIABLE: Final = "TINKER_TRUST_REMOTE_CODE"
_YES: Final = frozenset({"1", "true", "yes", "on"})


def agreed(given: bool | None) -> bool:
    """Whether the user agrees: by the argument, or where there is none, by the environment."""
    return os.environ.get(VARIABLE, "").strip().lower() in _YES if given is None else given


@attrs.frozen
class RemoteCode:
    """A tokenizer that transformers makes, because it is code, or because it was asked for.

    Args:
        name: a hub name or a folder.
        revision: the commit that is known to be good; None is the newest.
        is_code: whether code that comes with the files may run.
        reads_without: whether its files can also be read here, without the code.
    """

    name: str
    revision: str | None = None
    is_code: bool = True
    reads_without: bool = False

    def refuse(self) -> ConfigurationError:
        """What is raised without agreement."""
        pinned = f", revision {self.revision}" if self.revision else ""
        return ConfigurationError(
            f"the tokenizer {self.name} is Python code{pinned}, which is not run without being asked to",
            hint=(
                f"If you trust it, set {VARIABLE}=1, or call "
                f"tinker_hl.tokenizer.load_tokenizer({self.name!r}, trust_remote_code=True). "
                "Both need transformers, which is in tinker-hl[local]."
                + (" Without its code it is read by tiktoken: pip install 'tinker-hl[kimi]'." * self.reads_without)
            ),
        )

    def load(self) -> Any:
        """The tokenizer as transformers makes it; its code runs here. Raises `ConfigurationError`."""
        try:
            from transformers import AutoTokenizer
        except ImportError as error:
            raise ConfigurationError(
                f"the tokenizer {self.name} needs transformers", hint="pip install transformers"
            ) from error
        try:
            return AutoTokenizer.from_pretrained(self.name, revision=self.revision, trust_remote_code=self.is_code)
        except (OSError, ValueError, ImportError) as error:
            raise ConfigurationError(f"the tokenizer {self.name} cannot be loaded: {error}") from error
