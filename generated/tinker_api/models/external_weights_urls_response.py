from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define

if TYPE_CHECKING:
    from ..models.signed_urls import SignedUrls


T = TypeVar("T", bound="ExternalWeightsUrlsResponse")


@_attrs_define
class ExternalWeightsUrlsResponse:
    """Where the files of saved weights lie."""

    urls: SignedUrls
    """ A signed URL for each file, by its relative path. """
    expires: datetime.datetime

    def to_dict(self) -> dict[str, Any]:
        urls = self.urls.to_dict()

        expires = self.expires.isoformat()

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "urls": urls,
                "expires": expires,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.signed_urls import SignedUrls  # noqa: PLC0415

        d = dict(src_dict)
        urls = SignedUrls.from_dict(d.pop("urls"))

        expires = datetime.datetime.fromisoformat(d.pop("expires"))

        external_weights_urls_response = cls(
            urls=urls,
            expires=expires,
        )

        return external_weights_urls_response
