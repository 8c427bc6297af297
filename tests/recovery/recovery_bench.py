"""The real service in this process, with an engine that computes nothing but remembers everything, over a cable that
can be cut. What a model was asked for is part of its checkpoints: its history says whether each call counted once.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from client_bench import KEY, MODEL

from tinker_hl import AdamParams, Datum, ModelInput, RetryPolicy, ServiceClient, TrainingClient, loop
from tinker_hl.events import Event
from tinker_hl.recovery import CheckpointSchedule, RecoveryPolicy, TrainingRun
from tinker_hl.retry import InstantClock
from tinker_hl.transport import AsgiTransport
from tinker_hl.transport.base import Request, Response, TransportFault
from tinker_local.app import create_app
from tinker_local.engine.null import NullEngine
from tinker_local.engine.protocol import (
    EngineError,
    LoraSpec,
    OptimizerFamily,
    TrainingDatum,
    TrainingOutput,
    UserFaultError,
)
from tinker_local.settings import ModelSource, Settings

HISTORY = "history.json"


class HistoryEngine(NullEngine):
    """A null engine whose models remember: `p<token>` for a pass with gradients, `s<rate>` for a step."""

    def __init__(self, models: Sequence[ModelSource]) -> None:
        super().__init__(models)
        self.histories: dict[str, list[str]] = {}
        self.losses: dict[int, list[float]] = {}
        """What passes over a datum that begins with a token answer as loss, one after the other."""
        self.dies_at: list[str] = []
        """Calls that kill the engine: in the history's words, each one once."""
        self.grudges: set[str] = set()
        """Calls that fail every time."""
        self.refused: set[str] = set()
        """Calls that are the caller's fault."""

    async def create_adapter(self, model_id: str, base_model: str, lora: LoraSpec) -> None:
        await super().create_adapter(model_id, base_model, lora)
        self.histories[model_id] = []

    async def load_adapter(
        self,
        model_id: str,
        base_model: str | None,
        directory: Path,
        *,
        optimizer: bool,
        family: OptimizerFamily | None = None,
    ) -> LoraSpec:
        loaded = await super().load_adapter(model_id, base_model, directory, optimizer=optimizer, family=family)
        self.histories[model_id] = json.loads((directory / HISTORY).read_text())
        return loaded

    async def save_adapter(self, model_id: str, directory: Path, *, optimizer: bool) -> None:
        await super().save_adapter(model_id, directory, optimizer=optimizer)
        (directory / HISTORY).write_text(json.dumps(self.histories[model_id]))

    async def forward_backward(
        self,
        model_id: str,
        data: Sequence[TrainingDatum],
        loss_fn: str,
        loss_fn_config: Mapping[str, float | str],
        *,
        backward: bool,
    ) -> TrainingOutput:
        token = int(data[0].tokens[0])
        if backward:
            self._note(model_id, f"p{token}")
        output = await super().forward_backward(model_id, data, loss_fn, loss_fn_config, backward=backward)
        answers = self.losses.get(token)
        loss = float(token) if not answers else answers.pop(0)
        return TrainingOutput(logprobs=output.logprobs, metrics={"loss:sum": loss})

    async def optim_step(self, model_id: str, settings: Any) -> Mapping[str, float]:
        self._note(model_id, f"s{settings.learning_rate:g}")
        return await super().optim_step(model_id, settings)

    def _note(self, model_id: str, word: str) -> None:
        if word in self.dies_at:
            self.dies_at.remove(word)
            self.die()
        if word in self.refused:
            raise UserFaultError("a planned refusal")
        if word in self.grudges:
            raise EngineError("a planned failure")
        self._adapter(model_id)
        self.histories[model_id].append(word)


