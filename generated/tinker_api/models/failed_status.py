from __future__ import annotations

from collections.abc import Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define

from ..models.session_failure_category import SessionFailureCategory

if TYPE_CHECKING:
    from ..models.request_failure import RequestFailure
    from ..models.sampling_session_failure import SamplingSessionFailure
    from ..models.training_run_failure import TrainingRunFailure
    from ..models.unknown_session_failure_reason import UnknownSessionFailureReason


T = TypeVar("T", bound="FailedStatus")


@_attrs_define
class FailedStatus:
    """The session failed."""

    category: SessionFailureCategory
    """ Whose fault a failure was. """
    reason: RequestFailure | SamplingSessionFailure | TrainingRunFailure | UnknownSessionFailureReason
    """ What made a session fail. """
    message: str
    type_: Literal["failed"] = "failed"

    def to_dict(self) -> dict[str, Any]:
        from ..models.request_failure import RequestFailure  # noqa: PLC0415
        from ..models.sampling_session_failure import SamplingSessionFailure  # noqa: PLC0415
        from ..models.training_run_failure import TrainingRunFailure  # noqa: PLC0415

        type_ = self.type_

        category = self.category.value

        reason: dict[str, Any]
        if isinstance(self.reason, RequestFailure):
            reason = self.reason.to_dict()
        elif isinstance(self.reason, TrainingRunFailure):
            reason = self.reason.to_dict()
        elif isinstance(self.reason, SamplingSessionFailure):
            reason = self.reason.to_dict()
        else:
            reason = self.reason.to_dict()

        message = self.message

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "type": type_,
                "category": category,
                "reason": reason,
                "message": message,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.request_failure import RequestFailure  # noqa: PLC0415
        from ..models.sampling_session_failure import SamplingSessionFailure  # noqa: PLC0415
        from ..models.training_run_failure import TrainingRunFailure  # noqa: PLC0415
        from ..models.unknown_session_failure_reason import UnknownSessionFailureReason  # noqa: PLC0415

        d = dict(src_dict)
        type_ = cast(Literal["failed"], d.pop("type"))
        if type_ != "failed":
            raise ValueError(f"type must match const 'failed', got '{type_}'")

        category = SessionFailureCategory(d.pop("category"))

        def _parse_reason(
            data: object,
        ) -> RequestFailure | SamplingSessionFailure | TrainingRunFailure | UnknownSessionFailureReason:
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_session_failure_reason_type_0 = RequestFailure.from_dict(data)

                return componentsschemas_session_failure_reason_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_session_failure_reason_type_1 = TrainingRunFailure.from_dict(data)

                return componentsschemas_session_failure_reason_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_session_failure_reason_type_2 = SamplingSessionFailure.from_dict(data)

                return componentsschemas_session_failure_reason_type_2
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            if not isinstance(data, dict):
                raise TypeError()
            componentsschemas_session_failure_reason_type_3 = UnknownSessionFailureReason.from_dict(data)

            return componentsschemas_session_failure_reason_type_3

        reason = _parse_reason(d.pop("reason"))

        message = d.pop("message")

        failed_status = cls(
            type_=type_,
            category=category,
            reason=reason,
            message=message,
        )

        return failed_status
