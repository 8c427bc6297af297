from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="SaveWeightsResponse")


@_attrs_define
class SaveWeightsResponse:
    """The checkpoint."""

    path: str
    """ A `tinker://<run>/<kind>/<name>` path. """
    type_: str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        path = self.path

        type_ = self.type_

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "path": path,
            }
        )
        if type_ is not UNSET:
            field_dict["type"] = type_

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        path = d.pop("path")

        type_ = d.pop("type", UNSET)

        save_weights_response = cls(
            path=path,
            type_=type_,
        )

        return save_weights_response
