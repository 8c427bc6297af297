"""Call every public method of the official SDK against one server, and say which did what they promise.

Run by the official SDK's own python, so it imports nothing of ours; the server is the one of TINKER_BASE_URL and
TINKER_API_KEY. Methods are found by reflection, so one without a case here is told, not overlooked. A `*_async` twin is
called as its plain form is; whatever comes back is waited for until a value is left.

    python methods.py MODEL        prints one JSON line: release, and for each method its class, name, outcome, detail
"""

import asyncio
import importlib
import importlib.metadata
import inspect
import itertools
import json
import sys
import warnings
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any

import tinker  # pyright: ignore[reportMissingImports]  # in the environment that runs this
from tinker import types  # pyright: ignore[reportMissingImports]

CLASSES = {
    "ServiceClient": "service_client",
    "TrainingClient": "training_client",
    "SamplingClient": "sampling_client",
    "RestClient": "rest_client",
    "AdminClient": "admin_client",
}
SECONDS = 90.0
"""For each method; the longest does a few forward and backward passes of a small model."""
TOKENS = [3, 5, 7, 11, 13, 17]
_PUBLIC = "tinker.lib.public_interfaces"


def resolved(value: Any) -> Any:
    """What is left when every future and coroutine in the way was waited for."""
    while True:
        if isinstance(value, (Future, tinker.APIFuture)):
            value = value.result(SECONDS)
        elif inspect.isawaitable(value):
            value = asyncio.run(_awaited(value))
        else:
            return value


async def _awaited(value: Awaitable[Any]) -> Any:
    return await asyncio.wait_for(value, SECONDS)


class Bench:
    """Clients, and the things on the server that methods are called with; each made when it is first needed."""

    def __init__(self, model: str) -> None:
        self.model = model
        self._names = itertools.count()

    @cached_property
    def service(self) -> Any:
        """A service client with a session."""
        return tinker.ServiceClient(user_metadata={"suite": "probe"})

    @cached_property
    def trainer(self) -> Any:
        """A model in training, stepped once so that its optimizer has a state."""
        trainer = resolved(self.service.create_lora_training_client(self.model, rank=4, seed=1))
        resolved(trainer.forward_backward([self.datum()], "cross_entropy"))
        resolved(trainer.optim_step(types.AdamParams(learning_rate=1e-3)))
        return trainer

    @cached_property
    def sampler(self) -> Any:
        """A client that samples from trained weights."""
        return resolved(self.trainer.save_weights_and_get_sampling_client())

    @cached_property
    def rest(self) -> Any:
        """A client for lists and records."""
        if hasattr(tinker, "RestClient"):
            return tinker.RestClient()
        return self.service.create_rest_client()

    @cached_property
    def admin(self) -> Any:
        """A client for administrators, in releases that have one."""
        return tinker.AdminClient()

    @cached_property
    def session_id(self) -> str:
        """The session's id, as the model's id begins with it."""
        return str(self.trainer.model_id).rpartition(":train:")[0]

    @property
    def run_id(self) -> str:
        """The training run."""
        return str(self.trainer.model_id)

    def name(self) -> str:
        """A name that no checkpoint has yet."""
        return f"probe-{next(self._names)}"

    def state(self) -> str:
        """The path of a new checkpoint."""
        return str(resolved(self.trainer.save_state(self.name())).path)

    def sampler_path(self) -> str:
        """The path of new weights to sample from."""
        return str(resolved(self.trainer.save_weights_for_sampler(self.name())).path)

    def external_path(self) -> str:
        """The path of new weights to download."""
        return str(resolved(self.trainer.save_weights_external(self.name())).path)

    def published(self) -> str:
        """The path of a published checkpoint."""
        path = self.state()
        resolved(self.rest.publish_checkpoint_from_tinker_path(path))
        return path

    @staticmethod
    def prompt() -> Any:
        """A short one."""
        return types.ModelInput.from_ints(tokens=TOKENS)

    @staticmethod
    def datum() -> Any:
        """One sequence; every position counts."""
        length = len(TOKENS) - 1
        return types.Datum(
            model_input=types.ModelInput.from_ints(tokens=TOKENS[:-1]),
            loss_fn_inputs={
                "target_tokens": types.TensorData(data=TOKENS[1:], dtype="int64", shape=[length]),
                "weights": types.TensorData(data=[1.0] * length, dtype="float32", shape=[length]),
            },
        )


