"""`TrainingClient`: one model in training. Calls reach the server in the order in which they are made.

Each method checks its arguments and reserves its place in the calling thread, and returns a future at once; nothing
here waits for the network. What a pass or a step computes is the server's business, how calls travel is `ModelCalls`'s.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import attrs
from tinker_api.api.training import optim_step
from tinker_api.api.weights import load_weights, save_weights, save_weights_external, save_weights_for_sampler

from tinker_hl import loop
from tinker_hl.clients.sampling import PendingSamplingClient, Sampler, SamplingClient, open_sampler
from tinker_hl.custom_loss import CustomLossFn, evaluate, forward_datums, require_torch, with_surrogate_metrics
from tinker_hl.errors import APIResponseValidationError
from tinker_hl.futures import APIFuture
from tinker_hl.model_calls import ModelCalls, Pass
from tinker_hl.poller import Payload
from tinker_hl.retry import RetryConfig
from tinker_hl.session import json_body
from tinker_hl.turns import Turn, waited_for
from tinker_hl.types import (
    Datum,
    ForwardBackwardOutput,
    GetInfoResponse,
    LoadWeightsRequest,
    LoadWeightsResponse,
    LossFnType,
    OptimParams,
    OptimStepRequest,
    OptimStepResponse,
    SamplingClientKind,
    SaveWeightsExternalRequest,
    SaveWeightsExternalResponse,
    SaveWeightsForSamplerRequest,
    SaveWeightsForSamplerResponse,
    SaveWeightsForSamplerResponseInternal,
    SaveWeightsRequest,
    SaveWeightsResponse,
)
from tinker_hl.types.datum import validate_datum
from tinker_hl.types.record import Answer

if TYPE_CHECKING:
    from tinker_hl.tokenizer import Tokenizer

__all__ = ["PendingTrainingClient", "TrainedModel", "TrainingClient"]

CONSOLE = "https://tinker.thinkingmachines.ai"

A = TypeVar("A", bound=Answer)


@attrs.frozen
class TrainedModel:
    """A model that exists on the server, and the calls to it."""

    calls: ModelCalls
    info: GetInfoResponse


class TrainingClient:
    """Trains one LoRA adapter; made by `ServiceClient`.

    Every method that returns a future has a twin, `..._async`, whose coroutine gives the same.

    Args:
        model: What is trained.
    """

    def __init__(self, model: TrainedModel) -> None:
        self._own_model = model

    @property
    def _model(self) -> TrainedModel:
        return self._own_model

    @property
    def model_id(self) -> str:
        """The server's id of the model, which is the id of its training run."""
        return self._model.calls.model_id

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

    # Checkpoints.

    def save_state(
        self,
        name: str,
        ttl_seconds: int | None = None,
        overwrite: bool = False,
        user_metadata: dict[str, str] | None = None,
    ) -> APIFuture[SaveWeightsResponse]:
        """Save adapter and optimizer, to go on from.

        Args:
            name: Of the checkpoint.
            ttl_seconds: Seconds until it is deleted, from an hour to ten years; None keeps it.
            overwrite: Replace one of the same name.
            user_metadata: Kept with it.

        Returns:
            A future; `.path` is `tinker://<run>/weights/<name>`.
        """
        model_id = self.model_id

        def request(seq_id: int) -> SaveWeightsRequest:
            return SaveWeightsRequest(
                model_id=model_id,
                path=name,
                seq_id=seq_id,
                ttl_seconds=ttl_seconds,
                overwrite=overwrite,
                user_metadata=user_metadata,
            )

        return self._simple(
            "TrainingClient.save_state", save_weights.asyncio_detailed, "SaveWeights", request, SaveWeightsResponse
        )

    def save_weights_for_sampler(
        self, name: str, ttl_seconds: int | None = None, user_metadata: dict[str, str] | None = None
    ) -> APIFuture[SaveWeightsForSamplerResponse]:
        """Save the adapter for sampling, under a name.

        Returns:
            A future; `.path` is `tinker://<run>/sampler_weights/<name>`. See `save_state` for the arguments.
        """
        model_id = self.model_id

        def request(seq_id: int) -> SaveWeightsForSamplerRequest:
            return SaveWeightsForSamplerRequest(
                model_id=model_id, path=name, seq_id=seq_id, ttl_seconds=ttl_seconds, user_metadata=user_metadata
            )

        return self._simple(
            "TrainingClient.save_weights_for_sampler",
            save_weights_for_sampler.asyncio_detailed,
            "SaveWeightsForSampler",
            request,
            SaveWeightsForSamplerResponse,
        )

    def save_weights_external(
        self, name: str, ttl_seconds: int | None = None, age_encryption_recipients: list[str] | None = None
    ) -> APIFuture[SaveWeightsExternalResponse]:
        """Save the adapter for download.

        Args:
            name: Of the checkpoint.
            ttl_seconds: See `save_state`.
            age_encryption_recipients: At most ten public keys to encrypt the files for.
        """
        model_id = self.model_id

        def request(seq_id: int) -> SaveWeightsExternalRequest:
            return SaveWeightsExternalRequest(
                model_id=model_id,
                path=name,
                seq_id=seq_id,
                ttl_seconds=ttl_seconds,
                age_encryption_recipients=age_encryption_recipients,
            )

        return self._simple(
            "TrainingClient.save_weights_external",
            save_weights_external.asyncio_detailed,
            "SaveWeightsExternal",
            request,
            SaveWeightsExternalResponse,
        )

    def load_state(self, path: str, weights_access_token: str | None = None) -> APIFuture[LoadWeightsResponse]:
        """Load saved weights into this model; the optimizer starts anew.

        The hosted service takes it only as a new client's first call; `ServiceClient.create_training_client_from_state`
        does the same in one.

        Args:
            path: `tinker://<run>/weights/<name>`.
            weights_access_token: For a checkpoint of somebody else.
        """
        return self._load("TrainingClient.load_state", path, weights_access_token, optimizer=False)

    def load_state_with_optimizer(
        self, path: str, weights_access_token: str | None = None
    ) -> APIFuture[LoadWeightsResponse]:
        """Load saved weights and the optimizer's state; see `load_state`."""
        return self._load("TrainingClient.load_state_with_optimizer", path, weights_access_token, optimizer=True)

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
            saved = _parsed(payload, SaveWeightsForSamplerResponseInternal)
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

    async def save_state_async(
        self,
        name: str,
        ttl_seconds: int | None = None,
        overwrite: bool = False,
        user_metadata: dict[str, str] | None = None,
    ) -> APIFuture[SaveWeightsResponse]:
        """See `save_state`; the result is its future."""
        return self.save_state(name, ttl_seconds, overwrite, user_metadata)

    async def save_weights_for_sampler_async(
        self, name: str, ttl_seconds: int | None = None, user_metadata: dict[str, str] | None = None
    ) -> APIFuture[SaveWeightsForSamplerResponse]:
        """See `save_weights_for_sampler`; the result is its future."""
        return self.save_weights_for_sampler(name, ttl_seconds, user_metadata)

    async def save_weights_external_async(
        self, name: str, ttl_seconds: int | None = None, age_encryption_recipients: list[str] | None = None
    ) -> APIFuture[SaveWeightsExternalResponse]:
        """See `save_weights_external`; the result is its future."""
        return self.save_weights_external(name, ttl_seconds, age_encryption_recipients)

    async def load_state_async(
        self, path: str, weights_access_token: str | None = None
    ) -> APIFuture[LoadWeightsResponse]:
        """See `load_state`; the result is its future."""
        return self.load_state(path, weights_access_token)

    async def load_state_with_optimizer_async(
        self, path: str, weights_access_token: str | None = None
    ) -> APIFuture[LoadWeightsResponse]:
        """See `load_state_with_optimizer`; the result is its future."""
        return self.load_state_with_optimizer(path, weights_access_token)

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

    def _load(
        self, call: str, path: str, weights_access_token: str | None, *, optimizer: bool
    ) -> APIFuture[LoadWeightsResponse]:
        model_id = self.model_id

        def request(seq_id: int) -> LoadWeightsRequest:
            return LoadWeightsRequest(
                model_id=model_id,
                seq_id=seq_id,
                path=path,
                optimizer=optimizer,
                weights_access_token=weights_access_token,
            )

        return self._simple(call, load_weights.asyncio_detailed, "LoadWeights", request, LoadWeightsResponse)

    def _simple(
        self, call: str, function: Any, request_type: str, request: Callable[[int], Any], kind: type[A]
    ) -> APIFuture[A]:
        """One request in its turn, answered by a JSON object of the given type."""
        calls = self._model.calls

        async def run(turn: Turn) -> A:
            payload = await calls.single(turn, function, request_type, lambda seq_id: json_body(request(seq_id)))
            return _parsed(payload, kind)

        return self._ordered(call, run)

    def _ordered(self, call: str, run: Callable[[Turn], Any]) -> APIFuture[Any]:
        """Reserve the call's place now, and run it when its turn comes."""
        turn = self._model.calls.reserve(call)
        return APIFuture(run(turn), on_end=turn.give_up)


class PendingTrainingClient(TrainingClient, APIFuture[TrainingClient]):
    """A future of a training client that can also be used as the client itself: each use then waits for it."""

    def __init__(self, coroutine: Any) -> None:
        APIFuture.__init__(self, coroutine)

    @property
    def _model(self) -> TrainedModel:
        return self.result()._model


def base_model_of(info: GetInfoResponse) -> str:
    """The base model's name, wherever the server says it."""
    return info.model_data.model_name or info.model_name or ""


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


def _parsed(payload: Payload, kind: type[A]) -> A:
    try:
        return kind.model_validate_json(payload.content or b"{}")
    except ValueError as error:
        raise APIResponseValidationError(None, payload.content[:2000], str(error)) from error
