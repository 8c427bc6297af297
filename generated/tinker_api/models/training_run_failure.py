from __future__ import annotations

from collections.abc import Mapping
from typing import (
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define

T = TypeVar("T", bound="TrainingRunFailure")


@_attrs_define
class TrainingRunFailure:
    """A training run made the session fail."""

    training_run_id: str
    type_: Literal["training_run"] = "training_run"

    def to_dict(self) -> dict[str, Any]:
        type_ = self.type_

        training_run_id = self.training_run_id

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "type": type_,
                "training_run_id": training_run_id,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        type_ = cast(Literal["training_run"], d.pop("type"))
        if type_ != "training_run":
            raise ValueError(f"type must match const 'training_run', got '{type_}'")

        training_run_id = d.pop("training_run_id")

        training_run_failure = cls(
            type_=type_,
            training_run_id=training_run_id,
        )

        return training_run_failure
