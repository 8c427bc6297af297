from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="SupportedModel")


@_attrs_define
class SupportedModel:
    """A base model on offer."""

    model_name: None | str | Unset = UNSET
    max_context_length: int | None | Unset = UNSET
    """ In tokens. """
    trainable: bool | None | Unset = UNSET
    sampleable: bool | None | Unset = UNSET
    tokenizer_id: None | str | Unset = UNSET
    """ Our extension: where a sampling client finds the tokenizer, a hub name or a folder. """
    kv_cache_tokens: int | None | Unset = UNSET
    """ Our extension: tokens whose keys and values are kept at once for samples. A prompt and its `max_tokens`
    together are at most that many; samples beyond it wait. """

    def to_dict(self) -> dict[str, Any]:
        model_name: None | str | Unset
        if isinstance(self.model_name, Unset):
            model_name = UNSET
        else:
            model_name = self.model_name

        max_context_length: int | None | Unset
        if isinstance(self.max_context_length, Unset):
            max_context_length = UNSET
        else:
            max_context_length = self.max_context_length

        trainable: bool | None | Unset
        if isinstance(self.trainable, Unset):
            trainable = UNSET
        else:
            trainable = self.trainable

        sampleable: bool | None | Unset
        if isinstance(self.sampleable, Unset):
            sampleable = UNSET
        else:
            sampleable = self.sampleable

        tokenizer_id: None | str | Unset
        if isinstance(self.tokenizer_id, Unset):
            tokenizer_id = UNSET
        else:
            tokenizer_id = self.tokenizer_id

        kv_cache_tokens: int | None | Unset
        if isinstance(self.kv_cache_tokens, Unset):
            kv_cache_tokens = UNSET
        else:
            kv_cache_tokens = self.kv_cache_tokens

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if model_name is not UNSET:
            field_dict["model_name"] = model_name
        if max_context_length is not UNSET:
            field_dict["max_context_length"] = max_context_length
        if trainable is not UNSET:
            field_dict["trainable"] = trainable
        if sampleable is not UNSET:
            field_dict["sampleable"] = sampleable
        if tokenizer_id is not UNSET:
            field_dict["tokenizer_id"] = tokenizer_id
        if kv_cache_tokens is not UNSET:
            field_dict["kv_cache_tokens"] = kv_cache_tokens

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_model_name(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        model_name = _parse_model_name(d.pop("model_name", UNSET))

        def _parse_max_context_length(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        max_context_length = _parse_max_context_length(d.pop("max_context_length", UNSET))

        def _parse_trainable(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        trainable = _parse_trainable(d.pop("trainable", UNSET))

        def _parse_sampleable(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        sampleable = _parse_sampleable(d.pop("sampleable", UNSET))

        def _parse_tokenizer_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        tokenizer_id = _parse_tokenizer_id(d.pop("tokenizer_id", UNSET))

        def _parse_kv_cache_tokens(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        kv_cache_tokens = _parse_kv_cache_tokens(d.pop("kv_cache_tokens", UNSET))

        supported_model = cls(
            model_name=model_name,
            max_context_length=max_context_length,
            trainable=trainable,
            sampleable=sampleable,
            tokenizer_id=tokenizer_id,
            kv_cache_tokens=kv_cache_tokens,
        )

        return supported_model
