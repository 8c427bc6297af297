"""What the verbs of a training client are made of: a model, and calls that keep the order in which they were made.

It knows no verb.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import attrs

from tinker_hl.errors import APIResponseValidationError
from tinker_hl.futures import APIFuture
from tinker_hl.model_calls import ModelCalls
from tinker_hl.poller import Payload
from tinker_hl.session import json_body
from tinker_hl.turns import Turn
from tinker_hl.types import GetInfoResponse
from tinker_hl.types.record import Answer

__all__ = ["OrderedVerbs", "TrainedModel", "base_model_of", "parsed"]

A = TypeVar("A", bound=Answer)


@attrs.frozen
class TrainedModel:
    """A model that exists on the server, and the calls to it."""

    calls: ModelCalls
    info: GetInfoResponse


class OrderedVerbs:
    """The base of a training client. Invariant: calls reach the server in the order in which they were made.

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

    def _simple(
        self, call: str, function: Any, request_type: str, request: Callable[[int], Any], kind: type[A]
    ) -> APIFuture[A]:
        """One request in its turn, answered by a JSON object of the given type."""
        calls = self._model.calls

        async def run(turn: Turn) -> A:
            payload = await calls.single(turn, function, request_type, lambda seq_id: json_body(request(seq_id)))
            return parsed(payload, kind)

        return self._ordered(call, run)

    def _ordered(self, call: str, run: Callable[[Turn], Any]) -> APIFuture[Any]:
        """Reserve the call's place now, and run it when its turn comes."""
        turn = self._model.calls.reserve(call)
        return APIFuture(run(turn), on_end=turn.give_up)


def base_model_of(info: GetInfoResponse) -> str:
    """The base model's name, wherever the server says it."""
    return info.model_data.model_name or info.model_name or ""


def parsed(payload: Payload, kind: type[A]) -> A:
    """A result that is a JSON object, as the given type."""
    try:
        return kind.model_validate_json(payload.content or b"{}")
    except ValueError as error:
        raise APIResponseValidationError(None, payload.content[:2000], str(error)) from error
