"""The generated functions' way to the network: an object of httpx's shape over the client's own transport.

A generated function calls `await door.request(method, url, json=..., params=..., headers=...)` and reads
`.status_code`, `.headers`, `.content` and `.json()` of what it gets. The door adds credentials and headers, encodes the
body (orjson, numpy arrays as they are, or bytes that are encoded already), retries by the one policy under one
idempotency key, and raises the typed errors, so that generated code only ever sees a success.

This is the one handwritten module that names httpx, whose types the generated client is annotated with. It loads it
only when there is a call to make, or when somebody asks for its `Timeout`.
"""

import itertools
import os
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast
from urllib.parse import urlencode

import attrs
import orjson

from tinker_hl.errors import (
    APIConnectionError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
    CircuitOpenError,
    RequestInfo,
    ResponseInfo,
    TinkerError,
    secret_values,
    status_error,
)
from tinker_hl.redaction import redacted, redacted_bytes
from tinker_hl.retry import DEFAULT_POLICY, AttemptLog, RetryPolicy, named_wait, status_is_retryable
from tinker_hl.transport.base import Body, Request, Response, TransportFault

if TYPE_CHECKING:
    import httpx
    from httpx import Timeout as Timeout
    from tinker_api.client import AuthenticatedClient

__all__ = ["Answer", "Call", "EncodedBody", "Server", "Timeout", "call_generated", "door"]

JSON = "application/json"
PROTOBUF = "application/x-protobuf"
MAX_BODY = 2000
UNTRUSTED_HINT = "Name the file of its authority: ServiceClient(certificates=...), or the variable SSL_CERT_FILE."
# With the process id and a number this names one call in the world; a fresh uuid for each call costs much more.
_PROCESS = uuid.uuid4().hex
_numbers = itertools.count()


@attrs.frozen
class EncodedBody:
    """A body that is encoded already; generated functions pass it on untouched.

    It stands where a generated function wants one of its models: all that they do with a body is `to_dict()`.
    """

    content: Body = attrs.field(repr=lambda body: f"<{len(body)} bytes>")
    content_type: str = JSON
    content_encoding: str | None = None

    def to_dict(self) -> "EncodedBody":
        """What the generated function hands on as `json`."""
        return self


@attrs.frozen(kw_only=True)
class Call:
    """One logical call: what it is for, and how it may be made. One idempotency key serves all its attempts."""

    name: str
    """The public method, such as `TrainingClient.forward`, or the background task."""
    timeout: float = 60.0
    """Seconds for each attempt."""
    policy: RetryPolicy = DEFAULT_POLICY
    headers: Mapping[str, str] = attrs.field(factory=dict)
    follow_redirects: bool = False
    accept_redirect: bool = False
    """Whether a redirect is the answer, to be read and not followed."""
    final_statuses: frozenset[int] = frozenset()
    """Statuses that are not retried, whatever they mean: the caller deals with them."""
    raw_key: bool = False
    """Whether to send the key itself where the server trades keys for tokens."""
    idempotency_key: str = attrs.field(factory=lambda: f"tinker-hl-{_PROCESS}-{os.getpid()}-{next(_numbers)}")


@attrs.frozen
class Answer:
    """A success, in the shape that generated functions read."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def text(self) -> str:
        """The content as text."""
        return self.content.decode("utf-8", errors="replace")

    def json(self) -> Any:
        """The content, parsed; None where it is empty or no JSON by its content type."""
        if not self.content or "json" not in self.headers.get("content-type", JSON):
            return None
        return orjson.loads(self.content)


class Server(Protocol):
    """What a door needs of the connection that it belongs to."""

    async def headers(self, *, raw_key: bool) -> Mapping[str, str]:
        """Credentials, versions and the user's own headers."""
        ...

    async def send(self, request: Request, call: str) -> Response:
        """One attempt of a call of this name."""
        ...

    def url(self, path: str) -> str:
        """The absolute URL of an API path."""
        ...

    @property
    def default_query(self) -> Mapping[str, str]:
        """What goes into the query of every request."""
        ...

    def attempts(self, policy: RetryPolicy) -> AttemptLog:
        """The retry state of a new call."""
        ...

    async def paused_for_billing(self, call: str, detail: str, policy: RetryPolicy) -> bool:
        """The server answered 402; whether that was waited out for a while and the call is to be tried again."""
        ...

    def credential_refused(self, sent: str, *, raw: bool, token_invalid: bool) -> bool:
        """The server answered 401 to this credential; whether another one can be tried."""
        ...

    def told_retry(self, call: str, detail: str, attempt: int, waited: float) -> None:
        """Let listeners know."""
        ...

    def told_notice(self, call: str, headers: Mapping[str, str]) -> None:
        """Let listeners know of what the server's headers say to the user."""
        ...

    @property
    def ever_answered(self) -> bool:
        """Whether the server has answered anything yet."""
        ...


