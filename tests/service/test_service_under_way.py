"""Bodies under way have a bound as a whole, and no bound keeps out for ever what others wait for."""

import asyncio
import random
from collections.abc import AsyncIterator
from concurrent.futures import Future
from typing import Any

import orjson
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from service_bench import Api, Bench, GatedEngine, pass_body, sample_body

from tinker_local.errors import ApiError
from tinker_local.under_way import Share, UnderWay

PASS = "/api/v1/forward_backward"
LARGE = 100_000
"""Bytes of a large body, about."""


def large_pass(model_id: str, seq_id: int, size: int = LARGE) -> dict[str, Any]:
    """A pass whose first token is its number, of `size` bytes."""
    body = pass_body(model_id, seq_id, seq_id)
    (datum,) = body["forward_backward_input"]["data"]
    count = (size - len(orjson.dumps(body))) // 4 + 2
    datum["model_input"]["chunks"] = [{"tokens": [seq_id] * count}]
    datum["loss_fn_inputs"]["target_tokens"] = {"data": [1] * count, "dtype": "int64", "shape": [count]}
    return body


def told(engine: GatedEngine) -> list[Any]:
    return [what for kind, what in engine.told if kind == "pass"]


def spooled(bench: Bench) -> int:
    return len(list((bench.data_dir / "spool").iterdir()))


def insistent(api: Api, body: dict[str, Any]) -> "Future[Any]":
    """Send it as clients do: again for as long as it is answered 429."""

    async def sent() -> Any:
        while True:
            answer = await api._send("forward_backward", body=body)
            if answer.status_code != 429:
                assert answer.status_code == 200, answer.text
                return answer.json()
            assert 0 < int(answer.headers["retry-after"]) <= 60  # the official clients wait for no longer
            await asyncio.sleep(0.002)

    return asyncio.run_coroutine_threadsafe(sent(), api._loop)


@pytest.fixture
def gated() -> GatedEngine:
    return GatedEngine()


def test_beyond_the_room_a_body_is_refused_unread_and_words_are_let_in(bench: Bench, gated: GatedEngine) -> None:
    api = bench.start(gated, max_bytes_under_way=3 * LARGE)
    session_id = api.session()
    model_id, sampler_id = api.model(session_id), api.sampler(session_id)
    api.do(gated.gate.clear)
    accepted = [api.ok("forward_backward", body=large_pass(model_id, seq_id)) for seq_id in (1, 2)]
    accepted.append(api.sample(sampler_id, 0, prompt={"chunks": [{"type": "encoded_text", "tokens": [1] * 30_000}]}))
    accepted.append(api.ok("forward_backward", body=large_pass(model_id, 3)))
    read = []

    async def body() -> AsyncIterator[bytes]:
        read.append(1)
        yield b"{}"

    headers = {"content-type": "application/json", "content-length": "1000"}
    refusal = api.request("POST", PASS, content=body(), headers=headers)
    assert (refusal.status_code, refusal.json()["code"], refusal.headers["retry-after"]) == (429, "busy", "1")
    assert "max_bytes_under_way" in refusal.json()["detail"]
    assert not read
    assert api.answer("sample", body=sample_body(sampler_id, 1)).status_code == 429
    api.ok("heartbeat_session", body={"session_id": session_id})
    step = api.ok("optim_step", body={"model_id": model_id, "seq_id": 4, "adam_params": {"learning_rate": 0.1}})
    api.do(gated.gate.set)
    assert [("error" in api.result(one)) for one in (*accepted, step)] == [False] * 5
    assert api.service.under_way.size == 0
    assert "metrics" in api.result(api.ok("forward_backward", body=large_pass(model_id, 5)))


def test_what_counts_is_what_came_and_what_it_unpacks_to(bench: Bench, gated: GatedEngine) -> None:
    api = bench.start(gated, max_bytes_under_way=LARGE)
    model_id = api.model()
    api.do(gated.gate.clear)
    packed = zstandard.compress(orjson.dumps(large_pass(model_id, 1, 2 * LARGE)))
    headers = {"content-type": "application/json", "content-encoding": "zstd"}
    first = api.ok("forward_backward", content=packed, headers=headers)
    assert len(packed) < LARGE / 10 < 2 * LARGE <= api.service.under_way.size

    async def undeclared() -> AsyncIterator[bytes]:
        yield orjson.dumps(large_pass(model_id, 2))

    assert api.request("POST", PASS, content=undeclared()).status_code == 429
    assert api.answer("forward_backward", content=packed, headers=headers).status_code == 429, "its repeat, too"
    api.do(gated.gate.set)
    assert "metrics" in api.result(first)
    assert api.request("POST", PASS, content=undeclared()).status_code == 200


