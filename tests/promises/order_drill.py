"""Training calls of all kinds, made from threads and loops, cancelled and hit by faults; and what the server got of it.

A drill makes the calls and knows in which order; `Meddler` is the network, spoils what it is told to, and notes what
the server took under which sequence id. `verify` holds one against the other.
"""

import asyncio
import concurrent.futures
import random
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import orjson
from client_bench import KEY, MODEL

import tinker_hl
from tinker_hl import AdamParams, APIFuture, Datum, ModelInput, RetryPolicy, ServiceClient, TrainingClient, loop
from tinker_hl.retry import InstantClock
from tinker_hl.transport import AsgiTransport
from tinker_hl.transport.base import Request, Response, TransportFault
from tinker_local.app import create_app
from tinker_local.engine.null import NullEngine
from tinker_local.engine.protocol import AdamSettings, EngineError, TrainingDatum, TrainingOutput
from tinker_local.settings import ModelSource, Settings
from tinker_local.wire.training import decode_json, decode_proto

Mark = tuple[str, int]
"""What can be seen of a request: its kind, and the number of the call it belongs to (0 where that does not show)."""

SECONDS = 60.0
VERBS = (
    "forward",
    "forward_backward",
    "custom",
    "optim_step",
    "save_state",
    "save_weights_for_sampler",
    "save_weights_external",
    "save_weights_and_get_sampling_client",
    "load_state",
    "load_state_with_optimizer",
)
FATES = ("refused", "cut_before", "cut_after", "cut_after_twice", "dead", "engine_fails", "local_error")
PLACES = ("here", "thread", "loop")


class FailingEngine(NullEngine):
    """A null engine that notes what it is told, and fails where a drill wants it to."""

    def __init__(self, models: Sequence[ModelSource]) -> None:
        super().__init__(models)
        self.told: dict[str, list[Mark]] = defaultdict(list)
        self.failing: set[int] = set()

    async def forward_backward(
        self,
        model_id: str,
        data: Sequence[TrainingDatum],
        loss_fn: str,
        loss_fn_config: Mapping[str, float | str],
        *,
        backward: bool,
    ) -> TrainingOutput:
        self._note(model_id, ("backward" if backward else "forward", int(data[0].tokens[0])))
        return await super().forward_backward(model_id, data, loss_fn, loss_fn_config, backward=backward)

    async def optim_step(self, model_id: str, settings: AdamSettings) -> Mapping[str, float]:
        self._note(model_id, ("step", round(settings.learning_rate * 1e6)))
        return await super().optim_step(model_id, settings)

    def _note(self, model_id: str, mark: Mark) -> None:
        self.told[model_id].append(mark)
        if mark[1] in self.failing:
            raise EngineError("a planned failure")


class Meddler:
    """A transport. Invariant: `taken[model][seq_id]` is what the server took under that id."""

    def __init__(self, inner: AsgiTransport, jitter: random.Random) -> None:
        self._inner = inner
        self._jitter = jitter
        self.plans: dict[Mark, deque[str]] = defaultdict(deque)
        self.taken: dict[str, dict[int, Mark]] = defaultdict(dict)
        self.surprises: list[str] = []

    async def send(self, request: Request) -> Response:
        read = READERS.get(request.url.rsplit("/", 1)[-1])
        if read is None:
            return await self._inner.send(request)
        model_id, seq_id, mark = read(request)
        plan = self.plans[mark].popleft() if self.plans[mark] else ""
        await self._dawdle()
        if plan == "refused" and seq_id not in self.taken[model_id]:
            # No service refuses what it has taken: a repeat gets the promise of the first.
            return Response(status=400, headers={"content-type": "application/json"}, content=b'{"detail":"refused"}')
        if plan == "cut_before":
            raise TransportFault("lost", "cut before the request")
        response = await self._inner.send(request)
        self._note(response, model_id, seq_id, mark)
        await self._dawdle()
        if plan == "cut_after":
            raise TransportFault("lost", "cut before the answer")
        return response

    async def aclose(self) -> None:
        return None

    def _note(self, response: Response, model_id: str, seq_id: int, mark: Mark) -> None:
        if response.status >= 300:
            self.surprises.append(f"{mark} under {seq_id}: {response.status} {response.content[:200]!r}")
        elif self.taken[model_id].setdefault(seq_id, mark) != mark:
            self.surprises.append(f"{mark} under {seq_id}, which was {self.taken[model_id][seq_id]}")

    async def _dawdle(self) -> None:
        for _ in range(self._jitter.choice((0, 0, 1, 3))):
            await asyncio.sleep(0)


def _read_pass(request: Request) -> tuple[str, int, Mark]:
    content, forward = request.content or b"", request.url.endswith("/forward")
    if request.headers["Content-Type"] == "application/json":
        # So goes on a client whose first protobuf body was refused.
        call = decode_json(orjson.loads(content), forward=forward)
    else:
        call = decode_proto(content)
    kind = "backward" if call.backward else "forward"
    return call.model_id, call.seq_id or 0, (kind, int(call.data[0].tokens[0]))


