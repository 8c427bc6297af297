"""Vocabularies of ranks (`tiktoken.model`), by the `tiktoken` library, with the face that `Tokenizer` needs below it.

What `tiktoken` has not is made here: offsets, pairs, truncation, tokens spelled as byte-level vocabularies spell them.
It knows nothing of particular models; their pattern and special tokens are given to it.
"""

import base64
import bisect
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from tinker_hl.errors import ConfigurationError
from tinker_hl.tokenizer.files import RANKS_FILE

if TYPE_CHECKING:
    import tiktoken

__all__ = ["Ranked", "TiktokenBackend", "read_ranks"]

MOST_CHARACTERS: Final = 400_000
"""Characters that are encoded at once: the library fails on much more."""
LONGEST_RUN: Final = 25_000
"""Characters of one run (of white space, or of anything else) that are encoded at once: it takes their square."""
_LONG_RUN: Final = re.compile(rf"\s{{{LONGEST_RUN + 1},}}|\S{{{LONGEST_RUN + 1},}}")


def read_ranks(path: Path) -> dict[bytes, int]:
    """Token -> rank, from lines of a token in base64 and its rank.

    The library's own reader keeps copies of files by their names, and would not see that one has changed.

    Raises:
        ConfigurationError: it is no such file.
    """
    try:
        lines = (line.split() for line in path.read_bytes().splitlines() if line)
        ranks = {base64.b64decode(token, validate=True): int(rank) for token, rank in lines}
    except ValueError as error:
        raise ConfigurationError(f"{path} is no file of tokens and ranks: {error}") from error
    # The library panics at such a file, which nobody can catch.
    if sorted(ranks.values()) != list(range(len(ranks))) or not all(bytes([byte]) in ranks for byte in range(256)):
        raise ConfigurationError(f"{path} is no vocabulary: a byte or a rank is missing, or a rank is there twice")
    return ranks


@attrs.frozen
class Ranked:
    """An encoded text; see `backend.Encoded`."""

    ids: list[int]
    tokens: list[str]
    type_ids: list[int]
    offsets: list[tuple[int, int]]

    @property
    def attention_mask(self) -> list[int]:
        """Nothing is filling."""
        return [1] * len(self.ids)

    @property
    def special_tokens_mask(self) -> list[int]:
        """Nothing is put around a text."""
        return [0] * len(self.ids)