def test_passes_behind_a_gap_go_to_the_disk_and_the_missing_one_is_let_in(bench: Bench, gated: GatedEngine) -> None:
    """As the official client sends a large call: its first part when all others are accepted."""
    api = bench.start(gated, max_bytes_under_way=8 * LARGE)
    models = [api.model() for _ in range(3)]
    early = [api.ok("forward_backward", body=large_pass(one, number)) for one in models for number in range(2, 12)]
    assert spooled(bench) >= 29
    assert 0 < api.service.under_way.size <= 2 * LARGE
    assert api.service.spool.size > 20 * LARGE
    late = [api.ok("forward_backward", body=large_pass(one, 1)) for one in models]
    results = [api.result(one) for one in (*early, *late)]
    assert all(len(result["loss_fn_outputs"][0]["logprobs"]["data"]) > 20_000 for result in results)
    assert sorted(told(gated)) == sorted([*range(1, 12)] * 3)
    assert (spooled(bench), api.service.spool.size, api.service.under_way.size) == (0, 0, 0)


def test_each_model_keeps_its_order_whether_a_pass_comes_from_the_disk_or_not(bench: Bench, gated: GatedEngine) -> None:
    api = bench.start(gated, max_bytes_under_way=8 * LARGE)
    model_id = api.model()
    steps = []
    for number in range(20, 1, -1):
        if number % 5:
            api.ok("forward_backward", body=large_pass(model_id, number))
        else:
            adam = {"model_id": model_id, "seq_id": number, "adam_params": {"learning_rate": 0.1}}
            steps.append(api.ok("optim_step", body=adam))
    assert 0 < spooled(bench) < 16
    api.ok("forward_backward", body=large_pass(model_id, 1))
    assert [api.result(step)["metrics"]["passes:sum"] for step in steps] == [4.0] * 4
    assert told(gated) == [number for number in range(1, 20) if number % 5]


def test_the_disk_has_a_bound_that_is_named(bench: Bench, gated: GatedEngine) -> None:
    api = bench.start(gated, max_bytes_under_way=2 * LARGE, max_spooled_bytes=6 * LARGE)
    model_id = api.model()
    answers = [api.answer("forward_backward", body=large_pass(model_id, number)) for number in range(2, 12)]
    refusal = answers[-1]
    assert (refusal.status_code, refusal.headers["retry-after"]) == (429, "5")
    assert "max_spooled_bytes" in refusal.json()["detail"]
    assert api.service.spool.size <= 6 * LARGE
    first = api.ok("forward_backward", body=large_pass(model_id, 1))
    waiting = [answer.json() for answer in answers if answer.status_code == 200]
    assert all("metrics" in api.result(one) for one in (first, *waiting))


@pytest.mark.parametrize("why", ["a repeat", "the session ended", "another body"])
def test_what_is_not_needed_leaves_the_disk(bench: Bench, gated: GatedEngine, why: str) -> None:
    api = bench.start(gated, max_bytes_under_way=LARGE)
    session_id = api.session()
    model_id = api.model(session_id)
    body = large_pass(model_id, 2)
    submitted = api.ok("forward_backward", body=body)
    assert spooled(bench) == 1
    if why == "a repeat":
        assert api.ok("forward_backward", body=body) == submitted
    elif why == "another body":
        api.refused(409, "forward_backward", body=large_pass(model_id, 2, LARGE + 100))
    else:
        api.ok("finish_session", path={"session_id": session_id}, body={"reason": {"type": "success"}})
        assert api.result(submitted)["category"] == "user"
    assert spooled(bench) == (why != "the session ended")
    assert api.service.under_way.size == 0