class Door:
    """The httpx-shaped object of one call."""

    def __init__(self, server: Server, call: Call) -> None:
        self._server = server
        self._call = call
        self._attempts: _Attempts | None = None

    @property
    def answer(self) -> Answer | None:
        """The success, once there was one."""
        return None if self._attempts is None else self._attempts.answer

    def request(
        self,
        method: str,
        url: str,
        *,
        json: Any = None,
        content: bytes | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        **unknown: Any,
    ) -> Coroutine[Any, Any, Answer]:
        """Make the call, with retries, and return its success, which is to be awaited.

        Raises:
            APIStatusError: The server refused, or kept failing until the deadline.
            APIConnectionError: It could not be reached until the deadline.
            CircuitOpenError: The circuit breaker let no further attempt through.
        """
        if unknown:
            raise TypeError(f"a generated function passed arguments that no door knows: {sorted(unknown)}")
        method = method.upper()
        body, body_headers = _encode(json, content)
        query = _query({**self._server.default_query, **(params or {})})
        target = self._server.url(url) + (f"?{query}" if query else "")
        own = {"Accept": JSON, **(headers or {}), **body_headers, **self._call.headers}
        if method != "GET":
            own.setdefault("Content-Type", JSON)
            own["X-Idempotency-Key"] = self._call.idempotency_key
        self._attempts = _Attempts(self._server, self._call, method, target, own, body)
        return self._attempts.run()


@attrs.frozen
class _Failure:
    """An attempt that failed, and that another one may follow."""

    error: APIStatusError | APIConnectionError
    named: float | None = None
    """Seconds that the server asked for."""
    unreachable: bool = False
    """Nobody answered, and nobody ever has at this address."""


class _Attempts:
    """The attempts of one request. Invariant: they differ in nothing but credentials, time limits and their number."""

    def __init__(
        self, server: Server, call: Call, method: str, url: str, headers: Mapping[str, str], body: Body | None
    ) -> None:
        self._server = server
        self._call = call
        self._method, self._url = method, url
        self._headers, self._body = headers, body
        self._log = server.attempts(call.policy)
        self.answer: Answer | None = None
        self._replayed = False
        self._in_doubt = False
        """Whether an attempt may have been taken although it failed."""

    async def run(self) -> Answer:
        """Try until there is a success, a final failure or the policy's end."""
        while True:
            ended = await self._once()
            if isinstance(ended, Answer):
                self.answer = ended
                return ended
            if ended is None:
                continue
            if not await self._log.wait(named=ended.named, unreachable=ended.unreachable):
                raise ended.error
            self._server.told_retry(self._call.name, ended.error.message, self._log.retries, self._log.waited)

    async def _once(self) -> Answer | _Failure | None:
        """One attempt: its success, a failure that is not final, or None to go again at once."""
        request = await self._request()
        try:
            response = await self._server.send(request, self._call.name)
        except CircuitOpenError as error:
            error.sent = self._in_doubt
            raise
        except TransportFault as fault:
            return self._unanswered(request, fault)
        self._server.told_notice(self._call.name, response.headers)
        if response.status < 300 or (self._call.accept_redirect and response.status < 400):
            self._log.succeeded()
            return Answer(response.status, response.headers, response.content)
        if response.status == 401 and self._has_another_credential(request, response):
            return None
        return await self._refused(request, response)

    async def _request(self) -> Request:
        retries = str(self._log.retries)
        credentials = await self._server.headers(raw_key=self._call.raw_key)
        headers = {**credentials, **self._headers, "x-stainless-retry-count": retries}
        return Request(
            method=self._method,
            url=self._url,
            headers=headers,
            content=self._body,
            # So the last attempt ends by the deadline; a second is left to an answer in any case.
            timeout=min(self._call.timeout, max(self._log.left, 1.0)),
            follow_redirects=self._call.follow_redirects,
        )

    def _unanswered(self, request: Request, fault: TransportFault) -> _Failure:
        """What no answer leads to; raises where it stays so."""
        if fault.kind == "untrusted":
            raise _connection_error(fault, request) from fault
        nobody_there = fault.kind in ("refused", "unresolved")
        self._in_doubt = self._in_doubt or not nobody_there
        return _Failure(_connection_error(fault, request), unreachable=nobody_there and not self._server.ever_answered)

    async def _refused(self, request: Request, response: Response) -> _Failure | None:
        """What a refusal leads to; raises where it is final."""
        error = _refusal(request, response)
        if response.status == 402 and await self._paused(error):
            # Not a failed attempt: the deadline counts from the payment on.
            self._log.succeeded()
            return None
        error.after_doubt = self._in_doubt
        if response.status in self._call.final_statuses or not _may_retry(response):
            raise error
        self._in_doubt = self._in_doubt or response.status != 429
        return _Failure(error, named=named_wait(response.headers))

    async def _paused(self, error: TinkerError) -> bool:
        return await self._server.paused_for_billing(self._call.name, error.message, self._call.policy)

    def _has_another_credential(self, request: Request, response: Response) -> bool:
        if self._replayed:
            return False
        self._replayed = self._server.credential_refused(
            request.headers["X-API-Key"], raw=self._call.raw_key, token_invalid=_token_expired(response)
        )
        return self._replayed


