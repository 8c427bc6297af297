"""One way to one server: address, credential, transport, retry policy, and what the server can do.

It is made without any request; the first call settles the rest (`ready`): the local service is started if one was asked
for, the server's configuration is read, a key is traded for a token where the server wants that. It knows nothing of
sessions, models or results.
"""

import asyncio
import logging
import os
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urljoin

import attrs
import orjson

from tinker_hl import local_door, loop
from tinker_hl.billing_pause import billing_pause_of
from tinker_hl.call_metrics import CallMetrics, is_counted
from tinker_hl.call_settings import options_in_force
from tinker_hl.capabilities import Capabilities, DynamicCapabilities
from tinker_hl.chunking import ChunkLimits
from tinker_hl.circuit_breaker import CircuitBreaker, circuits_of
from tinker_hl.configuration.settings import ClientSettings, read_settings
from tinker_hl.configuration.variables import warn_of_unknown
from tinker_hl.credentials import LOCAL, Credential, StaticKey, Told, find_source, is_hosted, resolve_base_url
from tinker_hl.errors import (
    APIConnectionError,
    APIResponseValidationError,
    APIStatusError,
    SessionClosedError,
    TinkerError,
    secret_values,
    without_secrets,
)
from tinker_hl.events import EventBus, in_call, is_logged, log_event
from tinker_hl.generated_client import Call, EncodedBody, call_generated, door
from tinker_hl.open_connections import close_at_the_end
from tinker_hl.operations import (
    exchange_token,
    get_client_config,
    get_client_dynamic_config,
    load_generated_client,
    send_telemetry,
)
from tinker_hl.progress_line import LINE
from tinker_hl.redaction import redacted, redacted_bytes
from tinker_hl.retry import NEVER, AttemptLog, Clock, RetryBudget, RetryPolicy, SharedBudgets, default_clock
from tinker_hl.span_headers import span_headers
from tinker_hl.telemetry import VARIABLE, Telemetry, is_reported, is_user_error
from tinker_hl.transport.base import Request, Response, Transport
from tinker_hl.version import SDK_VERSION, __version__

if TYPE_CHECKING:
    from tinker_api.client import AuthenticatedClient

__all__ = ["Connection"]

CONFIG_TIMEOUT = 10.0
TELEMETRY_TIMEOUT = 5.0
RENEWAL_DEADLINE = 20.0
"""Seconds for a new token while the old one still lives."""
logger = logging.getLogger("tinker_hl")
_budgets = SharedBudgets()
T = TypeVar("T")
_AGENT: Mapping[str, str] = {"User-Agent": f"tinker-hl/{__version__}"}
_NOT_OFFERED = (404, 405, 501)
"""Answers of servers that have no such operation."""


