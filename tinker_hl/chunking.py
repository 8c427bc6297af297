"""Which datums travel together: cuts the data of one call into requests that a service accepts.

It knows the size of a datum on the wire, nothing of requests or of losses.
"""

from collections.abc import Sequence
from typing import Final

from tinker_hl.types.datum import Datum, as_tensor_data
from tinker_hl.types.dmel_chunk import DmelChunk
from tinker_hl.types.image_chunk import ImageChunk
from tinker_hl.types.model_input import EncodedTextChunk, ModelInput, ModelInputChunk

__all__ = ["MAX_BYTES", "MAX_ITEMS", "estimate_bytes", "estimate_input_bytes", "plan_chunks"]

MAX_ITEMS: Final = 1024
MAX_BYTES: Final = 5_000_000
BYTES_PER_TOKEN: Final = 4


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
    runs: list[range] = []
    start, filled = 0, 0
    for place, datum in enumerate(data):
        size = estimate_bytes(datum)
        if place > start and (place - start >= max_items or filled + size > max_bytes):
            runs.append(range(start, place))
            start, filled = place, 0
        filled += size
    if start < len(data):
        runs.append(range(start, len(data)))
    return runs
