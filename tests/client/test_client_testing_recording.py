"""Recordings: what is written holds no secret, and a training loop runs again from it without a server."""

import base64
from pathlib import Path
from typing import Any

import attrs
import orjson
import pytest
import zstandard
from client_bench import KEY, MODEL, MakeClient
from hypothesis import given
from hypothesis import strategies as st
from scripted_server import Reply, ScriptedServer

from tinker_hl import AdamParams, Datum, ModelInput, SamplingParams, ServiceClient, TinkerError, loop
from tinker_hl.credentials import token_claims
from tinker_hl.testing import (
    FaultPlan,
    FaultTransport,
    NotRecordedError,
    RecordingError,
    RecordingTransport,
    ReplayTransport,
    no_waiting,
)
from tinker_hl.testing.scrubbing import WORTHLESS_JWT, Scrubber
from tinker_hl.transport import Transport
from tinker_hl.transport.base import Request, Response, TransportFault

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl"
DATUM = Datum(ModelInput.from_ints([1, 2, 3]), {"target_tokens": [2, 3, 4], "weights": [1.0, 1.0, 0.5]})


class Answers:
    """A transport that gives one answer, and keeps what it was asked."""

    def __init__(self, *answers: Response | TransportFault) -> None:
        self.answers = list(answers)

    async def send(self, request: Request) -> Response:
        answer = self.answers.pop(0)
        if isinstance(answer, TransportFault):
            raise answer
        return answer

    async def aclose(self) -> None:
        pass


def asked(path: str = "optim_step", body: Any = None, **more: Any) -> Request:
    content = body if isinstance(body, bytes) else orjson.dumps(body) if body is not None else None
    headers = {"X-API-Key": KEY, "Cookie": "session=hidden", **more.pop("headers", {})}
    method = more.pop("method", "POST")
    return Request(method=method, url=f"http://a.host/api/v1/{path}", headers=headers, content=content, **more)


def json_answer(body: Any, **headers: str) -> Response:
    headers = {"content-type": "application/json", **headers}
    return Response(status=200, headers=headers, content=orjson.dumps(body))


def send(transport: Transport, request: Request) -> Response:
    return loop.run(transport.send(request)).result(10)


def recorded(tmp_path: Path, *exchanges: tuple[Request, Response | TransportFault]) -> Path:
    """A recording of these exchanges."""
    file = tmp_path / "recording.jsonl"
    transport = RecordingTransport(Answers(*(answer for _, answer in exchanges)), file)
    for request, answer in exchanges:
        if isinstance(answer, TransportFault):
            with pytest.raises(TransportFault):
                send(transport, request)
        else:
            assert send(transport, request) is answer
    return file


def research(service: ServiceClient) -> list[Any]:
    """A training loop with everything in it; what it saw."""
    training = service.create_lora_training_client(MODEL, rank=2, seed=1).result(30)
    seen: list[Any] = [training.model_id]
    waiting: list[Any] = []
    for step in range(3):
        waiting.append(training.forward_backward([DATUM] * (step + 1), "cross_entropy"))
        waiting.append(training.optim_step(AdamParams(learning_rate=1e-3)))
    seen += [future.result(30).metrics for future in waiting]
    seen.append(training.save_state("kept").result(30).path)
    sampler = training.save_weights_and_get_sampling_client()
    params = SamplingParams(max_tokens=3, seed=4)
    samples = [sampler.sample(ModelInput.from_ints([1, 2, number]), 1, params) for number in range(5)]
    seen += [sample.result(30).sequences[0].tokens for sample in samples]
    seen.append(
        [entry.tinker_path for entry in service.create_rest_client().list_user_checkpoints().result(30).checkpoints]
    )
    return seen


def test_a_recorded_training_loop_runs_again_without_a_server(make_client: MakeClient, tmp_path: Path) -> None:
    file = tmp_path / "loop.jsonl"
    with make_client() as plain:
        connection = plain._session.connection
        recording = RecordingTransport(connection.transport, file)
        with ServiceClient(base_url=connection.base_url, api_key=KEY, transport=recording) as service:
            first = research(service)
    for key in ("tml-another-key", None):
        with (
            no_waiting(),
            ServiceClient(base_url="http://nowhere.invalid", api_key=key, transport=ReplayTransport(file)) as service,
        ):
            assert research(service) == first
    text = file.read_text(encoding="utf-8")
    assert KEY not in text
    assert '"base64"' in text, "passes travel as protobuf"


