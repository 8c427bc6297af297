"""`TrainingClient`: one model in training. Calls reach the server in the order in which they are made.

Each method checks its arguments and reserves its place in the calling thread, and returns a future at once; nothing
here waits for the network. What a pass or a step computes is the server's business, how calls travel is `ModelCalls`'s.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import attrs

from tinker_hl.clients.checkpoints import CheckpointVerbs
from tinker_hl.clients.model_making import TrainedModel
from tinker_hl.clients.ordered import base_model_of, parsed
from tinker_hl.clients.recovery import RECOVER, Recovery
from tinker_hl.clients.sampling import PendingSamplingClient, SamplingClient, open_sampler
from tinker_hl.clients.snapshot import SNAPSHOT, Snapshot
from tinker_hl.custom_loss.handle import LossHandle
from tinker_hl.custom_loss.metrics import with_surrogate_metrics
from tinker_hl.custom_loss.own_thread import in_own_thread
from tinker_hl.custom_loss.per_datum import check_inputs, over_datums, refuse_foreign
from tinker_hl.custom_loss.surrogate import CustomLossFn, Surrogate, evaluate, forward_datums, refuse_unusable
from tinker_hl.custom_loss.torch_needed import require_torch
from tinker_hl.futures import APIFuture
from tinker_hl.model_calls import ModelCalls, Pass
from tinker_hl.operations import optim_step, unload_model
from tinker_hl.retry import RetryConfig
from tinker_hl.telemetry import Telemetry
from tinker_hl.token_counts import pass_tokens
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
    UnloadModelRequest,
    UnloadModelResponse,
)
from tinker_hl.types.datum import validate_datum
from tinker_hl.types.loss_names import checked_loss

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

    _has_server_losses = True
    """Whether a handle of the session's is given to the server to run; a client that outlives sessions runs it here."""

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
            ValueError: `data` is empty, or `loss_fn` is a known name misspelt. A name that is like no known one is
                sent: the server may have it.
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
        loss_fn: CustomLossFn | LossHandle,
        *,
        loss_type_input: Literal["logprobs"] | None = None,
    ) -> APIFuture[ForwardBackwardOutput]:
        """Back-propagate a loss of one's own, computed with torch on this machine, or by the server for a handle.

        Here it is two passes: one for the logprobs, one with the weights -dC/dlogprobs; no call made later comes
        between them. When the loss fails or is refused, the second is not sent: it is as if the call had not been made.

        Args:
            data: At least one datum, with `target_tokens`. Inputs other than that and `weights` stay on this machine,
                unless the server runs the loss.
            loss_fn: Gets the datums and their logprobs (float32 tensors, shaped as `target_tokens`) in a thread of its
                own; returns a scalar loss and a dict of metrics. Or a handle of `ServiceClient.create_custom_loss`.
            loss_type_input: Accepted for compatibility.

        Returns:
            A future. Its metrics have `loss:sum`, the custom loss, and `surrogate_loss:sum`, the server's.

        Raises:
            ConfigurationError: torch is not installed; it is an `ImportError` too.
            CustomLossError: The loss cannot be used at all, or is another session's.
            InvalidDatumError: A datum cannot be sent, or lacks an input of the handle.
        """
        if loss_type_input not in (None, "logprobs"):
            raise ValueError(f"loss_type_input can only be 'logprobs', got {loss_type_input!r}")
        require_torch()
        if isinstance(loss_fn, LossHandle):
            if self._has_server_losses:
                refuse_foreign(loss_fn, self._calls.session.session_id)
        else:
            refuse_unusable(loss_fn)
        _refuse_single(data)
        data = list(data)
        given = _checked(data, None)
        call = "TrainingClient.forward_backward_custom"
        if isinstance(loss_fn, LossHandle):
            check_inputs(loss_fn, given)
            if loss_fn.loss_id is not None and self._has_server_losses:
                return self._pass(call, given, "custom", {"loss_id": loss_fn.loss_id}, backward=True)
            loss_fn, data = over_datums(loss_fn), given
        first = forward_datums(given)
        evaluation = partial(evaluate, loss_fn, given, shown=data)
        return self._custom(call, first, evaluation)

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
        if not isinstance(params, OptimParams):
            raise TypeError(
                "optim_step needs the step's settings, such as AdamParams(learning_rate=1e-4), got "
                + type(params).__name__
            )
        request = OptimStepRequest(model_id="", optim_params=params)
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
        calls = self._calls
        snapshot = Snapshot(
            number=calls.session.next_sampler(),
            kind=kind,
            retry_config=retry_config,
            record_stability_info=record_stability_info,
        )

        async def run(turn: Turn) -> SamplingClient:
            return await snapshot.taken(calls, turn, (await self._made()).info)

        return calls.start(SNAPSHOT, lambda turn: PendingSamplingClient(run(turn), on_end=turn.give_up))

    def save_weights_and_get_sampling_client_submit(
        self, retry_config: RetryConfig | None = None
    ) -> PendingSamplingClient:
        """What `save_weights_and_get_sampling_client` is in release 0.7, where that one blocks."""
        return self.save_weights_and_get_sampling_client(retry_config=retry_config)

    def create_sampling_client(
        self, model_path: str, retry_config: RetryConfig | None = None, record_stability_info: bool = False
    ) -> PendingSamplingClient:
        """A client that samples from saved weights.

        Args:
            model_path: `tinker://<run>/sampler_weights/<name>`.
            retry_config: How its samples are retried.
            record_stability_info: Whether the server should keep what some losses need later.
        """
        calls = self._calls
        calls.session.refuse_closed()

        async def run() -> SamplingClient:
            return await open_sampler(
                calls.session,
                "TrainingClient.create_sampling_client",
                model_path=model_path,
                base_model=base_model_of((await self._made()).info),
                retry_config=retry_config,
                record_stability_info=record_stability_info,
            )

        return PendingSamplingClient(run())

    # When a call is lost.

    def recover(self, path: str | None = None) -> "PendingTrainingClient":
        """Go on after an error that left open what the server did; this client takes no calls any more.

        A submission whose fate is unknown is made again, under the same number and with the same content, so that
        nothing is done twice. When the server takes it, the same model goes on: every call that this client was asked
        for took effect, but for those that raised `SubmissionFailedError`, which are to be made again. (If the server
        refuses the lost call now, it had not taken it; a warning tells.) When the server has lost the model, another
        one is made from a saved state, and everything after that state is to be made again.

        Args:
            path: The state to go on from where the model is lost; None for the newest one that this client saved,
                loaded or was made from, its optimizer included.

        Returns:
            A future that can also be used as the client itself; `resumed_from` tells which of the two it was. Asked
            again it is the same, unless it failed.

        Raises:
            ModelLostError: From the future: the model is lost, and no state of it is known.
        """
        calls = self._calls
        with calls.lock:
            known = calls.successor
            if isinstance(known, PendingTrainingClient) and not known.has_failed():
                return known
            new = ModelCalls(calls.session, verifies=calls.verifies)

            async def make(first: Turn) -> TrainedModel:
                return await Recovery(calls, new, first, path).run(await self._made())

            calls.successor = successor = PendingTrainingClient(new, RECOVER, make)
        return successor

    @property
    def resumed_from(self) -> str | None:
        """The saved state that `recover` made this client's model from; None if it is still its first model."""
        return self._model.resumed_from

    # About the model.

    def unload_model(self) -> APIFuture[UnloadModelResponse]:
        """Free what the model takes in the service's memory, after all calls that were made before.

        Saved states and weights stay; what was not saved is gone, and later calls of this client are refused.

        Raises:
            NotFoundError: From the future, where a service has no such operation, as the hosted one since 0.26: there
                a model goes with its session.
        """
        request = UnloadModelRequest(model_id="")
        calls, fields = self._calls, request.wire_dict()

        async def run(turn: Turn) -> UnloadModelResponse:
            function = unload_model.asyncio_detailed
            return parsed(
                await calls.single(turn, function, "UnloadModel", fields, numbered=False), UnloadModelResponse
            )

        return self._ordered("TrainingClient.unload_model", run)

    def get_info(self) -> GetInfoResponse:
        """What the model is; known since it was made, so this does not wait."""
        return self._model.info

    def get_tokenizer(self) -> "Tokenizer":
        """The tokenizer of the base model: `encode` gives a list of ids, `decode` text."""
        from tinker_hl.tokenizer import load_tokenizer  # only here: the library behind it is not small

        info = self._model.info
        return load_tokenizer(base_model_of(info), info.model_data.tokenizer_id)

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """The ids of a text, by `get_tokenizer()`."""
        ids: list[int] = self.get_tokenizer().encode(text, add_special_tokens=add_special_tokens)
        return ids

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """The text of ids, by `get_tokenizer()`."""
        return self.get_tokenizer().decode(ids, skip_special_tokens=skip_special_tokens)

    def get_console_url(self) -> str:
        """The training run's page in the hosted service's console."""
        return f"{CONSOLE}/training_runs/{self.model_id}"

    def get_telemetry(self) -> Telemetry | None:
        """The reports to the service; None where they are off, as for any service but the hosted one."""
        return self._calls.session.connection.telemetry

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
        loss_fn: CustomLossFn | LossHandle,
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

    async def unload_model_async(self) -> APIFuture[UnloadModelResponse]:
        """See `unload_model`; the result is its future."""
        return self.unload_model()

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
        name, settings = checked_loss(loss_fn, loss_fn_config)
        work = Pass(call=call, data=_checked(data, name), loss_fn=name, loss_fn_config=settings, backward=backward)
        if self._calls.verifies:
            _refuse_unknown_settings(name, settings)
        return self._run(work)

    def _run(self, work: Pass) -> APIFuture[ForwardBackwardOutput]:
        most = pass_tokens(work.data)
        return self._ordered(work.call, lambda turn: self._run_pass(turn, work), most_tokens=most)

    def _custom(
        self, call: str, first: list[Datum], evaluation: Callable[[ForwardBackwardOutput], Surrogate]
    ) -> APIFuture[ForwardBackwardOutput]:
        most = 2 * pass_tokens(first)  # it is two passes
        return self._ordered(call, lambda turn: self._run_custom(turn, first, evaluation), most_tokens=most)

    async def _run_pass(self, turn: Turn, work: Pass, *, keep: bool = False) -> ForwardBackwardOutput:
        """Make a pass; verify its result, if this client does so."""
        calls = self._calls
        output = await calls.run_pass(turn, work, keep=keep)
        if not calls.verifies:
            return output
        from tinker_hl.losses.verification import Expectation, verify_pass

        def forward(data: Sequence[Datum]) -> APIFuture[ForwardBackwardOutput]:
            again = attrs.evolve(work, data=data, backward=False, chunks=None)
            most = pass_tokens(data)
            return self._ordered(turn.name, lambda later: calls.run_pass(later, again), most_tokens=most)

        # A pass of a turn that is kept would wait for itself.
        expected = Expectation(work.data, work.loss_fn, work.loss_fn_config)
        await verify_pass(expected, output, None if keep else forward)
        return output

    async def _run_custom(
        self, turn: Turn, first: list[Datum], evaluation: Callable[[ForwardBackwardOutput], Surrogate]
    ) -> ForwardBackwardOutput:
        calls = self._calls
        forward = Pass(
            call=turn.name,
            data=first,
            loss_fn="cross_entropy",
            loss_fn_config=None,
            backward=False,
            chunks=await calls.plan(first),
        )
        output = await self._run_pass(turn, forward, keep=True)
        token = waited_for.set(calls.turns)
        try:
            surrogate = await in_own_thread(evaluation, output)
        finally:
            waited_for.reset(token)
        result = await self._run_pass(turn, attrs.evolve(forward, data=surrogate.data, backward=True))
        return with_surrogate_metrics(result, surrogate.loss, surrogate.metrics)


