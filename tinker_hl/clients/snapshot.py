"""A sampling client of a model's weights as they are at one point of the order of its calls. It knows no verb."""

import attrs

from tinker_hl.clients.ordered import base_model_of, parsed
from tinker_hl.clients.sampler import Sampler
from tinker_hl.clients.sampling import SamplingClient, open_sampler
from tinker_hl.errors import APIResponseValidationError
from tinker_hl.model_calls import ModelCalls
from tinker_hl.operations import save_weights_for_sampler
from tinker_hl.retry import RetryConfig
from tinker_hl.turns import Turn
from tinker_hl.types import (
    GetInfoResponse,
    SamplingClientKind,
    SaveWeightsForSamplerRequest,
    SaveWeightsForSamplerResponseInternal,
)

__all__ = ["SNAPSHOT", "Snapshot"]

SNAPSHOT = "TrainingClient.save_weights_and_get_sampling_client"


@attrs.frozen(kw_only=True)
class Snapshot:
    """What is asked for."""

    number: int
    """Of the sampling session, among those of the session."""
    kind: SamplingClientKind
    retry_config: RetryConfig | None = None
    record_stability_info: bool = False

    async def taken(self, calls: ModelCalls, turn: Turn, info: GetInfoResponse) -> SamplingClient:
        """The client, once the server has the weights.

        Args:
            calls: Of the model.
            turn: The place in their order.
            info: What the model is.
        """
        request = SaveWeightsForSamplerRequest(model_id="", sampling_session_seq_id=self.number, kind=self.kind)
        function = save_weights_for_sampler.asyncio_detailed
        payload = await calls.single(turn, function, "SaveWeightsForSampler", request.wire_dict())
        saved = parsed(payload, SaveWeightsForSamplerResponseInternal)
        if saved.sampling_session_id is None and saved.path is not None:
            return await open_sampler(
                calls.session,
                SNAPSHOT,
                model_path=saved.path,
                base_model=base_model_of(info),
                retry_config=self.retry_config,
                record_stability_info=self.record_stability_info,
            )
        if saved.sampling_session_id is None:
            raise APIResponseValidationError(None, None, "the server saved weights, but named no sampling session")
        sampler = Sampler(
            calls.session,
            sampling_session_id=saved.sampling_session_id,
            base_model=base_model_of(info),
            tokenizer_id=info.model_data.tokenizer_id,
            retry_config=self.retry_config,
            record_stability_info=self.record_stability_info,
        )
        return SamplingClient(sampler)