class TiktokenBackend:
    """See the module. Special tokens that stand in a text are found there, always.

    Args:
        encoding: the library's object.
        special: texts that a decoding without special tokens leaves out.
        added: tokens that were added to the model's own vocabulary.
    """

    file_name: Final = RANKS_FILE

    def __init__(self, encoding: "tiktoken.Encoding", special: Sequence[str], added: Sequence[str] = ()) -> None:
        self.encoding = encoding
        self._special = frozenset(special)
        self._added = list(added)
        self._most: int | None = None
        self._strategy, self._side = "longest_first", "right"

    @classmethod
    def from_ranks(
        cls, ranks: Mapping[bytes, int], pattern: str, names: Mapping[str, int], special: Sequence[str]
    ) -> "TiktokenBackend":
        """Make the library's object.

        Args:
            ranks: token -> id, of the ordinary ones.
            pattern: regular expression that cuts a text before tokens are looked for in its parts.
            names: text -> id, of those that are never cut.
            special: the ones of these that a decoding without special tokens leaves out.

        Raises:
            ConfigurationError: tiktoken is not installed.
        """
        try:
            import tiktoken
        except ImportError as error:
            raise ConfigurationError(
                "a vocabulary of ranks needs tiktoken", hint="pip install 'tinker-hl[kimi]'"
            ) from error
        encoding = tiktoken.Encoding(
            RANKS_FILE, pat_str=pattern, mergeable_ranks=dict(ranks), special_tokens=dict(names)
        )
        return cls(encoding, special)

    def __deepcopy__(self, memo: Any) -> "TiktokenBackend":
        """A copy with settings of its own; the vocabulary, which nothing changes, is shared."""
        return TiktokenBackend(self.encoding, tuple(self._special), self._added)

    def no_padding(self) -> None:
        """It never fills."""

    def no_truncation(self) -> None:
        """Texts are not cut."""
        self._most = None

    def enable_truncation(self, max_length: int, *, strategy: str = "longest_first", direction: str = "right") -> None:
        """Texts are cut at so many tokens, on one side."""
        self._most, self._strategy, self._side = max_length, strategy, direction

    def encode(self, sequence: str, pair: str | None = None, *, add_special_tokens: bool = True) -> Ranked:
        """Nothing is put around a text, with `add_special_tokens` or without."""
        first = self._encoded(sequence, 0)
        if pair is None:
            return first if self._most is None else self._cut(first, len(first.ids) - self._most)
        return _joined(*self._cut_pair(first, self._encoded(pair, 1)))

    def encode_batch(self, input: Sequence[Any], *, add_special_tokens: bool = True) -> list[Ranked]:
        """Texts, or pairs of texts."""
        return [self.encode(one) if isinstance(one, str) else self.encode(*one) for one in input]

    def encode_plainly(self, text: str) -> list[int]:
        """Ids of a text in which special tokens are text like any other."""
        return [token for part in _parts(text) for token in self.encoding.encode_ordinary(part)]

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """The text; ids that the vocabulary has not are left out, as the `tokenizers` library leaves them out."""
        left_out = {self.token_to_id(text) for text in self._special} if skip_special_tokens else set()
        kept = [token for token in ids if token not in left_out and token in self._spelled]
        return self.encoding.decode(kept)

    @property
    def decoder(self) -> "TiktokenBackend._Spelling":
        """Puts spelled tokens together."""
        return self._Spelling()

    class _Spelling:
        """See `decoder`."""

        def decode(self, tokens: Sequence[str]) -> str:
            """The text of tokens as the vocabulary spells them."""
            return b"".join(_bytes_of(token) for token in tokens).decode("utf-8", "replace")

    def token_to_id(self, token: str) -> int | None:
        """By its spelling."""
        return self._vocabulary.get(token)

    def id_to_token(self, id: int) -> str | None:
        """Its spelling."""
        return self._spelled.get(id)

    def get_vocab(self, *, with_added_tokens: bool = True) -> dict[str, int]:
        """Spelling -> id. The special tokens that the model's own files name are not added ones."""
        left_out = () if with_added_tokens else self._added
        return {token: token_id for token, token_id in self._vocabulary.items() if token not in left_out}

    def get_vocab_size(self, *, with_added_tokens: bool = True) -> int:
        """Number of tokens; see `get_vocab`."""
        return len(self._vocabulary) - (0 if with_added_tokens else len(self._added))

    def add_special_tokens(self, tokens: list[Any]) -> int:
        """Put tokens into the vocabulary that a decoding without special tokens leaves out."""
        texts = [str(getattr(token, "content", token)) for token in tokens]
        self._special |= frozenset(texts)
        return self.add_tokens(texts)

    def add_tokens(self, tokens: list[Any]) -> int:
        """Put tokens into the vocabulary; they are never cut."""
        import tiktoken

        texts = [str(getattr(token, "content", token)) for token in tokens]
        new = [text for text in dict.fromkeys(texts) if text not in self._vocabulary]
        if not new:
            return 0
        old = self.encoding
        names = old._special_tokens | {text: old.max_token_value + 1 + place for place, text in enumerate(new)}
        self.encoding = tiktoken.Encoding(
            old.name, pat_str=old._pat_str, mergeable_ranks=old._mergeable_ranks, special_tokens=names
        )
        self._added += new
        for cached in ("_spelled", "_vocabulary"):
            self.__dict__.pop(cached, None)
        return len(new)

    def num_special_tokens_to_add(self, is_pair: bool) -> int:
        """None."""
        return 0

    def save(self, path: str) -> None:
        """Write the ranks, a line each; special tokens stand in the settings."""
        ranks = sorted(self.encoding._mergeable_ranks.items(), key=lambda pair: pair[1])
        Path(path).write_bytes(b"".join(base64.b64encode(token) + b" %d\n" % rank for token, rank in ranks))

    @cached_property
    def _spelled(self) -> dict[int, str]:
        spelled = {
            rank: "".join(map(_LETTER_OF.__getitem__, token)) for token, rank in self.encoding._mergeable_ranks.items()
        }
        return spelled | {token_id: text for text, token_id in self.encoding._special_tokens.items()}

    @cached_property
    def _vocabulary(self) -> dict[str, int]:
        return {token: token_id for token_id, token in self._spelled.items()}

    def _encoded(self, text: str, kind: int) -> Ranked:
        ids = [token for part in _parts(text) for token in self.encoding.encode(part, allowed_special="all")]
        tokens = [self._spelled[token] for token in ids]
        return Ranked(ids, tokens, [kind] * len(ids), _offsets(self.encoding.decode_tokens_bytes(ids)))

    def _cut(self, encoded: Ranked, surplus: int) -> Ranked:
        if surplus <= 0:
            return encoded
        kept = slice(surplus, None) if self._side == "left" else slice(0, max(0, len(encoded.ids) - surplus))
        return Ranked(encoded.ids[kept], encoded.tokens[kept], encoded.type_ids[kept], encoded.offsets[kept])

    def _cut_pair(self, first: Ranked, second: Ranked) -> tuple[Ranked, Ranked]:
        surplus = 0 if self._most is None else max(0, len(first.ids) + len(second.ids) - self._most)
        from_first = from_second = 0
        if self._strategy == "only_first":
            from_first = surplus
        elif self._strategy == "only_second":
            from_second = surplus
        else:
            for _ in range(surplus):
                if len(first.ids) - from_first > len(second.ids) - from_second:
                    from_first += 1
                else:
                    from_second += 1
        return self._cut(first, from_first), self._cut(second, from_second)