def test_faults_are_recorded_and_replayed(tmp_path: Path) -> None:
    def stepped(transport: Transport) -> list[tuple[int | None, str | None]]:
        calls = FaultTransport(transport)
        options: dict[str, Any] = {"base_url": "http://scripted.test", "api_key": KEY, "transport": calls}
        with no_waiting(), ServiceClient(**options) as service:
            training = service.create_lora_training_client("base").result(10)
            training.optim_step(AdamParams(learning_rate=1e-3)).result(10)
        return [(call.status, call.error) for call in calls.calls_to("optim_step")]

    file = tmp_path / "faults.jsonl"
    plan = FaultPlan.at(("optim_step", 1), "cut_after_commit") | FaultPlan.at(("optim_step", 2), "429_retry_after")
    first = stepped(RecordingTransport(FaultTransport(ScriptedServer().transport(), plan), file))
    assert first == [(None, "lost"), (429, None), (200, None)]
    assert stepped(ReplayTransport(file)) == first


def test_nothing_secret_is_written(tmp_path: Path) -> None:
    body = {
        "weights_access_token": "hidden-1",
        "nested": [{"password": "hidden-2"}, f"key {KEY}", JWT],
        "link": "https://storage/x.tar?X-Amz-Signature=hidden-3&part=1",
    }
    answer = json_answer({"jwt": JWT, "api_key": "tml-ABCDEFGHIJKLMNOPQRSTUVWX"}, **{"set-cookie": "hidden-4"})
    packed = zstandard.ZstdCompressor().compress(b"\x08\xff" + KEY.encode() + b"\xff")
    file = recorded(
        tmp_path,
        (asked("auth/token", body), answer),
        (asked("forward_backward", b"\x08\xff" + KEY.encode() + b"\xff"), json_answer({})),
        (asked("forward_backward", packed, headers={"Content-Encoding": "zstd"}), json_answer({})),
        (asked("checkpoints?token=hidden-5&limit=2", method="GET"), json_answer({})),
        (asked("text", f"plain {KEY}".encode()), TransportFault("lost", f"broke: {KEY}")),
    )
    text = file.read_text(encoding="utf-8")
    for secret in (KEY, JWT, "hidden", "tml-ABCDEF", base64.b64encode(KEY.encode()).decode()[:8]):
        assert secret not in text
    lines = [orjson.loads(line) for line in text.splitlines()[1:]]
    assert lines[0]["answer"]["body"]["json"]["jwt"] == WORTHLESS_JWT
    assert lines[0]["request"]["body"]["json"]["link"].endswith("?X-Amz-Signature=***&part=1")
    binary = base64.b64decode(lines[1]["request"]["body"]["base64"])
    assert binary == b"\x08\xff" + b"*" * len(KEY) + b"\xff", "lengths in a protobuf stay true"
    assert lines[2]["request"]["body"] == lines[1]["request"]["body"], "what is packed is unpacked first"


def test_a_recorded_token_can_be_read_and_opens_nothing() -> None:
    assert token_claims(WORTHLESS_JWT)["exp"] > 4_000_000_000
    assert WORTHLESS_JWT.endswith(".")


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["tokens", "path", "x"]), inner),
        max_leaves=12,
    )
)
def test_what_is_no_secret_stays_as_it_is(value: Any) -> None:
    assert Scrubber(("tml-test-key",)).json(value) == value


def test_answers_come_back_as_they_were(tmp_path: Path) -> None:
    answers = [
        json_answer({"metrics": {"loss:sum": 0.1 + 0.2}}, **{"retry-after": "3", "x-request-id": "r"}),
        Response(status=200, headers={"content-type": "application/x-protobuf"}, content=b"\x00\xff\x01"),
        Response(status=200, headers={"content-type": "application/json"}, content=b'{"loss": NaN}'),
        Response(status=404, headers={"content-type": "text/plain"}, content=b"not here"),
        Response(status=204),
    ]
    file = recorded(tmp_path, *((asked(f"samplers/{n}", method="GET"), answer) for n, answer in enumerate(answers)))
    replay = ReplayTransport(file)
    for number, answer in enumerate(answers):
        assert send(replay, asked(f"samplers/{number}", method="GET")) == answer


def test_equal_requests_get_their_answers_in_order_and_the_last_again(tmp_path: Path) -> None:
    poll = asked("retrieve_future", {"request_id": "r", "allow_metadata_only": True})
    file = recorded(
        tmp_path,
        (poll, TransportFault("timeout", "slow")),
        (poll, json_answer({"type": "try_again"})),
        (poll, json_answer({"done": 1})),
    )
    replay = ReplayTransport(file)
    with pytest.raises(TransportFault, match="slow") as fault:
        send(replay, poll)
    assert fault.value.kind == "timeout"
    again = asked("retrieve_future", {"request_id": "r", "allow_metadata_only": False})
    answers = [orjson.loads(send(replay, request).content) for request in (poll, again, poll, again)]
    assert answers == [{"type": "try_again"}, {"done": 1}, {"done": 1}, {"done": 1}]


