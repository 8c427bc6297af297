"""A small ASGI server whose every answer a test decides: it speaks enough of the protocol to make models and samplers.

Faults are its settings: `faults[path]` is a list of answers (or of things to do) that come before the ordinary one.
"""

import itertools
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import orjson

from tinker_hl import RetryPolicy, ServiceClient
from tinker_hl.retry import InstantClock
from tinker_hl.transport import AsgiTransport


@attrs.define
class Seen:
    """A request that came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    query: str = ""

    @property
    def json(self) -> Any:
        return orjson.loads(self.body) if self.body else None


@attrs.define
class Reply:
    """An answer to give."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = attrs.field(factory=dict)
    raw: bytes | None = None
    content_type: str = "application/json"


Fault = Reply | Callable[["Seen"], Awaitable[Reply]] | None
"""A reply; a function; or None, which breaks the connection."""

OUTPUT = {
    "loss_fn_output_type": "ArrayRecord",
    "loss_fn_outputs": [{"logprobs": {"data": [-1.0, -2.0], "dtype": "float32", "shape": [2]}}],
    "metrics": {"loss:sum": 3.0},
}


_SERVERS = itertools.count()


class ScriptedServer:
    """See the module. `seen` has every request; `results` what futures resolve to, by request type."""

    def __init__(self, *, config: dict[str, Any] | None = None) -> None:
        self.config = config
        self.seen: list[Seen] = []
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self.results: dict[str, Any] = {}
        self._pending: dict[str, Any] = {}
        self._numbers = itertools.count()
        # What one test had of limits and pauses is not the next one's.
        self._timeline = f"scripted-{next(_SERVERS)}"

    def paths(self, ending: str) -> list[Seen]:
        return [request for request in self.seen if request.path.endswith(ending)]

    def client(self, **options: Any) -> ServiceClient:
        options = {
            "clock": InstantClock(self._timeline),
            "retry_policy": RetryPolicy(),
            "api_key": "tml-secret",
        } | options
        return ServiceClient(base_url="http://scripted.test", transport=self.transport(), **options)

    def transport(self) -> AsgiTransport:
        return AsgiTransport(self, lifespan=False)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        request = Seen(scope["method"], scope["path"], headers, message["body"], scope["query_string"].decode())
        self.seen.append(request)
        reply = await self._reply(request)
        if reply is None:
            return
        body = reply.raw if reply.raw is not None else orjson.dumps({} if reply.body is None else reply.body)
        pairs = {"content-type": reply.content_type, **reply.headers}
        encoded = [(name.encode(), value.encode()) for name, value in pairs.items()]
        await send({"type": "http.response.start", "status": reply.status, "headers": encoded})
        await send({"type": "http.response.body", "body": body})

    async def _reply(self, request: Seen) -> Reply | None:
        name = request.path.rsplit("/", 1)[-1]
        if self.faults[name]:
            fault = self.faults[name].pop(0)
            return await fault(request) if callable(fault) else fault
        handler = getattr(self, f"on_{name}", None)
        if handler is None:
            return Reply(404, {"detail": "not here"})
        value = handler(request)
        return value if isinstance(value, Reply) else Reply(body=value)

    def promise(self, value: Any) -> dict[str, str]:
        request_id = f"r{next(self._numbers)}"
        self._pending[request_id] = value
        return {"request_id": request_id}

    def on_config(self, request: Seen) -> Any:
        return Reply(404, {"detail": "no such path"}) if self.config is None else self.config

    def on_create_session(self, request: Seen) -> Any:
        return {"session_id": "S"}

    def on_session_heartbeat(self, request: Seen) -> Any:
        return {}

    def on_finish(self, request: Seen) -> Any:
        return {}

    def on_create_model(self, request: Seen) -> Any:
        return self.promise({"model_id": f"S:train:{request.json['model_seq_id']}"})

    def on_get_info(self, request: Seen) -> Any:
        data = {"model_name": "base", "tokenizer_id": None}
        return {"model_id": request.json["model_id"], "model_data": data, "lora_rank": 8}

    def on_forward(self, request: Seen) -> Any:
        return self.promise(self.results.get("Forward", OUTPUT))

    def on_forward_backward(self, request: Seen) -> Any:
        return self.promise(self.results.get("ForwardBackward", OUTPUT))

    def on_optim_step(self, request: Seen) -> Any:
        return self.promise({"metrics": {"grad_norm": 1.0}})

    def on_save_weights(self, request: Seen) -> Any:
        return self.promise({"path": f"tinker://M/weights/{request.json['path']}"})

    def on_save_weights_for_sampler(self, request: Seen) -> Any:
        body = request.json
        if body.get("path"):
            return self.promise({"path": f"tinker://M/sampler_weights/{body['path']}"})
        return self.promise({"sampling_session_id": f"S:sample:{body['sampling_session_seq_id']}"})

    def on_weights_info(self, request: Seen) -> Any:
        return {"base_model": "base", "is_lora": True, "lora_rank": 8}

    def on_load_weights(self, request: Seen) -> Any:
        if request.json.get("model_id") is None:
            return Reply(422, {"detail": "model_id is required"})
        return self.promise({"path": request.json["path"]})

    def on_create_sampling_session(self, request: Seen) -> Any:
        return {"sampling_session_id": f"S:sample:{request.json['sampling_session_seq_id']}"}

    def on_asample(self, request: Seen) -> Any:
        sequences = [{"stop_reason": "stop", "tokens": [1, 2], "logprobs": [-0.5, -0.25]}] * request.json["num_samples"]
        scored = [None, *([-1.0] * (len(request.json["prompt"]["chunks"][0]["tokens"]) - 1))]
        if last := request.json.get("prompt_logprobs_last_n"):
            scored[:-last] = [None] * len(scored[:-last])
        return self.promise(self.results.get("Sample", {"sequences": sequences, "prompt_logprobs": scored}))

    def on_get_server_capabilities(self, request: Seen) -> Any:
        return {"supported_models": [{"model_name": "base"}]}

    def on_retrieve_future(self, request: Seen) -> Any:
        request_id = request.json["request_id"]
        if request_id not in self._pending:
            return Reply(404, {"detail": "no such request"})
        value = self._pending[request_id]
        return value if isinstance(value, Reply) else Reply(body=value)
