"""Samples: back-pressure, lost results, cancellation, copies in other processes."""

import asyncio
import concurrent.futures
import pickle
from typing import Any

import pytest
from scripted_server import Reply, ScriptedServer, Seen

import tinker_hl
from tinker_hl import ModelInput, RetryConfig, SamplingClient, SamplingParams, TensorData
from tinker_hl.clients.sampler import CLONE_BLOCK
from tinker_hl.retry import InstantClock

PROMPT = ModelInput.from_ints([1, 2, 3])


def test_pushed_back_samples_wait_and_keep_their_number() -> None:
    server, clock = ScriptedServer(), InstantClock()
    server.faults["asample"] = [Reply(429, headers={"retry-after": "3"}), Reply(429)]
    with server.client(clock=clock) as service:
        sampling = service.create_sampling_client(base_model="base")
        sampling.sample(PROMPT, 1, SamplingParams()).result(10)
        sampling.sample(PROMPT, 1, SamplingParams()).result(10)
    assert [request.json["seq_id"] for request in server.paths("asample")] == [0, 0, 0, 1]
    assert clock.now() >= 4.0
    assert server.paths("asample")[0].headers["x-tinker-sampling-backpressure"] == "1"


def test_back_pressure_is_not_waited_out_where_retries_are_off() -> None:
    server = ScriptedServer()
    server.faults["asample"] = [Reply(429)] * 3
    with server.client() as service:
        config = RetryConfig(enable_retry_logic=False)
        sampling = service.create_sampling_client(base_model="base", retry_config=config)
        with pytest.raises(tinker_hl.RateLimitError):
            sampling.sample(PROMPT, 1, SamplingParams()).result(10)


def test_a_lost_result_is_drawn_again_under_a_new_number() -> None:
    server = ScriptedServer()
    server.faults["retrieve_future"] = [Reply(410)]
    with server.client() as service:
        sampling = service.create_sampling_client(base_model="base")
        assert sampling.sample(PROMPT, 1, SamplingParams()).result(10).sequences
    assert [request.json["seq_id"] for request in server.paths("asample")] == [0, 1]


def test_sequence_ids_are_taken_where_the_server_gives_them() -> None:
    server = ScriptedServer()

    async def named(request: Seen) -> Reply:
        ids = [f"q{index}" for index in range(request.json["num_samples"])]
        return Reply(body={**server.on_asample(request), "sample_sequence_ids": ids})

    server.faults["asample"] = [named]
    with server.client() as service:
        sampling = service.create_sampling_client(base_model="base")
        with_ids = sampling.sample(PROMPT, 2, SamplingParams()).result(10)
        without = sampling.sample(PROMPT, 2, SamplingParams()).result(10)
    assert [sequence.sequence_id for sequence in with_ids.sequences] == ["q0", "q1"]
    assert [sequence.sequence_id for sequence in without.sequences] == [None, None]


def test_one_value_too_few_is_made_good() -> None:
    server = ScriptedServer()
    sequence = {"stop_reason": "length", "tokens": [4], "logprobs": [-1.0]}
    server.results["Sample"] = {"sequences": [sequence], "prompt_logprobs": [-2.0, -3.0]}
    with server.client() as service:
        sampling = service.create_sampling_client(base_model="base")
        assert sampling.compute_logprobs(PROMPT).result(10) == [None, -2.0, -3.0]


def test_only_what_is_used_is_sent() -> None:
    server = ScriptedServer()
    with server.client() as service:
        sampling = service.create_sampling_client(base_model="base")
        sampling.sample(PROMPT, 1, SamplingParams(max_tokens=4, stop=[])).result(10)
        sampling.sample(
            PROMPT, 1, SamplingParams(), include_prompt_logprobs=True, topk_sample_logprobs=2, prompt_logprobs_last_n=1
        ).result(10)
    plain, full = (request.json for request in server.paths("asample"))
    assert not {"topk_sample_logprobs", "prompt_alt_tokens_k", "record_stability_info"} & set(plain)
    assert plain["sampling_params"]["stop"] == []
    assert plain["prompt"]["chunks"][0]["tokens"] == [1, 2, 3]
    assert full["topk_sample_logprobs"] == 2
    assert full["prompt_logprobs_last_n"] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_samples": 0},
        {"prompt_alt_tokens_k": -1},
        {"prompt_logprobs_last_n": 1},
        {"prompt_logprobs_last_n": 0, "include_prompt_logprobs": True},
        {"topk_prompt_logprobs": -1},
        {"topk_sample_logprobs": -1},
        {"target_prompt_logprobs": TensorData(data=[1, 2], dtype="int64", shape=[2])},
        {"target_prompt_logprobs": TensorData(data=[1, 2], dtype="int64")},
        {"target_prompt_logprobs": TensorData(data=[1, 2, 3], dtype="int64", shape=[3, 1])},
        {"target_prompt_logprobs": TensorData(data=[1.0, 2.0], dtype="float32", shape=[2, 1])},
    ],
)
def test_arguments_that_make_no_sense_are_refused_at_the_call(arguments: dict[str, object]) -> None:
    server = ScriptedServer()
    with server.client() as service:
        sampling = service.create_sampling_client(base_model="base").result(10)
        with pytest.raises(ValueError, match=r"num_samples|prompt|topk"):
            sampling.sample(PROMPT, sampling_params=SamplingParams(), **({"num_samples": 1} | arguments))  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="ModelInput"):
            sampling.sample([1, 2], 1, SamplingParams())  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="SamplingParams"):
            sampling.sample(PROMPT, 1, {"max_tokens": 1})  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="prompt_logprobs_last_n"):
            sampling.compute_logprobs(PROMPT, prompt_logprobs_last_n=0)
        with pytest.raises(ValueError, match="model_path"):
            service.create_sampling_client()
        with pytest.raises(ValueError, match="tinker://"):
            service.create_sampling_client("weights/1").result(10)