@pytest.mark.parametrize(
    ("endpoint", "first", "second"),
    [
        ("create_session", {"tags": [], "sdk_version": "1"}, {"tags": [], "sdk_version": "2"}),
        ("asample", {"prompt": [1], "seq_id": 3}, {"prompt": [1], "seq_id": 4}),
        ("retrieve_futures", {"target": "s", "prev_cursor": 1}, {"target": "s", "prev_cursor": 2, "timeout": 0}),
        ("optim_step?b=2&a=1", {"x": 1, "y": 2}, {"y": 2, "x": 1}),
    ],
)
def test_what_differs_from_run_to_run_is_not_compared(
    tmp_path: Path, endpoint: str, first: dict[str, Any], second: dict[str, Any]
) -> None:
    file = recorded(tmp_path, (asked(endpoint, first), json_answer({"n": 1})))
    other = asked(endpoint.replace("b=2&a=1", "a=1&b=2"), second)
    assert orjson.loads(send(ReplayTransport(file), attrs.evolve(other, timeout=1.0)).content) == {"n": 1}


def test_a_request_that_was_not_recorded_is_told_with_the_nearest_one(tmp_path: Path) -> None:
    bodies = [{"model_id": "m", "seq_id": n, "adam_params": {"learning_rate": 0.1 * n}} for n in (1, 2)]
    file = recorded(
        tmp_path,
        *((asked("optim_step", body), json_answer({})) for body in bodies),
        (asked("save_weights", {"model_id": "m", "seq_id": 3, "path": "kept"}), json_answer({})),
    )
    replay = ReplayTransport(file)
    with pytest.raises(NotRecordedError, match="POST /api/v1/optim_step was not recorded") as error:
        send(replay, asked("optim_step", {**bodies[1], "adam_params": {"learning_rate": 0.5}}))
    assert error.value.nearest is not None
    assert error.value.nearest.body["json"]["seq_id"] == 2
    assert '-      "learning_rate": 0.2' in str(error.value)
    assert '+      "learning_rate": 0.5' in str(error.value)
    assert "record anew" in str(error.value)
    with pytest.raises(NotRecordedError) as error:
        send(replay, asked("save_weights_for_sampler", {}))
    assert error.value.nearest is not None
    assert error.value.nearest.path == "/api/v1/save_weights"


def test_an_empty_recording_has_nothing_near(tmp_path: Path) -> None:
    with pytest.raises(NotRecordedError, match="the recording is empty"):
        send(ReplayTransport(recorded(tmp_path)), asked())


@pytest.mark.parametrize("endpoint", ["session_heartbeat", "telemetry"])
def test_background_requests_need_no_recording(tmp_path: Path, endpoint: str) -> None:
    assert send(ReplayTransport(recorded(tmp_path)), asked(endpoint, {"at": 1})).status == 200


def test_the_caller_of_a_client_gets_the_typed_error(tmp_path: Path) -> None:
    file = recorded(tmp_path)
    with ServiceClient(base_url="http://a.host", api_key=KEY, transport=ReplayTransport(file)) as service:
        with pytest.raises(NotRecordedError, match="client/config") as error:
            service.get_server_capabilities()
        assert isinstance(error.value, TinkerError)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "its first line is not"),
        (b'{"format": "something else"}\n', "its first line is not"),
        (b"not JSON\n", "its first line is not"),
        (b'{"format":"tinker-hl recording","version":1}\n{"request": {}}\n', "line 2: not an exchange"),
        (b'{"format":"tinker-hl recording","version":1}\n{"requ', "line 2: not an exchange"),
    ],
)
def test_a_file_that_is_no_recording_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(RecordingError, match=told):
        ReplayTransport(file)


def test_recording_replaces_what_was_there(tmp_path: Path) -> None:
    recorded(tmp_path, (asked(body={"n": 1}), json_answer({})))
    file = recorded(tmp_path, (asked(body={"n": 2}), json_answer({})))
    assert [orjson.loads(line).get("request", {}).get("body") for line in file.read_bytes().splitlines()] == [
        None,
        {"json": {"n": 2}},
    ]


def test_a_reply_of_the_scripted_server_is_kept_whole(tmp_path: Path) -> None:
    server, file = ScriptedServer(), tmp_path / "recording.jsonl"
    server.faults["optim_step"] = [
        Reply(503, {"detail": "busy"}, {"x-should-retry": "true", "server": "secret-software"})
    ]
    transport = RecordingTransport(server.transport(), file)
    send(transport, asked("optim_step", {}))
    kept = orjson.loads(file.read_bytes().splitlines()[1])["answer"]
    assert kept["headers"] == {"content-type": "application/json", "x-should-retry": "true"}
