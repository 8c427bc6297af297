"""The real service with an engine whose checkpoints are large and hold nothing, over a socket."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from checkpoint_bench import LargeEngine, Saved
from client_bench import KEY, MODEL, SocketService

from tinker_hl import ServiceClient
from tinker_local.app import create_app
from tinker_local.settings import ModelSource, Settings


@pytest.fixture(scope="session")
def large_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SocketService]:
    models = (ModelSource(name=MODEL, path=str(Path(__file__).parents[2] / "tinker_local" / "models" / "tiny")),)
    settings = Settings(data_dir=tmp_path_factory.mktemp("large"), models=models, api_keys=(KEY,))
    service = SocketService(create_app(settings, LargeEngine(models)))
    yield service
    service.close()


@pytest.fixture(scope="session")
def saved(large_service: SocketService) -> Saved:
    with ServiceClient(base_url=large_service.base_url, api_key=KEY) as service:
        training = service.create_lora_training_client(MODEL, rank=4)
        return Saved(
            training.save_state("kept").result(30).path,
            training.save_weights_for_sampler("kept").result(30).path,
            training.save_weights_external("kept").result(30).path,
        )
