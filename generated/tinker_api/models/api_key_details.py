from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define

if TYPE_CHECKING:
    from ..models.org_details import OrgDetails
    from ..models.user_details import UserDetails


T = TypeVar("T", bound="ApiKeyDetails")


@_attrs_define
class ApiKeyDetails:
    """Whose key it is."""

    org_details: OrgDetails
    """ The organization of a key. """
    user_details: UserDetails
    """ The owner of a key. """

    def to_dict(self) -> dict[str, Any]:
        org_details = self.org_details.to_dict()

        user_details = self.user_details.to_dict()

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "org_details": org_details,
                "user_details": user_details,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.org_details import OrgDetails  # noqa: PLC0415
        from ..models.user_details import UserDetails  # noqa: PLC0415

        d = dict(src_dict)
        org_details = OrgDetails.from_dict(d.pop("org_details"))

        user_details = UserDetails.from_dict(d.pop("user_details"))

        api_key_details = cls(
            org_details=org_details,
            user_details=user_details,
        )

        return api_key_details
