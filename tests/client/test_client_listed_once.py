"""A list that is made once, in a record whose attributes stay as quick to read as any."""

import pickle

import numpy as np

from tinker_hl.types import EncodedTextChunk, TensorData


def test_a_list_is_made_once_and_never_travels() -> None:
    tensor = TensorData([1.5, -2.0], "float32")
    assert tensor.data == [1.5, -2.0]
    assert tensor.data is tensor.data
    chunk = EncodedTextChunk(tokens=np.array([3, 4]))
    assert chunk.tokens == [3, 4]
    assert chunk.tokens is chunk.tokens
    for record in (tensor, chunk):
        assert pickle.loads(pickle.dumps(record)) == record


def test_attributes_are_read_without_a_detour() -> None:
    for kind in (TensorData, EncodedTextChunk):
        assert not any("__getattr__" in base.__dict__ for base in kind.__mro__), "it slows down every attribute"
