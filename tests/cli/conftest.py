from collections.abc import Iterator

import pytest
from command_line import Line

from tinker_local import embedded


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.EmbeddedService]:
    """A local service with the tiny model, for all tests here."""
    with embedded.start(data_dir=tmp_path_factory.mktemp("service"), threads=1) as running:
        yield running


@pytest.fixture
def reached(service: embedded.EmbeddedService, monkeypatch: pytest.MonkeyPatch) -> str:
    """The service's address, with its key in the environment as a user would have it."""
    monkeypatch.setenv("TINKER_API_KEY", service.api_key)
    monkeypatch.setenv("TINKER_BASE_URL", service.base_url)
    return service.base_url


@pytest.fixture
def line(capsys: pytest.CaptureFixture[str]) -> Line:
    return Line(capsys)
