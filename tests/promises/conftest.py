"""The benches of the client's and the service's tests, for the promises that need them."""

from collections.abc import Iterator

import pytest
from client_bench import SocketService, service_app

from tinker_hl import loop
from tinker_hl.transport import AsgiTransport
from tinker_local import embedded
from tinker_local.embedded import EmbeddedService


@pytest.fixture(scope="session")
def socket_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SocketService]:
    """The real service with an engine that computes nothing, on a loopback socket."""
    service = SocketService(service_app(tmp_path_factory.mktemp("socket")))
    yield service
    service.close()


@pytest.fixture(scope="session")
def in_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AsgiTransport]:
    """The same in this process, without a socket."""
    transport = AsgiTransport(service_app(tmp_path_factory.mktemp("in-process")))  # type: ignore[arg-type]
    yield transport
    loop.run(transport.aclose()).result(30)


@pytest.fixture(scope="session")
def real_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedService]:
    """The service with its real engine and the tiny model, in a process of its own, on a socket."""
    with embedded.start(data_dir=tmp_path_factory.mktemp("real") / "data", threads=1) as service:
        yield service
