"""Saving, loading, copying weights."""

from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

import attrs

from tinker_hl.types.optimizer import AdamOptimizerConfig, OptimizerConfig
from tinker_hl.types.record import Answer, Record
from tinker_hl.types.sampling import SamplingClientKind
from tinker_hl.types.scalars import moment

__all__ = [
    "CopyWeightsRequest",
    "CopyWeightsResponse",
    "ExternalWeightsUrlsResponse",
    "LoadWeightsRequest",
    "LoadWeightsResponse",
    "SaveWeightsExternalRequest",
    "SaveWeightsExternalResponse",
    "SaveWeightsExternalResponseInternal",
    "SaveWeightsForSamplerRequest",
    "SaveWeightsForSamplerResponse",
    "SaveWeightsForSamplerResponseInternal",
    "SaveWeightsRequest",
    "SaveWeightsResponse",
    "WeightsInfoResponse",
]

CONSOLE = "https://tinker.thinkingmachines.ai"
"""The hosted service's web console."""


def _console_url(path: str) -> str:
    run, _, checkpoint = path.removeprefix("tinker://").partition("/")
    return f"{CONSOLE}/checkpoints/{quote(run, safe='')}/{quote(checkpoint, safe='')}"


@attrs.frozen(kw_only=True)
class SaveWeightsRequest(Record):
    """Asks for a checkpoint that training can go on from."""

    model_id: str
    path: str | None = None
    seq_id: int | None = None
    ttl_seconds: int | None = None
    overwrite: bool = False
    user_metadata: dict[str, str] | None = None
    type: Literal["save_weights"] = "save_weights"


@attrs.frozen(kw_only=True)
class SaveWeightsResponse(Answer):
    """Where the checkpoint is: `tinker://<run>/weights/<name>`."""

    path: str
    type: Literal["save_weights"] | None = None

    def get_console_url(self) -> str:
        """The checkpoint's page in the hosted service's console."""
        return _console_url(self.path)


@attrs.frozen(kw_only=True)
class SaveWeightsForSamplerRequest(Record):
    """Asks for weights that can be sampled; without a path they last as long as the session."""

    model_id: str
    path: str | None = None
    sampling_session_seq_id: int | None = None
    kind: SamplingClientKind = "snapshot"
    seq_id: int | None = None
    ttl_seconds: int | None = None
    user_metadata: dict[str, str] | None = None
    type: Literal["save_weights_for_sampler"] = "save_weights_for_sampler"


@attrs.frozen(kw_only=True)
class SaveWeightsForSamplerResponse(Answer):
    """Where the weights are: `tinker://<run>/sampler_weights/<name>`."""

    path: str
    type: Literal["save_weights_for_sampler"] | None = None

    def get_console_url(self) -> str:
        """The checkpoint's page in the hosted service's console."""
        return _console_url(self.path)

    def get_playground_url(self) -> str:
        """A page of the hosted service to talk to the checkpoint."""
        return f"{CONSOLE}/playground?mode=checkpoint&checkpoint={quote(self.path, safe='')}"


@attrs.frozen(kw_only=True)
class SaveWeightsForSamplerResponseInternal(Answer):
    """A path for named weights, a sampling session for unnamed ones."""

    path: str | None = None
    sampling_session_id: str | None = None
    type: Literal["save_weights_for_sampler"] | None = None


@attrs.frozen(kw_only=True)
class SaveWeightsExternalRequest(Record):
    """Asks for a checkpoint to be fetched from the service, encrypted if recipients are given."""

    model_id: str
    path: str
    seq_id: int | None = None
    ttl_seconds: int | None = None
    age_encryption_recipients: list[str] | None = None
    type: Literal["save_weights_external"] = "save_weights_external"


@attrs.frozen(kw_only=True)
class SaveWeightsExternalResponse(Answer):
    """Where the checkpoint is: `tinker://<run>/external_weights/<name>`."""

    path: str
    type: Literal["save_weights_external"] | None = None


@attrs.frozen(kw_only=True)
class SaveWeightsExternalResponseInternal(Answer):
    """The same as the service sends it."""

    path: str | None = None
    size_bytes: int | None = None
    type: Literal["save_weights_external"] | None = None


@attrs.frozen(kw_only=True)
class LoadWeightsRequest(Record):
    """Asks to load a checkpoint: into `model_id`, or into a model made by it (session and model_seq_id)."""

    model_id: str | None = None
    seq_id: int | None = None
    session_id: str | None = None
    model_seq_id: int | None = None
    base_model: str | None = None
    user_metadata: dict[str, Any] | None = None
    path: str
    optimizer: bool
    optimizer_config: OptimizerConfig | None = None
    weights_access_token: str | None = attrs.field(default=None, repr=False)
    type: Literal["load_weights"] = "load_weights"


@attrs.frozen(kw_only=True)
class LoadWeightsResponse(Answer):
    """What was loaded, and into which model."""

    path: str | None = None
    model_id: str | None = None
    type: Literal["load_weights"] | None = None


@attrs.frozen(kw_only=True)
class CopyWeightsRequest(Record):
    """Asks for a checkpoint to be copied into another project or session."""

    session_id: str | None = None
    model_seq_id: int | None = None
    destination_project_id: str | None = None
    source_path: str
    ttl_seconds: int | None = None
    weights_access_token: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class CopyWeightsResponse(Answer):
    """Where the copy is."""

    tinker_path: str


@attrs.frozen(kw_only=True)
class WeightsInfoResponse(Answer):
    """The shape of a checkpoint."""

    base_model: str
    optimizer_config: OptimizerConfig = attrs.field(factory=AdamOptimizerConfig)
    is_lora: bool
    lora_rank: int | None = None
    train_unembed: bool | None = None
    train_mlp: bool | None = None
    train_attn: bool | None = None


@attrs.frozen(kw_only=True)
class ExternalWeightsUrlsResponse(Answer):
    """Where each file of an external checkpoint can be fetched, until `expires`."""

    urls: dict[str, str]
    expires: datetime = attrs.field(converter=moment)
