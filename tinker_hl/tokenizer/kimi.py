"""Kimi's tokenizers, read from their files by `tiktoken`: no code of the hub's is run.

They come as `tiktoken.model`, `tokenizer_config.json` and Python code. What that code does with text is the same in K2,
K2.5 and K3: the pattern below, and 256 ids behind the ranks that are never cut, named by the settings where these name
them. What it does with tools differs from model to model, and is not repeated here.
"""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from tinker_hl.errors import ConfigurationError
from tinker_hl.tokenizer.files import RANKS_FILE, SETTINGS_FILE, settings_of
from tinker_hl.tokenizer.special_tokens import NAMES, content
from tinker_hl.tokenizer.tiktoken_backend import TiktokenBackend, read_ranks
from tinker_hl.tokenizer.tokenizer import Tokenizer

__all__ = ["KimiTokenizer", "is_kimi", "tiktoken_is_there"]

RESERVED: Final = 256
"""Ids behind the ranks."""
CLASS: Final = "TikTokenTokenizer"
"""The name of the code's class, by which its files are known."""

_BEFORE: Final = r"[^\r\n\p{L}\p{N}]?"
_CAPITALS: Final = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"
_SMALL: Final = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"
_SHORT_FORM: Final = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
PATTERN: Final = "|".join(
    (
        r"[\p{Han}]+",
        _BEFORE + _CAPITALS + "*" + _SMALL + "+" + _SHORT_FORM,
        _BEFORE + _CAPITALS + "+" + _SMALL + "*" + _SHORT_FORM,
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)


def tiktoken_is_there() -> bool:
    """Whether the extra `kimi` is installed."""
    return find_spec("tiktoken") is not None


def is_kimi(files: Mapping[str, Path], settings: Mapping[str, Any]) -> bool:
    """Whether these are the files of such a tokenizer."""
    code = settings.get("auto_map")
    named = code.get("AutoTokenizer") if isinstance(code, Mapping) else None
    first = named[0] if isinstance(named, (list, tuple)) and named else named
    return RANKS_FILE in files and str(first).rpartition(".")[2] == CLASS


class KimiTokenizer(Tokenizer):
    """See the module."""

    backend_tokenizer: TiktokenBackend

    @classmethod
    def from_files(cls, name: str, files: Mapping[str, Path]) -> "KimiTokenizer":
        """Read `tiktoken.model` and the settings. Raises `ConfigurationError` if a file is missing or broken."""
        for file in (RANKS_FILE, SETTINGS_FILE):
            if file not in files:
                raise ConfigurationError(f"the tokenizer {name} has no {file}")
        settings = settings_of(files)
        ranks = read_ranks(files[RANKS_FILE])
        told = _told(settings)
        behind = range(len(ranks), max([len(ranks) + RESERVED, *(token_id + 1 for token_id in told)]))
        names = {told[i][0] if i in told else f"<|reserved_token_{i}|>": i for i in behind}
        named = [content(settings.get(name)) for name in NAMES]
        special = [text for text, is_special in told.values() if is_special or text in named]
        return cls(TiktokenBackend.from_ranks(ranks, PATTERN, names, special), settings, name)

    def encode(
        self,
        text: str,
        text_pair: str | None = None,
        add_special_tokens: bool = True,
        *,
        allow_special_tokens: bool = True,
        **options: Any,
    ) -> Any:
        """See `Tokenizer.encode`.

        Args:
            text: any text.
            text_pair: a second one, put behind it.
            add_special_tokens: changes nothing: nothing is put around a text.
            allow_special_tokens: whether special tokens that stand in the text are found there; else they are text.
            options: see `Tokenizer.encode`.
        """
        if not allow_special_tokens:
            if text_pair is not None or options:
                raise ValueError("allow_special_tokens=False takes one text, and no other options")
            return self.backend_tokenizer.encode_plainly(text)
        return super().encode(text, text_pair, add_special_tokens, **options)

    def apply_chat_template(
        self, conversation: Sequence[Any], tools: Sequence[Any] | None = None, **options: Any
    ) -> Any:
        """See `Tokenizer.apply_chat_template`; the names in `tools` are sorted, as the models were trained.

        Raises:
            ValueError: the model's own template writes tools by code that comes with it (K2.5 and later).
        """
        if tools and options.get("chat_template") is None and "tools_ts_str" in str(self.chat_template):
            raise ValueError(
                f"{self.name_or_path} writes tools by code of its own: load it with trust_remote_code=True, "
                "or give a chat_template="
            )
        return super().apply_chat_template(conversation, None if tools is None else _sorted(tools), **options)


def _told(settings: Mapping[str, Any]) -> dict[int, tuple[str, bool]]:
    """Id -> text, and whether it is special, of the settings."""
    decoder = settings.get("added_tokens_decoder")
    told: dict[int, tuple[str, bool]] = {}
    for token_id, token in (decoder if isinstance(decoder, Mapping) else {}).items():
        text = content(token)
        if text is not None and str(token_id).isdecimal():
            told[int(token_id)] = text, bool(token.get("special", True)) if isinstance(token, Mapping) else True
    return told


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _sorted(inner) for name, inner in sorted(value.items())}
    return [_sorted(one) for one in value] if isinstance(value, (list, tuple)) else value
