"""What a `Tokenizer` needs below it: the part of the `tokenizers` library's `Tokenizer` that is used here.

The library's own class has it, and so has `TiktokenBackend`. It is types only.
"""

from collections.abc import Sequence
from typing import Any, Protocol

__all__ = ["Backend", "Encoded"]


class Encoded(Protocol):
    """One encoded text (or pair of texts); the lists are as long as `ids`."""

    @property
    def ids(self) -> list[int]:
        """Token ids."""
        ...

    @property
    def tokens(self) -> list[str]:
        """The tokens, as the vocabulary spells them."""
        ...

    @property
    def type_ids(self) -> list[int]:
        """0 for the first text, 1 for the second."""
        ...

    @property
    def attention_mask(self) -> list[int]:
        """1 for a token, 0 for filling."""
        ...

    @property
    def special_tokens_mask(self) -> list[int]:
        """1 for a token that was put around the texts."""
        ...

    @property
    def offsets(self) -> list[tuple[int, int]]:
        """The characters that each token stands for, (start, end)."""
        ...


class Backend(Protocol):
    """A vocabulary, and texts into it and back."""

    @property
    def decoder(self) -> Any:
        """Has `decode(tokens)`, or is None."""
        ...

    def no_padding(self) -> None:
        """Rows are as long as their texts."""
        ...

    def no_truncation(self) -> None:
        """Texts are not cut."""
        ...

    def enable_truncation(self, max_length: int, *, strategy: str = "longest_first", direction: str = "right") -> None:
        """Texts are cut at so many tokens, those around them included, on one side."""
        ...

    def encode(self, sequence: str, pair: str | None = None, *, add_special_tokens: bool = True) -> Any:
        """An `Encoded`."""
        ...

    def encode_batch(self, input: Sequence[Any], *, add_special_tokens: bool = True) -> Sequence[Any]:
        """One `Encoded` for each text, or (text, pair)."""
        ...

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """The text."""
        ...

    def token_to_id(self, token: str) -> int | None:
        """None for a token that there is not."""
        ...

    def id_to_token(self, id: int) -> str | None:
        """None for an id that there is not."""
        ...

    def get_vocab(self, *, with_added_tokens: bool = True) -> dict[str, int]:
        """Token -> id."""
        ...

    def get_vocab_size(self, *, with_added_tokens: bool = True) -> int:
        """Number of tokens."""
        ...

    def add_special_tokens(self, tokens: list[Any]) -> int:
        """Put tokens into the vocabulary that are never split."""
        ...

    def add_tokens(self, tokens: list[Any]) -> int:
        """The same for tokens that a decoding without special ones keeps."""
        ...

    def num_special_tokens_to_add(self, is_pair: bool) -> int:
        """How many are put around a text, or a pair."""
        ...