class Cable:
    """A transport that a test can cut. `cuts` says where, once each: `("optim_step", "before")` loses a request,
    `"after"` the answer. Everything while `dead` is lost.
    """

    def __init__(self, inner: AsgiTransport) -> None:
        self.inner = inner
        self.cuts: list[tuple[str, str]] = []
        self.dead_paths: set[str] = set()
        self.paths: list[str] = []
        self.answers: dict[str, list[Response]] = {}

    async def send(self, request: Request) -> Response:
        name = unquote(request.url.partition("?")[0].rsplit("/", 1)[-1])
        self.paths.append(name)
        if self.answers.get(name):
            return self.answers[name].pop(0)
        if name in self.dead_paths or "*" in self.dead_paths:
            raise TransportFault("lost", "the cable is dead")
        if (name, "before") in self.cuts:
            self.cuts.remove((name, "before"))
            raise TransportFault("lost", "cut before the request")
        response = await self.inner.send(request)
        if (name, "after") in self.cuts:
            self.cuts.remove((name, "after"))
            raise TransportFault("lost", "cut before the answer")
        return response

    async def aclose(self) -> None:
        return None


class Bench:
    """A service, a cable to it, a client, and runs."""

    def __init__(self, folder: Path) -> None:
        (folder / "config.json").write_text("{}")
        self.folder = folder
        self._models = (ModelSource(name=MODEL, path=str(folder)),)
        self.engine = HistoryEngine(self._models)
        self.side = self._served()
        self.cable = Cable(self.side)
        self.clock = InstantClock()
        self._clients: list[ServiceClient] = []
        self.service = self.client()
        self.events: list[Event] = []
        self.service.subscribe(self.events.append)

    def client(self) -> ServiceClient:
        """Another program's client."""
        made = ServiceClient(
            base_url="http://in-process",
            api_key=KEY,
            transport=self.cable,
            clock=self.clock,
            retry_policy=RetryPolicy(deadline=3.0),
        )
        self._clients.append(made)
        return made

    def run(self, name: str = "run", service: ServiceClient | None = None, **options: Any) -> TrainingRun:
        """A training run with a short schedule."""
        service = service or self.service
        options = {"schedule": CheckpointSchedule(steps=3), "policy": RecoveryPolicy(enabled=True)} | options
        return TrainingRun(
            service, self.folder / name, lambda: service.create_lora_training_client(MODEL, rank=4), **options
        )

    def stages(self) -> list[str]:
        """The stages of recovery that were told."""
        return [event.fields["stage"] for event in self.events if event.kind == "recovery"]

    def told(self, stage: str) -> list[Event]:
        """The events of one stage."""
        return [event for event in self.events if event.kind == "recovery" and event.fields["stage"] == stage]

    def kill_engine(self) -> None:
        """What it had in memory is lost; the service starts it again."""

        async def die() -> None:
            self.engine.die()

        loop.run(die()).result(30)

    def restart(self) -> None:
        """End the service, and start another one on its data."""
        loop.run(self.side.aclose()).result(30)
        engine = HistoryEngine(self._models)
        engine.dies_at, engine.grudges, engine.losses = self.engine.dies_at, self.engine.grudges, self.engine.losses
        self.engine = engine
        self.side = self.cable.inner = self._served()

    def saved(self, path: str) -> list[str]:
        """What the model of a checkpoint had been asked for."""
        run, name = path.removeprefix("tinker://").split("/weights/")
        (found,) = (self.folder / "data" / "checkpoints" / run).rglob(f"{name}/{HISTORY}")
        history: list[str] = json.loads(found.read_text())
        return history

    def close(self) -> None:
        for client in self._clients:
            client.close().result(30)
        loop.run(self.side.aclose()).result(30)

    def _served(self) -> AsgiTransport:
        settings = Settings(data_dir=self.folder / "data", models=self._models, api_keys=(KEY,))
        return AsgiTransport(create_app(settings, self.engine))  # type: ignore[arg-type]


def datum(token: int, length: int = 3) -> Datum:
    tokens = [token] * length
    return Datum(ModelInput.from_ints(tokens), {"target_tokens": tokens, "weights": [1.0] * length})  # type: ignore[dict-item]


def one_step(client: TrainingClient, step: int) -> Any:
    """A pass and a step that the history tells apart; the future of the pass."""
    passed = client.forward_backward([datum(step + 1)], "cross_entropy")
    client.optim_step(AdamParams(learning_rate=step + 1))
    return passed


def history(steps: int) -> list[str]:
    """What a model remembers after so many of them."""
    return [word for step in range(1, steps + 1) for word in (f"p{step}", f"s{step}")]