ONE: dict[str, Any] = {"sequences": [{"stop_reason": "stop", "tokens": [1], "logprobs": [-0.5]}]}


@pytest.mark.parametrize(
    ("asked", "answered", "says"),
    [
        ({"prompt_alt_tokens_k": 2}, ONE, "no alternatives"),
        ({"target_prompt_logprobs": TensorData([[1], [2]], "int64", [2, 1])}, ONE, "no targets"),
        (
            {"include_prompt_logprobs": True, "prompt_logprobs_last_n": 1},
            ONE | {"prompt_logprobs": [None, -1.0, -2.0]},
            "earlier positions",
        ),
    ],
)
def test_an_answer_to_another_question_is_a_typed_error(
    asked: dict[str, Any], answered: dict[str, Any], says: str
) -> None:
    server = ScriptedServer()
    server.results["Sample"] = answered
    with server.client() as service:
        sampling = service.create_sampling_client(base_model="base")
        with pytest.raises(tinker_hl.errors.UnexpectedAnswerError, match=says) as error:
            sampling.sample(PROMPT, 1, SamplingParams(), **asked).result(10)
        assert isinstance(error.value, RuntimeError)
        assert isinstance(error.value, tinker_hl.APIResponseValidationError)


def test_an_answer_that_is_none_is_a_typed_error() -> None:
    server = ScriptedServer()
    server.results["Sample"] = {"sequences": [{"tokens": [1]}]}
    with server.client() as service:
        sampling = service.create_sampling_client(base_model="base")
        with pytest.raises(tinker_hl.APIResponseValidationError, match="stop_reason"):
            sampling.sample(PROMPT, 1, SamplingParams()).result(10)


def test_other_numbers_of_names_than_of_samples_are_a_typed_error() -> None:
    server = ScriptedServer()

    async def named(request: Seen) -> Reply:
        return Reply(body={**server.on_asample(request), "sample_sequence_ids": ["q0"]})

    server.faults["asample"] = [named]
    with server.client() as service:
        sampling = service.create_sampling_client(base_model="base")
        with pytest.raises(tinker_hl.APIResponseValidationError, match="2 sequences for 1 sequence ids"):
            sampling.sample(PROMPT, 2, SamplingParams()).result(10)


def test_alternatives_are_read_from_json_too() -> None:
    server = ScriptedServer()
    drawn = {"tokens": {"data": [7, 8, 9, 7], "dtype": "int64", "shape": [2, 2]}}
    drawn["logprobs"] = {"data": [-1.0, -2.0, -3.0, -4.0], "dtype": "float32", "shape": [2, 2]}
    server.results["Sample"] = ONE | {"prompt_alt_tokens": drawn}
    with server.client() as service:
        sampling = service.create_sampling_client(base_model="base")
        response = sampling.sample(PROMPT, 1, SamplingParams(), prompt_alt_tokens_k=2).result(10)
    assert response.prompt_alt_tokens is not None
    assert response.prompt_alt_tokens.tokens.tolist() == [[7, 8], [9, 7]]
    assert response.prompt_alt_tokens.logprobs.tolist() == [[-1.0, -2.0], [-3.0, -4.0]]


