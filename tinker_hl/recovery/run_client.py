"""The training client of a run: its verbs are those of any training client, its model is whatever the run has now.

A variable that holds it stays valid when the model is replaced. It knows neither journal nor recovery: the run's
conductor makes its calls.
"""

import weakref
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, TypeVar

from tinker_hl.clients.model_making import TrainedModel
from tinker_hl.clients.ordered import parsed
from tinker_hl.clients.sampling import PendingSamplingClient
from tinker_hl.clients.snapshot import SNAPSHOT, Snapshot
from tinker_hl.clients.training import PendingTrainingClient, TrainingClient
from tinker_hl.custom_loss.surrogate import Surrogate
from tinker_hl.errors import ConfigurationError
from tinker_hl.futures import APIFuture
from tinker_hl.model_calls import ModelCalls, Pass
from tinker_hl.operations import save_weights
from tinker_hl.recovery.conductor import Conductor
from tinker_hl.recovery.run_call import StepContent, step_fields
from tinker_hl.retry import RetryConfig
from tinker_hl.session import Session, WireRecord
from tinker_hl.token_counts import pass_tokens
from tinker_hl.turns import Turn
from tinker_hl.types import (
    Datum,
    ForwardBackwardOutput,
    LoadWeightsResponse,
    OptimStepRequest,
    SamplingClientKind,
    SaveWeightsRequest,
    SaveWeightsResponse,
    UnloadModelResponse,
)
from tinker_hl.types.record import Answer

__all__ = ["RunClient", "save_request"]

A = TypeVar("A", bound=Answer)


class RunClient(TrainingClient):
    """See the module. Sampling clients that it gives belong to the model that they were made of.

    Cancelling one of its calls ends only the wait: what was written down is made to the end.

    Args:
        conductor: Of the run.
        count_tokens: Told of each pass with gradients.
    """

    _has_server_losses = False

    def __init__(self, conductor: Conductor, count_tokens: Callable[[list[Datum]], None]) -> None:
        self._conductor = conductor
        self._count_tokens = count_tokens

    @property
    def _model(self) -> TrainedModel:
        return self._conductor.client._model

    @property
    def _calls(self) -> ModelCalls:
        return self._conductor.client._calls

    def save_state(
        self,
        name: str,
        ttl_seconds: int | None = None,
        overwrite: bool = False,
        user_metadata: dict[str, str] | None = None,
    ) -> APIFuture[SaveWeightsResponse]:
        """A checkpoint of your own, beside those of the run; see `TrainingClient.save_state`."""
        request = SaveWeightsRequest(
            model_id="", path=name, ttl_seconds=ttl_seconds, overwrite=overwrite, user_metadata=user_metadata
        )
        return self._conductor.submit("TrainingClient.save_state", save_request(request))

    def save_weights_and_get_sampling_client(
        self,
        name: str | None = None,
        retry_config: RetryConfig | None = None,
        record_stability_info: bool = False,
        kind: SamplingClientKind = "snapshot",
    ) -> PendingSamplingClient:
        """See `TrainingClient.save_weights_and_get_sampling_client`."""
        numbers: weakref.WeakKeyDictionary[Session, int] = weakref.WeakKeyDictionary()

        async def perform(calls: ModelCalls, turn: Turn) -> Any:
            # A number belongs to a session: the same again on the same one, so that the server knows the repetition.
            number = numbers.get(calls.session)
            if number is None:
                number = numbers[calls.session] = calls.session.next_sampler()
            snapshot = Snapshot(
                number=number, kind=kind, retry_config=retry_config, record_stability_info=record_stability_info
            )
            return await snapshot.taken(calls, turn, self._model.info)

        made = self._conductor.submit(SNAPSHOT, perform)
        return PendingSamplingClient(made.result_async())

    def recover(self, path: str | None = None) -> PendingTrainingClient:
        """A run recovers by itself; this raises `ConfigurationError`."""
        raise ConfigurationError("the client of a TrainingRun recovers by itself: there is nothing to call")

    def unload_model(self) -> APIFuture[UnloadModelResponse]:
        """A run keeps its model until it ends; this raises `ConfigurationError`."""
        raise ConfigurationError(
            "the model of a TrainingRun is the run's: leave the block, then close the service client"
        )

    def __reduce__(self) -> NoReturn:
        """It belongs to the run of one process."""
        raise TypeError("the client of a TrainingRun cannot be pickled; pickle a SamplingClient")

    # What the inherited verbs are made of.

    def _run(self, work: Pass) -> APIFuture[ForwardBackwardOutput]:
        self._admit(work.call, pass_tokens(work.data))
        if work.backward:
            self._count_tokens(list(work.data))
        return self._conductor.submit_pass(work)

    def _custom(
        self, call: str, first: list[Datum], evaluation: Callable[[ForwardBackwardOutput], Surrogate]
    ) -> APIFuture[ForwardBackwardOutput]:
        self._admit(call, 2 * pass_tokens(first))
        self._count_tokens(first)
        return self._conductor.submit_custom(call, first, evaluation)

    def _admit(self, call: str, most_tokens: int) -> None:
        """Ask the guards now: what is written down later is made to the end, and again, without being asked for."""
        self._calls.session.connection.events.admit(call, most_tokens=most_tokens)

    def _simple(self, call: str, function: Any, request_type: str, request: WireRecord, kind: type[A]) -> APIFuture[A]:
        if isinstance(request, OptimStepRequest):
            return self._conductor.submit_step(StepContent(fields=step_fields(request)))
        fields = request.wire_dict()

        async def perform(calls: ModelCalls, turn: Turn) -> A:
            return parsed(await calls.single(turn, function, request_type, fields), kind)

        return self._conductor.submit(call, perform)

    def _load(
        self, call: str, path: str, weights_access_token: str | None, *, optimizer: bool
    ) -> APIFuture[LoadWeightsResponse]:
        raise ConfigurationError(
            "a TrainingRun does not load into its model: begin the run with a client made from the state, by "
            "create_training_client_from_state"
        )


def save_request(request: SaveWeightsRequest) -> Callable[[ModelCalls, Any], Coroutine[Any, Any, Any]]:
    """Saves a model's state, on whatever model it is asked of."""
    fields = request.wire_dict()

    async def perform(calls: ModelCalls, turn: Turn) -> SaveWeightsResponse:
        payload = await calls.single(turn, save_weights.asyncio_detailed, "SaveWeights", fields)
        return parsed(payload, SaveWeightsResponse)

    return perform