@dataclass(frozen=True)
class Case:
    """How to call a method, and what must hold of the value that it gives."""

    arguments: Callable[[Bench], tuple[Any, ...]] = lambda bench: ()
    keywords: Callable[[Bench], dict[str, Any]] = lambda bench: {}
    holds: Callable[[Bench, Any], object] = lambda bench, value: True


def squared_loss(data: list[Any], logprobs: list[Any]) -> tuple[Any, dict[str, float]]:
    """A loss of one's own."""
    return sum((row**2).sum() for row in logprobs), {"sequences": float(len(data))}


def traced_loss(logprobs: Any, weights: Any) -> tuple[Any, dict[str, Any]]:
    """A loss that can be traced and uploaded."""
    loss = -(logprobs * weights).sum()
    return loss, {"custom/nll:sum": loss}


def queue_state(bench: Bench) -> tuple[Any, ...]:
    """What a client is told while it waits."""
    state = importlib.import_module("tinker.lib.api_future_impl").QueueState.ACTIVE
    told = bench.trainer if hasattr(bench.trainer, "on_queue_state_change") else bench.sampler
    return (state, None) if len(inspect.signature(told.on_queue_state_change).parameters) > 1 else (state,)


def billed_hours(bench: Bench) -> tuple[datetime, datetime]:
    """This hour, and the one before it."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    return now - timedelta(hours=1), now + timedelta(hours=1)


def finite_loss(bench: Bench, output: Any) -> bool:
    """A pass gives logprobs for each position, and the summed loss."""
    (logprobs,) = [record["logprobs"].to_numpy() for record in output.loss_fn_outputs]
    total = float(output.metrics["loss:sum"])
    return logprobs.shape == (len(TOKENS) - 1,) and total == total


def is_trainer(bench: Bench, client: Any) -> bool:
    """A client that trains."""
    return finite_loss(bench, resolved(client.forward([bench.datum()], "cross_entropy")))


def is_sampler(bench: Bench, client: Any) -> bool:
    """A client that samples."""
    params = types.SamplingParams(max_tokens=3, seed=1)
    return drew(bench, resolved(client.sample(bench.prompt(), 1, params)))


def drew(bench: Bench, response: Any) -> bool:
    """As many logprobs as tokens, and at least one of each."""
    return all(0 < len(sequence.tokens) == len(sequence.logprobs) for sequence in response.sequences)


def scored(bench: Bench, values: Any) -> bool:
    """One value for each token, the first unknown."""
    return len(values) == len(TOKENS) and values[0] is None and all(value <= 0 for value in values[1:])


def has(name: str, expected: Callable[[Bench], Any]) -> Callable[[Bench, Any], bool]:
    """The value's attribute is what the bench says."""
    return lambda bench, value: getattr(value, name) == expected(bench)


def at(kind: str) -> Callable[[Bench, Any], bool]:
    """The value names a checkpoint of a kind, of the bench's run."""
    return lambda bench, value: value.path.startswith(f"tinker://{bench.run_id}/{kind}/")


def nothing(bench: Bench, value: Any) -> bool:
    """There is no value."""
    return value is None


def opens(bench: Bench, value: Any) -> bool:
    """A link, in the two forms that releases give."""
    return str(getattr(value, "url", value)).startswith("http")


LORA = Case(lambda bench: (bench.model,), lambda bench: {"rank": 4, "seed": 1}, is_trainer)
FROM_STATE = Case(lambda bench: (bench.state(),), holds=is_trainer)
PASS = Case(lambda bench: ([bench.datum()], "cross_entropy"), holds=finite_loss)
AUDIT = Case(lambda bench: ("all", date.today()), holds=lambda bench, log: isinstance(log.entries, list))
USAGE = Case(billed_hours, holds=lambda bench, usage: isinstance(usage.data, list))
STORAGE = Case(holds=lambda bench, usage: all(item.size_bytes >= 0 for item in usage.data))
TELEMETRY = Case(holds=lambda bench, telemetry: True)
CAPABILITIES = Case(holds=lambda bench, can: bench.model in [model.model_name for model in can.supported_models])
OF_RUN = Case(lambda bench: (bench.run_id,), holds=has("training_run_id", lambda bench: bench.run_id))
COPY = Case(lambda bench: (bench.state(),), holds=lambda bench, path: path.startswith("tinker://"))
COPY_FROM_REST = Case(lambda bench: (bench.state(), "probe-project"), holds=lambda bench, path: path[:9] == "tinker://")

