from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..models.stop_reason import StopReason
from ..types import UNSET, Unset

T = TypeVar("T", bound="SampledSequence")


@_attrs_define
class SampledSequence:
    """A drawn sequence."""

    stop_reason: StopReason
    """ Why a sequence ended. """
    tokens: Any
    """ With the stop token, where one ended it. """
    logprobs: Any | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        stop_reason = self.stop_reason.value

        tokens = self.tokens

        logprobs = self.logprobs

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "stop_reason": stop_reason,
                "tokens": tokens,
            }
        )
        if logprobs is not UNSET:
            field_dict["logprobs"] = logprobs

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        stop_reason = StopReason(d.pop("stop_reason"))

        tokens = d.pop("tokens")

        logprobs = d.pop("logprobs", UNSET)

        sampled_sequence = cls(
            stop_reason=stop_reason,
            tokens=tokens,
            logprobs=logprobs,
        )

        return sampled_sequence