class Connection:
    """See the module. Invariant: after `aclose` every call raises `SessionClosedError`.

    Args:
        base_url: An address, `"local"`, or None for `TINKER_BASE_URL` or else the hosted service.
        api_key: None for `TINKER_API_KEY`.
        headers: More headers for every request.
        transport: How requests travel; None for sockets.
        policy: How calls are retried; None for what the settings say.
        settings: What else the client was told; None for what the environment says.
        clock: The time, for waits between attempts.
        circuit_breaker: When to stop trying; None for never.
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        transport: Transport | None = None,
        policy: RetryPolicy | None = None,
        settings: ClientSettings | None = None,
        clock: Clock | None = None,
        circuit_breaker: CircuitBreaker | None = None,
    ) -> None:
        warn_of_unknown(os.environ)
        self.base_url = resolve_base_url(base_url)
        self.settings = settings or read_settings(policy=policy)
        self.metrics = CallMetrics()
        self.events = EventBus()
        self.events.subscribe(log_event, is_logged)
        self.events.subscribe(self.metrics.hear, is_counted)
        self.policy = policy or self.settings.policy
        self.clock: Clock = clock or default_clock()
        told = _notices(self.events, "credentials")
        self.credential = Credential(find_source(api_key, self.base_url, self.clock, told), self.clock, told)
        self.capabilities = Capabilities()
        self.dynamic = DynamicCapabilities()
        self.ever_answered = False
        self.speaks_protobuf: bool | None = None
        """Whether the server took a protobuf body; None before the first one."""
        self.closed = False
        self.owns_transport = transport is None
        self.transport: Transport = transport or _sockets(self.settings)
        load_generated_client()
        self._breaker = circuit_breaker
        self.telemetry = self._reports()
        """Reports to the service; None where there are none."""
        if self.settings["progress"]:
            LINE.follow(self.events)
        own = {**self.settings["default_headers"], **(headers or {})}
        self._headers = {**_AGENT, **self.settings.access_headers, **own}
        secrets = secret_values(own)
        self.shareable_headers = {name: value for name, value in own.items() if value not in secrets}
        """The user's headers that a copy in another process may be told."""
        self._span_headers = span_headers() if self.settings["otel_propagate"] else None
        self._embedded = False
        self._ready: asyncio.Task[None] | None = None
        self._waits: set[asyncio.Task[Any]] = set()
        loop.reset_after_fork(self)
        if self.owns_transport:
            close_at_the_end(self)

    # What a door needs.

    async def headers(self, *, raw_key: bool) -> Mapping[str, str]:
        """Credentials, versions and the user's own headers."""
        key = await (self.credential.raw() if raw_key else self.credential.value())
        return {**self._headers, "X-API-Key": key}

    async def send(self, request: Request, call: str) -> Response:
        """One attempt of a call of this name."""
        self._refuse_closed()
        if self.settings["dump_headers"]:
            self._dump(request)
        began = self.clock.now()
        if self._breaker is None:
            response = await self.transport.send(request)
        else:
            circuits = circuits_of(self.server, self._breaker)
            response = await circuits.send(request, self.transport.send, self.clock, self._told_circuit)
        self.ever_answered = True
        seconds = self.clock.now() - began
        self.events.emit(
            "answered",
            call,
            status=response.status,
            seconds=seconds,
            method=request.method,
            server=self.base_url,
            operation=_operation(request),
        )
        return response

    def url(self, path: str) -> str:
        """The absolute URL of an API path."""
        return self.base_url + path

    @property
    def default_query(self) -> Mapping[str, str]:
        """What the user wants in the query of every request; a call's own parameter of the same name wins."""
        query: Mapping[str, str] = self.settings["default_query"] or {}
        return query

    def absolute(self, link: str) -> str:
        """A link that the server gave, which may be relative to its address."""
        return urljoin(self.base_url + "/", link)

    def attempts(self, policy: RetryPolicy) -> AttemptLog:
        """The retry state of a new call."""
        return _Attempts(self, policy)

    async def paused_for_billing(self, call: str, detail: str, policy: RetryPolicy) -> bool:
        """The server answered 402; whether that was waited out for a while and the call is to be tried again."""

        def told(notice: str, level: int) -> None:
            self.events.emit("notice", call, detail=notice, level=level, status=402)

        window = self.capabilities.billing_exception_max_pause_duration_sec
        return await billing_pause_of(self.server).waited(policy, self.clock, window, told, detail)

    def credential_refused(self, sent: str, *, raw: bool, token_invalid: bool) -> bool:
        """The server did not take a credential; whether another one can be tried. See `Credential.refused`."""
        return self.credential.refused(sent, raw=raw, token_invalid=token_invalid)

    def told_retry(self, call: str, detail: str, attempt: int, waited: float, level: int = logging.WARNING) -> None:
        """Tell listeners of a retry."""
        self.events.emit("retried", call, detail=detail, attempt=attempt, wait_s=round(waited, 3), level=level)

    def told_failure(self, call: str, error: TinkerError, request_id: str | None = None) -> None:
        """Tell listeners of an error that ends a request for good."""
        fields = {name: getattr(error, name) for name in ("status_code", "category") if hasattr(error, name)}
        self.events.emit(
            "failed",
            call,
            request_id=request_id or error.request_id,
            detail=redacted(error.message, self.credential.secrets),
            error_type=type(error).__name__,
            user_error=is_user_error(error),
            promised=request_id is not None,
            **fields,
        )

    def told_notice(self, call: str, headers: Mapping[str, str]) -> None:
        """Tell listeners what the server wants the user to read."""
        note = headers.get("x-deprecation-note")
        if note:
            level = 40 if headers.get("x-deprecation-level") == "error" else 30
            self.events.emit("notice", call, detail=note, level=level)

    def _dump(self, request: Request) -> None:
        """Log what is sent, for who looks closely; no secret, and no body, which may be large."""
        fields = ", ".join(f"{name}: {value}" for name, value in without_secrets(request.headers).items())
        text = f"{request.method} {request.url} {len(request.body or b'')} bytes [{fields}]"
        logger.debug("%s", redacted(text, self.credential.secrets))

    def _told_circuit(self, name: str, sentence: str, state: str) -> None:
        level = 20 if state == "closed" else 30
        self.events.emit("notice", f"circuit {name}", detail=sentence, level=level, circuit=name, state=state)

    # What clients use.

    @property
    def _timeout(self) -> float:
        """Seconds for each attempt of a call that is made now."""
        told = options_in_force().timeout
        return self.settings.profile.timeout if told is None else told

    @property
    def chunk_limits(self) -> ChunkLimits:
        """How the data of one call is cut: as the server says, or smaller where the profile does."""
        profile, server = self.settings.profile, self.capabilities
        return ChunkLimits.of(
            server.fwdbwd_max_chunk_len,
            server.fwdbwd_max_chunk_bytes_count,
            profile.chunk_items,
            profile.chunk_size,
            profile.bytes_per_number,
        )

    @property
    def policy_in_force(self) -> RetryPolicy:
        """How a call that is made now is retried: as `call_options` says, or else as the client was told."""
        return options_in_force().retry_policy or self.policy

    @property
    def budget(self) -> RetryBudget:
        """The retry budget shared with every client of this server and key."""
        return _budgets.of(self.server)

    @property
    def server(self) -> tuple[str, str]:
        """Which server, opened by which key, on which timeline: what clients that share limits have in common."""
        return self.base_url, self.credential.digest + getattr(self.clock, "timeline", "")

    @property
    def wants_protobuf(self) -> bool:
        """Whether to send protobuf: what is known, or what the server's age makes likely."""
        return self.capabilities.has_config if self.speaks_protobuf is None else self.speaks_protobuf

    def call(self, name: str, **options: Any) -> Call:
        """The description of one call, with the headers that tell the server which public method makes it.

        A name without a class is that of a task in the background, which no method makes.
        """
        told = options_in_force()
        public = _public_headers(name)
        # A task in the background runs in a copy of the context that it was started in, whose span is long over.
        span = self._span_headers() if self._span_headers is not None and public else {}
        headers = {**public, **span, **told.headers, **options.pop("headers", {})}
        if "policy" not in options:
            options["policy"] = told.retry_policy or self.policy
        if "timeout" not in options:
            options["timeout"] = self._timeout
        return Call(name=name, headers=headers, **options)

    def request(
        self, function: Callable[..., Awaitable[Any]], call: Call, **arguments: Any
    ) -> Coroutine[Any, Any, Any]:
        """Make one call through a generated function, once the connection is ready.

        Args:
            function: An `asyncio_detailed` of the generated client.
            call: From `call`.
            arguments: The function's own.

        Returns:
            The generated `Response`: `.status_code`, `.content`, `.headers`, `.parsed`.
        """
        if in_call() or "." not in call.name:
            return self._request(function, call, arguments)
        return self._public_request(function, call, arguments)

    async def _public_request(
        self, function: Callable[..., Awaitable[Any]], call: Call, arguments: Mapping[str, Any]
    ) -> Any:
        with self.events.call(call.name):
            return await self._request(function, call, arguments)

    async def _request(self, function: Callable[..., Awaitable[Any]], call: Call, arguments: Mapping[str, Any]) -> Any:
        try:
            await self.ready()
            return await call_generated(function, self.door(call), **arguments)
        except TinkerError as error:
            # What is asked for only once, or left to the caller by its status, is asked for again by the caller.
            if call.policy is not NEVER and getattr(error, "status_code", None) not in call.final_statuses:
                self.told_failure(call.name, error)
            raise

    def door(self, call: Call) -> "AuthenticatedClient":
        """A generated client for one call."""
        self._refuse_closed()
        return door(self, call)

    async def ready(self) -> Capabilities:
        """Settle what the module's docstring lists, once; a failure is tried anew by the next call."""
        self._refuse_closed()
        if self._ready is None:
            self._ready = loop.spawn(self._settle(), name="tinker-hl-connect", shared=True)
        task = self._ready
        try:
            await asyncio.shield(task)
        except BaseException:
            if task.done() and self._ready is task:
                self._ready = None
            if task.cancelled():
                self._refuse_closed()
            raise
        return self.capabilities

    def _refuse_closed(self) -> None:
        if self.closed:
            raise SessionClosedError("the client is closed")

    async def while_open(self, wait: Coroutine[Any, Any, T]) -> T:
        """Wait for something that closing the connection ends with a `SessionClosedError`."""
        if self.closed:
            wait.close()
            self._refuse_closed()
        task = asyncio.ensure_future(wait)
        self._waits.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            if task.cancelled():
                self._refuse_closed()
            raise
        finally:
            self._waits.discard(task)

    async def aclose(self) -> None:
        """Close the transport, if it is this connection's own, and let go of the local service."""
        if self.telemetry is not None and not self.closed:
            await self.telemetry.aclose()
        self.end_calls()
        if self.owns_transport:
            await self.transport.aclose()
        if self._embedded:
            self._embedded = False
            await loop.in_worker(local_door.release)

    def end_calls(self) -> None:
        """No attempt is made any more; who waits for one is told."""
        self.closed = True
        for wait in list(self._waits):
            wait.cancel()
        if self._ready is not None:
            self._ready.cancel()

    def after_fork(self) -> None:
        """A connection that was being settled in the parent is settled anew; a settled one stays so."""
        self._waits = set()
        if self._ready is not None and not self._ready.done():
            self._ready = None
        self.credential.after_fork()

    async def _settle(self) -> None:
        if self.base_url == LOCAL:
            service = await loop.in_worker(local_door.acquire)
            self._embedded = True
            self.base_url = service.base_url.rstrip("/")
            told = _notices(self.events, "credentials")
            self.credential = Credential(StaticKey(service.api_key, "the embedded service"), self.clock, told)
        self.capabilities = await self._read_config()
        if self.capabilities.pjwt_auth_enabled:
            if self.capabilities.credential_default_source == "credential_cmd":
                self.credential.demand_command()
            self.credential.trade_with(self._exchange())
            await self.credential.value()  # now, so that a refused exchange is this call's error and not a setting's
        await self.refresh_dynamic_quietly()

    async def _read_config(self) -> Capabilities:
        call = Call(name="client.config", policy=self.policy_in_force, timeout=self._timeout, raw_key=True)
        body = EncodedBody(orjson.dumps({"sdk_version": SDK_VERSION}))
        try:
            answer = await call_generated(get_client_config.asyncio_detailed, door(self, call), body=body)
        except APIStatusError as error:
            if error.status_code not in _NOT_OFFERED:
                raise
            return Capabilities.without_config()
        return Capabilities.of_config(_json_object(answer.content))

    async def refresh_dynamic_quietly(self) -> None:
        """Read the settings that may change. Nothing depends on them: whatever fails, the last ones stay."""
        if not self.capabilities.has_config:
            return
        call = Call(name="client.dynamic_config", policy=NEVER, timeout=CONFIG_TIMEOUT)
        body = EncodedBody(orjson.dumps({"sdk_version": SDK_VERSION}))
        try:
            answer = await call_generated(get_client_dynamic_config.asyncio_detailed, door(self, call), body=body)
            self.dynamic = DynamicCapabilities.of_config(_json_object(answer.content))
        except (TinkerError, ValueError) as error:
            if not isinstance(error, APIStatusError) or error.status_code not in _NOT_OFFERED:
                self.events.emit("notice", "client.dynamic_config", detail=f"not refreshed: {error}", level=10)

    def _reports(self) -> Telemetry | None:
        if not self.settings.reports(hosted=is_hosted(self.base_url)).value:
            return None
        told, send, clean = _notices(self.events, "telemetry"), self._send_telemetry, self._without_secrets
        telemetry = Telemetry(weakref.WeakMethod(send), self.clock, told, weakref.WeakMethod(clean))
        self.events.subscribe(telemetry.hear, is_reported)
        if self.settings["telemetry"] is None:
            where = self.settings["telemetry_file"] or self.base_url
            told(f"reports of errors go to {where}; {VARIABLE}=0 switches them off", 20)
        return telemetry

    def _without_secrets(self, batch: bytes) -> bytes:
        return redacted_bytes(batch, self.credential.secrets)

    async def _send_telemetry(self, batch: bytes) -> None:
        if path := self.settings["telemetry_file"]:
            await loop.in_worker(_append_line, path, self._without_secrets(batch))
            return
        ready = self._ready
        if ready is None or not ready.done() or ready.cancelled() or ready.exception() is not None:
            raise APIConnectionError(None, "there is no connection to send it over")
        call = Call(name="telemetry", policy=NEVER, timeout=TELEMETRY_TIMEOUT)
        body = EncodedBody(self._without_secrets(batch))
        await call_generated(send_telemetry.asyncio_detailed, self.door(call), body=body)

    def _exchange(self) -> Callable[[], Awaitable[str]]:
        """Trades keys for tokens for as long as the connection is held; it does not hold it."""
        method = weakref.WeakMethod(self._new_token)

        async def exchange() -> str:
            new_token = method()
            if new_token is None:
                raise SessionClosedError("the client is closed")
            return await new_token()

        return exchange

    async def _new_token(self) -> str:
        policy = self.policy_in_force
        if self.credential.has_token:
            # The old token serves meanwhile: better to go on with it than to hold calls up.
            policy = attrs.evolve(policy, deadline=min(policy.deadline, RENEWAL_DEADLINE))
        call = Call(name="auth.token", policy=policy, timeout=self._timeout, raw_key=True)
        try:
            answer = await call_generated(exchange_token.asyncio_detailed, door(self, call), body=EncodedBody(b"{}"))
            token = _json_object(answer.content).get("jwt")
        except (APIResponseValidationError, ValueError):
            # Neither is shown or chained: what the server answered may hold the token.
            token = None
        if not isinstance(token, str) or not token:
            raise APIResponseValidationError(None, None, "the server traded the key for no token")
        return token