CASES: dict[str, dict[str, Case]] = {
    "ServiceClient": {
        "create_lora_training_client": LORA,
        "create_training_client_from_state": FROM_STATE,
        "create_training_client_from_state_with_optimizer": FROM_STATE,
        "create_sampling_client": Case(keywords=lambda bench: {"base_model": bench.model}, holds=is_sampler),
        "create_custom_loss": Case(
            lambda bench: (traced_loss, {"logprobs": 1, "weights": 1}),
            holds=lambda bench, handle: finite_loss(
                bench, resolved(bench.trainer.forward_backward_custom([bench.datum()], handle))
            ),
        ),
        "copy_weights": COPY,
        "create_rest_client": Case(holds=lambda bench, rest: resolved(rest.list_sessions()).sessions != []),
        "get_console_url": Case(holds=opens),
        "get_server_capabilities": CAPABILITIES,
        "get_telemetry": TELEMETRY,
        "close": Case(lambda bench: ("success",), holds=nothing),
    },
    "TrainingClient": {
        "forward": PASS,
        "forward_backward": PASS,
        "forward_backward_custom": Case(lambda bench: ([bench.datum()], squared_loss), holds=finite_loss),
        "optim_step": Case(
            lambda bench: (types.AdamParams(learning_rate=1e-3),),
            holds=lambda bench, step: step.metrics is None or all(value == value for value in step.metrics.values()),
        ),
        "save_state": Case(lambda bench: (bench.name(),), holds=at("weights")),
        "save_weights_for_sampler": Case(lambda bench: (bench.name(),), holds=at("sampler_weights")),
        "save_weights_external": Case(lambda bench: (bench.name(),), holds=at("external_weights")),
        "save_weights_and_get_sampling_client": Case(holds=is_sampler),
        "save_weights_and_get_sampling_client_submit": Case(holds=lambda bench, value: value is not None),
        "create_sampling_client": Case(lambda bench: (bench.sampler_path(),), holds=is_sampler),
        "load_state": Case(lambda bench: (bench.state(),), holds=lambda bench, value: is_trainer(bench, bench.trainer)),
        "load_state_with_optimizer": Case(
            lambda bench: (bench.state(),), holds=lambda bench, value: is_trainer(bench, bench.trainer)
        ),
        "get_info": Case(holds=has("model_id", lambda bench: bench.run_id)),
        "get_tokenizer": Case(
            holds=lambda bench, tokenizer: tokenizer.decode(tokenizer.encode("a stone")).strip() == "a stone"
        ),
        "get_console_url": Case(holds=opens),
        "get_telemetry": TELEMETRY,
        "on_queue_state_change": Case(queue_state, holds=nothing),
    },
    "SamplingClient": {
        "sample": Case(
            lambda bench: (bench.prompt(), 2, types.SamplingParams(max_tokens=4, seed=2)),
            holds=lambda bench, response: len(response.sequences) == 2 and drew(bench, response),
        ),
        "compute_logprobs": Case(lambda bench: (bench.prompt(),), holds=scored),
        "create": Case(
            lambda bench: (bench.service.holder,), lambda bench: {"base_model": bench.model}, holds=is_sampler
        ),
        "get_base_model": Case(holds=lambda bench, name: name == bench.model),
        "get_sampler_handle": Case(holds=lambda bench, handle: len(handle) > 10),
        "from_sampler_handle": Case(lambda bench: (bench.sampler.get_sampler_handle(),), holds=is_sampler),
        "get_tokenizer": Case(),
        "get_telemetry": TELEMETRY,
        "on_queue_state_change": Case(queue_state, holds=nothing),
    },
    "RestClient": {
        "get_server_capabilities": CAPABILITIES,
        "get_training_run": OF_RUN,
        "get_training_run_by_tinker_path": Case(
            lambda bench: (bench.state(),), holds=has("training_run_id", lambda bench: bench.run_id)
        ),
        "get_weights_info_by_tinker_path": Case(
            lambda bench: (bench.state(),), holds=has("base_model", lambda bench: bench.model)
        ),
        "list_training_runs": Case(
            holds=lambda bench, page: bench.run_id in [run.training_run_id for run in page.training_runs]
        ),
        "list_checkpoints": Case(
            lambda bench: (bench.state() and bench.run_id,), holds=lambda bench, page: page.checkpoints != []
        ),
        "list_user_checkpoints": Case(holds=lambda bench, page: bench.state() and page.checkpoints is not None),
        "delete_checkpoint": Case(
            lambda bench: (bench.run_id, bench.state().split("/", 3)[3]),
            holds=nothing,
        ),
        "delete_checkpoint_from_tinker_path": Case(lambda bench: (bench.state(),), holds=nothing),
        "publish_checkpoint_from_tinker_path": Case(lambda bench: (bench.state(),), holds=nothing),
        "unpublish_checkpoint_from_tinker_path": Case(lambda bench: (bench.published(),), holds=nothing),
        "set_checkpoint_ttl_from_tinker_path": Case(lambda bench: (bench.state(), 7200), holds=nothing),
        "get_checkpoint_archive_url": Case(
            lambda bench: (bench.run_id, bench.sampler_path().split("/", 3)[3]), holds=opens
        ),
        "get_checkpoint_archive_url_from_tinker_path": Case(lambda bench: (bench.sampler_path(),), holds=opens),
        "get_external_weights_urls": Case(
            lambda bench: (bench.external_path(),), holds=lambda bench, answer: all(map(str, answer.urls.values()))
        ),
        "get_session": Case(
            lambda bench: (bench.session_id,), holds=lambda bench, found: bench.run_id in found.training_run_ids
        ),
        "list_sessions": Case(holds=lambda bench, page: page.sessions != []),
        "assign_session_project": Case(lambda bench: (bench.session_id, "probe-project"), holds=nothing),
        "search_sessions": Case(
            lambda bench: (types.SessionSearchRequest(session_id=bench.session_id),),
            holds=lambda bench, found: [session.session_id for session in found.sessions] == [bench.session_id],
        ),
        "export_session_trace": Case(lambda bench: (bench.session_id,), holds=opens),
        "get_sampler": Case(
            lambda bench: (resolved(bench.rest.get_session(bench.sampler and bench.session_id)).sampler_ids[0],),
            holds=has("base_model", lambda bench: bench.model),
        ),
        "whoami": Case(holds=lambda bench, who: who.user_urn != ""),
        "copy_weights": COPY_FROM_REST,
        "get_audit_log": AUDIT,
        "get_billing_usage": USAGE,
        "get_current_checkpoint_storage_usage": STORAGE,
        "get_telemetry": TELEMETRY,
    },
    "AdminClient": {
        "get_audit_log": AUDIT,
        "get_billing_usage": USAGE,
        "get_current_checkpoint_storage_usage": STORAGE,
        "get_telemetry": TELEMETRY,
    },
}
OWNERS = {
    "ServiceClient": "service",
    "TrainingClient": "trainer",
    "SamplingClient": "sampler",
    "RestClient": "rest",
    "AdminClient": "admin",
}
LAST = ("close",)
"""Called after all others: nothing works after it."""


