"""What the tests of recovery run against: a service whose processes can be killed, and one that computes nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from recovery_bench import Bench

from benchmarks.killable import KillableService


@pytest.fixture(scope="session")
def killable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KillableService]:
    """The real service with its real engine and the tiny model, in processes that can be killed."""
    made = KillableService(tmp_path_factory.mktemp("killable") / "data")
    made.engine_pid()
    yield made
    made.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """The real service with a null engine, in this process, over a cable that can be cut."""
    made = Bench(tmp_path)
    yield made
    made.close()