@lru_cache(256)
def _public_headers(name: str) -> Mapping[str, str]:
    return {"x-sdk-version": SDK_VERSION, "x-sdk-method": name} if "." in name else {}


def _sockets(settings: ClientSettings) -> Transport:
    from tinker_hl.transport.network import NetworkTransport  # late: aiohttp is half of what importing a client costs

    return NetworkTransport(max_connections=settings["max_connections"], route=settings.route)


def _notices(events: EventBus, task: str) -> Told:
    """Tells listeners what goes wrong behind the callers' backs."""

    def told(detail: str, level: int) -> None:
        events.emit("notice", task, detail=detail, level=level)

    return told


class _Attempts(AttemptLog):
    """The attempts of one call of a connection; closing it ends a wait between them."""

    def __init__(self, connection: Connection, policy: RetryPolicy) -> None:
        super().__init__(policy, connection.budget, connection.clock)
        self._connection = connection

    async def wait(self, *, named: float | None = None, unreachable: bool = False) -> bool:
        """See `AttemptLog.wait`."""
        return await self._connection.while_open(super().wait(named=named, unreachable=unreachable))


def _operation(request: Request) -> str:
    """The last part of what is posted to, which names an operation; other paths may end in names of things."""
    return request.url.rpartition("/")[2].partition("?")[0] if request.method == "POST" else ""


def _append_line(path: str, line: bytes) -> None:
    """In one write, so that processes that share a file do not mix their lines."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        file.write(line + b"\n")


def _json_object(content: bytes) -> dict[str, Any]:
    value = orjson.loads(content) if content else {}
    return value if isinstance(value, dict) else {}
