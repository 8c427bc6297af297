"""Faults of the official SDK in what it imports and installs, none of which this client has; numbers as in the docs."""

import importlib.metadata
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from client_bench import KEY, MODEL, SocketService, service_app
from scripted_server import Reply, ScriptedServer, Seen

import tinker_hl
import tinker_local
from tinker_hl import AdamParams, Datum, ModelInput, SamplingParams, model_calls
from tinker_hl.clients import sampler
from tinker_hl.codec import json as json_codec
from tinker_hl.codec import proto as proto_codec
from tinker_hl.configuration import Profile

TINY = Path(tinker_local.__file__).parent / "models" / "tiny"

HEAVY = ("torch", "transformers", "huggingface_hub", "tokenizers", "pydantic", "pandas")

QUICK = Profile(name="quick heart", heartbeat_interval=0.01)


def loaded_after(code: str, names: tuple[str, ...]) -> list[str]:
    """Which of the modules a fresh interpreter has loaded after running `code`."""
    command = f"{code}\nimport sys\nprint([name for name in {names!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True, timeout=60)
    return list(eval(done.stdout.splitlines()[-1]))


def test_fault_29_importing_loads_neither_torch_nor_anything_else_that_is_slow() -> None:
    assert loaded_after("import tinker_hl", (*HEAVY, "numpy", "aiohttp", "httpx", "google.protobuf")) == []
    every_type = "from tinker_hl.types import *\nfrom tinker_hl import ServiceClient, SamplingClient, TrainingClient"
    assert loaded_after(every_type, HEAVY) == []
    of_every_script = (
        "from tinker_hl import ServiceClient, TrainingClient, SamplingClient, TinkerError, AdamParams\n"
        "from tinker_hl.types import Datum, ModelInput, TensorData, SamplingParams, ForwardBackwardOutput"
    )
    later = ("aiohttp", "httpx", "google.protobuf", "cattrs", "tinker_api", "tinker_hl.types.billing", "rich")
    assert loaded_after(of_every_script, (*HEAVY, *later)) == []


@pytest.mark.parametrize("arguments", [["--help"], ["version"], ["train", "--help"]], ids=" ".join)
def test_fault_30_the_command_line_imports_nothing_that_it_does_not_need(arguments: list[str]) -> None:
    quietly = "with contextlib.redirect_stdout(io.StringIO()):"
    run = f"import contextlib, io\nfrom tinker_hl.cli.entry import run\n{quietly}\n    assert run({arguments}) == 0"
    assert loaded_after(run, (*HEAVY, "numpy", "aiohttp", "httpx", "google.protobuf", "matplotlib")) == []


def test_fault_31_transformers_is_not_needed() -> None:
    required = [line for line in importlib.metadata.requires("tinker-hl") or [] if "extra ==" not in line]
    assert any(line.startswith("tokenizers") for line in required)
    assert [line for line in required if line.startswith(("transformers", "torch"))] == []


def test_fault_32_a_tokenizer_is_loaded_and_used_without_transformers() -> None:
    code = (
        "from tinker_hl.tokenizer import load_tokenizer\n"
        f"tokenizer = load_tokenizer('any/model', {str(TINY)!r})\n"
        "assert tokenizer.decode(tokenizer.encode('hello')) == 'hello'"
    )
    assert loaded_after(code, ("torch", "transformers")) == []


LONG = 40_000
"""Tokens: more than is encoded and decoded at once on the loop."""


def long_datum() -> Datum:
    ids = np.arange(LONG)
    return Datum(ModelInput.from_ints(ids), {"target_tokens": ids, "weights": np.ones(LONG)})


def long_pass(service: tinker_hl.ServiceClient) -> Any:
    return service.create_lora_training_client("base").forward_backward([long_datum()], "cross_entropy")


def long_sample(service: tinker_hl.ServiceClient) -> Any:
    prompt = ModelInput.from_ints(np.arange(LONG))
    return service.create_sampling_client(base_model="base").sample(prompt, 1, SamplingParams())


