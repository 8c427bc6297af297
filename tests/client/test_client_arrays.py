"""Numbers from lists, tuples, numpy and torch: what becomes of them, and what is refused."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tinker_hl.types.arrays import TensorDtype, as_token_ids, as_values

TOKENS = [0, 7, 2**31 - 1]


@pytest.mark.parametrize(
    "given_tokens",
    [
        TOKENS,
        tuple(TOKENS),
        np.array(TOKENS),
        np.array(TOKENS, dtype=np.int32),
        np.array(TOKENS, dtype=np.uint64),
        np.array(TOKENS, dtype=np.float64),
        [np.array(token) for token in TOKENS],
        torch.tensor(TOKENS),
        [np.int64(token) for token in TOKENS],
        [torch.tensor(token) for token in TOKENS],
        [0.0, 7, 2**31 - 1],
        range(0, 21, 7),
    ],
    ids=lambda value: type(value).__name__,
)
def test_tokens_come_from_any_sequence_of_whole_numbers(given_tokens: object) -> None:
    ids = as_token_ids(given_tokens)
    assert ids.dtype == np.int32
    assert ids.tolist() == (list(given_tokens) if isinstance(given_tokens, range) else TOKENS)
    assert not ids.flags.writeable


@pytest.mark.parametrize(
    ("tokens", "error", "says"),
    [
        ([1, -1], ValueError, "token -1 at position 1"),
        ([1, 2**31], ValueError, "token 2147483648 at position 1"),
        (np.array([2**40]), ValueError, "position 0"),
        ([1.5], ValueError, "1.5 at element 0"),
        ([float("nan")], ValueError, "nan"),
        ([[1, 2]], ValueError, "one dimension"),
        (torch.zeros(2, 2, dtype=torch.long), ValueError, "one dimension"),
        ("12", TypeError, "str"),
        (["12"], TypeError, "numbers"),
        ([None], TypeError, "numbers"),
        (None, TypeError, "NoneType"),
        ({1, 2}, TypeError, "set"),
    ],
)
def test_other_tokens_are_refused_with_their_place(tokens: object, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        as_token_ids(tokens)


@given(st.lists(st.integers(0, 2**31 - 1)))
def test_tokens_keep_their_values(tokens: list[int]) -> None:
    assert as_token_ids(tokens).tolist() == tokens
    assert as_token_ids(np.array(tokens, dtype=np.int64)).tolist() == tokens


@given(st.lists(st.floats(width=32, allow_nan=False)))
def test_float_lists_are_what_numpy_makes_of_them(numbers: list[float]) -> None:
    np.testing.assert_array_equal(as_values(numbers, "float32"), np.array(numbers, dtype=np.float32))


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_int_lists_are_what_numpy_makes_of_them(numbers: list[int]) -> None:
    np.testing.assert_array_equal(as_values(numbers, "int64"), np.array(numbers, dtype=np.int64))


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (np.array([True, False]), "int64", [1, 0]),
        (np.array([1, 2], dtype=np.uint8), "int64", [1, 2]),
        (np.array([1.0, 2.0]), "int64", [1, 2]),
        (torch.tensor([1.5, 2.5], dtype=torch.bfloat16), "float32", [1.5, 2.5]),
        (torch.tensor([1.5], dtype=torch.float16, requires_grad=True), "float32", [1.5]),
        (torch.tensor([True]), "int64", [1]),
        (torch.tensor([[0, 3], [0, 0]]).to_sparse(), "int64", [[0, 3], [0, 0]]),
        ([[1, 2], [3, 4]], "float32", [[1.0, 2.0], [3.0, 4.0]]),
        ([1, True], "float32", [1.0, 1.0]),
        ([1e300], "float32", [float("inf")]),
        ([], "int64", []),
        (np.float32(2.5), "float32", 2.5),
    ],
)
def test_values_of_every_kind(value: object, dtype: TensorDtype, expected: object) -> None:
    array = as_values(value, dtype)
    assert array.dtype == dtype
    assert array.tolist() == expected


@pytest.mark.parametrize(
    ("value", "dtype", "error", "says"),
    [
        ([1.5, 2.5], "int64", ValueError, "1.5 at element 0"),
        (np.array([1.0, np.inf]), "int64", ValueError, "inf at element 1"),
        ([1e30], "int64", ValueError, "no int64"),
        (np.array([2**64 - 1], dtype=np.uint64), "int64", ValueError, "does not fit"),
        ([[1, 2], [3]], "float32", ValueError, "rectangular"),
        ([1j], "float32", TypeError, "numbers"),
        (np.array([1j]), "float32", TypeError, "complex"),
        ("abc", "float32", TypeError, "str"),
        ([object()], "float32", TypeError, "numbers"),
    ],
)
def test_lossy_values_are_refused(value: object, dtype: TensorDtype, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        as_values(value, dtype)


def test_nothing_here_imports_torch() -> None:
    code = (
        "import sys, numpy; import tinker_hl.types as t, tinker_hl.codec.proto as p, tinker_hl.codec.json as j\n"
        "d = t.Datum(t.ModelInput.from_ints([1]), {'target_tokens': [[1, 2]], 'weights': numpy.ones((1, 2))})\n"
        "p.encode_datum(d), j.encode_datum(d)\n"
        "print([m for m in ('torch', 'transformers', 'tokenizers', 'aiohttp', 'httpx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
