from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="WhoamiResponse")


@_attrs_define
class WhoamiResponse:
    """Who a credential belongs to. No endpoint: clients read it from a JWT's claims."""

    user_urn: str
    org_urn: str
    email: None | str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        user_urn = self.user_urn

        org_urn = self.org_urn

        email: None | str | Unset
        if isinstance(self.email, Unset):
            email = UNSET
        else:
            email = self.email

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "user_urn": user_urn,
                "org_urn": org_urn,
            }
        )
        if email is not UNSET:
            field_dict["email"] = email

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        user_urn = d.pop("user_urn")

        org_urn = d.pop("org_urn")

        def _parse_email(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        email = _parse_email(d.pop("email", UNSET))

        whoami_response = cls(
            user_urn=user_urn,
            org_urn=org_urn,
            email=email,
        )

        return whoami_response
