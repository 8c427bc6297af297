"""Datums of a JSONL file, line by line: datums as they are dumped, or pairs of texts that a tokenizer makes datums of.

A line that is neither is kept as the reason why, so that one faulty line hides no other.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from tinker_hl.errors import ConfigurationError
from tinker_hl.recipes.pairs import DataFileError, parse_pair
from tinker_hl.recipes.supervised import TextTokenizer, encode_pair
from tinker_hl.types import Datum, ModelInput, TensorData

__all__ = ["Row", "read_rows"]


@attrs.frozen(kw_only=True)
class Row:
    """One line of a file. Either `datum` or `fault` is None."""

    line: int
    """From 1."""
    datum: Datum | None = None
    fault: str | None = None
    """Why it is no datum."""


def read_rows(path: Path, tokenizer: TextTokenizer | None = None) -> Iterator[Row]:
    """Read a file of `Datum.model_dump_json()`, or of `{"prompt": ..., "completion": ...}`; empty lines are left out.

    In a datum, a list of ids may stand for the model input, and a list of numbers for a loss input.

    Args:
        path: The file, UTF-8.
        tokenizer: Turns pairs into datums of `cross_entropy`, as `tinker-hl train` does.

    Raises:
        DataFileError: The file cannot be read.
        ConfigurationError: There is a pair, and no tokenizer.
    """
    number = 0
    try:
        with path.open("rb") as file:
            for number, content in enumerate(file, start=1):
                if content.strip():
                    yield _row(path, number, content, tokenizer)
    except OSError as error:
        raise DataFileError(path, f"cannot be read: {error.strerror or error}") from error


def _row(path: Path, number: int, content: bytes, tokenizer: TextTokenizer | None) -> Row:
    try:
        record = json.loads(content.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        return Row(line=number, fault=f"not UTF-8 at byte {error.start}")
    except (ValueError, RecursionError) as error:
        return Row(line=number, fault=f"not JSON: {error}")
    if isinstance(record, dict) and "model_input" in record:
        return _datum(number, record)
    try:
        pair = parse_pair(path, number, content)
    except DataFileError as error:
        return Row(line=number, fault=str(error.message).partition(": ")[2])
    if tokenizer is None:
        raise ConfigurationError(
            f"{path}, line {number}: a pair of texts needs a tokenizer", hint="Name the model that it is for: --model."
        )
    try:
        return Row(line=number, datum=encode_pair(pair, tokenizer).datum())
    except ValueError as error:
        return Row(line=number, fault=str(error).partition(": ")[2] or str(error))


def _datum(number: int, record: dict[str, Any]) -> Row:
    try:
        return Row(line=number, datum=_parsed(record))
    except (TypeError, ValueError) as error:
        return Row(line=number, fault=str(error))


def _parsed(record: dict[str, Any]) -> Datum:
    given, inputs = record["model_input"], record.get("loss_fn_inputs", {})
    if not isinstance(inputs, dict):
        raise TypeError(f"loss_fn_inputs is a {type(inputs).__name__}, not an object")
    if record.get("model_input_spans") is not None:
        return Datum.model_validate(record)
    return Datum(
        model_input=ModelInput.from_ints(given) if isinstance(given, list) else ModelInput.model_validate(given),
        loss_fn_inputs={
            key: TensorData.model_validate(value) if isinstance(value, dict) else value for key, value in inputs.items()
        },
    )