def door(server: Server, call: Call) -> "AuthenticatedClient":
    """A generated client whose one call goes through `server`; cheap, one for each call."""
    from tinker_api.client import AuthenticatedClient  # late, as it brings httpx

    client = AuthenticatedClient(base_url="", token="")
    return client.set_async_httpx_client(cast("httpx.AsyncClient", Door(server, call)))


R = TypeVar("R")


async def call_generated(request: Callable[..., Awaitable[R]], client: "AuthenticatedClient", **arguments: Any) -> R:
    """Call a generated function, and turn an answer that it cannot read into a typed error.

    Args:
        request: An `asyncio_detailed`.
        client: From `door`.
        arguments: The function's own.
    """
    try:
        return await request(client=client, **arguments)
    except TinkerError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        answer = cast(Door, client.get_async_httpx_client()).answer
        if answer is None:
            raise
        raise APIResponseValidationError(
            ResponseInfo(answer.status_code, answer.headers, answer.content),
            answer.text[:MAX_BODY],
            f"the server's answer is not what the API promises: {type(error).__name__}: {error}",
        ) from error


def _encode(json: Any, content: bytes | None) -> tuple[Body | None, dict[str, str]]:
    """The bytes of a body and the headers that describe them."""
    if isinstance(json, EncodedBody):
        headers = {"Content-Type": json.content_type}
        if json.content_encoding:
            headers["Content-Encoding"] = json.content_encoding
        return json.content, headers
    if json is None:
        return content, {}
    return orjson.dumps(json, option=orjson.OPT_SERIALIZE_NUMPY), {"Content-Type": JSON}


def _query(params: Mapping[str, Any]) -> str:
    if not params:
        return ""
    pairs = [(name, value) for name, value in params.items() if value is not None]
    return urlencode([(name, str(value).lower() if isinstance(value, bool) else value) for name, value in pairs])


def _may_retry(response: Response) -> bool:
    if response.status == 400 and not response.content:
        # The protocol's servers always say why; an empty 400 is a proxy's.
        return True
    return status_is_retryable(response.status, response.headers)


def _token_expired(response: Response) -> bool:
    return 'error="invalid_token"' in response.headers.get("www-authenticate", "")


def _request_info(request: Request) -> RequestInfo:
    return RequestInfo(request.method, request.url, request.headers)


def _refusal(request: Request, response: Response) -> APIStatusError:
    # Some servers and proxies quote in their answer what they did not like, the key included.
    secrets = secret_values(request.headers)
    headers = {name: redacted(value, secrets) for name, value in response.headers.items()}
    info = ResponseInfo(response.status, headers, redacted_bytes(response.content, secrets), _request_info(request))
    return status_error(info)


def _connection_error(fault: TransportFault, request: Request) -> APIConnectionError:
    kind = APITimeoutError if fault.kind == "timeout" else APIConnectionError
    return kind(_request_info(request), fault.message, hint=UNTRUSTED_HINT if fault.kind == "untrusted" else None)


def __getattr__(name: str) -> Any:
    if name != "Timeout":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import httpx

    return httpx.Timeout
