"""What is refused beyond a limit: a typed 4xx that names the field or the limit, and harms nothing else."""

import asyncio
import gzip
import struct
from typing import Any

import numpy as np
import pytest
import zstandard
from service_bench import PROTOBUF, SPEC, Api, Bench, GatedEngine, pass_body, sample_body
from tinker_proto import tinker_public_pb2 as pb

from tinker_local import bodies
from tinker_local.runs.samplers import CLONE
from tinker_local.wire.tokens import MAX_POSITIONS

SESSION = {"tags": [], "sdk_version": "1"}


def told(answer: Any) -> str:
    return str(answer["detail"])


@pytest.mark.parametrize(
    ("content", "coding"),
    [
        (zstandard.compress(bytes(50_000_000)), "zstd"),
        (zstandard.ZstdCompressor(write_content_size=False).compress(bytes(50_000_000)), "zstd"),
        (gzip.compress(bytes(50_000_000)), "gzip"),
        (gzip.compress(gzip.compress(bytes(50_000_000))), "gzip"),
        (zstandard.compress(zstandard.compress(bytes(50_000_000))), "zstd"),
        (gzip.compress(b"{}") + gzip.compress(bytes(50_000_000)), "gzip"),
        (zstandard.compress(b"{}") + zstandard.compress(bytes(50_000_000)), "zstd"),
        (b"\x50\x2a\x4d\x18" + struct.pack("<I", 4) + b"skip" + zstandard.compress(b"{}"), "zstd"),
        (zstandard.compress(b"{}")[:-1], "zstd"),
        (gzip.compress(b"{}")[:-1], "gzip"),
        (gzip.compress(b"{}"), "gzip, gzip"),
        (b"{}", "zstd"),
        (b"{}", "x" * 1000),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else None,
)
def test_a_packed_body_grows_no_further_than_its_limit(bench: Bench, content: bytes, coding: str) -> None:
    api = bench.start(max_inflated_bytes=1_000_000)
    for operation_id in ("forward_backward", "create_session"):
        answer = api.answer(operation_id, content=content, headers={"content-encoding": coding})
        assert answer.status_code in (400, 422), answer.text
        assert answer.json()["detail"]


def test_requests_without_data_have_small_bodies(bench: Bench) -> None:
    api = bench.start(max_small_body_bytes=10_000)
    body = {**SESSION, "user_metadata": {"a": "b" * 10_000}}
    assert "10000 bytes" in told(api.refused(413, "create_session", body=body))
    packed = zstandard.compress(b" " * 10_001)
    assert "10000 bytes" in told(
        api.refused(422, "create_session", content=packed, headers={"content-encoding": "zstd"})
    )
    data = pass_body(api.model(), 1)
    data["forward_backward_input"]["data"] *= 100
    assert api.answer("forward_backward", body=data).status_code == 200, "a pass carries data"


@pytest.mark.parametrize("name", ["user_metadata", "tags", "display_name", "project_id", "sdk_version"])
def test_labels_are_short(bench: Bench, name: str) -> None:
    api = bench.start(max_metadata_bytes=1000)
    long: Any = {"user_metadata": {"a": "b" * 1000}, "tags": ["b" * 1000]}.get(name, "b" * 1000)
    refusal = api.refused(422, "create_session", body={**SESSION, name: long})
    assert refusal["detail"][0]["loc"] == ["body", name]
    assert "max_metadata_bytes, 1000" in refusal["detail"][0]["msg"]
    assert api.ok("list_sessions") == {"sessions": []}


def test_labels_of_runs_and_checkpoints_are_short_too(bench: Bench) -> None:
    api = bench.start(max_metadata_bytes=1000)
    long = {"a": "b" * 1000}
    session_id = api.session()
    body = {"session_id": session_id, "model_seq_id": 0, "base_model": "null/base", "user_metadata": long}
    api.refused(422, "create_model", body=body)
    model_id = api.model(session_id)
    body = {"model_id": model_id, "seq_id": 1, "path": "a", "user_metadata": long}
    assert "max_metadata_bytes" in told(api.refused(422, "save_weights", body=body))
    api.refused(422, "assign_session_project", path={"session_id": session_id}, body={"project_id": "p" * 1001})


def test_the_counts_of_an_owner_are_bounded_each_by_name(bench: Bench) -> None:
    api = bench.start(max_sessions=2, max_models=2, max_samplers=2, max_checkpoints=2, api_keys=("tml-a", "tml-b"))
    api.headers = {"x-api-key": "tml-a"}
    session_id, other = api.session(), api.session()
    assert "max_sessions" in told(api.refused(400, "create_session", body=SESSION))
    model_id, second = api.model(session_id, 0), api.model(session_id, 1)
    body = {"session_id": session_id, "model_seq_id": 2, "base_model": "null/base"}
    assert "max_models" in told(api.refused(400, "create_model", body=body))
    path = api.save(model_id, 1, "a")
    api.save(model_id, 2, "b")
    assert "max_checkpoints" in told(
        api.refused(400, "save_weights", body={"model_id": model_id, "seq_id": 3, "path": "c"})
    )
    copied = {"source_path": path, "session_id": other, "model_seq_id": 0}
    assert "max_checkpoints" in told(api.refused(400, "copy_weights", body=copied))
    loaded = {"session_id": other, "model_seq_id": 0, "path": path, "optimizer": False}
    assert "max_models" in told(api.refused(400, "load_weights", body=loaded))
    for number in range(2):
        api.sampler(session_id, number)
    more = {"session_id": session_id, "sampling_session_seq_id": 2, "base_model": "null/base"}
    assert "max_samplers" in told(api.refused(400, "create_sampling_session", body=more))
    unnamed = {"model_id": model_id, "seq_id": 3, "sampling_session_seq_id": 2}
    assert "max_samplers" in told(api.refused(400, "save_weights_for_sampler", body=unnamed))

    api.headers = {"x-api-key": "tml-b"}
    api.model(), "another owner has counts of their own"
    api.headers = {"x-api-key": "tml-a"}
    api.result(api.ok("unload_model", body={"model_id": second}))
    api.model(session_id, 2)
    api.answer("finish_session", path={"session_id": session_id}, body={"reason": {"type": "success"}})
    fresh = api.session()
    api.model(fresh, 0)
    api.sampler(fresh)


def test_the_counts_outlive_a_restart(bench: Bench) -> None:
    api = bench.start(max_sessions=1)
    api.session()
    bench.stop(api)
    api = bench.start(max_sessions=1)
    assert "max_sessions" in told(api.refused(400, "create_session", body=SESSION))


def test_a_session_has_so_many_losses_and_a_repeat_is_none(bench: Bench) -> None:
    api = bench.start(max_custom_losses=1)
    operation = SPEC.document["paths"]["/api/v1/create_custom_loss"]["post"]
    example = operation["requestBody"]["content"]["application/json"]["example"]
    body = {**example, "session_id": api.session(), "custom_loss_seq_id": 0}
    assert api.result(api.ok("create_custom_loss", body=body))["loss_id"]
    api.ok("create_custom_loss", body=body)
    refusal = api.refused(400, "create_custom_loss", body={**body, "custom_loss_seq_id": 1})
    assert "max_custom_losses" in told(refusal)


def test_requests_of_one_model_wait_up_to_a_number(bench: Bench) -> None:
    engine = GatedEngine()
    api = bench.start(engine, max_pending_requests=5)
    model_id = api.model()
    api.do(engine.gate.clear)
    submitted, refusal = [], None
    for seq_id in range(1, 20):
        answer = api.answer("forward_backward", body=pass_body(model_id, seq_id))
        if answer.status_code != 200:
            refusal = answer
            break
        submitted.append(answer.json())
    assert refusal is not None
    assert (refusal.status_code, refusal.headers["retry-after"]) == (429, "1")
    assert "max_pending_requests" in told(refusal.json())
    api.do(engine.gate.set)
    assert all("metrics" in api.result(one) for one in submitted)
    assert api.answer("forward_backward", body=pass_body(model_id, len(submitted) + 1)).status_code == 200


def test_a_sampling_session_has_so_many_clients(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinker_local.runs.samplers.MOST_CLIENTS", 3)
    sampler_id = api.sampler(api.session())
    far = 987_654_321  # releases before 0.38 draw the number of a copy at random
    for client in (0, far, 0, far):
        api.ok("retrieve_futures", body=news_of(sampler_id, client))
    assert api.ok("join_sampling_session", body={"sampling_session_id": sampler_id})["client_counter"] == 1
    api.refused(400, "join_sampling_session", body={"sampling_session_id": sampler_id})
    api.refused(400, "retrieve_futures", body=news_of(sampler_id, 2))
    api.refused(400, "sample", body=sample_body(sampler_id, 2 * CLONE))
    api.ok("sample", body=sample_body(sampler_id, 1 * CLONE))


def test_a_copy_of_a_sampling_client_may_have_any_number(api: Api) -> None:
    """0.12 to 0.25 draw it below 10^9, so that sequence ids come near 10^18."""
    sampler_id = api.sampler(api.session())
    for client in (1, 987_654_321, 1_000_000_000):
        submitted = api.ok("sample", body=sample_body(sampler_id, client * CLONE + 5))
        assert submitted["request_id"] == f"{sampler_id}:{client * CLONE + 5}"
        assert len(api.result(submitted)["sequences"]) == 1
        (completion,) = api.ok("retrieve_futures", body=news_of(sampler_id, client))["completions"]
        assert completion["request_id"] == submitted["request_id"]


def test_no_two_copies_of_a_sampling_client_have_one_number(bench: Bench) -> None:
    api = bench.start()
    sampler_id = api.sampler(api.session())
    body = {"sampling_session_id": sampler_id}
    api.ok("sample", body=sample_body(sampler_id, 2 * CLONE))
    numbers = [api.ok("join_sampling_session", body=body)["client_counter"] for _ in range(3)]
    assert numbers == [1, 3, 4], "a copy that chose 2 by itself keeps it"
    bench.stop(api)
    api = bench.start()
    assert api.ok("join_sampling_session", body=body)["client_counter"] == 5, "another life of the service goes on"


def news_of(sampler_id: str, client: int) -> dict[str, Any]:
    target = {"type": "sampling_session", "sampling_session_id": sampler_id, "cloned_sampler_id": client}
    return {"target": target, "timeout": 0}


def test_images_cannot_name_more_positions_than_there_is_room_for(api: Api) -> None:
    image = {"type": "image", "data": "aaaa", "format": "png", "expected_tokens": 2**17}
    body = sample_body(api.sampler(api.session()), 0)
    body["prompt"] = {"chunks": [image] * 1000}
    (fault,) = api.refused(422, "sample", body=body)["detail"]
    assert fault["loc"] == ["body", "prompt", "chunks", MAX_POSITIONS // 2**17, "expected_tokens"]
    assert str(MAX_POSITIONS) in fault["msg"]


@pytest.mark.parametrize("shape", [[0, 2**62], [2**62, 0], [0] * 70, [1] * 70, [2**31, 2**31, 0]], ids=str)
@pytest.mark.parametrize("protobuf", [False, True], ids=["json", "protobuf"])
def test_a_shape_that_no_array_can_have_is_named(api: Api, shape: list[int], protobuf: bool) -> None:
    """Each of them holds as many values as are given: none, or one."""
    model_id = api.model()
    values = [] if 0 in shape else [1]
    if protobuf:
        tensor = pb.Tensor(dtype=pb.DTYPE_INT64, shape=shape, dense=np.array(values, "<i8").tobytes())
        tokens = pb.EncodedTextChunk(tokens=np.array([1], "<i4").tobytes())
        datum = pb.Datum(model_input=[pb.Chunk(encoded_text=tokens)], loss_fn_inputs={"target_tokens": tensor})
        request = pb.ForwardBackwardRequest(model_id=model_id, seq_id=1, loss_fn="cross_entropy", data=[datum])
        answer = api.refused(
            422, "forward_backward", content=request.SerializeToString(), headers={"content-type": PROTOBUF}
        )
    else:
        body = pass_body(model_id, 1)
        inputs = body["forward_backward_input"]["data"][0]["loss_fn_inputs"]
        inputs["target_tokens"] = {"data": values, "dtype": "int64", "shape": shape}
        answer = api.refused(422, "forward_backward", body=body)
    assert answer["detail"][0]["loc"][-1] == "shape"


@pytest.mark.parametrize(
    "value", ["bytes=" + "9" * 5000 + "-", "bytes=-" + "9" * 5000, "bytes=٣-", "bytes=--", "x" * 9999]
)
def test_a_range_that_is_none_is_ignored(api: Api, value: str) -> None:
    path = api.save(api.model(), 1, "a")
    run_id, kind, name = path.removeprefix("tinker://").split("/")
    where = {"training_run_id": run_id, "checkpoint_kind": kind, "checkpoint_name": name}
    url = api.answer("get_checkpoint_archive", path=where).headers["location"]
    assert api.request("GET", url, headers={"range": value.encode()}).status_code == 200


def test_a_length_beyond_all_numbers_is_too_large(api: Api) -> None:
    headers = {"content-length": "9" * 5000, "content-type": "application/json"}
    assert api.request("POST", "/api/v1/create_session", content=b"{}", headers=headers).status_code == 413


def test_a_body_that_does_not_come_is_not_waited_for(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_IDLE_SECONDS", 0.05)
    never = api.do(asyncio.Event)

    async def stuck() -> Any:
        yield b"{"
        await never.wait()

    response = api.request("POST", "/api/v1/create_session", content=stuck())
    assert (response.status_code, response.json()["code"]) == (400, "too_slow")
