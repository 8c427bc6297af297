"""R3: the service answers each long poll within 30 s, however long the work takes, and sooner where the work is done.

In virtual time: a loop whose clock goes to the next moment that somebody waits for.
"""

import asyncio
import heapq
import math
from collections.abc import Awaitable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinker_local.callers import Caller
from tinker_local.clock import Clock
from tinker_local.futures import Futures, JsonAnswer, Promise
from tinker_local.handlers.call import Call
from tinker_local.handlers.futures import HANDLERS
from tinker_local.settings import Settings
from tinker_local.under_way import UnderWay
from tinker_local.unfetched import Unfetched

MOST = 30.0
OWNER = "ann"
JOBS = st.floats(0.0, 5_000.0) | st.sampled_from([0.0, 24.999, 25.0, 25.001, 29.999, 30.0, 50.0, math.inf])


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on which waiting takes no time."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        waiting: list[Any] = self._scheduled  # type: ignore[attr-defined]
        while waiting and waiting[0].cancelled():
            heapq.heappop(waiting)._scheduled = False
        if waiting and not self._ready:  # type: ignore[attr-defined]
            self.now = max(self.now, waiting[0].when())
        super()._run_once()  # type: ignore[misc]


def virtually(work: Awaitable[Any]) -> Any:
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


class Place:
    """The handlers of polls with what they need of a service, as it is unless told otherwise."""

    def __init__(self) -> None:
        self.futures = Futures(
            Clock(),
            600.0,
            unfetched=Unfetched(Clock().monotonic, 600.0, 1000, 2**30),
            recall=lambda _: None,
            existed=lambda *_: False,
        )
        keeping = SimpleNamespace(delivered=lambda _: None)
        samplers = SimpleNamespace(
            get=lambda sampler_id, _: SimpleNamespace(sampler_id=sampler_id, admit=lambda _: None)
        )
        chosen = Settings(data_dir=Path("nowhere"), models=())
        self._service: Any = SimpleNamespace(futures=self.futures, settings=chosen, samplers=samplers, keeping=keeping)

    async def asked(self, operation_id: str, body: dict[str, Any]) -> tuple[Any, float]:
        """The answer, and the seconds that it took."""
        request: Any = SimpleNamespace(headers={})
        share = UnderWay(1).share()
        call = Call(service=self._service, request=request, caller=Caller(OWNER), share=share, parameters={}, body=body)
        loop = asyncio.get_running_loop()
        began = loop.time()
        result: Any = await HANDLERS[operation_id](call)
        return (result if isinstance(result, dict) else orjson.loads(result.body)), loop.time() - began

    def promise(self, job: float, feed: Any = None) -> Promise:
        """Work that is done after so long; infinitely long is never."""
        promise = self.futures.add(Promise(request_id="r", owner=OWNER, feed=feed))
        if job < math.inf:
            asyncio.get_running_loop().call_later(job, promise.resolve, JsonAnswer({"done": True}))
        return promise


@settings(deadline=None, max_examples=100)
@given(job=JOBS)
def test_r03_each_poll_is_answered_within_30_seconds_however_long_the_work_takes(job: float) -> None:
    async def story() -> None:
        place, loop = Place(), asyncio.get_running_loop()
        place.promise(job)
        for polls in range(1, 1000):
            answer, seconds = await place.asked("retrieve_future", {"request_id": "r"})
            assert seconds <= MOST
            if answer.get("type") != "try_again":
                assert loop.time() == pytest.approx(job), "it is told when it is done, and not later"
                return
            assert seconds >= MOST / 2, "a poll without a result is held, so that clients need few"
            if job == math.inf and polls == 50:
                return
        raise AssertionError("the result never came")

    virtually(story())


@settings(deadline=None, max_examples=100)
@given(job=JOBS, wanted=st.none() | st.floats(0.0, 1e9))
def test_r03_so_is_each_poll_for_news_whatever_the_client_asks_for(job: float, wanted: float | None) -> None:
    async def story() -> None:
        place = Place()
        place.promise(job, place.futures.feed("s:sample:0", 0))
        target = {"type": "sampling_session", "sampling_session_id": "s:sample:0", "cloned_sampler_id": 0}
        body = {"target": target, "prev_cursor": 0, "retrieved_request_ids": [], "timeout": wanted}
        answer, seconds = await place.asked("retrieve_futures", body)
        assert seconds <= min(MOST, math.inf if wanted is None else wanted)
        assert seconds <= job
        assert answer["cursor"] == len(answer["completions"])

    virtually(story())
