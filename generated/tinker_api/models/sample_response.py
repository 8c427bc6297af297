from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.sampled_sequence import SampledSequence


T = TypeVar("T", bound="SampleResponse")


@_attrs_define
class SampleResponse:
    """Drawn sequences. Protobuf carries more than this JSON form."""

    sequences: list[SampledSequence]
    type_: str | Unset = UNSET
    prompt_logprobs: Any | Unset = UNSET
    """ One for each prompt token; the first is null. """
    topk_prompt_logprobs: Any | Unset = UNSET
    """ For each prompt position null or pairs of token id and log-probability. """

    def to_dict(self) -> dict[str, Any]:
        sequences = []
        for sequences_item_data in self.sequences:
            sequences_item = sequences_item_data.to_dict()
            sequences.append(sequences_item)

        type_ = self.type_

        prompt_logprobs = self.prompt_logprobs

        topk_prompt_logprobs = self.topk_prompt_logprobs

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "sequences": sequences,
            }
        )
        if type_ is not UNSET:
            field_dict["type"] = type_
        if prompt_logprobs is not UNSET:
            field_dict["prompt_logprobs"] = prompt_logprobs
        if topk_prompt_logprobs is not UNSET:
            field_dict["topk_prompt_logprobs"] = topk_prompt_logprobs

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.sampled_sequence import SampledSequence  # noqa: PLC0415

        d = dict(src_dict)
        sequences = []
        _sequences = d.pop("sequences")
        for sequences_item_data in _sequences:
            sequences_item = SampledSequence.from_dict(sequences_item_data)

            sequences.append(sequences_item)

        type_ = d.pop("type", UNSET)

        prompt_logprobs = d.pop("prompt_logprobs", UNSET)

        topk_prompt_logprobs = d.pop("topk_prompt_logprobs", UNSET)

        sample_response = cls(
            sequences=sequences,
            type_=type_,
            prompt_logprobs=prompt_logprobs,
            topk_prompt_logprobs=topk_prompt_logprobs,
        )

        return sample_response
