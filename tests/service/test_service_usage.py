"""Usage: tokens, checkpoints and storage by the hour, exactly what was done, kept over restarts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from service_bench import Api, Bench, pass_body, sample_body

from tinker_local.clock import rfc3339
from tinker_local.keys_cli import keys
from tinker_local.usage import _hours

HOUR = 3600


def hour_of(bench: Bench) -> float:
    return bench.clock.wall() // HOUR * HOUR


def asked(bench: Bench, hours: int = 1) -> dict[str, str]:
    begin = hour_of(bench)
    return {"starting_on": rfc3339(begin), "ending_before": rfc3339(begin + hours * HOUR)}


def amounts(api: Api, bench: Bench) -> dict[str, float]:
    """Of this hour, by kind; storage apart."""
    found: dict[str, float] = {}
    for event in api.ok("get_billing_usage", query=asked(bench))["data"]:
        info = event["event_info"]
        kind = info["type"] + ("_cached" if info.get("cached") else "")
        if kind != "storage":
            found[kind] = found.get(kind, 0) + info.get("token_count", info.get("count"))
    return found


@pytest.fixture(autouse=True)
def well_within_an_hour(bench: Bench) -> None:
    bench.clock.ahead += hour_of(bench) + HOUR + 60 - bench.clock.wall()


def test_every_token_is_counted_once(bench: Bench) -> None:
    api = bench.start()
    session_id = api.session()
    model_id = api.model(session_id)
    first = api.forward_backward(model_id, 1)
    api.result(first)
    assert api.forward_backward(model_id, 1) == first  # a repeat is not work
    body = pass_body(model_id, 2)
    body["forward_input"] = body.pop("forward_backward_input")
    api.result(api.ok("forward", body=body))
    api.save(model_id, 3, "a")
    sampled = api.result(api.sample(api.sampler(session_id), num_samples=3))
    drawn = sum(len(sequence["tokens"]) for sequence in sampled["sequences"])
    expected = {"training": 4, "sampling_prefill": 3, "sampling_sample": drawn, "checkpoint": 1}
    assert amounts(api, bench) == expected
    assert amounts(api, bench) == expected  # asking counts nothing
    bench.stop(api)
    assert amounts(bench.start(), bench) == expected


def test_an_event_says_whose_where_and_that_it_costs_nothing(bench: Bench) -> None:
    api = bench.start()
    body = {"tags": [], "sdk_version": "1", "project_id": "p", "user_metadata": {"a": 1}}
    session_id = api.ok("create_session", body=body)["session_id"]
    api.result(api.forward_backward(api.model(session_id), 1))
    answer = api.ok("get_billing_usage", query=asked(bench))
    (event,) = answer["data"]
    assert event["event_info"] == {"type": "training", "token_count": 2}
    assert (event["session_id"], event["project_id"], event["user_id"]) == (session_id, "p", "local")
    assert (event["estimated_cost_usd"], event["effective_rate_usd_per_million_tokens"]) == (0.0, 0.0)
    assert event["bucket_start"] == asked(bench)["starting_on"]
    assert answer["sessions"] == {session_id: {"user_metadata": {"a": "1"}}}


def test_sampling_without_a_session_is_counted_too(api: Api, bench: Bench) -> None:
    body = {**sample_body("x", 0), "base_model": "null/base"}
    del body["sampling_session_id"], body["seq_id"]
    api.result(api.ok("sample", body=body))
    assert amounts(api, bench)["sampling_prefill"] == 3


def test_work_that_failed_is_not_counted(api: Api, bench: Bench) -> None:
    model_id = api.model()
    body = {"model_id": model_id, "seq_id": 1, "path": "tinker://x:train:0/weights/none", "optimizer": False}
    api.refused(404, "load_weights", body=body)
    assert amounts(api, bench) == {}


def test_storage_is_counted_over_time_and_over_the_hour(api: Api, bench: Bench) -> None:
    api.save(api.model(), 1, "a")
    size = api.ok("list_checkpoints")["checkpoints"][0]["size_bytes"]
    query = asked(bench, 3)
    bench.clock.ahead += 2 * HOUR
    api.run(api.service.sweep())
    events = api.ok("get_billing_usage", query=query)["data"]
    stored = [event["event_info"]["gigabyte_hours"] for event in events if event["event_info"]["type"] == "storage"]
    full = size / 1e9
    assert stored == pytest.approx([full * (HOUR - 60) / HOUR, full, full * 60 / HOUR], rel=0.05)


def test_storage_is_counted_while_nobody_serves_it(bench: Bench) -> None:
    api = bench.start()
    api.save(api.model(), 1, "a")
    query = asked(bench, 2)
    bench.stop(api)
    bench.clock.ahead += HOUR
    events = bench.start().ok("get_billing_usage", query=query)["data"]
    stored = [event for event in events if event["event_info"]["type"] == "storage"]
    assert [event["bucket_start"] for event in stored] == [event["starting_on"] for event in (query, asked(bench))]


def test_a_failed_write_loses_no_count(api: Api, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    api.result(api.forward_backward(api.model(), 1))

    async def fail(*_: Any) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(api.service.records, "write", fail)
        with pytest.raises(OSError, match="full"):
            api.run(api.service.usage.flush())
    assert amounts(api, bench) == {"training": 2}


def test_each_sees_their_own_and_some_see_all(bench: Bench) -> None:
    def made(name: str, *more: str) -> dict[str, str]:
        arguments = ["create", "--name", name, "--data-dir", str(bench.data_dir), *more]
        return {"x-api-key": CliRunner().invoke(keys, arguments).output.strip()}

    ann, bob, boss = made("ann"), made("bob"), made("boss", "--scope", "all")
    api = bench.start()
    api.headers = ann
    api.result(api.forward_backward(api.model(), 1))
    assert amounts(api, bench) == {"training": 2}
    api.headers = bob
    assert amounts(api, bench) == {}
    api.headers = boss
    assert amounts(api, bench) == {"training": 2}


@pytest.mark.parametrize(
    ("begin", "end"),
    [(timedelta(minutes=1), HOUR), (timedelta(hours=2), HOUR), (timedelta(0), 0), (timedelta(0), 15 * 24 * HOUR)],
    ids=["not a full hour", "the future", "no time at all", "more than 14 days"],
)
def test_times_that_make_no_sense_are_refused(api: Api, bench: Bench, begin: timedelta, end: int) -> None:
    start = datetime.fromtimestamp(hour_of(bench), UTC) + begin
    query = {"starting_on": start.isoformat(), "ending_before": (start + timedelta(seconds=end)).isoformat()}
    api.refused(422, "get_billing_usage", query=query)


@pytest.mark.parametrize("text", ["2026-06-30T23:59:60Z", "yesterday", "2026-06-30", "2026-06-30T00:00:00"])
def test_what_is_no_moment_is_refused(api: Api, bench: Bench, text: str) -> None:
    api.refused(422, "get_billing_usage", query={**asked(bench), "starting_on": text})


@given(begin=st.floats(0, 1e6), seconds=st.floats(0, 1e5))
def test_hours_share_a_time_without_rest(begin: float, seconds: float) -> None:
    end = begin + seconds
    parts = list(_hours(begin, end))
    assert sum(part for _, part in parts) == pytest.approx(end - begin, abs=1e-6)
    assert all(hour % HOUR == 0 and 0 < part <= HOUR for hour, part in parts)
    assert len({hour for hour, _ in parts}) == len(parts)