def test_data_that_cannot_be_read_back_fail_alone(bench: Bench, gated: GatedEngine) -> None:
    api = bench.start(gated, max_bytes_under_way=LARGE)
    model_id = api.model()
    broken, whole = (api.ok("forward_backward", body=large_pass(model_id, number)) for number in (2, 3))
    oldest = min((bench.data_dir / "spool").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    oldest.write_bytes(b"not what it was")
    api.ok("forward_backward", body=large_pass(model_id, 1))
    failure = api.result(broken)
    assert (failure["category"], "read back" in failure["error"]) == ("server", True)
    assert "metrics" in api.result(whole)


def test_a_run_that_is_restored_needs_no_more_room_than_it_has(bench: Bench, gated: GatedEngine) -> None:
    api = bench.start(gated, autosave_every=100, max_bytes_under_way=20 * LARGE)
    model_id = api.model()
    done = [api.ok("forward_backward", body=large_pass(model_id, number)) for number in range(1, 9)]
    assert all("metrics" in api.result(one) for one in done)
    bench.stop(api)
    restored = GatedEngine()
    restored.gate.clear()
    again = bench.start(restored, autosave_every=100, max_bytes_under_way=2 * LARGE)
    again.run(again.service.restoration.settled())
    files = [path.stat().st_size for path in (bench.data_dir / "spool").iterdir()]
    assert len(files) >= 4
    assert again.service.under_way.size <= 2 * LARGE + 2 * max(files) + 4 * max(files), "four are back, at most"
    again.do(restored.gate.set)
    step = {"model_id": model_id, "seq_id": 9, "adam_params": {"learning_rate": 0.1}}
    assert again.result(again.ok("optim_step", body=step))["metrics"]["passes:sum"] == 8.0
    assert told(restored) == list(range(1, 9))
    assert (spooled(bench), again.service.under_way.size) == (0, 0)


@pytest.mark.parametrize("seed", range(3))
def test_many_clients_whose_passes_come_in_any_order_all_end(bench: Bench, gated: GatedEngine, seed: int) -> None:
    """Each sends all of its passes at once, of any size, and sends again what is refused: nobody waits for ever."""
    chance = random.Random(seed)
    api = bench.start(gated, max_bytes_under_way=3 * LARGE)
    models = [api.model() for _ in range(4)]
    sizes = [1_000, LARGE, 4 * LARGE]
    bodies = [large_pass(one, number, chance.choice(sizes)) for one in models for number in range(1, 9)]
    chance.shuffle(bodies)
    submitted = [insistent(api, body) for body in bodies]
    assert all("metrics" in api.result(one.result(60)) for one in submitted)
    assert (spooled(bench), api.service.under_way.size, api.service.under_way.waiting) == (0, 0, 0)


class Bodies(RuleBasedStateMachine):
    """Requests come, grow, wait, go and end in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.whole = UnderWay(100)
        self.shares: list[Share] = []
        self.behind: set[Share] = set()

    @rule(size=st.integers(0, 150))
    def comes(self, size: int) -> None:
        share = self.whole.share()
        others = self.whole.size
        if size > 0 and others >= 100:
            with pytest.raises(ApiError):
                share.reach(size)
            share.settle()
        else:
            share.reach(size)
            self.shares.append(share)

    @rule(index=st.integers(0, 9))
    def waits(self, index: int) -> None:
        share = self._one(index)
        if share is not None and share not in self.behind:
            before = self.whole.waiting
            if share.wait():
                self.behind.add(share)
            else:
                assert before + share.size > 25
                share.take(0)

    @rule(index=st.integers(0, 9))
    def goes(self, index: int) -> None:
        share = self._one(index)
        if share is not None:
            share.go()
            self.behind.discard(share)

    @rule(index=st.integers(0, 9))
    def ends(self, index: int) -> None:
        share = self._one(index)
        if share is not None:
            share.release()
            share.release()
            self.shares.remove(share)
            self.behind.discard(share)

    @invariant()
    def counts_are_sums(self) -> None:
        assert self.whole.size == sum(share.size for share in self.shares)
        assert self.whole.waiting == sum(share.size for share in self.behind)

    @invariant()
    def there_is_a_bound(self) -> None:
        assert self.whole.size < 100 + 150
        assert self.whole.waiting <= 25

    @invariant()
    def what_waits_keeps_nothing_out(self) -> None:
        """If all that does not wait ended, any body would be let in."""
        assert self.whole.waiting < self.whole.most

    def _one(self, index: int) -> Share | None:
        return self.shares[index % len(self.shares)] if self.shares else None


TestBodies = Bodies.TestCase


@given(st.lists(st.integers(1, 300), min_size=1, max_size=20))
def test_a_body_alone_may_be_of_any_size(sizes: list[int]) -> None:
    share = UnderWay(100).share()
    for size in sizes:
        share.reach(size)
    assert share.size == sizes[-1]
