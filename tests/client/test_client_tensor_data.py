"""`TensorData`: construction, memory of its own, sparse rows, conversions."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tinker_proto import tinker_public_pb2 as pb

from tinker_hl.codec.proto import encode_datum
from tinker_hl.types import Datum, ModelInput, TensorData


def test_both_generations_build_it() -> None:
    for tensor in (TensorData([1, 2], "int64", [2]), TensorData(data=[1, 2], dtype="int64", shape=[2])):
        assert (tensor.data, tensor.dtype, tensor.shape) == ([1, 2], "int64", [2])
    assert TensorData([1, 2], "int64").shape is None
    assert TensorData([1, 2, 3, 4], "float32", (2, 2)).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert TensorData(dtype="float32").data == []


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"data": [1]}, TypeError, "dtype"),
        ({"data": [1], "dtype": "int32"}, ValueError, "'int32'"),
        ({"data": [1, 2, 3], "dtype": "int64", "shape": [2]}, ValueError, "3 values"),
        ({"data": [1], "dtype": "int64", "shape": [-1]}, ValueError, "shape"),
        ({"data": [1.5], "dtype": "int64"}, ValueError, "1.5"),
        ({"data": np.array(["a"])}, ValueError, "no place on the wire"),
        ({"data": [1], "dtype": "int64", "sparse_crow_indices": [0, 1]}, ValueError, "together"),
        ({"data": [1], "dtype": "int64", "sizes": [1]}, TypeError, "no argument 'sizes'"),
    ],
)
def test_what_makes_no_tensor_is_refused(arguments: dict[str, object], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        TensorData(**arguments)  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize(
    ("crow", "col", "shape"),
    [([0, 1], [0], None), ([0, 1], [0], [1]), ([0, 2], [0], [1, 2]), ([1, 1], [0], [1, 2]), ([0, 1], [2], [1, 2])],
)
def test_broken_sparse_tensors_are_refused(crow: list[int], col: list[int], shape: list[int] | None) -> None:
    with pytest.raises(ValueError, match="sparse"):
        TensorData([5], "int64", shape, crow, col)


def test_later_changes_of_the_source_change_nothing() -> None:
    array, tensor, numbers = np.ones(3, np.float32), torch.ones(3), [1.0, 1.0, 1.0]
    made = [
        TensorData.from_numpy(array),
        TensorData.from_torch(tensor),
        TensorData(numbers, "float32"),
        TensorData(array),
    ]
    array[:], tensor[:], numbers[0] = 9, 9, 9
    for data in made:
        assert data.data == [1.0, 1.0, 1.0]
        assert not np.shares_memory(data.to_numpy(), array)
        with pytest.raises(ValueError, match="read-only"):
            data.to_numpy()[0] = 9
        data.to_torch()[0] = 9
        assert data.tolist() == [1.0, 1.0, 1.0]


def test_a_result_is_shared_without_a_copy() -> None:
    values = np.arange(3, dtype=np.float32)
    result = TensorData.adopt(values)
    assert result.to_numpy() is values
    assert result.to_torch().data_ptr() == values.ctypes.data


@pytest.mark.parametrize(
    ("source", "dtype"),
    [
        (np.ones((2, 3)), "float32"),
        (np.ones((2, 3), np.uint16), "int64"),
        (np.ones((2, 3), bool), "int64"),
        (torch.ones(2, 3, dtype=torch.bfloat16, requires_grad=True), "float32"),
        (torch.ones(2, 3, dtype=torch.uint8), "int64"),
        (torch.ones(3, 2).T, "float32"),
    ],
)
def test_arrays_keep_shape_and_kind(source: np.ndarray | torch.Tensor, dtype: str) -> None:
    made = TensorData.from_numpy(source) if isinstance(source, np.ndarray) else TensorData.from_torch(source)
    assert (made.dtype, made.shape, made.tolist()) == (dtype, [2, 3], [[1, 1, 1], [1, 1, 1]])


DTYPES = [
    *(("numpy", name, "float32") for name in ("float16", "float32", "float64", "longdouble")),
    *(("numpy", f"{sign}int{bits}", "int64") for sign in ("", "u") for bits in (8, 16, 32, 64)),
    ("numpy", "bool", "int64"),
    *(("torch", name, "float32") for name in ("bfloat16", "float16", "float32", "float64")),
    *(("torch", name, "int64") for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")),
    ("torch", "bool", "int64"),
]
"""Library, its dtype, the dtype on the wire: the table of `docs/types.md`."""


@pytest.mark.parametrize(("library", "given_dtype", "sent"), DTYPES)
def test_the_dtype_table(library: str, given_dtype: str, sent: str) -> None:
    if library == "numpy":
        made = TensorData(np.array([0, 1], dtype=given_dtype))
    else:
        made = TensorData(torch.tensor([0, 1]).to(getattr(torch, given_dtype)))
    assert (made.dtype, made.to_numpy().dtype.name, made.tolist()) == (sent, sent, [0, 1])
    assert made == TensorData([0, 1], sent)  # type: ignore[arg-type]  # one of the two


def test_what_has_several_axes_keeps_its_shape() -> None:
    rows = [[1, 2, 3], [4, 5, 6]]
    for source in (rows, np.array(rows), torch.tensor(rows), [np.array(row) for row in rows]):
        made = TensorData(source, "int64")
        assert (made.shape, made.tolist(), made.data) == ([2, 3], rows, [1, 2, 3, 4, 5, 6])
    assert TensorData([1, 2], "int64").shape is None


@pytest.mark.parametrize("refused", [np.array([1j]), np.array(["1"]), np.array([None]), torch.tensor([1j])])
def test_dtypes_without_a_place_on_the_wire_are_refused(refused: Any) -> None:
    with pytest.raises(ValueError, match="int64 and float32 only"):
        TensorData(refused)


def test_numpy_reads_a_tensor_without_a_copy_unless_asked() -> None:
    values = np.arange(3, dtype=np.float32)
    result = TensorData.adopt(values)
    assert np.shares_memory(np.asarray(result), values)
    assert np.asarray(result, dtype=np.float64).dtype == np.float64
    copied = np.array(result)
    copied[0] = 9
    assert result.tolist() == [0, 1, 2]
    assert np.asarray(TensorData([5], "int64", [2, 2], [0, 1, 1], [1])).tolist() == [[0, 5], [0, 0]]


def test_converters_name_what_they_got() -> None:
    with pytest.raises(TypeError, match="list"):
        TensorData.from_numpy([1])  # type: ignore[arg-type]  # on purpose
    with pytest.raises(TypeError, match="list"):
        TensorData.from_torch([1])


MATRICES = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12),
    elements=st.sampled_from([0.0, 0.0, 0.0, 0.0, 1.5, -2.0]),
)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")  # torch says so of its own reference
@given(MATRICES)
def test_sparse_and_dense_are_the_same_tensor(matrix: np.ndarray) -> None:
    tensor = TensorData.from_torch_sparse(torch.from_numpy(matrix))
    rows, columns = matrix.shape
    stored = int(np.count_nonzero(matrix))
    assert tensor.is_sparse == (rows + 1 + 2 * stored < rows * columns)
    np.testing.assert_array_equal(tensor.to_numpy(), matrix)
    assert tensor == TensorData.from_numpy(matrix)
    assert tensor.shape == [rows, columns]
    if tensor.is_sparse:
        crow, col = torch.tensor(tensor.sparse_crow_indices), torch.tensor(tensor.sparse_col_indices, dtype=torch.long)
        values = torch.tensor(tensor.data, dtype=torch.float32)
        reference = torch.sparse_csr_tensor(crow, col, values, size=matrix.shape, check_invariants=True)
        np.testing.assert_array_equal(reference.to_dense().numpy(), matrix)


def test_the_pad_value_fills_what_is_not_stored() -> None:
    matrix = torch.full((4, 5), -1)
    matrix[2, 3] = 7
    tensor = TensorData.from_torch_sparse(matrix, pad_value=-1)
    assert (tensor.data, tensor.sparse_col_indices) == ([7], [3])
    assert tensor.to_torch(pad_value=-1).tolist() == matrix.tolist()
    assert tensor.to_numpy()[0, 0] == 0
    for pad in (True, 0.0, None):
        with pytest.raises(TypeError, match="pad_value"):
            tensor.to_numpy(pad_value=pad)  # type: ignore[arg-type]  # on purpose


def test_equal_by_value_and_not_by_layout() -> None:
    assert TensorData([1.0, float("nan")], "float32") == TensorData(np.array([1.0, np.nan]))
    assert TensorData([1], "int64") != TensorData([1], "float32")
    assert TensorData([1, 2], "int64", [2, 1]) != TensorData([1, 2], "int64", [1, 2])
    assert TensorData([1], "int64") != [1]
    with pytest.raises(TypeError):
        hash(TensorData([1], "int64"))


def test_copies_and_dumps_come_back() -> None:
    dense, sparse = TensorData([[1, 2]], "int64", [1, 2]), TensorData([5], "int64", [2, 4], [0, 0, 1], [3])
    for tensor in (dense, sparse):
        for again in (pickle.loads(pickle.dumps(tensor)), copy.deepcopy(tensor), tensor.model_copy()):
            assert again == tensor
            assert again.is_sparse == tensor.is_sparse
        assert TensorData.model_validate_json(tensor.model_dump_json()) == tensor
    assert dense.model_copy(update={"data": [3, 4]}).tolist() == [[3, 4]]


def test_the_representation_is_short() -> None:
    assert repr(TensorData([1, 2], "int64")) == "TensorData([1, 2], int64, shape=None)"
    assert len(repr(TensorData(np.zeros(10**6)))) < 120


EVERY_KIND = st.sampled_from(
    [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint32, np.bool_, np.float16, np.float32, np.float64]
)


@given(data=st.data(), kind=EVERY_KIND)
def test_conversions_lose_nothing(data: st.DataObject, kind: Any) -> None:
    """Array, list, tensor, JSON, pickle and the protobuf message: there and back, of any kind and shape."""
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    elements = st.integers(0, 100) if np.dtype(kind).kind in "iu" else None
    if np.dtype(kind).kind == "f":
        elements = st.floats(-100, 100, width=16)  # type: ignore[assignment]  # exact in each of them
    array = data.draw(hnp.arrays(kind, shape, elements=elements))
    wanted = array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
    tensor = TensorData.from_numpy(array)
    ways = {
        "list": TensorData(array.tolist() if array.ndim else [array.item()], tensor.dtype, list(shape)),
        "json": TensorData.model_validate_json(tensor.model_dump_json()),
        "pickle": pickle.loads(pickle.dumps(tensor)),
        "copy": tensor.model_copy(),
    }
    if array.dtype != np.uint32:  # torch has no full support for it
        ways["torch"] = TensorData.from_torch(torch.from_numpy(array.copy()))
        ways["back from torch"] = TensorData.from_torch(tensor.to_torch())
    for way, made in ways.items():
        assert (made.shape, made.dtype) == (list(shape), tensor.dtype), way
        np.testing.assert_array_equal(made.to_numpy(), wanted, err_msg=way)
        assert made.tolist() == wanted.tolist(), way
        assert made.data == wanted.reshape(-1).tolist(), way


@given(matrix=MATRICES, pad=st.integers(-3, 3))
def test_sparse_tensors_keep_their_values_on_every_way(matrix: np.ndarray, pad: int) -> None:
    """CSR as it is sent: through JSON, a pickle and the constructor, with any value that is not stored."""
    tensor = TensorData.from_torch_sparse(torch.from_numpy(matrix), pad)
    by_hand = TensorData(tensor.data, tensor.dtype, tensor.shape, tensor.sparse_crow_indices, tensor.sparse_col_indices)
    for made in (tensor, by_hand, TensorData.model_validate_json(tensor.model_dump_json()), tensor.model_copy()):
        assert made.is_sparse == tensor.is_sparse
        np.testing.assert_array_equal(made.to_numpy(pad), matrix)
        np.testing.assert_array_equal(made.to_torch(pad).numpy(), matrix)
        assert made.nbytes == tensor.nbytes
    message = Datum(ModelInput.from_ints([1]), {"weights": tensor})
    body = pb.Datum()
    body.ParseFromString(bytes(encode_datum(message)))
    sent = body.loss_fn_inputs["weights"]
    assert list(sent.shape) == list(matrix.shape)
    stored = np.frombuffer(sent.sparse_csr.values if tensor.is_sparse else sent.dense, "<f4")
    assert stored.tolist() == tensor.data
