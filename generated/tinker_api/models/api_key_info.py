from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define

if TYPE_CHECKING:
    from ..models.api_key_details import ApiKeyDetails


T = TypeVar("T", bound="ApiKeyInfo")


@_attrs_define
class ApiKeyInfo:
    """The key that the request carried."""

    key_id: int
    name: str
    note: str
    details: ApiKeyDetails
    """ Whose key it is. """

    def to_dict(self) -> dict[str, Any]:
        key_id = self.key_id

        name = self.name

        note = self.note

        details = self.details.to_dict()

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "key_id": key_id,
                "name": name,
                "note": note,
                "details": details,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.api_key_details import ApiKeyDetails  # noqa: PLC0415

        d = dict(src_dict)
        key_id = d.pop("key_id")

        name = d.pop("name")

        note = d.pop("note")

        details = ApiKeyDetails.from_dict(d.pop("details"))

        api_key_info = cls(
            key_id=key_id,
            name=name,
            note=note,
            details=details,
        )

        return api_key_info
