from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

T = TypeVar("T", bound="ImportWeightsResponse")


@_attrs_define
class ImportWeightsResponse:
    """The checkpoint."""

    tinker_path: str
    """ A `tinker://<run>/<kind>/<name>` path. """

    def to_dict(self) -> dict[str, Any]:
        tinker_path = self.tinker_path

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "tinker_path": tinker_path,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        tinker_path = d.pop("tinker_path")

        import_weights_response = cls(
            tinker_path=tinker_path,
        )

        return import_weights_response
