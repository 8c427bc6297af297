"""What calling a tokenizer gives: rows of ids and masks, padded and turned into arrays if asked.

It knows rows of numbers, nothing of texts or vocabularies.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

__all__ = ["Encoding", "as_tensors", "pad_rows", "row_length"]

FILLS: Final[Mapping[str, Any]] = {
    "attention_mask": 0,
    "token_type_ids": 0,
    "special_tokens_mask": 1,
    "offset_mapping": (0, 0),
    "labels": -100,
}
"""What stands where a row is filled up; `input_ids` have the id of the padding token."""


class Encoding(dict[str, Any]):
    """`input_ids`, `attention_mask` and what else was asked for, as items and as attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"an Encoding has {', '.join(self)}, not {name!r}") from None

    def to(self, device: Any) -> "Encoding":
        """The same with its torch tensors on a device."""
        return Encoding({name: value.to(device) if hasattr(value, "to") else value for name, value in self.items()})


def row_length(
    lengths: Sequence[int], padding: bool | str, max_length: int | None, multiple: int | None = None
) -> int | None:
    """How long rows become, or None if they stay as they are.

    Args:
        lengths: of the rows.
        padding: True or `"longest"`: as the longest; `"max_length"`: as `max_length`; False or `"do_not_pad"`: as is.
        max_length: tokens of a row at most.
        multiple: rounded up to a multiple of it.

    Raises:
        ValueError: `padding` is none of these, or `max_length` is missing.
    """
    if padding in (False, "do_not_pad"):
        return None
    if padding not in (True, "longest", "max_length"):
        raise ValueError(f"padding must be True, False, 'longest', 'max_length' or 'do_not_pad', got {padding!r}")
    if padding == "max_length" and max_length is None:
        raise ValueError("padding='max_length' needs max_length")
    wanted = max_length if padding == "max_length" and max_length is not None else max(lengths, default=0)
    return wanted if multiple is None else -(-wanted // multiple) * multiple


def pad_rows(
    columns: Mapping[str, Sequence[Sequence[Any]]], length: int, pad_id: int, side: Literal["left", "right"]
) -> dict[str, list[list[Any]]]:
    """Name -> rows filled up to `length`; longer ones stay as they are."""
    padded: dict[str, list[list[Any]]] = {}
    for name, rows in columns.items():
        fill = pad_id if name == "input_ids" else FILLS.get(name, 0)
        filled = [(list(row), [fill] * max(0, length - len(row))) for row in rows]
        padded[name] = [row + more if side == "right" else more + row for row, more in filled]
    return padded


def as_tensors(encoding: Mapping[str, Any], kind: str | None) -> Encoding:
    """The values as they are (None), as numpy arrays (`"np"`) or torch tensors (`"pt"`), int64.

    Raises:
        ValueError: another kind, or rows of different lengths.
    """
    if kind is None:
        return Encoding(encoding)
    if kind not in ("np", "pt"):
        raise ValueError(f"return_tensors must be 'np' or 'pt', got {kind!r}")
    import numpy as np

    try:
        arrays = {name: np.array(rows, dtype=np.int64) for name, rows in encoding.items()}
    except ValueError as error:
        raise ValueError("the rows differ in length: ask for padding=True, or truncation=True") from error
    if kind == "np":
        return Encoding(arrays)
    import torch

    return Encoding({name: torch.from_numpy(array) for name, array in arrays.items()})