ROWS = {"data": [0.5] * LONG, "dtype": "float32", "shape": [LONG]}
LONG_OUTPUT = {
    "loss_fn_output_type": "ArrayRecord",
    "loss_fn_outputs": [{"logprobs": ROWS}],
    "metrics": {"loss:sum": 3.0},
}
LONG_SAMPLE = {"sequences": [{"stop_reason": "stop", "tokens": list(range(LONG)), "logprobs": [0.5] * LONG}]}


@pytest.mark.parametrize(
    ("ask", "place", "function", "config"),
    [
        (long_pass, proto_codec, "encode_datum", {}),
        (long_pass, json_codec, "encode_datum", None),
        (long_pass, model_calls, "_compressed", {"proto_compress_fwdbwd": True}),
        (long_pass, model_calls, "forward_backward_output", None),
        (long_sample, sampler, "_body", None),
        (long_sample, sampler, "answer_to", None),
    ],
    ids=["protobuf datums", "JSON datums", "a compressed body", "a result", "a prompt", "samples"],
)
def test_fault_33_heartbeats_go_on_while_something_large_is_encoded_or_decoded(
    monkeypatch: pytest.MonkeyPatch,
    ask: Callable[[tinker_hl.ServiceClient], Any],
    place: Any,
    function: str,
    config: dict[str, Any] | None,
) -> None:
    """The work is held until two heartbeats came, which they could not if it were done on the loop's own thread."""
    server, working, beats = ScriptedServer(config=config), threading.Event(), threading.Semaphore(0)
    server.results = {"ForwardBackward": LONG_OUTPUT, "Sample": LONG_SAMPLE}
    held: list[bool] = []

    async def beat(request: Seen) -> Reply:
        server.faults["session_heartbeat"].append(beat)
        if working.is_set():
            beats.release()
        return Reply(body={})

    real = getattr(place, function)

    def slow(*arguments: Any, **options: Any) -> Any:
        working.set()
        held.append(beats.acquire(timeout=10) and beats.acquire(timeout=10))
        return real(*arguments, **options)

    server.faults["session_heartbeat"] = [beat]
    monkeypatch.setattr(place, function, slow)
    with server.client(parity=QUICK) as service:
        ask(service).result(30)
    assert held == [True]


class Connections:
    """An application that notes where each request came from."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.seen: set[tuple[str, int]] = set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            self.seen.add(tuple(scope["client"]))
        await self.app(scope, receive, send)


def test_fault_35_calls_of_every_kind_share_a_few_connections_that_are_used_again(tmp_path: Path) -> None:
    app = Connections(service_app(tmp_path))
    running = SocketService(app)
    data = [Datum(ModelInput.from_ints([1, 2]), {"target_tokens": [2, 3], "weights": [1.0, 1.0]})]
    prompt = ModelInput.from_ints([1])
    try:
        with tinker_hl.ServiceClient(base_url=running.base_url, api_key=KEY) as service:
            trainers = [service.create_lora_training_client(MODEL, rank=2).result(30) for _ in range(3)]
            sampling = service.create_sampling_client(base_model=MODEL).result(30)
            rest = service.create_rest_client()

            def everything_at_once() -> None:
                calls: list[Any] = [trainer.forward_backward(data, "cross_entropy") for trainer in trainers]
                calls += [trainer.optim_step(AdamParams()) for trainer in trainers]
                calls += [sampling.sample(prompt, 1, SamplingParams(max_tokens=1)) for _ in range(3)]
                calls += [rest.list_training_runs() for _ in range(3)]
                for call in calls:
                    call.result(30)

            everything_at_once()
            for _ in range(5):
                everything_at_once()
            # Each of the twelve has one request under way at a time; besides them there are the heartbeat and the
            # polls for announcements. One client for each parallel request would have made a new one each time.
            assert len(app.seen) <= 16
            sockets = service._session.connection.transport._session  # type: ignore[attr-defined]
        assert sockets.closed
    finally:
        running.close()
