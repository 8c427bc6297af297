from __future__ import annotations

from collections.abc import Mapping
from typing import (
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="SamplingSessionTarget")


@_attrs_define
class SamplingSessionTarget:
    """The requests of one client of a sampling session."""

    sampling_session_id: str
    type_: Literal["sampling_session"] = "sampling_session"
    cloned_sampler_id: int | Unset = UNSET
    """ `seq_id` divided by 1,000,000,000. """

    def to_dict(self) -> dict[str, Any]:
        type_ = self.type_

        sampling_session_id = self.sampling_session_id

        cloned_sampler_id = self.cloned_sampler_id

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "type": type_,
                "sampling_session_id": sampling_session_id,
            }
        )
        if cloned_sampler_id is not UNSET:
            field_dict["cloned_sampler_id"] = cloned_sampler_id

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        type_ = cast(Literal["sampling_session"], d.pop("type"))
        if type_ != "sampling_session":
            raise ValueError(f"type must match const 'sampling_session', got '{type_}'")

        sampling_session_id = d.pop("sampling_session_id")

        cloned_sampler_id = d.pop("cloned_sampler_id", UNSET)

        sampling_session_target = cls(
            type_=type_,
            sampling_session_id=sampling_session_id,
            cloned_sampler_id=cloned_sampler_id,
        )

        return sampling_session_target
