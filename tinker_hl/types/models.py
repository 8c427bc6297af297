"""Models in training: making, describing, unloading; what a service can do."""

from typing import Any, Literal, TypeAlias

import attrs

from tinker_hl.types.lora import LoraConfig
from tinker_hl.types.optimizer import AdamOptimizerConfig, OptimizerConfig
from tinker_hl.types.record import Answer, Record

__all__ = [
    "CreateModelRequest",
    "CreateModelResponse",
    "GetInfoRequest",
    "GetInfoResponse",
    "GetServerCapabilitiesResponse",
    "HealthResponse",
    "ModelData",
    "ModelID",
    "SupportedModel",
    "UnloadModelRequest",
    "UnloadModelResponse",
]

ModelID: TypeAlias = str


@attrs.frozen(kw_only=True)
class CreateModelRequest(Record):
    """Asks for a fresh adapter in training."""

    session_id: str
    model_seq_id: int
    base_model: str
    user_metadata: dict[str, Any] | None = None
    lora_config: LoraConfig | None = None
    optimizer_config: OptimizerConfig = attrs.field(factory=AdamOptimizerConfig)
    type: Literal["create_model"] = "create_model"


@attrs.frozen(kw_only=True)
class CreateModelResponse(Answer):
    """The new model's id."""

    model_id: str
    type: Literal["create_model"] = "create_model"


@attrs.frozen(kw_only=True)
class UnloadModelRequest(Record):
    """Asks to free a model."""

    model_id: str
    type: Literal["unload_model"] = "unload_model"


@attrs.frozen(kw_only=True)
class UnloadModelResponse(Answer):
    """The model that is gone."""

    model_id: str
    type: Literal["unload_model"] | None = None


@attrs.frozen(kw_only=True)
class GetInfoRequest(Record):
    """Asks what a model is."""

    model_id: str
    type: Literal["get_info"] = "get_info"


@attrs.frozen(kw_only=True)
class ModelData(Answer):
    """The base model: architecture, name, and where its tokenizer is."""

    arch: str | None = None
    model_name: str | None = None
    tokenizer_id: str | None = None


@attrs.frozen(kw_only=True)
class GetInfoResponse(Answer):
    """What a model is."""

    type: Literal["get_info"] | None = None
    model_data: ModelData
    model_id: str
    optimizer_config: OptimizerConfig = attrs.field(factory=AdamOptimizerConfig)
    is_lora: bool | None = None
    lora_rank: int | None = None
    model_name: str | None = None


@attrs.frozen(kw_only=True)
class SupportedModel(Answer):
    """A base model that the service offers."""

    model_name: str | None = None
    max_context_length: int | None = None
    trainable: bool | None = None
    sampleable: bool | None = None
    tokenizer_id: str | None = None
    """A folder or a hub name; an extension of this project's service, None elsewhere."""
    kv_cache_tokens: int | None = None
    """The most tokens that a prompt and its `max_tokens` may have together; an extension as well."""


@attrs.frozen(kw_only=True)
class GetServerCapabilitiesResponse(Answer):
    """The base models that the service offers."""

    supported_models: list[SupportedModel]


@attrs.frozen(kw_only=True)
class HealthResponse(Answer):
    """The service is ready."""

    status: str
