"""The official SDK in environments of its own, our service on a socket, and what the one saw of the other."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from script_runs import run_script

from tinker_local import embedded
from tinker_local.embedded import EmbeddedService


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedService]:
    """`tinker-hl serve` with the packaged model, in a process of its own."""
    with embedded.start(data_dir=tmp_path_factory.mktemp("service") / "data", threads=1) as running:
        yield running


@pytest.fixture(scope="session")
def ran(service: EmbeddedService) -> Callable[[str], dict[str, Any]]:
    """What the script saw, run once for each client: a release of the official SDK, or `ours` through compat."""

    @functools.cache
    def run(client: str) -> dict[str, Any]:
        return {"asked": client, **run_script(client, service)}

    return run


@pytest.fixture(scope="session", params=["0.7.0", "newest", "ours"])
def seen(request: pytest.FixtureRequest, ran: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """What the script saw, for each client in turn."""
    return ran(request.param)
