"""A service per test; see `service_bench`."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from service_bench import TINY, Api, Bench

from tinker_local.engine.process import ProcessEngine


@pytest.fixture(scope="session")
def service_loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="service-loop", daemon=True)
    thread.start()
    with ExitStack() as stack:
        stack.callback(loop.close)
        stack.callback(thread.join)
        stack.callback(loop.call_soon_threadsafe, loop.stop)
        yield loop


@pytest.fixture
def bench(service_loop: asyncio.AbstractEventLoop, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(service_loop, tmp_path / "data")
    yield made
    made.close()


@pytest.fixture
def api(bench: Bench) -> Api:
    return bench.start()


@pytest.fixture(scope="module")
def engine() -> ProcessEngine:
    """The real engine of `real`."""
    return ProcessEngine([TINY], threads=1)


@pytest.fixture(scope="module")
def real(
    service_loop: asyncio.AbstractEventLoop, tmp_path_factory: pytest.TempPathFactory, engine: ProcessEngine
) -> Iterator[Api]:
    """A service that really computes, for all tests of one module."""
    bench = Bench(service_loop, tmp_path_factory.mktemp("real"))
    yield bench.start(engine, models=(TINY,), long_poll_seconds=20.0)
    bench.close()
