"""Every error that the client raises, as one tree.

```
Exception
└── TinkerError                              .message .hint .request_id
    ├── APIError                             a request was made, or tried      .request .body
    │   ├── APIResponseValidationError       the answer is not what was promised  .response .status_code
    │   │   └── UnexpectedAnswerError (RuntimeError)  a sample's answer lacks what was asked
    │   ├── APIStatusError                   the service refused               .response .status_code
    │   │   ├── BadRequestError              400
    │   │   ├── AuthenticationError          401
    │   │   ├── BillingError                 402
    │   │   ├── PermissionDeniedError        403
    │   │   ├── NotFoundError                404
    │   │   ├── ConflictError                409
    │   │   ├── ResultExpiredError           410
    │   │   ├── UnprocessableEntityError     422
    │   │   ├── RateLimitError               429
    │   │   └── InternalServerError          500 and above
    │   └── APIConnectionError               no answer arrived
    │       ├── APITimeoutError              no answer arrived in time
    │       ├── CircuitOpenError             not sent: the circuit breaker is open  .endpoint_class .retry_after
    │       └── NoProgressError              no sample of the client has finished for very long
    ├── RequestFailedError                   accepted, then failed             .request_id .category
    ├── SubmissionFailedError                an earlier call of this client was never accepted  .first_failure
    ├── ModelLostError                       a model is gone, and so is the way back to it
    ├── InvalidDatumError (ValueError)       a datum cannot be sent            .datum_index .field
    ├── CustomLossError (ValueError)         a loss of the user's own cannot be used  .rule .node .metric
    ├── VerificationError                    a server's loss is not what its formula gives  .datum_index .position
    ├── ConfigurationError (ValueError)      a setting is missing or wrong
    │   └── LossOptionError                  an option of a loss or a schedule is wrong  .field
    └── SessionClosedError (RuntimeError)    the session has ended
```

A status that has no class of its own is a plain `APIStatusError`. Each of them can be pickled and copied; a pickle
holds no credential. The module knows nothing of HTTP libraries: a request or a response is anything with the usual
attributes, and `RequestInfo` and `ResponseInfo` are such things without a connection behind them.
"""

import json
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import attrs

from tinker_hl.header_fields import HeaderFields

__all__ = [
    "APIConnectionError",
    "APIError",
    "APIResponseValidationError",
    "APIStatusError",
    "APITimeoutError",
    "AuthenticationError",
    "BadRequestError",
    "BillingError",
    "CircuitOpenError",
    "ConfigurationError",
    "ConflictError",
    "CustomLossError",
    "InternalServerError",
    "InvalidDatumError",
    "LossOptionError",
    "ModelLostError",
    "NotFoundError",
    "PermissionDeniedError",
    "RateLimitError",
    "RequestErrorCategory",
    "RequestFailedError",
    "RequestInfo",
    "ResponseInfo",
    "ResultExpiredError",
    "SessionClosedError",
    "SubmissionFailedError",
    "TinkerError",
    "UnexpectedAnswerError",
    "UnprocessableEntityError",
    "VerificationError",
    "holds_secret",
    "secret_values",
    "status_error",
    "without_secrets",
]

SECRET_HEADERS: Final = frozenset(
    {
        "authorization",
        "cf-access-client-id",
        "cf-access-client-secret",
        "cookie",
        "proxy-authorization",
        "set-cookie",
        "x-api-key",
        "x-tinker-weights-access-token",
    }
)
_SECRET_NAME: Final = re.compile(r"api-?key|token|secret|passw|credential|cookie|authorization", re.IGNORECASE)
"""What a user's own header is called that holds one."""
REDACTED: Final = "***"
MAX_MESSAGE: Final = 2000
"""Characters of an answer that go into a message: a proxy's error page can be long; `body` has all of it."""


class RequestErrorCategory(StrEnum):
    """Whose fault a failed request is, as the service sees it."""

    Unknown = "unknown"
    Server = "server"
    User = "user"

    @classmethod
    def _missing_(cls, value: object) -> "RequestErrorCategory":
        return cls.Unknown


