"""A long JSON result is read list by list, and means what it means when it is read at once."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinker_hl.codec import json as codec
from tinker_hl.codec.long_lists import without_lists
from tinker_hl.codec.structure import StructureError
from tinker_hl.types import ForwardBackwardOutput

numbers = st.lists(st.one_of(st.integers(-(2**31), 2**31), st.floats(width=32), st.none()), max_size=4)
tensors = st.fixed_dictionaries(
    {"data": st.one_of(numbers, st.lists(numbers, max_size=2)), "dtype": st.just("float32")}
)
odd = st.sampled_from(['"data":[1]', "data", "]", "[", '\\"data\\": [', "\\", '","data":[7],"'])
names = st.one_of(st.sampled_from(["logprobs", "data"]), odd)
results = st.fixed_dictionaries(
    {
        "loss_fn_output_type": odd,
        "loss_fn_outputs": st.lists(st.dictionaries(names, tensors, max_size=2), max_size=3),
        "metrics": st.dictionaries(names, st.one_of(st.floats(-1, 1), numbers), max_size=2),
    }
)


def read(content: bytes, long: int) -> ForwardBackwardOutput | str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec, "LONG", long)
        try:
            return codec.decode_forward_backward_output(content)
        except StructureError as error:
            return str(error)


def told(output: ForwardBackwardOutput | str) -> Any:
    """What can be compared: NaN is equal to itself."""
    if isinstance(output, str):
        return output
    arrays = [{name: tensor.to_numpy().tolist() for name, tensor in one.items()} for one in output.loss_fn_outputs]
    return repr((output.loss_fn_output_type, arrays, output.metrics))


@given(result=results, indent=st.sampled_from([None, 1]), separators=st.sampled_from([(",", ":"), (", ", " : ")]))
def test_in_pieces_and_at_once_are_the_same(result: Any, indent: int | None, separators: tuple[str, str]) -> None:
    content = json.dumps(result, indent=indent, separators=separators).encode()
    assert told(read(content, -1)) == told(read(content, len(content)))


@given(result=results, cut=st.integers(0, 400))
def test_a_broken_result_is_refused_in_the_same_words(result: Any, cut: int) -> None:
    content = json.dumps(result).encode()[:cut]
    assert told(read(content, -1)) == told(read(content, len(content)))


def test_a_list_is_a_number_in_what_is_left() -> None:
    rest, lists = without_lists(b'{"a":{"data":[1,2],"shape":[2]},"b":{"data" : [ ]},"c":"\\"data\\":[3]"}')
    assert json.loads(rest) == {"a": {"data": [0], "shape": [2]}, "b": {"data": [1]}, "c": '"data":[3]'}
    assert [json.loads(one) for one in lists] == [[1, 2], []]


def test_no_call_of_the_parser_gets_more_than_one_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 6, section 4: a parser holds the interpreter, and with it the loop, until it is done."""
    rows = np.full((50, 1000), -1.25, np.float32)
    record = {"dtype": "float32", "shape": [1000]}
    content = json.dumps({"loss_fn_outputs": [{"logprobs": {"data": row.tolist(), **record}} for row in rows]}).encode()
    parsed: list[int] = []

    def loads(piece: bytes) -> Any:
        parsed.append(len(piece))
        return json.loads(piece)

    monkeypatch.setattr(codec, "loads", loads)
    output = codec.decode_forward_backward_output(content)
    assert [one["logprobs"].to_numpy().tolist() for one in output.loss_fn_outputs] == rows.tolist()
    assert max(parsed) < len(content) / 40
