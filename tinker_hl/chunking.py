"""Which datums travel together: cuts the data of one call into requests that a service accepts.

It knows the size of a datum on the wire, nothing of requests or of losses.
"""

import math
from collections.abc import Sequence
from typing import Final

import attrs

from tinker_hl.types.datum import Datum, as_tensor_data
from tinker_hl.types.dmel_chunk import DmelChunk
from tinker_hl.types.image_chunk import ImageChunk
from tinker_hl.types.model_input import EncodedTextChunk, ModelInput, ModelInputChunk

__all__ = [
    "MAX_BYTES",
    "MAX_ITEMS",
    "ChunkLimits",
    "estimate_bytes",
    "estimate_input_bytes",
    "estimate_numbers",
    "plan_chunks",
]

MAX_ITEMS: Final = 1024
MAX_BYTES: Final = 5_000_000
BYTES_PER_TOKEN: Final = 4


@attrs.frozen(kw_only=True)
class ChunkLimits:
    """How the data of one call is cut. The limits of the server hold in any case, those of a profile besides."""

    max_items: int = MAX_ITEMS
    max_bytes: int = MAX_BYTES
    max_size: int = MAX_BYTES
    """In the units of `bytes_per_number`."""
    bytes_per_number: int | None = None
    """What a token or a number counts towards `max_size`; None for its real size."""

    @classmethod
    def of(
        cls, items: int, size: int, own_items: int | None, own_size: int | None, bytes_per_number: int | None
    ) -> "ChunkLimits":
        """The server's limits (datums, bytes) and a profile's (datums, size, its unit), where it has some."""
        measured = bytes_per_number is not None and own_size is not None
        smaller = size if own_size is None or measured else min(size, own_size)
        return cls(
            max_items=items if own_items is None else min(items, own_items),
            max_bytes=smaller,
            max_size=own_size if measured and own_size is not None else smaller,
            bytes_per_number=bytes_per_number if measured else None,
        )

    def plan(self, data: Sequence[Datum]) -> list[range]:
        """Cut data so that each run keeps all limits; see `plan_chunks`."""
        measures = [([estimate_bytes(datum) for datum in data], self.max_bytes)]
        if self.bytes_per_number is not None:
            measures.append(([estimate_numbers(datum, self.bytes_per_number) for datum in data], self.max_size))
        return _filled(len(data), self.max_items, measures)


def estimate_numbers(datum: Datum, bytes_per_number: int) -> int:
    """The size of a datum as older clients count it: so much for each token and each number of a loss input.

    The bytes of images and audio count as they are, a pointer by the length of its location.
    """
    read = sum(
        bytes_per_number * chunk.length if isinstance(chunk, EncodedTextChunk) else _chunk_bytes(chunk)
        for chunk in datum.model_input.chunks
    )
    inputs = (as_tensor_data(key, value) for key, value in datum.loss_fn_inputs.items())
    return read + bytes_per_number * sum(math.prod(tensor.shape or [len(tensor.data)]) for tensor in inputs)


def estimate_bytes(datum: Datum) -> int:
    """The size of a datum as services count it.

    4 bytes a token, the bytes of images and audio, the length of a pointer's location; 4 or 8 bytes a stored number of
    a loss input, and 8 an index of a sparse one.
    """
    return estimate_input_bytes(datum.model_input) + sum(
        as_tensor_data(key, value).nbytes for key, value in datum.loss_fn_inputs.items()
    )


def estimate_input_bytes(model_input: ModelInput) -> int:
    """The part of it that the model reads."""
    return sum(_chunk_bytes(chunk) for chunk in model_input.chunks)


def _chunk_bytes(chunk: ModelInputChunk) -> int:
    if isinstance(chunk, EncodedTextChunk):
        return BYTES_PER_TOKEN * chunk.length
    if isinstance(chunk, ImageChunk):
        return len(chunk.data)
    return len(chunk.dmel) if isinstance(chunk, DmelChunk) else len(chunk.location)


def plan_chunks(data: Sequence[Datum], max_items: int = MAX_ITEMS, max_bytes: int = MAX_BYTES) -> list[range]:
    """Cut `data` into runs of consecutive datums, filled greedily; a datum above the limit travels alone.

    Args:
        data: the datums of one call.
        max_items: datums in a run at most, 1 or above.
        max_bytes: estimated bytes in a run at most, unless it is a single datum.

    Returns:
        Indices of each run; together they are `range(len(data))`, in order, and none is empty.
    """
    if max_items < 1:
        raise ValueError(f"max_items must be 1 or above, got {max_items}")
    return _filled(len(data), max_items, [([estimate_bytes(datum) for datum in data], max_bytes)])


def _filled(count: int, max_items: int, measures: Sequence[tuple[Sequence[int], int]]) -> list[range]:
    """Runs of `count` datums that keep the limit of each measure: sizes by datum, and what a run may have of it."""
    runs: list[range] = []
    start, filled = 0, [0] * len(measures)
    for place in range(count):
        grown = [held + sizes[place] for held, (sizes, _) in zip(filled, measures, strict=True)]
        full = any(size > limit for size, (_, limit) in zip(grown, measures, strict=True))
        if place > start and (place - start >= max_items or full):
            runs.append(range(start, place))
            start, grown = place, [sizes[place] for sizes, _ in measures]
        filled = grown
    if start < count:
        runs.append(range(start, count))
    return runs