def without_secrets(headers: Mapping[str, str] | None) -> HeaderFields:
    """The headers, with the value of each that can hold a credential replaced; names may be asked for in any case."""
    fields = HeaderFields(headers)
    return HeaderFields({name: REDACTED if holds_secret(name) else value for name, value in fields.items()})


def secret_values(headers: Mapping[str, str]) -> tuple[str, ...]:
    """The values of the headers that can hold a credential."""
    return tuple(value for name, value in headers.items() if holds_secret(name))


def holds_secret(name: str) -> bool:
    """Whether a header of this name can hold a credential."""
    return name.lower() in SECRET_HEADERS or _SECRET_NAME.search(name) is not None


@attrs.frozen
class RequestInfo:
    """What an error keeps of the request that it is about."""

    method: str
    url: str
    headers: Mapping[str, str] = attrs.field(factory=dict, converter=without_secrets)

    @classmethod
    def of(cls, request: Any) -> "RequestInfo | None":
        """The same for any library's request; None stays None."""
        if request is None or isinstance(request, RequestInfo):
            return request
        return cls(
            method=str(getattr(request, "method", "")),
            url=str(getattr(request, "url", "")),
            headers=_text_headers(request),
        )


@attrs.frozen
class ResponseInfo:
    """What an error keeps of a response: status, headers, content."""

    status_code: int
    headers: Mapping[str, str] = attrs.field(factory=dict, converter=without_secrets)
    content: bytes = b""
    request: RequestInfo | None = None

    @property
    def text(self) -> str:
        """The content as text; bytes that are not UTF-8 are replaced."""
        return self.content.decode("utf-8", errors="replace")

    def json(self) -> Any:
        """The content as JSON. Raises `ValueError` if it is none."""
        return json.loads(self.content)

    @classmethod
    def of(cls, response: Any) -> "ResponseInfo | None":
        """The same for any library's response; None stays None."""
        if response is None or isinstance(response, ResponseInfo):
            return response
        status, content = getattr(response, "status_code", 0), getattr(response, "content", b"")
        return cls(
            status_code=status if isinstance(status, int) else 0,
            headers=_text_headers(response),
            content=content if isinstance(content, bytes) else b"",
            request=RequestInfo.of(_request_of(response)),
        )


def _text_headers(message: Any) -> dict[str, str]:
    headers = getattr(message, "headers", None)
    if not isinstance(headers, Mapping):
        return {}
    return {str(name): str(value) for name, value in headers.items()}


def _request_of(response: Any) -> Any:
    """A response's request; None where there is none (httpx raises `RuntimeError` then)."""
    try:
        return getattr(response, "request", None)
    except RuntimeError:
        return None


class TinkerError(Exception):
    """The root: `except TinkerError` catches whatever the client raises on purpose."""

    default_hint: str | None = None

    def __init__(self, message: str = "", *, hint: str | None = None, request_id: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint if hint is not None else self.default_hint
        self.request_id = request_id

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.message!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self._state_to_pickle())

    def _state_to_pickle(self) -> dict[str, Any]:
        return dict(self.__dict__)


def _rebuild(kind: type[TinkerError], state: dict[str, Any]) -> TinkerError:
    """Make an error from its state without calling `__init__`, whose arguments differ from class to class."""
    error = kind.__new__(kind)
    Exception.__init__(error, state["message"])
    error.__dict__.update(state)
    return error


class APIError(TinkerError):
    """Something went wrong with a request. `body` is the parsed answer, its text, or None."""

    def __init__(
        self,
        message: str,
        request: Any = None,
        *,
        body: object = None,
        hint: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, request_id=request_id)
        self.request = request
        self.body = body

    def _state_to_pickle(self) -> dict[str, Any]:
        state = super()._state_to_pickle() | {"request": RequestInfo.of(self.request)}
        if "response" in state:
            state["response"] = ResponseInfo.of(state["response"])
        return state


