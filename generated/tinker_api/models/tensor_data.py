from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.tensor_dtype import TensorDtype
from ..types import UNSET, Unset

T = TypeVar("T", bound="TensorData")


@_attrs_define
class TensorData:
    """A tensor, flattened in row-major order; with the two index lists a 2-D matrix in compressed sparse rows, whose
    `data` holds the stored values alone.

    """

    data: Any
    dtype: TensorDtype
    """ The type of a tensor's elements. """
    shape: list[int] | None | Unset = UNSET
    """ Absent: one dimension. Required of a sparse tensor. """
    sparse_crow_indices: Any | Unset = UNSET
    """ Row pointers: rows + 1 numbers, from 0 to the number of stored values. """
    sparse_col_indices: Any | Unset = UNSET
    """ The column of each stored value. """

    def to_dict(self) -> dict[str, Any]:
        data = self.data

        dtype = self.dtype.value

        shape: list[int] | None | Unset
        if isinstance(self.shape, Unset):
            shape = UNSET
        elif isinstance(self.shape, list):
            shape = self.shape

        else:
            shape = self.shape

        sparse_crow_indices = self.sparse_crow_indices

        sparse_col_indices = self.sparse_col_indices

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "data": data,
                "dtype": dtype,
            }
        )
        if shape is not UNSET:
            field_dict["shape"] = shape
        if sparse_crow_indices is not UNSET:
            field_dict["sparse_crow_indices"] = sparse_crow_indices
        if sparse_col_indices is not UNSET:
            field_dict["sparse_col_indices"] = sparse_col_indices

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        data = d.pop("data")

        dtype = TensorDtype(d.pop("dtype"))

        def _parse_shape(data: object) -> list[int] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                shape_type_0 = cast(list[int], data)

                return shape_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[int] | None | Unset, data)

        shape = _parse_shape(d.pop("shape", UNSET))

        sparse_crow_indices = d.pop("sparse_crow_indices", UNSET)

        sparse_col_indices = d.pop("sparse_col_indices", UNSET)

        tensor_data = cls(
            data=data,
            dtype=dtype,
            shape=shape,
            sparse_crow_indices=sparse_crow_indices,
            sparse_col_indices=sparse_col_indices,
        )

        return tensor_data
