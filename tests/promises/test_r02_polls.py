"""R2: a poll that finds no result costs nothing: a result arrives within the job's time, a round trip and 100 ms.

In virtual time: the server holds each poll for its window, or until the job is done, and says then to try again.
"""

import math
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinker_hl import AdamParams, ModelInput, RetryPolicy, SamplingParams, ServiceClient
from tinker_hl.retry import InstantClock
from tinker_hl.transport.base import Request, Response

ROUND_TRIP = 0.05
ALLOWED = 0.1


class SlowJobs:
    """A transport in virtual time. A job is done `job` seconds after it was taken; a poll is held for `window`.

    `statuses` says how the server tells that there is no result yet: a 408, or a body with `try_again`.
    """

    def __init__(self, clock: InstantClock, job: float, window: float, status: int = 200) -> None:
        self._clock = clock
        self._job, self._window, self._status = job, window, status
        self._done_at = 0.0
        self.polls = 0

    async def send(self, request: Request) -> Response:
        name = request.url.rsplit("/", 1)[-1]
        await self._clock.sleep(ROUND_TRIP / 2)
        response = await self._answer(name)
        await self._clock.sleep(ROUND_TRIP / 2)
        return response

    async def aclose(self) -> None:
        return None

    async def _answer(self, name: str) -> Response:
        if name == "retrieve_future":
            return await self._held()
        answers: dict[str, Any] = {
            "create_session": {"session_id": "S"},
            "create_model": {"request_id": "r"},
            "create_sampling_session": {"sampling_session_id": "S:sample:0"},
            "get_info": {"model_id": "S:train:0", "model_data": {"model_name": "base"}},
            "optim_step": {"request_id": "r"},
            "asample": {"request_id": "r"},
            "finish": {},
        }
        if name in ("optim_step", "asample"):
            self._done_at = self._clock.now() + self._job
        return _json(200, answers[name]) if name in answers else _json(404, {})

    async def _held(self) -> Response:
        self.polls += 1
        left = self._done_at - self._clock.now()
        await self._clock.sleep(max(0.0, min(left, self._window)))
        if self._clock.now() < self._done_at - 1e-9:
            return _json(self._status, {"type": "try_again", "request_id": "r", "queue_state": "active"})
        return _json(200, {"model_id": "S:train:0", "metrics": {}, "sequences": []})


def _json(status: int, body: Any) -> Response:
    return Response(status=status, headers={"content-type": "application/json"}, content=orjson.dumps(body))


def took(job: float, window: float, status: int = 200, *, sample: bool = False) -> tuple[float, int]:
    """Virtual seconds from the call to its result, and the polls that it cost."""
    clock = InstantClock()
    transport = SlowJobs(clock, job, window, status)
    service = ServiceClient(
        base_url="http://slow.test", api_key="tml-k", transport=transport, clock=clock, retry_policy=RetryPolicy()
    )
    client: Any
    if sample:
        client = service.create_sampling_client(base_model="base").result(30)
    else:
        client = service.create_lora_training_client("base").result(30)
    transport.polls, began = 0, clock.now()
    if sample:
        client.sample(ModelInput.from_ints([1]), 1, SamplingParams(max_tokens=1)).result(60)
    else:
        client.optim_step(AdamParams()).result(60)
    seconds, polls = clock.now() - began, transport.polls
    service.close().result(30)
    return seconds, polls


@pytest.mark.parametrize("status", [200, 408])
@pytest.mark.parametrize("sample", [False, True], ids=["training", "sample"])
@pytest.mark.parametrize("window", [0.1, 0.5, 1.0, 5.0, 40.0])
@pytest.mark.parametrize("job", [0.0, 0.3, 7.3, 61.7])
def test_r02_a_slow_job_costs_its_time_and_a_round_trip(job: float, window: float, status: int, sample: bool) -> None:
    seconds, polls = took(job, window, status, sample=sample)
    submission = ROUND_TRIP
    assert seconds <= submission + job + ROUND_TRIP + ALLOWED
    assert polls <= math.ceil(job / window) + 1


@settings(deadline=None, max_examples=60)
@given(job=st.floats(0.0, 400.0), window=st.floats(0.1, 45.0))
def test_r02_any_job_and_any_window(job: float, window: float) -> None:
    seconds, polls = took(job, window)
    assert seconds <= ROUND_TRIP + job + ROUND_TRIP + ALLOWED
    assert polls <= math.ceil(job / window) + 1


def test_r02_a_server_that_does_not_hold_polls_is_not_asked_without_pause() -> None:
    seconds, polls = took(300.0, 0.0)
    assert seconds <= 300.0 + 3 * ROUND_TRIP + 1.0
    assert polls <= 620
