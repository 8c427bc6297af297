"""Prompt/completion pairs: read from JSONL, checked line by line, split into training and held out.

Knows nothing of tokens, of the network or of training.
"""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from tinker_hl.errors import ConfigurationError

__all__ = ["DataFileError", "Pair", "parse_pair", "read_pairs", "split_pairs"]

SPLITS: Final = ("train", "test")
_SHOWN: Final = 60


class DataFileError(ConfigurationError):
    """A data file cannot be trained on; `line` is the number of the line at fault, from 1, or None for the whole."""

    def __init__(self, path: Path, fault: str, *, line: int | None = None, hint: str | None = None) -> None:
        super().__init__(f"{path}{'' if line is None else f', line {line}'}: {fault}", hint=hint)
        self.line = line


@attrs.frozen
class Pair:
    """What the model is given, and what it is to say."""

    prompt: str
    completion: str
    split: str | None = None
    """`"train"` or `"test"` where the file says so."""
    line: int = 0
    """Where it stands in its file, from 1."""


def read_pairs(path: Path) -> list[Pair]:
    """Read a JSONL file of `{"prompt": ..., "completion": ..., "split": "train" | "test"}`; `split` may be left out.

    Other fields are ignored, and so are empty lines.

    Raises:
        DataFileError: the first line that is no such object, a file that is not UTF-8, or one without any pair.
    """
    pairs: list[Pair] = []
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataFileError(path, f"cannot be read: {error.strerror or error}") from error
    for number, content in enumerate(raw.split(b"\n"), start=1):
        if content.strip():
            pairs.append(parse_pair(path, number, content))
    if not pairs:
        raise DataFileError(path, "no pairs in it", hint=_form())
    return pairs


def parse_pair(path: Path, number: int, content: bytes) -> Pair:
    """One line of such a file.

    Args:
        path: The file, for errors.
        number: Of the line, from 1.
        content: The line.

    Raises:
        DataFileError: It is no such object.
    """
    try:
        # Excel and friends begin a file with a byte order mark.
        record = json.loads(content.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        raise DataFileError(path, f"not UTF-8 at byte {error.start}", line=number) from error
    except (json.JSONDecodeError, RecursionError) as error:
        place = f" at column {error.colno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else ""
        raise DataFileError(path, f"not JSON{place}", line=number, hint=_form()) from error
    if not isinstance(record, dict):
        raise DataFileError(path, f"a JSON {_kind(record)} is not an object", line=number, hint=_form())
    return Pair(
        prompt=_text(path, number, record, "prompt"),
        completion=_text(path, number, record, "completion"),
        split=_split(path, number, record),
        line=number,
    )


def _text(path: Path, number: int, record: dict[str, Any], field: str) -> str:
    if field not in record:
        raise DataFileError(path, f'the field "{field}" is missing', line=number, hint=_form())
    value = record[field]
    if not isinstance(value, str):
        raise DataFileError(path, f'the field "{field}" is a {_kind(value)}, not a string', line=number)
    if not value:
        raise DataFileError(path, f'the field "{field}" is empty', line=number)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise DataFileError(path, f'the field "{field}" has half of a surrogate pair', line=number) from None
    return value


def _split(path: Path, number: int, record: dict[str, Any]) -> str | None:
    value = record.get("split")
    if value is not None and value not in SPLITS:
        shown = json.dumps(value)[:_SHOWN]
        raise DataFileError(path, f'the field "split" is {shown}, neither "train" nor "test"', line=number)
    return value


def _kind(value: object) -> str:
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _form() -> str:
    return 'each line is {"prompt": "...", "completion": "..."}, with "split": "train" or "test" if you like'


def split_pairs(pairs: Sequence[Pair], *, eval_fraction: float, seed: int) -> tuple[list[Pair], list[Pair]]:
    """Part the pairs into those to train on and those held out, each in the file's order.

    Where any pair names its split, the file decides, and pairs without one are trained on. Else `eval_fraction` of
    them, drawn with `seed`, are held out: at least one if the fraction is above 0, and never all.

    Raises:
        ValueError: the fraction is not in [0, 1), or nothing is left to train on.
    """
    if not 0.0 <= eval_fraction < 1.0:
        raise ValueError(f"eval_fraction must be at least 0 and below 1, got {eval_fraction}")
    if any(pair.split for pair in pairs):
        held_out = {index for index, pair in enumerate(pairs) if pair.split == "test"}
    else:
        wanted = min(max(round(len(pairs) * eval_fraction), 1 if eval_fraction > 0 else 0), len(pairs) - 1)
        held_out = set(random.Random(seed).sample(range(len(pairs)), wanted))
    training = [pair for index, pair in enumerate(pairs) if index not in held_out]
    if not training:
        raise ValueError(f"all {len(pairs)} pairs are held out, none is left to train on")
    return training, [pair for index, pair in enumerate(pairs) if index in held_out]
