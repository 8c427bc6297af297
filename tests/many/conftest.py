from collections.abc import Iterator

import pytest
from client_bench import KEY, MODEL, SocketService, service_app

from tinker_hl import SamplingClient, ServiceClient


@pytest.fixture(scope="session")
def many_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SocketService]:
    service = SocketService(service_app(tmp_path_factory.mktemp("many")))
    yield service
    service.close()


@pytest.fixture
def service(many_service: SocketService) -> Iterator[ServiceClient]:
    with ServiceClient(base_url=many_service.base_url, api_key=KEY) as client:
        yield client


@pytest.fixture
def sampler(service: ServiceClient) -> SamplingClient:
    return service.create_sampling_client(base_model=MODEL)
