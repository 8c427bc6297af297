"""`TrainingClient`: one model in training. Calls reach the server in the order in which they are made.

Each method checks its arguments and reserves its place in the calling thread, and returns a future at once; nothing
here waits for the network. What a pass or a step computes is the server's business, how calls travel is `ModelCalls`'s.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import attrs
from tinker_api.api.training import optim_step
from tinker_api.api.weights import save_weights_for_sampler

from tinker_hl import loop
from tinker_hl.clients.checkpoints import CheckpointVerbs
from tinker_hl.clients.ordered import TrainedModel, base_model_of, parsed
from tinker_hl.clients.sampling import PendingSamplingClient, Sampler, SamplingClient, open_sampler
from tinker_hl.custom_loss import CustomLossFn, evaluate, forward_datums, require_torch, with_surrogate_metrics
from tinker_hl.errors import APIResponseValidationError
from tinker_hl.futures import APIFuture
from tinker_hl.model_calls import Pass
from tinker_hl.retry import RetryConfig
from tinker_hl.session import json_body
from tinker_hl.turns import Turn, waited_for
from tinker_hl.types import (
    Datum,
    ForwardBackwardOutput,
    GetInfoResponse,
    LossFnType,
    OptimParams,
    OptimStepRequest,
    OptimStepResponse,
    SamplingClientKind,
    SaveWeightsForSamplerRequest,
    SaveWeightsForSamplerResponseInternal,
)
from tinker_hl.types.datum import validate_datum

if TYPE_CHECKING:
    from tinker_hl.tokenizer import Tokenizer

__all__ = ["PendingTrainingClient", "TrainedModel", "TrainingClient"]

CONSOLE = "https://tinker.thinkingmachines.ai"


class TrainingClient(CheckpointVerbs):
    """Trains one LoRA adapter; made by `ServiceClient`.

    Every method that returns a future has a twin, `..._async`, whose coroutine gives the same.

    Args:
        model: What is trained.
    """

    # Passes and steps.

    def forward(
        self,
        data: Sequence[Datum],
        loss_fn: LossFnType,
        loss_fn_config: Mapping[str, float | str] | None = None,
    ) -> APIFuture[ForwardBackwardOutput]:
        """Compute a loss and per-token outputs, without gradients.

        Args:
            data: At least one datum; may be changed after the call.
            loss_fn: The name of a loss; each is a sum over all positions of all datums.
            loss_fn_config: Its settings.

        Returns:
            A future; one entry of `loss_fn_outputs` for each datum, in order.

        Raises:
            InvalidDatumError: A datum cannot be sent; it names the datum and the field.
        """
        return self._pass("TrainingClient.forward", data, loss_fn, loss_fn_config, backward=False)

    def forward_backward(
        self,
        data: Sequence[Datum],
        loss_fn: LossFnType,
        loss_fn_config: Mapping[str, float | str] | None = None,
    ) -> APIFuture[ForwardBackwardOutput]:
        """Compute a loss and add its gradients to those gathered since the last `optim_step`; see `forward`."""
        return self._pass("TrainingClient.forward_backward", data, loss_fn, loss_fn_config, backward=True)

    def forward_backward_custom(
        self,
        data: Sequence[Datum],
        loss_fn: CustomLossFn,
        *,
        loss_type_input: Literal["logprobs"] | None = None,
    ) -> APIFuture[ForwardBackwardOutput]:
        """Back-propagate a loss of one's own, computed with torch on this machine.

        Two passes: one for the logprobs, one with the weights -dC/dlogprobs; no call made later comes between them.

        Args:
            data: At least one datum, with `target_tokens`; other inputs stay on this machine.
            loss_fn: Gets the datums and their logprobs (float32 tensors, shaped as `target_tokens`) in a thread of its
                own; returns a scalar loss and a dict of metrics.
            loss_type_input: Accepted for compatibility.

        Returns:
            A future. Its metrics have `loss:sum`, the custom loss, and `surrogate_loss:sum`, the server's.

        Raises:
            ConfigurationError: torch is not installed.
        """
        if loss_type_input not in (None, "logprobs"):
            raise ValueError(f"loss_type_input can only be 'logprobs', got {loss_type_input!r}")
        require_torch()
        given = _checked(data, None)
        first = forward_datums(given)
        return self._ordered(
            "TrainingClient.forward_backward_custom", lambda turn: self._run_custom(turn, given, first, loss_fn)
        )

    def optim_step(
        self, optim_params: OptimParams | None = None, *, adam_params: OptimParams | None = None
    ) -> APIFuture[OptimStepResponse]:
        """Update the adapter by the gathered gradients, and forget them. Without any it changes nothing.

        Args:
            optim_params: The step's settings; nothing is remembered from earlier steps.
            adam_params: The same by its older name.
        """
        if optim_params is not None and adam_params is not None:
            raise ValueError("give optim_params or adam_params, not both")
        params = optim_params if optim_params is not None else adam_params
        if params is None:
            raise TypeError("optim_step needs the step's settings, such as AdamParams(learning_rate=1e-4)")
        model_id = self.model_id

        def request(seq_id: int) -> OptimStepRequest:
            return OptimStepRequest(model_id=model_id, seq_id=seq_id, optim_params=params)

        return self._simple(
            "TrainingClient.optim_step", optim_step.asyncio_detailed, "OptimStep", request, OptimStepResponse
        )

    # Sampling.

    def save_weights_and_get_sampling_client(
        self,
        name: str | None = None,
        retry_config: RetryConfig | None = None,
        record_stability_info: bool = False,
        kind: SamplingClientKind = "snapshot",
    ) -> PendingSamplingClient:
        """A client that samples from the weights as they are at this point of the order.

        Args:
            name: Accepted for compatibility, without effect: use `save_weights_for_sampler` for named weights.
            retry_config: How its samples are retried.
            record_stability_info: Whether the server should keep what some losses need later.
            kind: `inflight` shares one changing set of weights with other such clients of this model.

        Returns:
            A future that can also be used as the client itself.
        """
        call = "TrainingClient.save_weights_and_get_sampling_client"
        model = self._model
        number = model.calls.session.next_sampler()

        def request(seq_id: int) -> SaveWeightsForSamplerRequest:
            return SaveWeightsForSamplerRequest(
                model_id=model.calls.model_id, sampling_session_seq_id=number, kind=kind, seq_id=seq_id
            )

        turn = model.calls.reserve(call)
        function = save_weights_for_sampler.asyncio_detailed

        async def run() -> SamplingClient:
            payload = await model.calls.single(
                turn, function, "SaveWeightsForSampler", lambda seq_id: json_body(request(seq_id))
            )
            saved = parsed(payload, SaveWeightsForSamplerResponseInternal)
            if saved.sampling_session_id is None and saved.path is not None:
                return await open_sampler(
                    model.calls.session,
                    call,
                    model_path=saved.path,
                    base_model=base_model_of(model.info),
                    retry_config=retry_config,
                    record_stability_info=record_stability_info,
                )
            if saved.sampling_session_id is None:
                raise APIResponseValidationError(None, None, "the server saved weights, but named no sampling session")
            return SamplingClient(
                Sampler(
                    model.calls.session,
                    sampling_session_id=saved.sampling_session_id,
                    base_model=base_model_of(model.info),
                    tokenizer_id=model.info.model_data.tokenizer_id,
                    retry_config=retry_config,
                    record_stability_info=record_stability_info,
                )
            )

        return PendingSamplingClient(run(), on_end=turn.give_up)

    def create_sampling_client(
        self, model_path: str, retry_config: RetryConfig | None = None, record_stability_info: bool = False
    ) -> PendingSamplingClient:
        """A client that samples from saved weights.

        Args:
            model_path: `tinker://<run>/sampler_weights/<name>`.
            retry_config: How its samples are retried.
            record_stability_info: Whether the server should keep what some losses need later.
        """
        model = self._model
        return PendingSamplingClient(
            open_sampler(
                model.calls.session,
                "TrainingClient.create_sampling_client",
                model_path=model_path,
                base_model=base_model_of(model.info),
                retry_config=retry_config,
                record_stability_info=record_stability_info,
            )
        )

    # About the model.

    def get_info(self) -> GetInfoResponse:
        """What the model is; known since it was made, so this does not wait."""
        return self._model.info

    def get_tokenizer(self) -> "Tokenizer":
        """The tokenizer of the base model: `encode` gives a list of ids, `decode` text."""
        from tinker_hl.tokenizer import load_tokenizer  # only here: the library behind it is not small

        info = self._model.info
        return load_tokenizer(base_model_of(info), info.model_data.tokenizer_id)

    def get_console_url(self) -> str:
        """The training run's page in the hosted service's console."""
        return f"{CONSOLE}/training_runs/{self.model_id}"

    def get_telemetry(self) -> None:
        """None: nothing is uploaded."""

    # Twins, for code that awaits the call itself.

    async def forward_async(
        self,
        data: Sequence[Datum],
        loss_fn: LossFnType,
        loss_fn_config: Mapping[str, float | str] | None = None,
    ) -> APIFuture[ForwardBackwardOutput]:
        """See `forward`; the result is its future."""
        return self.forward(data, loss_fn, loss_fn_config)

    async def forward_backward_async(
        self,
        data: Sequence[Datum],
        loss_fn: LossFnType,
        loss_fn_config: Mapping[str, float | str] | None = None,
    ) -> APIFuture[ForwardBackwardOutput]:
        """See `forward_backward`; the result is its future."""
        return self.forward_backward(data, loss_fn, loss_fn_config)

    async def forward_backward_custom_async(
        self,
        data: Sequence[Datum],
        loss_fn: CustomLossFn,
        *,
        loss_type_input: Literal["logprobs"] | None = None,
    ) -> APIFuture[ForwardBackwardOutput]:
        """See `forward_backward_custom`; the result is its future."""
        return self.forward_backward_custom(data, loss_fn, loss_type_input=loss_type_input)

    async def optim_step_async(
        self, optim_params: OptimParams | None = None, *, adam_params: OptimParams | None = None
    ) -> APIFuture[OptimStepResponse]:
        """See `optim_step`; the result is its future."""
        return self.optim_step(optim_params, adam_params=adam_params)

    async def save_weights_and_get_sampling_client_async(
        self,
        name: str | None = None,
        retry_config: RetryConfig | None = None,
        record_stability_info: bool = False,
        kind: SamplingClientKind = "snapshot",
    ) -> SamplingClient:
        """See `save_weights_and_get_sampling_client`; the result is the client."""
        return await self.save_weights_and_get_sampling_client(name, retry_config, record_stability_info, kind)

    async def create_sampling_client_async(
        self, model_path: str, retry_config: RetryConfig | None = None, record_stability_info: bool = False
    ) -> SamplingClient:
        """See `create_sampling_client`; the result is the client."""
        return await self.create_sampling_client(model_path, retry_config, record_stability_info)

    async def get_info_async(self) -> GetInfoResponse:
        """See `get_info`."""
        return self.get_info()

    # What the methods above are made of.

    def _pass(
        self,
        call: str,
        data: Sequence[Datum],
        loss_fn: str,
        loss_fn_config: Mapping[str, float | str] | None,
        *,
        backward: bool,
    ) -> APIFuture[ForwardBackwardOutput]:
        work = Pass(
            call=call,
            data=_checked(data, loss_fn),
            loss_fn=loss_fn,
            loss_fn_config=dict(loss_fn_config) if loss_fn_config is not None else None,
            backward=backward,
        )
        calls = self._model.calls
        return self._ordered(call, lambda turn: calls.run_pass(turn, work))

    async def _run_custom(
        self, turn: Turn, given: list[Datum], first: list[Datum], loss_fn: CustomLossFn
    ) -> ForwardBackwardOutput:
        calls = self._model.calls
        forward = Pass(call=turn.name, data=first, loss_fn="cross_entropy", loss_fn_config=None, backward=False)
        output = await calls.run_pass(turn, forward, keep=True)
        token = waited_for.set(calls.turns)
        try:
            surrogate = await loop.in_user_thread(evaluate, loss_fn, given, output)
        finally:
            waited_for.reset(token)
        result = await calls.run_pass(turn, attrs.evolve(forward, data=surrogate.data, backward=True))
        return with_surrogate_metrics(result, surrogate)


class PendingTrainingClient(TrainingClient, APIFuture[TrainingClient]):
    """A future of a training client that can also be used as the client itself: each use then waits for it."""

    def __init__(self, coroutine: Any) -> None:
        APIFuture.__init__(self, coroutine)

    @property
    def _model(self) -> TrainedModel:
        return self.result()._model


def _checked(data: Sequence[Datum], loss_fn: str | None) -> list[Datum]:
    """The datums of a call, checked and out of reach of later changes."""
    if isinstance(data, Datum):
        raise TypeError("data is a list of Datum, got a single Datum: write [datum]")
    datums = list(data)
    if not datums:
        raise ValueError("data is empty: a pass needs at least one datum")
    for index, datum in enumerate(datums):
        validate_datum(datum, index, loss_fn)
    return [attrs.evolve(datum, loss_fn_inputs=dict(datum.loss_fn_inputs)) for datum in datums]