def test_a_cancelled_sample_is_cancelled_on_the_server_too() -> None:
    server = ScriptedServer(config={})
    server.faults["dynamic_config"] = [Reply(body={"sample_cancel_enabled": True})]
    polled, told = asyncio.Event(), asyncio.Event()

    async def hold(request: Seen) -> Reply:
        polled.set()
        await asyncio.Event().wait()
        return Reply()

    async def heard(request: Seen) -> Reply:
        told.set()
        return Reply()

    server.faults["retrieve_future"] = [hold]
    server.faults["cancel_future"] = [heard]
    with server.client() as service:
        future = service.create_sampling_client(base_model="base").sample(PROMPT, 1, SamplingParams())
        _wait(polled)
        assert future.cancel()
        _wait(told)
        with pytest.raises(concurrent.futures.CancelledError):
            future.result(10)
    assert server.paths("cancel_future")[0].json == {"request_id": "r0"}


def _wait(event: asyncio.Event) -> None:
    from tinker_hl import loop

    async def wait() -> None:
        await event.wait()

    loop.run(wait()).result(10)


def test_samples_are_limited_where_the_caller_says_so() -> None:
    server = ScriptedServer()
    under_way, most = 0, 0

    async def slow(request: Seen) -> Reply:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return Reply(body=server.on_asample(request))

    server.faults["asample"] = [slow] * 12
    with server.client() as service:
        config = RetryConfig(max_connections=3)
        sampling = service.create_sampling_client(base_model="base", retry_config=config)
        futures = [sampling.sample(PROMPT, 1, SamplingParams()) for _ in range(12)]
        concurrent.futures.wait(futures, 20)
        assert all(future.result().sequences for future in futures)
    assert most == 3


def test_a_pickle_names_the_sampler_and_holds_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    from tinker_hl import ServiceClient
    from tinker_hl.clients.sampler import Sampler
    from tinker_hl.connection import Connection
    from tinker_hl.session import Session

    session = Session(Connection("http://127.0.0.1:9", "tml-very-secret"), session_id="S")
    client = SamplingClient(
        Sampler(
            session, sampling_session_id="S:sample:3", base_model="base", retry_config=RetryConfig(max_connections=7)
        )
    )
    monkeypatch.setenv("TINKER_API_KEY", "tml-of-the-reader")
    content = pickle.dumps(client)
    assert b"very-secret" not in content
    first, second = pickle.loads(content), pickle.loads(content)
    assert first._sampler.sampling_session_id == "S:sample:3"
    assert first.get_base_model() == "base"
    assert first._sampler.retry_config == RetryConfig(max_connections=7)
    assert first._sampler.session is second._sampler.session
    assert first._sampler.session.connection.credential.secrets == ("tml-of-the-reader",)
    handle = client.get_sampler_handle()
    assert SamplingClient.from_sampler_handle(handle, api_key="tml-x")._sampler.base_model == "base"
    with pytest.raises(TypeError, match="ServiceClient"):
        pickle.dumps(ServiceClient(base_url="http://127.0.0.1:9"))


def test_a_copy_numbers_its_samples_in_a_block_of_its_own() -> None:
    server = ScriptedServer()
    with server.client() as service:
        client = service.create_sampling_client(base_model="base").result(10)
        with pytest.raises(TypeError, match="transport"):
            pickle.dumps(client)
        client._sampler.after_fork()
        client.sample(PROMPT, 1, SamplingParams()).result(10)
        client.sample(PROMPT, 1, SamplingParams()).result(10)
    first, second = (request.json["seq_id"] for request in server.paths("asample"))
    assert first >= CLONE_BLOCK
    assert second == first + 1


def test_a_copy_asks_for_its_block_where_the_server_hands_them_out() -> None:
    server = ScriptedServer(config={"sample_join_sampling_session": True})
    server.faults["join_sampling_session"] = [Reply(body={"client_counter": 5, "type": "join_sampling_session"})]
    with server.client() as service:
        client = service.create_sampling_client(base_model="base").result(10)
        client._sampler.after_fork()
        client.sample(PROMPT, 1, SamplingParams()).result(10)
    assert server.paths("asample")[0].json["seq_id"] == 5 * CLONE_BLOCK


def test_a_copy_that_got_no_block_asks_again_for_the_next_sample() -> None:
    server = ScriptedServer(config={"sample_join_sampling_session": True})
    joined = Reply(body={"client_counter": 5, "type": "join_sampling_session"})
    server.faults["join_sampling_session"] = [Reply(403, {"detail": "not now"}), joined]
    with server.client() as service:
        client = service.create_sampling_client(base_model="base").result(10)
        client._sampler.after_fork()
        with pytest.raises(tinker_hl.PermissionDeniedError):
            client.sample(PROMPT, 1, SamplingParams()).result(10)
        client.sample(PROMPT, 1, SamplingParams()).result(10)
        client.sample(PROMPT, 1, SamplingParams()).result(10)
    assert [request.json["seq_id"] for request in server.paths("asample")] == [5 * CLONE_BLOCK, 5 * CLONE_BLOCK + 1]