class PendingTrainingClient(TrainingClient, APIFuture[TrainingClient]):
    """A future of a training client that can also be used as the client itself.

    Calls made on it return at once and wait their turn behind the model's creation; if that fails, so do they, with the
    same error. Only what needs the model at once blocks until it exists: `model_id`, `resumed_from`, `get_info`,
    `get_tokenizer`, `get_console_url`. In a coroutine, await the client before these.

    Args:
        calls: Of the model that is being made.
        call: The public method that makes it.
        make: Makes it, in the first place of its calls.
    """

    def __init__(self, calls: ModelCalls, call: str, make: Callable[[Turn], Coroutine[Any, Any, TrainedModel]]) -> None:
        self._own_calls = calls
        calls.notices.attach(self)

        async def run(turn: Turn) -> TrainingClient:
            try:
                return TrainingClient(await make(turn))
            except BaseException as error:
                calls.never_began(call, error)
                raise

        def end(turn: Turn) -> None:
            calls.creation_ended(call)
            turn.give_up()

        def begin(turn: Turn) -> APIFuture[TrainingClient]:
            APIFuture.__init__(self, run(turn), on_end=partial(end, turn))
            return self

        calls.start(call, begin)

    def has_failed(self) -> bool:
        """Whether there will be no client."""
        return self.done() and (self.cancelled() or self.exception() is not None)

    @property
    def _model(self) -> TrainedModel:
        self._warn_if_a_loop_waits()
        return self.result()._model

    @property
    def _calls(self) -> ModelCalls:
        return self._own_calls

    async def _made(self) -> TrainedModel:
        return (await self)._model


def _refuse_single(data: object) -> None:
    if isinstance(data, Datum):
        raise TypeError("data is a list of Datum, got a single Datum: write [datum]")


def _refuse_unknown_settings(loss_fn: str, settings: Mapping[str, float | str] | None) -> None:
    """Refuse now what a result could not be verified by."""
    from tinker_hl.losses.reference import REFERENCE_DEFAULTS, reference_settings

    if loss_fn in REFERENCE_DEFAULTS:
        reference_settings(loss_fn, settings)


def _checked(data: Sequence[Datum], loss_fn: str | None) -> list[Datum]:
    """The datums of a call, checked and out of reach of later changes."""
    _refuse_single(data)
    datums = list(data)
    if not datums:
        raise ValueError("data is empty: a pass needs at least one datum")
    for index, datum in enumerate(datums):
        validate_datum(datum, index, loss_fn)
    return [datum.detached() for datum in datums]
