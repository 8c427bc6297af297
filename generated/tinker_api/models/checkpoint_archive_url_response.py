from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

T = TypeVar("T", bound="CheckpointArchiveUrlResponse")


@_attrs_define
class CheckpointArchiveUrlResponse:
    """Where an archive lies. 0.25 takes it as JSON, older releases from the headers of a 302."""

    url: str
    expires: datetime.datetime

    def to_dict(self) -> dict[str, Any]:
        url = self.url

        expires = self.expires.isoformat()

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "url": url,
                "expires": expires,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        url = d.pop("url")

        expires = datetime.datetime.fromisoformat(d.pop("expires"))

        checkpoint_archive_url_response = cls(
            url=url,
            expires=expires,
        )

        return checkpoint_archive_url_response
