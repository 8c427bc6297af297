from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.adapter_config import AdapterConfig


T = TypeVar("T", bound="ImportWeightsRequest")


@_attrs_define
class ImportWeightsRequest:
    """A LoRA adapter as peft writes it, and the run that it becomes a checkpoint of."""

    session_id: str
    model_seq_id: int
    base_model: str
    """ The served base model that the adapter is for. """
    path: str
    """ The name of the checkpoint. """
    adapter_config: AdapterConfig
    """ peft's `adapter_config.json`. """
    adapter_model: str
    """ The bytes of `adapter_model.safetensors` in base64. """
    ttl_seconds: int | None | Unset = UNSET
    """ Lifetime of a checkpoint in seconds, from the time of the call; null: for ever. Outside the range: 400. """

    def to_dict(self) -> dict[str, Any]:
        session_id = self.session_id

        model_seq_id = self.model_seq_id

        base_model = self.base_model

        path = self.path

        adapter_config = self.adapter_config.to_dict()

        adapter_model = self.adapter_model

        ttl_seconds: int | None | Unset
        if isinstance(self.ttl_seconds, Unset):
            ttl_seconds = UNSET
        else:
            ttl_seconds = self.ttl_seconds

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "session_id": session_id,
                "model_seq_id": model_seq_id,
                "base_model": base_model,
                "path": path,
                "adapter_config": adapter_config,
                "adapter_model": adapter_model,
            }
        )
        if ttl_seconds is not UNSET:
            field_dict["ttl_seconds"] = ttl_seconds

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.adapter_config import AdapterConfig  # noqa: PLC0415

        d = dict(src_dict)
        session_id = d.pop("session_id")

        model_seq_id = d.pop("model_seq_id")

        base_model = d.pop("base_model")

        path = d.pop("path")

        adapter_config = AdapterConfig.from_dict(d.pop("adapter_config"))

        adapter_model = d.pop("adapter_model")

        def _parse_ttl_seconds(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        ttl_seconds = _parse_ttl_seconds(d.pop("ttl_seconds", UNSET))

        import_weights_request = cls(
            session_id=session_id,
            model_seq_id=model_seq_id,
            base_model=base_model,
            path=path,
            adapter_config=adapter_config,
            adapter_model=adapter_model,
            ttl_seconds=ttl_seconds,
        )

        return import_weights_request
