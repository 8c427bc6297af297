"""What a set of data will be on the wire: tokens, bytes and requests, before any of it is sent.

It cuts the data exactly as a training client does (`chunking`), and knows nothing of files or servers.
"""

from collections.abc import Sequence

import attrs
import numpy as np

from tinker_hl.chunking import MAX_BYTES, MAX_ITEMS, estimate_bytes, plan_chunks
from tinker_hl.types import Datum

__all__ = ["SendingPlan", "plan_sending"]


@attrs.frozen(kw_only=True)
class SendingPlan:
    """Counts for one pass over the data. Bytes are as services count them, before compression."""

    datums: int
    tokens: int
    """Positions of all model inputs; an image that hides its length counts none."""
    counted_tokens: int
    """Positions with a weight other than 0; all of a datum that has no weights."""
    shortest: int
    median: float
    longest: int
    """Positions of a datum."""
    size_bytes: int
    batch_size: int
    steps: int
    """Batches in one pass; the last one may be smaller."""
    requests: int
    """In which all of them travel."""
    most_requests_a_step: int
    largest_request_bytes: int
    oversized: list[int]
    """Places of the datums that are larger than a request may be: each travels alone, and may be refused."""


def plan_sending(
    data: Sequence[Datum],
    *,
    batch_size: int | None = None,
    max_items: int = MAX_ITEMS,
    max_bytes: int = MAX_BYTES,
) -> SendingPlan:
    """Plan one pass over the data, in batches of `forward_backward`.

    Args:
        data: In the order in which it is sent; at least one.
        batch_size: Datums of a call; None sends all in one.
        max_items: Datums of a request at most.
        max_bytes: Bytes of a request at most.

    Raises:
        ValueError: There is no data, or a limit below 1.
    """
    if not data:
        raise ValueError("there is no data to plan for")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size must be 1 or above, got {batch_size}")
    size = batch_size or len(data)
    lengths = [datum.model_input.known_length or 0 for datum in data]
    bytes_of = [estimate_bytes(datum) for datum in data]
    steps = [range(start, min(start + size, len(data))) for start in range(0, len(data), size)]
    chunks = [plan_chunks(data[step.start : step.stop], max_items, max_bytes) for step in steps]
    requests = [
        sum(bytes_of[step.start + chunk.start : step.start + chunk.stop])
        for step, cut in zip(steps, chunks, strict=True)
        for chunk in cut
    ]
    return SendingPlan(
        datums=len(data),
        tokens=sum(lengths),
        counted_tokens=sum(map(_counted, data)),
        shortest=min(lengths),
        median=float(np.median(lengths)),
        longest=max(lengths),
        size_bytes=sum(bytes_of),
        batch_size=size,
        steps=len(steps),
        requests=len(requests),
        most_requests_a_step=max(map(len, chunks)),
        largest_request_bytes=max(requests),
        oversized=[place for place, count in enumerate(bytes_of) if count > max_bytes],
    )


def _counted(datum: Datum) -> int:
    weights = datum.loss_fn_inputs.get("weights")
    return datum.model_input.known_length or 0 if weights is None else int(np.count_nonzero(weights.to_numpy()))
