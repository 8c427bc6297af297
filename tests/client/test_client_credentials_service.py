"""Tokens of the real service: they end, and nobody notices but the exchange."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from client_bench import KEY, MODEL, SocketService
from service_bench import MovedClock

import tinker_hl
import tinker_local
from tinker_hl import AdamParams, Datum, ModelInput, SamplingParams, ServiceClient, loop
from tinker_hl.transport import NetworkTransport
from tinker_hl.transport.base import Request, Response
from tinker_local.app import create_app
from tinker_local.engine.null import NullEngine
from tinker_local.settings import ModelSource, Settings

TINY = ModelSource(name=MODEL, path=str(Path(tinker_local.__file__).parent / "models" / "tiny"))
LIFE = 3600.0
DATUM = Datum(ModelInput.from_ints([1, 2]), {"target_tokens": [2, 3]})


class Recorded(NetworkTransport):
    """The network, and what was asked and answered over it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, str, int]] = []

    async def send(self, request: Request) -> Response:
        response = await super().send(request)
        self.seen.append((request.url.rsplit("/", 1)[-1], request.headers["X-API-Key"], response.status))
        return response

    def exchanges(self) -> list[str]:
        return [key for path, key, _ in self.seen if path == "token"]


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
def service(tmp_path: Path, clock: MovedClock) -> Iterator[SocketService]:
    """A service that trades keys for tokens of an hour, and has a clock that tests move."""
    settings = Settings(
        data_dir=tmp_path,
        models=(TINY,),
        api_keys=(KEY,),
        token_auth=True,
        token_lifetime_seconds=LIFE,
        session_timeout_seconds=1e9,
    )
    over_socket = SocketService(create_app(settings, NullEngine((TINY,)), clock=clock))
    yield over_socket
    over_socket.close()


@pytest.fixture
def transport() -> Iterator[Recorded]:
    recorded = Recorded()
    yield recorded
    loop.run(recorded.aclose()).result(10)


def test_work_goes_on_when_a_token_has_ended(service: SocketService, clock: MovedClock, transport: Recorded) -> None:
    with ServiceClient(base_url=service.base_url, api_key=KEY, transport=transport) as client:
        training = client.create_lora_training_client(MODEL).result(30)
        sampler = training.save_weights_and_get_sampling_client()
        for number in range(1, 4):
            clock.ahead += 2 * LIFE
            future = training.forward_backward([DATUM], "cross_entropy")
            training.optim_step(AdamParams()).result(30)
            assert future.result(30).metrics
            sampler.sample(ModelInput.from_ints([1]), 1, SamplingParams(max_tokens=1)).result(30)
            assert transport.exchanges() == [KEY] * (1 + number), "one exchange for each token that ended"
    sent = {key for path, key, _ in transport.seen if path not in ("token", "config")}
    assert len(sent) == 4
    assert all(key.startswith("eyJ") for key in sent), "the key itself opens the exchange only"
    refused = [path for path, _, status in transport.seen if status == 401]
    assert refused, "the service did refuse the tokens that had ended"


def test_a_key_that_the_service_does_not_know_is_refused_at_once(service: SocketService, transport: Recorded) -> None:
    stranger = ServiceClient(base_url=service.base_url, api_key="tml-of-a-stranger", transport=transport)
    with stranger, pytest.raises(tinker_hl.AuthenticationError):
        stranger.get_server_capabilities()
    assert [status for _, _, status in transport.seen].count(401) == 1
