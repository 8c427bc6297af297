"""A local service that really trains, for the tests that need one."""

from collections.abc import Iterator

import pytest

from tinker_hl import ServiceClient


@pytest.fixture(scope="session")
def local_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINKER_HL_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("OMP_NUM_THREADS", "1")
        with ServiceClient(base_url="local") as client:
            yield client
