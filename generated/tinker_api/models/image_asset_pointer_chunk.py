from __future__ import annotations

from collections.abc import Mapping
from typing import (
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define

from ..models.image_format import ImageFormat
from ..types import UNSET, Unset

T = TypeVar("T", bound="ImageAssetPointerChunk")


@_attrs_define
class ImageAssetPointerChunk:
    """An image that lies elsewhere."""

    location: str
    """ Path or URL. """
    format_: ImageFormat
    """ How an image is encoded. """
    type_: Literal["image_asset_pointer"] | Unset = "image_asset_pointer"
    expected_tokens: int | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        location = self.location

        format_ = self.format_.value

        type_ = self.type_

        expected_tokens: int | None | Unset
        if isinstance(self.expected_tokens, Unset):
            expected_tokens = UNSET
        else:
            expected_tokens = self.expected_tokens

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "location": location,
                "format": format_,
            }
        )
        if type_ is not UNSET:
            field_dict["type"] = type_
        if expected_tokens is not UNSET:
            field_dict["expected_tokens"] = expected_tokens

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        location = d.pop("location")

        format_ = ImageFormat(d.pop("format"))

        type_ = cast(Literal["image_asset_pointer"] | Unset, d.pop("type", UNSET))
        if type_ != "image_asset_pointer" and not isinstance(type_, Unset):
            raise ValueError(f"type must match const 'image_asset_pointer', got '{type_}'")

        def _parse_expected_tokens(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        expected_tokens = _parse_expected_tokens(d.pop("expected_tokens", UNSET))

        image_asset_pointer_chunk = cls(
            location=location,
            format_=format_,
            type_=type_,
            expected_tokens=expected_tokens,
        )

        return image_asset_pointer_chunk
