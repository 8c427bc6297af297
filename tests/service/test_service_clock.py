"""A wall clock that is set ahead or back: what lasts for a time lasts as long, and nothing is deleted by mistake."""

from pathlib import Path

import pytest
from service_bench import Api, Bench

from tinker_local.clock import Clock


class SetClock(Clock):
    """A wall clock that is set, beside a monotonic one that is not; and time that passes on both."""

    def __init__(self) -> None:
        self.set_by = self.passed = 0.0

    def wall(self) -> float:
        return super().wall() + self.set_by + self.passed

    def monotonic(self) -> float:
        return super().monotonic() + self.passed


@pytest.fixture
def clock(bench: Bench) -> SetClock:
    clock = SetClock()
    bench.clock = clock  # type: ignore[assignment]
    return clock


def sweep(api: Api) -> None:
    api.run(api.service.sweep())


def paths(api: Api) -> list[str]:
    return [record["tinker_path"] for record in api.ok("list_checkpoints")["checkpoints"]]


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0])
def test_sessions_and_results_last_as_long_whatever_the_clock_says(clock: SetClock, bench: Bench, jump: float) -> None:
    api = bench.start()
    session_id = api.session()
    model_id = api.model(session_id)
    submitted = api.forward_backward(model_id, 1)
    first = api.result(submitted)
    clock.set_by = jump
    sweep(api)
    api.ok("heartbeat_session", body={"session_id": session_id})
    assert api.result(submitted) == first
    assert "loss:sum" in api.result(api.forward_backward(model_id, 2))["metrics"]


def test_nothing_is_deleted_for_an_hour_after_a_jump(clock: SetClock, bench: Bench, tmp_path: Path) -> None:
    api = bench.start()
    path = api.save(api.model(), 1, "kept", ttl_seconds=7200)
    folder = next((bench.data_dir / "checkpoints").glob("*/weights/kept"))
    clock.set_by = 86_400.0
    sweep(api)
    sweep(api)
    assert folder.is_dir(), "it was set ahead, and may be set right yet"
    clock.set_by = 0.0
    sweep(api)
    assert paths(api) == [path]
    clock.passed += 7201
    sweep(api)
    assert not folder.exists(), "its time was really over"


def test_after_the_hour_the_clock_is_believed(clock: SetClock, bench: Bench) -> None:
    api = bench.start()
    api.save(api.model(), 1, "kept", ttl_seconds=7200)
    folder = next((bench.data_dir / "checkpoints").glob("*/weights/kept"))
    clock.set_by = 86_400.0
    sweep(api)
    clock.passed += 3601
    sweep(api)
    assert not folder.exists()
