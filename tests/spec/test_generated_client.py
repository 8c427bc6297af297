"""The generated client reads what a newer server sends, sends what it is given, and works over any transport."""

import copy
import json
import pickle
import subprocess
import sys
from typing import Any

import httpx
import numpy as np
import pytest
import tinker_api.models as models
from hypothesis import given, settings
from hypothesis import strategies as st
from tinker_api import AuthenticatedClient
from tinker_api.api.checkpoints import delete_checkpoint
from tinker_api.api.sessions import search_sessions
from tinker_api.api.training import forward_backward
from tinker_api.api.training_runs import list_training_runs
from tinker_api.errors import UnexpectedStatus
from tinker_api.models import (
    BillingUsageEvent,
    Checkpoint,
    CheckpointKind,
    CheckpointType,
    CreateModelRequest,
    CreateSessionResponse,
    Datum,
    EncodedTextChunk,
    ForwardBackwardInput,
    ForwardBackwardRequest,
    FutureFinished,
    FuturesRetrieveResponse,
    GetInfoResponse,
    LoraConfig,
    LossFnInputs,
    LossFnType,
    ModelInput,
    QueueState,
    SampledSequence,
    SessionSearchRequest,
    TensorData,
    TensorDtype,
    TryAgainResponse,
    UnknownBillingEventInfo,
    UnknownFutureCompletion,
    UnknownSessionStatus,
)
from tinker_api.types import UNSET

CHECKPOINT = {
    "checkpoint_id": "weights/1",
    "checkpoint_type": "training",
    "time": "2026-07-13T09:30:00Z",
    "tinker_path": "tinker://r/weights/1",
}
RUN = {
    "training_run_id": "s:train:0",
    "base_model": "b",
    "model_owner": "o",
    "is_lora": True,
    "last_request_time": "2026-07-13T09:30:00.123456+00:00",
}
HOUR = {"bucket_start": "2026-07-13T09:00:00Z", "bucket_end": "2026-07-13T10:00:00Z"}