class APIResponseValidationError(APIError):
    """The service answered, but not with what the protocol promises."""

    default_hint = "The server may speak another version of the API than this client."

    def __init__(self, response: Any, body: object = None, message: str | None = None, **more: Any) -> None:
        text = message or "Data returned by API invalid for expected schema."
        super().__init__(text, _request_of(response), body=body, **more)
        self.response = response
        self.status_code: int = getattr(response, "status_code", 0)


class UnexpectedAnswerError(APIResponseValidationError, RuntimeError):
    """The service drew a sample, but did not answer what was asked about it."""


class APIStatusError(APIError):
    """The service answered with a status of 400 or above.

    `after_doubt` says whether an earlier attempt of the same call may have reached the service and been taken.
    """

    after_doubt: bool = False

    status_code: int = 0

    def __init__(
        self,
        message: str,
        response: Any = None,
        body: object = None,
        *,
        hint: str | None = None,
        request_id: str | None = None,
    ) -> None:
        found = request_id or _text_headers(response).get("x-request-id")
        super().__init__(message, _request_of(response), body=body, hint=hint, request_id=found)
        self.response = response
        self.status_code = getattr(response, "status_code", type(self).status_code)


class BadRequestError(APIStatusError):
    """400: the request makes no sense to the service."""

    status_code = 400


class AuthenticationError(APIStatusError):
    """401: no valid credential."""

    status_code = 401
    default_hint = "Set TINKER_API_KEY, or pass api_key=."


class BillingError(APIStatusError):
    """402: the account cannot pay for the request."""

    status_code = 402
    default_hint = "Check the account's billing state in the web console."


class PermissionDeniedError(APIStatusError):
    """403: the credential does not allow this."""

    status_code = 403


class NotFoundError(APIStatusError):
    """404: no such thing, or the server has no such endpoint."""

    status_code = 404


class ConflictError(APIStatusError):
    """409: the request contradicts an earlier one. It is final: asking again does not change it."""

    status_code = 409
    default_hint = "If the name is taken, save under another one, or delete the older checkpoint first."


class ResultExpiredError(APIStatusError):
    """410: the session has finished, or a result was not fetched while it was kept."""

    status_code = 410
    default_hint = (
        "Results are kept for a limited time. A sample can be asked for again; after a training call, recover() of the "
        "training client goes on with the model as it is, or from its newest saved state."
    )


class UnprocessableEntityError(APIStatusError):
    """422: a field of the request is missing or wrong; `body` names it."""

    status_code = 422


class RateLimitError(APIStatusError):
    """429: too many requests."""

    status_code = 429


class InternalServerError(APIStatusError):
    """500 and above: the service failed."""


class APIConnectionError(APIError):
    """No answer arrived: refused, reset, no such host, or the connection broke."""

    default_hint = "Check base_url (or TINKER_BASE_URL) and the network."

    def __init__(self, request: Any = None, message: str = "Connection error.", *, hint: str | None = None) -> None:
        super().__init__(message, request, hint=hint)


class APITimeoutError(APIConnectionError):
    """No answer arrived in time."""

    def __init__(self, request: Any = None, message: str = "Request timed out.", *, hint: str | None = None) -> None:
        super().__init__(request, message, hint=hint)


class CircuitOpenError(APIConnectionError):
    """Not sent, because the circuit breaker that `ServiceClient(circuit_breaker=...)` set is open.

    `endpoint_class` is the class of endpoints that failed, `retry_after` the seconds after which one request will be
    let through, `sent` whether an earlier attempt of the same call may have reached the service.
    """

    default_hint = "The service has failed several times in a row; wait retry_after seconds before the next call."

    def __init__(
        self,
        request: Any = None,
        message: str = "The circuit breaker is open.",
        *,
        endpoint_class: str = "",
        retry_after: float = 0.0,
        hint: str | None = None,
    ) -> None:
        super().__init__(request, message, hint=hint)
        self.endpoint_class = endpoint_class
        self.retry_after = retry_after
        self.sent = False


class NoProgressError(APIConnectionError):
    """No sample of a sampling client has finished for `RetryConfig.progress_timeout` seconds."""

    default_hint = "The service may be stuck. RetryConfig(progress_timeout=...) sets how long to wait."


