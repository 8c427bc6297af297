"""What a model reads: chunks of text, images and audio, in order."""

from collections.abc import Sequence
from typing import Any, Literal, Protocol, TypeAlias

import attrs
import numpy as np
from numpy.typing import NDArray

from tinker_hl.types.arrays import as_token_ids
from tinker_hl.types.dmel_chunk import DmelChunk
from tinker_hl.types.image_chunk import ImageAssetPointerChunk, ImageChunk
from tinker_hl.types.listed_once import ListedOnce
from tinker_hl.types.record import Record

__all__ = ["EncodedTextChunk", "ModelInput", "ModelInputChunk"]

_SHOWN = 6


@attrs.frozen(kw_only=True, eq=False, repr=False)
class EncodedTextChunk(ListedOnce, Record):
    """Token ids. Takes a list, a tuple, a numpy array or a torch tensor of whole numbers from 0 to 2^31 - 1.

    The ids are copied, so that changing what was given changes nothing here.
    """

    ids: NDArray[np.int32] = attrs.field(converter=as_token_ids, alias="tokens")
    """[N], read-only."""
    type: Literal["encoded_text"] = "encoded_text"

    @property
    def tokens(self) -> list[int]:
        """The ids as Python numbers; made once, on first use."""
        return self._listed(self.ids)

    @classmethod
    def adopt(cls, ids: NDArray[np.int32]) -> "EncodedTextChunk":
        """A chunk around an array that nobody else uses: no copy, no checks.

        Args:
            ids: [N], from 0 to 2^31 - 1; becomes read-only.
        """
        ids.flags.writeable = False
        chunk = cls.__new__(cls)
        object.__setattr__(chunk, "ids", ids)
        object.__setattr__(chunk, "type", "encoded_text")
        return chunk

    @property
    def length(self) -> int:
        """Number of tokens."""
        return int(self.ids.size)

    def _fields(self) -> dict[str, Any]:
        return {"tokens": self.tokens, "type": self.type}

    def _wire_fields(self) -> dict[str, Any]:
        return {"tokens": self.ids, "type": self.type}

    def __eq__(self, other: object) -> bool:
        return np.array_equal(self.ids, other.ids) if isinstance(other, EncodedTextChunk) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.ids.tobytes())

    def __repr__(self) -> str:
        shown = ", ".join(map(str, self.ids[:_SHOWN]))
        more = f", ... {self.length} in all" if self.length > _SHOWN else ""
        return f"EncodedTextChunk(tokens=[{shown}{more}])"


ModelInputChunk: TypeAlias = EncodedTextChunk | ImageChunk | ImageAssetPointerChunk | DmelChunk


def _chunk_list(chunks: Sequence[Any]) -> list[ModelInputChunk]:
    for place, chunk in enumerate(chunks):
        if not isinstance(chunk, ModelInputChunk):
            hint = "; for token ids use ModelInput.from_ints" if isinstance(chunk, int) else ""
            raise TypeError(f"chunks[{place}] must be a chunk, got {type(chunk).__name__}{hint}")
    return list(chunks)


def _shown_chunks(chunks: Sequence[ModelInputChunk]) -> str:
    more = f", ... {len(chunks)} in all" if len(chunks) > _SHOWN else ""
    return f"[{', '.join(map(repr, chunks[:_SHOWN]))}{more}]"


class Encodes(Protocol):
    """What `from_text` needs of a tokenizer: ours and transformers' have it."""

    def encode(self, text: str, /, *, add_special_tokens: bool) -> Any:
        """The ids of a text."""
        ...


@attrs.frozen(kw_only=True)
class ModelInput(Record):
    """A prompt or a training sequence: chunks in order. Its methods return new objects."""

    chunks: list[ModelInputChunk] = attrs.field(converter=_chunk_list, repr=_shown_chunks)

    @classmethod
    def from_ints(cls, tokens: Sequence[int] | NDArray[Any] | Any) -> "ModelInput":
        """One text chunk.

        Args:
            tokens: token ids [N]: list, tuple, numpy array or torch tensor.

        Raises:
            TypeError, ValueError: not whole numbers from 0 to 2^31 - 1 in one dimension.
        """
        return cls(chunks=[EncodedTextChunk.adopt(as_token_ids(tokens))])

    @classmethod
    def from_text(cls, text: str, tokenizer: "Encodes", *, add_special_tokens: bool = True) -> "ModelInput":
        """One text chunk of what a tokenizer makes of a text.

        Args:
            text: any text.
            tokenizer: `get_tokenizer()` of a client, or any whose `encode` gives ids.
            add_special_tokens: whether to put what the tokenizer puts around a text.
        """
        return cls.from_ints(tokenizer.encode(text, add_special_tokens=add_special_tokens))

    @classmethod
    def empty(cls) -> "ModelInput":
        """No chunks."""
        return cls(chunks=[])

    def append(self, chunk: ModelInputChunk) -> "ModelInput":
        """The same with a chunk more; neighbouring text chunks are not merged."""
        return type(self)(chunks=[*self.chunks, chunk])

    def append_int(self, token: int) -> "ModelInput":
        """The same with a token more: in its last chunk if that is text, so that a thousand of them are one chunk."""
        added = EncodedTextChunk(tokens=[token])
        last = self.chunks[-1] if self.chunks else None
        if not isinstance(last, EncodedTextChunk):
            return self.append(added)
        longer = EncodedTextChunk.adopt(np.concatenate([last.ids, added.ids]))
        return type(self)(chunks=[*self.chunks[:-1], longer])

    def to_ints(self) -> list[int]:
        """All token ids. Raises `ValueError` if a chunk is not text."""
        ids: list[int] = []
        for place, chunk in enumerate(self.chunks):
            if not isinstance(chunk, EncodedTextChunk):
                raise ValueError(f"chunks[{place}] is an {type(chunk).__name__}: to_ints knows only text")
            ids += chunk.tokens
        return ids

    @property
    def length(self) -> int:
        """Tokens in all. Raises `ValueError` if an image does not say how many it stands for."""
        return sum(chunk.length for chunk in self.chunks)

    @property
    def known_length(self) -> int | None:
        """Tokens in all, or None where `length` raises."""
        try:
            return self.length
        except ValueError:
            return None