def public_methods() -> Iterator[tuple[str, str]]:
    """Class and name of each public method of the installed release."""
    for name, module in CLASSES.items():
        kind = getattr(tinker, name, None)
        if kind is None:
            try:
                kind = getattr(importlib.import_module(f"{_PUBLIC}.{module}"), name)
            except ModuleNotFoundError:
                continue
        for attribute in dir(kind):
            static = inspect.getattr_static(kind, attribute)
            function = getattr(static, "__func__", static)
            if not attribute.startswith("_") and callable(function):
                yield name, attribute


def outcome(bench: Bench, kind: str, name: str) -> tuple[str, str]:
    """What came of a method: `works`, `fails` or `no case`, and the reason."""
    case = CASES[kind].get(name) or CASES[kind].get(name.removesuffix("_async"))
    if case is None:
        return "no case", "this release has a method that the probe does not know"
    try:
        method = getattr(getattr(bench, OWNERS[kind]), name)
        value = resolved(method(*case.arguments(bench), **case.keywords(bench)))
        if case.holds(bench, value):
            return "works", ""
        return "fails", f"answered, but not with what it promises: {str(value)[:200]}"
    except Exception as error:
        return "fails", f"{type(error).__name__}: {error}"[:300]


def main() -> None:
    """Probe, and print."""
    warnings.simplefilter("ignore")
    bench = Bench(sys.argv[1])
    methods = sorted(public_methods(), key=lambda method: method[1].removesuffix("_async") in LAST)
    found = []
    with ThreadPoolExecutor(1) as caller:
        for kind, name in methods:
            result, detail = caller.submit(outcome, bench, kind, name).result()
            found.append({"class": kind, "method": name, "outcome": result, "detail": detail})
            print(f"{result:8} {kind}.{name} {detail}", file=sys.stderr)
    print(json.dumps({"release": importlib.metadata.version("tinker"), "methods": found}), flush=True)


if __name__ == "__main__":
    main()
