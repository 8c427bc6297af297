"""How models come to be: fresh ones, and ones that go on from a saved state. It knows no client.

A model is made in the first place of the order of its own calls, so that calls may be made, and wait, before it exists.
"""

from collections.abc import Mapping
from typing import Any

import attrs
import orjson

from tinker_hl.errors import APIStatusError
from tinker_hl.generated_client import EncodedBody
from tinker_hl.model_calls import ModelCalls
from tinker_hl.operations import create_model, get_info, get_weights_info, load_weights
from tinker_hl.poller import Promise
from tinker_hl.saved_states import SavedState
from tinker_hl.session import json_body
from tinker_hl.turns import Turn
from tinker_hl.types import (
    AdamOptimizerConfig,
    CreateModelRequest,
    GetInfoResponse,
    LoadWeightsRequest,
    LoadWeightsResponse,
    LoraConfig,
    WeightsInfoResponse,
)

__all__ = ["TrainedModel", "make_fresh", "make_from_state"]

NOT_UNDERSTOOD = frozenset({400, 404, 405, 422})
"""Statuses by which a server may say that it cannot make a model by loading it."""


@attrs.frozen
class TrainedModel:
    """A model that exists on the server, and the calls to it."""

    calls: ModelCalls
    info: GetInfoResponse
    resumed_from: str | None = None
    """The state that `TrainingClient.recover` made it from, if it did."""


async def make_fresh(calls: ModelCalls, call: str, request: CreateModelRequest) -> TrainedModel:
    """Make a fresh adapter.

    Args:
        calls: The model's; their first place is the creation's.
        call: The public method.
        request: Everything but the session.
    """
    await _create(calls, call, request)
    return await _described(calls, call)


async def make_from_state(calls: ModelCalls, turn: Turn, request: LoadWeightsRequest) -> TrainedModel:
    """Make a model by loading a saved state; step by step on a server that cannot do it in one.

    Args:
        calls: The model's.
        turn: Their first place, which is the creation's.
        request: Everything but the session.
    """
    number = calls.states.expect()
    if not await _loaded_in_one(calls, turn.name, request):
        await _load_in_steps(calls, turn, request)
    calls.states.keep(number, SavedState(request.path, request.optimizer, request.weights_access_token))
    return await _described(calls, turn.name)


async def _create(calls: ModelCalls, call: str, request: CreateModelRequest) -> None:
    body = json_body(request.model_copy(update={"session_id": await calls.session.opened()}))
    made = await _result(calls, create_model.asyncio_detailed, call, "CreateModel", body)
    calls.begin(orjson.loads(made)["model_id"])


async def _loaded_in_one(calls: ModelCalls, call: str, request: LoadWeightsRequest) -> bool:
    """Whether the server made the model from the state at once."""
    session_id = await calls.session.opened()
    if not calls.session.connection.capabilities.has_config:
        return False
    body = json_body(request.model_copy(update={"session_id": session_id}))
    try:
        loaded = await _result(calls, load_weights.asyncio_detailed, call, "LoadWeights", body)
    except APIStatusError as error:
        if error.status_code not in NOT_UNDERSTOOD:
            raise
        return False
    model_id = LoadWeightsResponse.model_validate_json(loaded).model_id
    calls.begin(model_id or f"{session_id}:train:{request.model_seq_id}")
    return True


async def _load_in_steps(calls: ModelCalls, turn: Turn, request: LoadWeightsRequest) -> None:
    question = EncodedBody(orjson.dumps({"tinker_path": request.path}))
    answer = await calls.session.request(get_weights_info.asyncio_detailed, turn.name, body=question)
    info = WeightsInfoResponse.model_validate_json(answer.content)
    lora = LoraConfig(
        rank=info.lora_rank or 32,
        train_unembed=info.train_unembed is not False,
        train_mlp=info.train_mlp is not False,
        train_attn=info.train_attn is not False,
    )
    creation = CreateModelRequest(
        session_id="",
        model_seq_id=request.model_seq_id or 0,
        base_model=request.base_model or info.base_model,
        user_metadata=_texts(request.user_metadata),
        lora_config=lora,
        optimizer_config=request.optimizer_config or AdamOptimizerConfig(),
    )
    await _create(calls, turn.name, creation)
    load = LoadWeightsRequest(
        path=request.path, optimizer=request.optimizer, weights_access_token=request.weights_access_token
    )
    await calls.single(turn, load_weights.asyncio_detailed, "LoadWeights", load.wire_dict(), keep=True)


async def _described(calls: ModelCalls, call: str) -> TrainedModel:
    body = EncodedBody(orjson.dumps({"model_id": calls.model_id, "type": "get_info"}))
    answer = await calls.session.request(get_info.asyncio_detailed, call, body=body)
    return TrainedModel(calls, GetInfoResponse.model_validate_json(answer.content))


async def _result(calls: ModelCalls, function: Any, call: str, request_type: str, body: EncodedBody) -> bytes:
    """Submit a request that has no sequence id, and wait for its result."""
    session = calls.session
    started = session.connection.clock.now()
    answer = await session.request(function, call, body=body)
    took = session.connection.clock.now() - started
    promise = Promise(
        request_id=answer.parsed.request_id,
        request_type=request_type,
        call=call,
        submitted_in=took,
        notices=calls.notices,
    )
    return (await session.result(promise)).content


def _texts(metadata: Mapping[str, Any] | None) -> dict[str, str] | None:
    return None if metadata is None else {key: str(value) for key, value in metadata.items()}