def connected(answer: httpx.Response, seen: list[httpx.Request] | None = None, **options: Any) -> AuthenticatedClient:
    """A client whose server gives this answer to everything; requests are added to `seen`."""

    def serve(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(request)
        return answer

    client = AuthenticatedClient("http://server", token="k", prefix="", auth_header_name="X-API-Key", **options)
    return client.set_httpx_client(httpx.Client(base_url="http://server", transport=httpx.MockTransport(serve)))


# ---------------------------------------- what a newer server sends


def test_an_unknown_enum_value_is_kept_as_text() -> None:
    checkpoint = Checkpoint.from_dict({**CHECKPOINT, "checkpoint_type": "quantized"})
    kind = checkpoint.checkpoint_type
    assert isinstance(kind, CheckpointType)
    assert kind == "quantized"
    assert str(kind) == "quantized"
    assert kind not in list(CheckpointType)
    assert checkpoint.to_dict()["checkpoint_type"] == "quantized"


@settings(deadline=None)
@given(st.text())
def test_any_text_is_an_enum_value(text: str) -> None:
    value = QueueState(text)
    assert value == text
    assert hash(value) == hash(QueueState(text)) == hash(text)
    assert pickle.loads(pickle.dumps(value)) == value
    assert copy.deepcopy(value) == value
    assert (value in list(QueueState)) == (text in {"active", "paused_capacity", "paused_rate_limit"})


def test_a_known_enum_value_is_the_member_itself() -> None:
    assert QueueState("active") is QueueState.ACTIVE
    assert QueueState("new") is not QueueState.ACTIVE


def test_what_is_no_text_is_no_enum_value() -> None:
    with pytest.raises(ValueError, match="7 is not a valid QueueState"):
        QueueState(json.loads("7"))


def test_an_unknown_kind_in_a_union_keeps_all_it_brought() -> None:
    info = {"type": "gpu_rent", "minutes": 5, "where": {"zone": "b"}}
    event = BillingUsageEvent.from_dict({**HOUR, "event_info": info})
    assert isinstance(event.event_info, UnknownBillingEventInfo)
    assert event.event_info.type_ == "gpu_rent"
    assert event.event_info["minutes"] == 5
    assert event.to_dict()["event_info"] == info


def test_known_kinds_in_a_union_are_themselves() -> None:
    completions = [{"state": "finished", "request_id": "a"}, {"state": "lost", "request_id": "b"}]
    page = FuturesRetrieveResponse.from_dict({"completions": completions, "cursor": 3})
    finished, lost = page.completions
    assert isinstance(finished, FutureFinished)
    assert finished.request_id == "a"
    assert isinstance(lost, UnknownFutureCompletion)
    assert lost.state == "lost"


def test_an_unknown_enum_value_inside_a_known_kind_does_not_lose_the_kind() -> None:
    reason = {"type": "request", "request_id": "r", "request_type": "T"}
    status = {"type": "failed", "category": "cosmic", "reason": reason, "message": "m"}
    summary = {
        "session_id": "s",
        "created_at": "2026-07-13T09:30:00Z",
        "owner": "o",
        "project_id": "p",
        "status": status,
    }
    session = models.SessionSummary.from_dict({**summary, "checkpoints_count": 0})
    assert isinstance(session.status, models.FailedStatus)
    assert session.status.category == "cosmic"
    assert isinstance(session.status.reason, models.RequestFailure)
    other = models.SessionSummary.from_dict({**summary, "status": {"type": "asleep"}, "checkpoints_count": 0})
    assert isinstance(other.status, UnknownSessionStatus)


def test_unknown_members_are_left_behind() -> None:
    sequence = SampledSequence.from_dict({"stop_reason": "stop", "tokens": [1], "mood": "good"})
    assert sequence.to_dict() == {"stop_reason": "stop", "tokens": [1]}


def test_an_optimizer_of_a_family_yet_to_come_is_kept_whole() -> None:
    config = {"type": "invented", "order": 3}
    info = GetInfoResponse.from_dict({"model_data": {}, "model_id": "m", "optimizer_config": config})
    assert isinstance(info.optimizer_config, models.OpenOptimizerConfig)
    assert info.to_dict()["optimizer_config"] == config


def test_a_tag_that_tells_nothing_apart_may_change_or_be_absent() -> None:
    assert CreateSessionResponse.from_dict({"type": "create_session_v2", "session_id": "s"}).session_id == "s"
    assert CreateSessionResponse.from_dict({"session_id": "s"}).type_ is UNSET
    assert TryAgainResponse.from_dict({"type": "x", "request_id": "r", "queue_state": "y"}).queue_state == "y"


# ---------------------------------------- how it is loaded


def test_one_operation_does_not_load_every_type() -> None:
    code = "import sys, tinker_api.api.futures.cancel_future as op; print(*(m for m in sys.modules if '.models.' in m))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["tinker_api.models.cancel_future_request"]


def test_every_type_can_be_asked_for_by_name() -> None:
    for name in models.__all__:
        assert getattr(models, name).__name__ == name
    assert set(models.__all__) <= set(dir(models))
    missing = "Nothing"
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        getattr(models, missing)


# ---------------------------------------- what it sends


def test_a_request_carries_its_tag_and_no_defaults() -> None:
    request = CreateModelRequest(session_id="s", model_seq_id=0, base_model="b", lora_config=LoraConfig(rank=8))
    assert request.to_dict() == {
        "type": "create_model",
        "session_id": "s",
        "model_seq_id": 0,
        "base_model": "b",
        "lora_config": {"rank": 8},
    }


def test_arrays_pass_through_untouched() -> None:
    tokens, targets = np.arange(4, dtype=np.int32), np.arange(4, dtype=np.int64)
    inputs = LossFnInputs()
    inputs["target_tokens"] = TensorData(data=targets, dtype=TensorDtype.INT64, shape=[4])
    datum = Datum(model_input=ModelInput(chunks=[EncodedTextChunk(tokens=tokens)]), loss_fn_inputs=inputs)
    body = ForwardBackwardRequest(ForwardBackwardInput(data=[datum], loss_fn=LossFnType.CROSS_ENTROPY), model_id="m")
    sent = forward_backward._get_kwargs(body=body)["json"]["forward_backward_input"]["data"][0]
    assert sent["model_input"]["chunks"][0]["tokens"] is tokens
    assert sent["loss_fn_inputs"]["target_tokens"]["data"] is targets


def test_examples_of_the_spec_go_through_their_classes(canonical: dict[str, Any]) -> None:
    tried = 0
    for item in canonical["paths"].values():
        for operation in item.values():
            for holder in [operation.get("requestBody", {}), *operation["responses"].values()]:
                media = holder.get("content", {}).get("application/json", {})
                model = getattr(models, media.get("schema", {}).get("$ref", "").rsplit("/", 1)[-1], None)
                if model is not None:
                    read = model.from_dict(media["example"]).to_dict()
                    assert contains(read, media["example"]), operation["operationId"]
                    tried += 1
    assert tried == 71


def contains(whole: Any, part: Any) -> bool:
    """Tell whether `whole` holds all that `part` does; times may be written differently."""
    if isinstance(part, dict):
        return all(key in whole and contains(whole[key], value) for key, value in part.items())
    if isinstance(part, list):
        return len(whole) == len(part) and all(map(contains, whole, part))
    return bool(whole == part) or str(whole).replace("+00:00", "Z") == part


# ---------------------------------------- over a transport


def test_a_list_is_asked_for_and_read() -> None:
    seen: list[httpx.Request] = []
    page = {"training_runs": [RUN], "cursor": {"offset": 5, "limit": 1, "total_count": 9}, "new": 1}
    client = connected(httpx.Response(200, json=page), seen)
    answer = list_training_runs.sync(client=client, limit=1, offset=5)
    assert answer is not None
    assert answer.training_runs[0].training_run_id == "s:train:0"
    assert answer.cursor.total_count == 9
    assert seen[0].url.path == "/api/v1/training_runs"
    # Nothing is sent that the caller did not say, so that the server's own defaults hold.
    assert dict(seen[0].url.params) == {"limit": "1", "offset": "5"}


def test_a_checkpoint_is_addressed_by_two_segments() -> None:
    seen: list[httpx.Request] = []
    client = connected(httpx.Response(204), seen)
    delete_checkpoint.sync_detailed("s:train:0", CheckpointKind.SAMPLER_WEIGHTS, "a b", client=client)
    assert seen[0].method == "DELETE"
    assert seen[0].url.path == "/api/v1/training_runs/s:train:0/checkpoints/sampler_weights/a b"


def test_an_answer_can_be_had_raw() -> None:
    """T-026: status, headers and bytes beside what was read of them."""
    page = {"training_runs": [RUN], "cursor": {"offset": 0, "limit": 1, "total_count": 1}}
    client = connected(httpx.Response(200, json=page, headers={"X-Request-Id": "r-1"}))
    answer = list_training_runs.sync_detailed(client=client, limit=1)
    assert (answer.status_code, answer.headers["x-request-id"]) == (200, "r-1")
    assert json.loads(answer.content) == page
    assert answer.parsed is not None
    assert answer.parsed.training_runs[0].training_run_id == "s:train:0"


def test_an_error_raises_where_that_was_asked_for() -> None:
    client = connected(httpx.Response(403, text="<html>no</html>"), raise_on_unexpected_status=True)
    with pytest.raises(UnexpectedStatus, match="403"):
        search_sessions.sync(client=client, body=SessionSearchRequest())
    with pytest.raises(UnexpectedStatus, match="403"):
        delete_checkpoint.sync_detailed("r", CheckpointKind.WEIGHTS, "n", client=client)
