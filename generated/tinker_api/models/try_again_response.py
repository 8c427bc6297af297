from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.queue_state import QueueState
from ..types import UNSET, Unset

T = TypeVar("T", bound="TryAgainResponse")


@_attrs_define
class TryAgainResponse:
    """Not done yet; ask again at once."""

    type_: str
    request_id: str
    queue_state: QueueState
    """ How a request waits: `active` runs or queues as usual. """
    queue_state_reason: None | str | Unset = UNSET
    """ What to tell the user. """
    retry_after_ms: int | None | Unset = UNSET
    """ Read by one client; most ignore it. """

    def to_dict(self) -> dict[str, Any]:
        type_ = self.type_

        request_id = self.request_id

        queue_state = self.queue_state.value

        queue_state_reason: None | str | Unset
        if isinstance(self.queue_state_reason, Unset):
            queue_state_reason = UNSET
        else:
            queue_state_reason = self.queue_state_reason

        retry_after_ms: int | None | Unset
        if isinstance(self.retry_after_ms, Unset):
            retry_after_ms = UNSET
        else:
            retry_after_ms = self.retry_after_ms

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "type": type_,
                "request_id": request_id,
                "queue_state": queue_state,
            }
        )
        if queue_state_reason is not UNSET:
            field_dict["queue_state_reason"] = queue_state_reason
        if retry_after_ms is not UNSET:
            field_dict["retry_after_ms"] = retry_after_ms

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        type_ = d.pop("type")

        request_id = d.pop("request_id")

        queue_state = QueueState(d.pop("queue_state"))

        def _parse_queue_state_reason(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        queue_state_reason = _parse_queue_state_reason(d.pop("queue_state_reason", UNSET))

        def _parse_retry_after_ms(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        retry_after_ms = _parse_retry_after_ms(d.pop("retry_after_ms", UNSET))

        try_again_response = cls(
            type_=type_,
            request_id=request_id,
            queue_state=queue_state,
            queue_state_reason=queue_state_reason,
            retry_after_ms=retry_after_ms,
        )

        return try_again_response
