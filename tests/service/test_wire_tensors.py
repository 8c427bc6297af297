"""Tensors of requests become dense arrays, whatever their layout; what does not fit together is refused."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tinker_proto import tinker_public_pb2 as pb

from tinker_local.wire import tensors
from tinker_local.wire.faults import WireFault
from tinker_local.wire.tensors import Room, tensor_from_json, tensor_from_proto

LOC = ("body", "weights")
FLOATS = hnp.arrays(np.float32, hnp.array_shapes(max_dims=2, min_side=0, max_side=6))
INTS = hnp.arrays(np.int64, hnp.array_shapes(max_dims=2, min_side=0, max_side=6))
MATRICES = hnp.arrays(np.int64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.integers(0, 3))


def csr(matrix: np.ndarray) -> tuple[list[int], list[int], list[int]]:
    """A slow, plain conversion: values, row pointers, columns."""
    values: list[int] = []
    pointers, columns = [0], []
    for row in matrix.tolist():
        for column, value in enumerate(row):
            if value:
                values.append(value)
                columns.append(column)
        pointers.append(len(values))
    return values, pointers, columns


@given(array=FLOATS.filter(lambda array: bool(np.isfinite(array).all())) | INTS)
def test_dense_json_is_identity(array: np.ndarray) -> None:
    tensor = {"data": array.ravel().tolist(), "dtype": str(array.dtype), "shape": list(array.shape)}
    decoded = tensor_from_json(tensor, LOC, Room())
    assert decoded.dtype == array.dtype
    np.testing.assert_array_equal(decoded, array)


@given(array=FLOATS | INTS)
def test_dense_proto_is_identity_to_the_bit(array: np.ndarray) -> None:
    dtype = pb.DTYPE_FLOAT32 if array.dtype == np.float32 else pb.DTYPE_INT64
    decoded = tensor_from_proto(pb.Tensor(dense=array.tobytes(), dtype=dtype, shape=array.shape), LOC, Room())
    assert (decoded.dtype, decoded.shape, decoded.tobytes()) == (array.dtype, array.shape, array.tobytes())


@given(matrix=MATRICES, fill=st.sampled_from([0, -1]))
def test_sparse_is_made_dense_in_both_forms(matrix: np.ndarray, fill: int) -> None:
    values, pointers, columns = csr(matrix)
    expected = np.where(matrix == 0, fill, matrix)
    tensor = {
        "data": values,
        "dtype": "int64",
        "shape": list(matrix.shape),
        "sparse_crow_indices": pointers,
        "sparse_col_indices": columns,
    }
    np.testing.assert_array_equal(tensor_from_json(tensor, LOC, Room(), fill=fill), expected)
    message = pb.Tensor(
        sparse_csr=pb.SparseCsr(
            values=np.array(values, np.int64).tobytes(),
            crow_indices=np.array(pointers, np.int64).tobytes(),
            col_indices=np.array(columns, np.int64).tobytes(),
        ),
        dtype=pb.DTYPE_INT64,
        shape=matrix.shape,
    )
    np.testing.assert_array_equal(tensor_from_proto(message, LOC, Room(), fill=fill), expected)


def test_narrow_types_are_widened() -> None:
    ints = pb.Tensor(dense=np.array([-3, 7], np.int32).tobytes(), dtype=pb.DTYPE_INT32)
    assert tensor_from_proto(ints, LOC, Room()).tolist() == [-3, 7]
    assert tensor_from_proto(ints, LOC, Room()).dtype == np.int64
    halves = np.array([1.5, -2.0, 0.0078125], np.float32).view(np.uint32) >> 16
    widened = tensor_from_proto(
        pb.Tensor(dense=halves.astype(np.uint16).tobytes(), dtype=pb.DTYPE_BFLOAT16), LOC, Room()
    )
    assert widened.dtype == np.float32
    assert widened.tolist() == [1.5, -2.0, 0.0078125]


def test_a_missing_shape_is_one_dimension() -> None:
    assert tensor_from_json({"data": [1, 2.5], "dtype": "float32"}, LOC, Room()).tolist() == [1.0, 2.5]
    assert tensor_from_json({"data": [1], "dtype": "float32", "shape": None}, LOC, Room()).shape == (1,)
    raw = np.ones(3, np.float32).tobytes()
    assert tensor_from_proto(pb.Tensor(dense=raw, dtype=pb.DTYPE_FLOAT32), LOC, Room()).shape == (3,)


def test_whole_floats_are_integers_and_others_are_not() -> None:
    assert tensor_from_json({"data": [1.0, 2.0], "dtype": "int64"}, LOC, Room()).tolist() == [1, 2]
    with pytest.raises(WireFault, match=r"1\.5 is no int64") as caught:
        tensor_from_json({"data": [1, 1.5], "dtype": "int64"}, LOC, Room())
    assert caught.value.loc == (*LOC, "data", 1)


BASE = {"dtype": "int64", "shape": [2, 3], "data": [5], "sparse_crow_indices": [0, 1, 1], "sparse_col_indices": [2]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": [6]}, "two dimensions"),
        ({"shape": None}, "needs its shape"),
        ({"sparse_crow_indices": [0, 1]}, "row pointers"),
        ({"sparse_crow_indices": [0, 2, 1]}, "row pointers"),
        ({"sparse_crow_indices": [1, 1, 1]}, "row pointers"),
        ({"sparse_col_indices": [3]}, "outside 0 to 2"),
        ({"sparse_col_indices": [-1]}, "outside 0 to 2"),
        ({"sparse_col_indices": [0, 1]}, "2 column indices do not match 1 values"),
        ({"sparse_col_indices": None}, "come together"),
        ({"data": [10**30]}, "numbers"),
    ],
)
def test_a_wrong_sparse_layout_is_refused(change: dict[str, Any], message: str) -> None:
    assert tensor_from_json(BASE, LOC, Room()).tolist() == [[0, 0, 5], [0, 0, 0]]
    with pytest.raises(WireFault, match=message):
        tensor_from_json(BASE | change, LOC, Room())


@pytest.mark.parametrize(
    ("message", "what"),
    [
        (pb.Tensor(dense=b"1234"), "no tensor type"),
        (pb.Tensor(dtype=pb.DTYPE_INT64), "neither dense nor sparse"),
        (pb.Tensor(dense=b"12345", dtype=pb.DTYPE_FLOAT32), "not whole values"),
        (pb.Tensor(dense=b"1234", dtype=pb.DTYPE_FLOAT32, shape=[2]), r"shape \[2\] does not hold the 1 values"),
        (pb.Tensor(dense=b"1234", dtype=pb.DTYPE_FLOAT32, shape=[-1, -1]), "does not hold"),
    ],
)
def test_a_wrong_message_is_refused(message: pb.Tensor, what: str) -> None:
    with pytest.raises(WireFault, match=what):
        tensor_from_proto(message, LOC, Room())


def test_a_small_body_cannot_name_a_huge_tensor() -> None:
    huge = BASE | {"shape": [2, tensors.MAX_ELEMENTS], "sparse_col_indices": [0]}
    with pytest.raises(WireFault, match="at most"):
        tensor_from_json(huge, LOC, Room())


def test_the_tensors_of_a_request_share_their_room() -> None:
    room = Room(elements=10)
    tensor_from_json(BASE, LOC, room)
    with pytest.raises(WireFault, match="send fewer data"):
        tensor_from_json(BASE, LOC, room)
