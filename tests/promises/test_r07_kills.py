"""R7: `kill -9` of the service or of its engine, at random, loses nothing that was acknowledged, and nothing hangs."""

from pathlib import Path

import pytest

from benchmarks.kill_drill import drill
from benchmarks.killable import KillableService

KILLS = 5
"""Without automatic saves, and as many with them."""


@pytest.mark.timeout(240)
@pytest.mark.parametrize("flags", [[], ["--autosave-every", "1"]], ids=["in memory", "saved by itself"])
def test_r07_ten_random_kills_lose_nothing_acknowledged(tmp_path: Path, flags: list[str]) -> None:
    service = KillableService(tmp_path / "data", *flags)
    try:
        service.engine_pid()
        outcome = drill(service, KILLS, seed=7)
    finally:
        service.close()
    assert outcome.kills == KILLS
    assert outcome.unended == []
    assert outcome.saved, "nothing was proved"
    assert outcome.unloadable == []
    assert outcome.results + len(outcome.failures) == outcome.promises
    assert not (flags and outcome.failures), outcome.failures
