"""What the verbs of a training client are made of: a model, and calls that keep the order in which they were made.

It knows no verb.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from tinker_hl.clients.model_making import TrainedModel
from tinker_hl.errors import APIResponseValidationError
from tinker_hl.futures import APIFuture
from tinker_hl.model_calls import ModelCalls
from tinker_hl.poller import Payload
from tinker_hl.queue_state import QueueState
from tinker_hl.session import WireRecord
from tinker_hl.turns import Turn
from tinker_hl.types import GetInfoResponse
from tinker_hl.types.record import Answer

__all__ = ["OrderedVerbs", "base_model_of", "parsed"]

A = TypeVar("A", bound=Answer)


class OrderedVerbs:
    """The base of a training client. Invariant: calls reach the server in the order in which they were made.

    Args:
        model: What is trained.
    """

    def __init__(self, model: TrainedModel) -> None:
        self._own_model = model
        model.calls.notices.attach(self)

    def on_queue_state_change(self, queue_state: QueueState, queue_state_reason: str | None = None) -> None:
        """The service has paused this client's work, or goes on with it; for you to override or to replace.

        It is called on the client's loop thread, once for each change, and must be quick. As it is it does nothing: the
        log tells of pauses without it.

        Args:
            queue_state: `ACTIVE`, `PAUSED_RATE_LIMIT`, `PAUSED_CAPACITY` or `UNKNOWN`, which are texts too.
            queue_state_reason: The service's own words, if it said any.
        """

    @property
    def model_id(self) -> str:
        """The server's id of the model, which is the id of its training run."""
        return self._model.calls.model_id

    @property
    def _model(self) -> TrainedModel:
        """The model; a client whose model is being made blocks until it exists."""
        return self._own_model

    @property
    def _calls(self) -> ModelCalls:
        """The order of the model's calls, which is there before the model is."""
        return self._own_model.calls

    async def _made(self) -> TrainedModel:
        """The model, once it exists."""
        return self._own_model

    def _simple(self, call: str, function: Any, request_type: str, request: WireRecord, kind: type[A]) -> APIFuture[A]:
        """One request in its turn, which gives it model and sequence id, answered by an object of the given type."""
        calls, fields = self._calls, request.wire_dict()

        async def run(turn: Turn) -> A:
            return parsed(await calls.single(turn, function, request_type, fields), kind)

        return self._ordered(call, run)

    def _ordered(self, call: str, run: Callable[[Turn], Any], **told: Any) -> APIFuture[Any]:
        """Reserve the call's place now, and run it when its turn comes; listeners are `told` more of it."""
        return self._calls.start(call, lambda turn: APIFuture(run(turn), on_end=turn.give_up), **told)


def base_model_of(info: GetInfoResponse) -> str:
    """The base model's name, wherever the server says it."""
    return info.model_data.model_name or info.model_name or ""


def parsed(payload: Payload, kind: type[A]) -> A:
    """A result that is a JSON object, as the given type."""
    try:
        return kind.model_validate_json(payload.content or b"{}")
    except ValueError as error:
        raise APIResponseValidationError(None, payload.content[:2000], str(error)) from error