def _joined(first: Ranked, second: Ranked) -> Ranked:
    return Ranked(
        first.ids + second.ids,
        first.tokens + second.tokens,
        first.type_ids + second.type_ids,
        first.offsets + second.offsets,
    )


def _parts(text: str) -> Iterator[str]:
    """The text in parts that the library can encode; most texts are one."""
    for start in range(0, len(text), MOST_CHARACTERS):
        part = text[start : start + MOST_CHARACTERS]
        if len(part) <= LONGEST_RUN:
            yield part
        else:
            yield from _without_long_runs(part)


def _without_long_runs(text: str) -> Iterator[str]:
    """Cut runs of white space, or of anything else, where they are longer than `LONGEST_RUN`."""
    begin = 0
    for run in _LONG_RUN.finditer(text):
        for place in range(run.start() + LONGEST_RUN, run.end(), LONGEST_RUN):
            yield text[begin:place]
            begin = place
    yield text[begin:]


def _offsets(tokens: Sequence[bytes]) -> list[tuple[int, int]]:
    """The characters that each token stands for; a token of a part of a character stands for all of it."""
    whole = b"".join(tokens)
    begins = [place for place, byte in enumerate(whole) if byte & 0xC0 != 0x80]  # not a continuation byte
    offsets, end = [], 0
    for token in tokens:
        start, end = end, end + len(token)
        offsets.append((max(0, bisect.bisect_right(begins, start) - 1), bisect.bisect_left(begins, end)))
    return offsets


def _letters() -> list[str]:
    """Byte -> the printable character that byte-level vocabularies spell it by, as GPT-2's does."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


_LETTER_OF: Final = _letters()
_BYTE_OF: Final = {letter: byte for byte, letter in enumerate(_LETTER_OF)}


def _bytes_of(token: str) -> bytes:
    """A spelled token's bytes; a special token, whose text holds no byte's letter or is plain, is itself."""
    if all(letter in _BYTE_OF for letter in token):
        return bytes(_BYTE_OF[letter] for letter in token)
    return token.encode("utf-8")
