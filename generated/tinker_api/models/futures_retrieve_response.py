from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define

if TYPE_CHECKING:
    from ..models.future_failed import FutureFailed
    from ..models.future_finished import FutureFinished
    from ..models.unknown_future_completion import UnknownFutureCompletion


T = TypeVar("T", bound="FuturesRetrieveResponse")


@_attrs_define
class FuturesRetrieveResponse:
    """Requests that ended after the cursor."""

    completions: list[FutureFailed | FutureFinished | UnknownFutureCompletion]
    cursor: int
    """ Never goes down. """

    def to_dict(self) -> dict[str, Any]:
        from ..models.future_failed import FutureFailed  # noqa: PLC0415
        from ..models.future_finished import FutureFinished  # noqa: PLC0415

        completions = []
        for completions_item_data in self.completions:
            completions_item: dict[str, Any]
            if isinstance(completions_item_data, FutureFinished):
                completions_item = completions_item_data.to_dict()
            elif isinstance(completions_item_data, FutureFailed):
                completions_item = completions_item_data.to_dict()
            else:
                completions_item = completions_item_data.to_dict()

            completions.append(completions_item)

        cursor = self.cursor

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "completions": completions,
                "cursor": cursor,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.future_failed import FutureFailed  # noqa: PLC0415
        from ..models.future_finished import FutureFinished  # noqa: PLC0415
        from ..models.unknown_future_completion import UnknownFutureCompletion  # noqa: PLC0415

        d = dict(src_dict)
        completions = []
        _completions = d.pop("completions")
        for completions_item_data in _completions:

            def _parse_completions_item(data: object) -> FutureFailed | FutureFinished | UnknownFutureCompletion:
                try:
                    if not isinstance(data, dict):
                        raise TypeError()
                    componentsschemas_future_completion_type_0 = FutureFinished.from_dict(data)

                    return componentsschemas_future_completion_type_0
                except (TypeError, ValueError, AttributeError, KeyError):
                    pass
                try:
                    if not isinstance(data, dict):
                        raise TypeError()
                    componentsschemas_future_completion_type_1 = FutureFailed.from_dict(data)

                    return componentsschemas_future_completion_type_1
                except (TypeError, ValueError, AttributeError, KeyError):
                    pass
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_future_completion_type_2 = UnknownFutureCompletion.from_dict(data)

                return componentsschemas_future_completion_type_2

            completions_item = _parse_completions_item(completions_item_data)

            completions.append(completions_item)

        cursor = d.pop("cursor")

        futures_retrieve_response = cls(
            completions=completions,
            cursor=cursor,
        )

        return futures_retrieve_response
