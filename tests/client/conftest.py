"""The real service with an engine that computes nothing, in this process and over a socket, as fixtures."""

from collections.abc import Iterator

import pytest
from client_bench import KEY, MakeClient, SocketService, service_app

from tinker_hl import ServiceClient, loop
from tinker_hl.transport import AsgiTransport


@pytest.fixture(scope="session")
def socket_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SocketService]:
    service = SocketService(service_app(tmp_path_factory.mktemp("socket")))
    yield service
    service.close()


@pytest.fixture(scope="session")
def in_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AsgiTransport]:
    transport = AsgiTransport(service_app(tmp_path_factory.mktemp("in-process")))  # type: ignore[arg-type]
    yield transport
    loop.run(transport.aclose()).result(30)


@pytest.fixture(params=["in_process", "socket_service"])
def make_client(request: pytest.FixtureRequest) -> MakeClient:
    """Makes clients of the real service: once over the in-process transport, once over a socket."""
    way = request.getfixturevalue(request.param)

    def make(**options: object) -> ServiceClient:
        if isinstance(way, AsgiTransport):
            return ServiceClient(base_url="http://in-process", api_key=KEY, transport=way, **options)  # type: ignore[arg-type]
        return ServiceClient(base_url=way.base_url, api_key=KEY, **options)  # type: ignore[arg-type]

    return make
