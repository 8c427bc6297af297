"""`base_url="local"`: one service for the process, opened by its own key, ended with its last user."""

import os
import pickle
import sys
import types
from collections.abc import Iterator

import pytest
from client_bench import KEY, MODEL, SocketService

from tinker_hl import ConfigurationError, ModelInput, SamplingParams, ServiceClient
from tinker_hl.local_door import ENVIRONMENT


class Embedded:
    """Stands for `tinker_local.embedded`, with a service that runs already."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.api_key = KEY
        self.started = 0
        self.closed = 0

    def start(self) -> "Embedded":
        self.started += 1
        return self

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def embedded(socket_service: SocketService, monkeypatch: pytest.MonkeyPatch) -> Iterator[Embedded]:
    service = Embedded(socket_service.base_url)
    module = types.ModuleType("tinker_local.embedded")
    module.start = service.start  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tinker_local.embedded", module)
    monkeypatch.delenv("TINKER_API_KEY", raising=False)
    return service


def test_the_service_starts_with_the_first_call_and_ends_with_the_last_client(embedded: Embedded) -> None:
    first, second = ServiceClient(base_url="local"), ServiceClient(base_url="local")
    assert embedded.started == 0
    assert first.get_server_capabilities().supported_models[0].model_name == MODEL
    second.create_lora_training_client(MODEL).result(20)
    assert embedded.started == 1
    first.close().result(20)
    assert embedded.closed == 0
    second.close().result(20)
    assert embedded.closed == 1
    assert ENVIRONMENT not in os.environ


def test_a_copy_of_its_client_finds_the_key_without_carrying_it(embedded: Embedded) -> None:
    with ServiceClient(base_url="local") as service:
        client = service.create_sampling_client(base_model=MODEL)
        content = pickle.dumps(client.result(20))
        assert KEY.encode() not in content
        copy = pickle.loads(content)
        response = copy.sample(ModelInput.from_ints([1]), 1, SamplingParams(max_tokens=3)).result(20)
        assert len(response.sequences[0].tokens) == 3


def test_a_service_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def start() -> None:
        raise RuntimeError("the local service was not ready in time")

    module = types.ModuleType("tinker_local.embedded")
    module.start = start  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tinker_local.embedded", module)
    service = ServiceClient(base_url="local")
    with pytest.raises(ConfigurationError, match="not ready in time"):
        service.get_server_capabilities()
    service.close().result(20)


def test_base_url_local_comes_from_the_environment_too(embedded: Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINKER_BASE_URL", "local")
    with ServiceClient() as service:
        assert service.get_server_capabilities().supported_models