def _reader(kind: str, number: Callable[[dict[str, Any]], int]) -> Callable[[Request], tuple[str, int, Mark]]:
    def read(request: Request) -> tuple[str, int, Mark]:
        body = orjson.loads(request.content or b"{}")
        if "model_id" not in body:
            return "", 0, ("create", 0)
        return body["model_id"], body["seq_id"], (kind, number(body))

    return read


def _name(body: dict[str, Any]) -> int:
    return int(body["path"].removeprefix("n")) if body.get("path") else 0


READERS: Mapping[str, Callable[[Request], tuple[str, int, Mark]]] = {
    "forward": _read_pass,
    "forward_backward": _read_pass,
    "optim_step": _reader("step", lambda body: round(body["adam_params"]["learning_rate"] * 1e6)),
    "save_weights": _reader("save", _name),
    "save_weights_for_sampler": _reader("sampler", _name),
    "save_weights_external": _reader("external", _name),
    "load_weights": _reader("load", lambda body: 0),
}


@attrs.define
class Made:
    """A call that was made."""

    number: int
    marks: list[Mark]
    future: APIFuture[Any]
    cancelled: bool = False


class Drill:
    """One training client after the other. Invariant: `made` has the calls of the present one, in their order.

    Args:
        folder: Where the service keeps its data.
        seed: Of the network's little delays.
    """

    def __init__(self, folder: Path, seed: int = 0) -> None:
        models = (ModelSource(name=MODEL, path=str(Path(__file__).parents[2] / "tinker_local" / "models" / "tiny")),)
        self.engine = FailingEngine(models)
        app = create_app(Settings(data_dir=folder, models=models, api_keys=(KEY,)), self.engine)
        self._service_side = AsgiTransport(app)  # type: ignore[arg-type]
        self.network = Meddler(self._service_side, random.Random(seed))
        self._threads = concurrent.futures.ThreadPoolExecutor(2)
        self._loop = asyncio.new_event_loop()
        self._loop_thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._loop_thread.start()
        self._numbers = iter(range(1, 10**9))
        self.service = self._new_service()
        self.saved = self._saved()
        self.begin()

    def close(self) -> None:
        self.service.close().result(SECONDS)
        self._threads.shutdown()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._loop_thread.join(SECONDS)
        self._loop.close()
        loop.run(self._service_side.aclose()).result(SECONDS)

    def begin(self) -> None:
        """A new model and a new client; the calls of the last one were verified."""
        self.made: list[Made] = []
        self.issued: list[Mark] = []
        self.client: TrainingClient = self.service.create_lora_training_client(MODEL, rank=4).result(SECONDS)

    def make(self, verb: str, place: str = "here", fate: str = "", cancel_after: int | None = None) -> Made:
        """Make a call, wherever, and have it fare as told."""
        number = next(self._numbers)
        marks = self._marks(verb, number)
        self._plan(fate, number, marks)
        call = self._call(verb, number, fails=fate == "local_error")
        made = Made(number, marks, self._there(place, call))
        self.made.append(made)
        self.issued += marks
        if cancel_after is not None:
            self.cancel(made, cancel_after)
        return made

    def cancel(self, made: Made, after: int) -> None:
        """Cancel a call after some rounds of the client's loop."""
        made.cancelled = True

        def countdown(left: int) -> None:
            if left:
                loop.event_loop().call_soon(countdown, left - 1)
            else:
                made.future.cancel()

        loop.event_loop().call_soon_threadsafe(countdown, after)

    def settle(self) -> None:
        """Wait for every call, and see that each ended in a way that fits what the server got of it."""
        outcomes = [(made, _outcome(made)) for made in self.made]
        lost = [made for made, outcome in outcomes if outcome == "lost"]
        if any(outcome in ("lost", "not made") for _, outcome in outcomes) or not self._stands():
            self._recover()
        taken = set(self.network.taken[self.client.model_id].values())
        for made, outcome in outcomes:
            numbered = {mark for mark in made.marks if mark[1]}
            if outcome in ("done", "failed at the server"):
                assert numbered <= taken or outcome != "done", (made, outcome)
            elif outcome in ("refused", "not made"):
                assert not (numbered & taken) or made.marks[-1] not in taken, (made, outcome)
        for made in lost:
            assert {mark for mark in made.marks if mark[1]} <= taken, (made, "lost, and not made up for")
        self.made.clear()

    def verify(self) -> int:
        """Hold what the server took against the order of the calls; how many requests it took."""
        assert self.network.surprises == []
        model_id = self.client.model_id
        taken = self.network.taken[model_id]
        assert sorted(taken) == list(range(1, len(taken) + 1)), "a gap"
        in_order = [taken[seq_id] for seq_id in sorted(taken)]
        issued = iter(self.issued)
        assert all(mark in issued for mark in in_order), "the order was not kept"
        computed = [mark for mark in in_order if mark[0] in ("forward", "backward", "step")]
        assert self.engine.told[model_id] == computed, "the engine was told something else, or twice"
        return len(taken)

    def _recover(self) -> None:
        for plans in self.network.plans.values():
            plans.clear()
        self.client = self.client.recover().result(SECONDS)
        assert self.client.resumed_from is None
        # Perhaps a snapshot, by which the client saw that the model is there.
        self.issued.append(("sampler", 0))
        assert self._stands()

    def _stands(self) -> bool:
        """Make a step, and wait for it: then everything before it is done, also what was cancelled while being sent.

        False if the order broke on the way, which only a cancelled call may do in silence.
        """
        try:
            self.make("optim_step").future.result(SECONDS)
        except tinker_hl.SubmissionFailedError:
            return False
        return True

    def _new_service(self) -> ServiceClient:
        return ServiceClient(
            base_url="http://in-process",
            api_key=KEY,
            transport=self.network,
            clock=InstantClock(),
            retry_policy=RetryPolicy(deadline=4.0),
        )

    def _saved(self) -> str:
        model = self.service.create_lora_training_client(MODEL, rank=4)
        return model.save_state("n0").result(SECONDS).path

    def _plan(self, fate: str, number: int, marks: list[Mark]) -> None:
        plans = {
            "refused": ["refused"],
            "cut_before": ["cut_before"],
            "cut_after": ["cut_after"],
            "cut_after_twice": ["cut_after", "cut_after"],
            "dead": ["cut_after", *["cut_before"] * 60] if number % 2 else ["cut_before"] * 60,
        }
        if fate in plans:
            self.network.plans[marks[number % len(marks)]].extend(plans[fate])
        if fate == "engine_fails":
            self.engine.failing.add(number)

    def _marks(self, verb: str, number: int) -> list[Mark]:
        marks: dict[str, list[Mark]] = {
            "forward": [("forward", number)],
            "forward_backward": [("backward", number)],
            "custom": [("forward", number), ("backward", number)],
            "optim_step": [("step", number)],
            "save_state": [("save", number)],
            "save_weights_for_sampler": [("sampler", number)],
            "save_weights_external": [("external", number)],
            "save_weights_and_get_sampling_client": [("sampler", 0)],
            "load_state": [("load", 0)],
            "load_state_with_optimizer": [("load", 0)],
        }
        return marks[verb]

    def _call(self, verb: str, number: int, *, fails: bool) -> Callable[[], APIFuture[Any]]:
        client = self.client
        data = [Datum(ModelInput.from_ints([number, 6]), {"target_tokens": [6, 7], "weights": [1.0, 1.0]})]

        def loss(data: Any, logprobs: Any) -> Any:
            if fails:
                raise ZeroDivisionError("a planned failure")
            return -sum(row.sum() for row in logprobs), {}

        calls: dict[str, Callable[[], Any]] = {
            "forward": lambda: client.forward(data, "cross_entropy"),
            "forward_backward": lambda: client.forward_backward(data, "cross_entropy"),
            "custom": lambda: client.forward_backward_custom(data, loss),
            "optim_step": lambda: client.optim_step(AdamParams(learning_rate=number * 1e-6)),
            "save_state": lambda: client.save_state(f"n{number}"),
            "save_weights_for_sampler": lambda: client.save_weights_for_sampler(f"n{number}"),
            "save_weights_external": lambda: client.save_weights_external(f"n{number}"),
            "save_weights_and_get_sampling_client": lambda: client.save_weights_and_get_sampling_client(),
            "load_state": lambda: client.load_state(self.saved),
            "load_state_with_optimizer": lambda: client.load_state_with_optimizer(self.saved),
        }
        return calls[verb]

    def _there(self, place: str, call: Callable[[], APIFuture[Any]]) -> APIFuture[Any]:
        if place == "thread":
            return self._threads.submit(call).result(SECONDS)
        if place == "loop":

            async def in_loop() -> APIFuture[Any]:
                return call()

            future = asyncio.run_coroutine_threadsafe(_kept(in_loop), self._loop)
            return future.result(SECONDS)[0]
        return call()


async def _kept(make: Callable[[], Any]) -> tuple[APIFuture[Any]]:
    """In a tuple: asyncio would wait for a bare future that a coroutine returned."""
    return (await make(),)


def _outcome(made: Made) -> str:
    try:
        made.future.result(SECONDS)
    except concurrent.futures.CancelledError:
        assert made.cancelled, "cancelled by nobody"
        return "cancelled"
    except tinker_hl.BadRequestError:
        return "refused"
    except tinker_hl.SubmissionFailedError:
        return "not made"
    except (tinker_hl.RequestFailedError, ZeroDivisionError):
        return "failed at the server"
    except tinker_hl.APIConnectionError:
        return "lost"
    except tinker_hl.TinkerError as error:
        if isinstance(error.__cause__, ZeroDivisionError):
            return "failed at the server"
        raise
    return "done"