class RequestFailedError(TinkerError):
    """The service accepted a request, worked on it and failed."""

    def __init__(
        self,
        message: str,
        request_id: str,
        category: RequestErrorCategory | str = RequestErrorCategory.Unknown,
        *,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, request_id=request_id)
        self.category = RequestErrorCategory(category)


class SubmissionFailedError(TinkerError, RuntimeError):
    """This call was not made, because the service may have missed an earlier one of the same client.

    Calls of one training client are applied in order; after a submission whose fate is unknown no later one can be
    placed. `first_failure` is the error of the call that broke the order.
    """

    default_hint = "Go on with the client that recover() of the training client gives."

    def __init__(self, message: str, first_failure: BaseException, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.first_failure = first_failure


class ModelLostError(TinkerError):
    """The service does not have a model any more, and no saved state of it is known to go on from."""

    default_hint = "Make a new model; save_state() now and then makes this a matter of a few steps."


class InvalidDatumError(TinkerError, ValueError):
    """A datum cannot be sent. `datum_index` is its place in the list of the call, `field` where the fault is."""

    def __init__(
        self, message: str, *, datum_index: int | None = None, field: str | None = None, hint: str | None = None
    ) -> None:
        place = " ".join(
            part for part in (f"datum {datum_index}" if datum_index is not None else "", field or "") if part
        )
        super().__init__(f"{place}: {message}" if place else message, hint=hint)
        self.datum_index = datum_index
        self.field = field


class CustomLossError(TinkerError, ValueError):
    """A loss of the user's own cannot be used.

    `rule` is what it does not keep to, in words of docs/custom-losses.md; `node` the operation of its graph that is to
    blame, for a loss that was traced; `metric` the name of the metric, if it is about one.
    """

    def __init__(
        self, message: str, *, rule: str, node: str | None = None, metric: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.rule = rule
        self.node = node
        self.metric = metric


class ConfigurationError(TinkerError, ValueError):
    """A setting, an argument or an optional package is missing or wrong."""


class LossOptionError(ConfigurationError):
    """An option of a loss, a regularizer, a schedule or a pipeline is wrong; `field` is its name."""

    def __init__(self, message: str, *, field: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.field = field


class VerificationError(TinkerError):
    """What a server says of a loss is not what the loss's formula gives (`verify=True`).

    `datum_index` is the first datum that differs and `position` the place in it, None where they cannot be told;
    `returned` is the server's number there, `expected` the reference's. The server has done the pass all the same: a
    gradient that it gathered stays until the next `optim_step`.
    """

    def __init__(
        self,
        message: str,
        *,
        returned: float,
        expected: float,
        datum_index: int | None = None,
        position: int | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.returned = returned
        self.expected = expected
        self.datum_index = datum_index
        self.position = position


class SessionClosedError(TinkerError, RuntimeError):
    """The client, or the session behind it, has been closed."""


_BY_STATUS: Final[Mapping[int, type[APIStatusError]]] = {
    400: BadRequestError,
    401: AuthenticationError,
    402: BillingError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    410: ResultExpiredError,
    422: UnprocessableEntityError,
    429: RateLimitError,
}


def status_error(response: Any, *, request_id: str | None = None) -> APIStatusError:
    """The error for a response of status 300 or above.

    Args:
        response: anything with `status_code`, `headers` and `content` (bytes).
        request_id: the promise that the request was about, if it was about one.
    """
    info = ResponseInfo.of(response)
    if info is None:
        raise TypeError("status_error needs a response, got None")
    status, body = info.status_code, _body(info)
    message = f"Error code: {status}"
    if body is not None:
        message = body[:MAX_MESSAGE] if isinstance(body, str) else f"{message} - {body}"
    kind = InternalServerError if status >= 500 else _BY_STATUS.get(status, APIStatusError)
    return kind(message, response=response, body=body, request_id=request_id)


def _body(info: ResponseInfo) -> object:
    if not info.content:
        return None
    try:
        return info.json()
    except (ValueError, RecursionError):
        return info.text
