from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..models.request_error_category import RequestErrorCategory

T = TypeVar("T", bound="RequestFailedResponse")


@_attrs_define
class RequestFailedResponse:
    """The request failed for good."""

    error: str
    category: RequestErrorCategory
    """ Whose fault a failure is. """

    def to_dict(self) -> dict[str, Any]:
        error = self.error

        category = self.category.value

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "error": error,
                "category": category,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        error = d.pop("error")

        category = RequestErrorCategory(d.pop("category"))

        request_failed_response = cls(
            error=error,
            category=category,
        )

        return request_failed_response
