"""The error tree: shape, status mapping, what pickles hold, what is never shown."""

import copy
import pickle

import httpx
import pytest

from tinker_hl import errors

KEY = "tml-very-secret"


def refused(status: int, content: bytes = b'{"detail":"no"}') -> httpx.Response:
    request = httpx.Request("POST", "http://service.test/api/v1/x", headers={"X-API-Key": KEY, "User-Agent": "test"})
    return httpx.Response(status, headers={"x-request-id": "r-7"}, content=content, request=request)


EVERY_ERROR = [
    errors.TinkerError("m"),
    errors.APIError("m", errors.RequestInfo("GET", "http://x", {"x-api-key": KEY}), body={"a": 1}),
    errors.APIResponseValidationError(refused(200), {"a": 1}),
    *(errors.status_error(refused(status)) for status in (302, 400, 401, 402, 403, 404, 409, 410, 418, 422, 429, 503)),
    errors.APIConnectionError(refused(500).request),
    errors.APITimeoutError(refused(500).request),
    errors.CircuitOpenError(refused(500).request, "m", endpoint_class="training", retry_after=30.0),
    errors.NoProgressError(None, "m"),
    errors.RequestFailedError("m", "r1", "user"),
    errors.SubmissionFailedError("m", errors.BadRequestError("first", response=refused(400), body=None)),
    errors.InvalidDatumError("m", datum_index=3, field="weights"),
    errors.ConfigurationError("m"),
    errors.SessionClosedError("m"),
    errors.UnexpectedAnswerError(None, {"a": 1}, "m", hint="h"),
    errors.ModelLostError("m"),
    errors.CustomLossError("m", rule="r", node="n", metric="x"),
    errors.LossOptionError("m", field="beta", hint="h"),
    errors.VerificationError("m", returned=1.0, expected=2.0, datum_index=3, position=4),
]


def test_every_class_of_the_tree_is_in_the_list() -> None:
    named = {name for name in errors.__all__ if name.endswith("Error")}
    assert named - {type(error).__name__ for error in EVERY_ERROR} == set()


@pytest.mark.parametrize("error", EVERY_ERROR, ids=lambda error: type(error).__name__)
def test_every_error_survives_a_pickle_and_a_copy_without_the_key(error: errors.TinkerError) -> None:
    data = pickle.dumps(error)
    assert KEY.encode() not in data
    for again in (pickle.loads(data), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is type(error)
        assert (str(again), again.message, again.args) == (str(error), error.message, error.args)
        assert (again.hint, again.request_id) == (error.hint, error.request_id)
        assert KEY not in repr(vars(again))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.BadRequestError),
        (401, errors.AuthenticationError),
        (402, errors.BillingError),
        (403, errors.PermissionDeniedError),
        (404, errors.NotFoundError),
        (408, errors.APIStatusError),
        (409, errors.ConflictError),
        (410, errors.ResultExpiredError),
        (422, errors.UnprocessableEntityError),
        (429, errors.RateLimitError),
        (500, errors.InternalServerError),
        (529, errors.InternalServerError),
    ],
)
def test_each_status_has_its_class(status: int, kind: type[errors.APIStatusError]) -> None:
    error = errors.status_error(refused(status))
    assert type(error) is kind
    assert error.status_code == status
    assert error.body == {"detail": "no"}
    assert error.request_id == "r-7"
    assert str(error).startswith(f"Error code: {status} - ")


@pytest.mark.parametrize(
    ("content", "body", "message"),
    [
        (b"", None, "Error code: 500"),
        (b"plain words", "plain words", "plain words"),
        (b"x" * 9000, "x" * 9000, "x" * errors.MAX_MESSAGE),
        (b"[" * 100_000, "[" * 100_000, "[" * errors.MAX_MESSAGE),
    ],
)
def test_message_and_body_follow_the_content(content: bytes, body: object, message: str) -> None:
    error = errors.status_error(refused(500, content))
    assert (error.body, error.message) == (body, message)


def test_the_pickle_keeps_what_tells_where_it_happened() -> None:
    again = pickle.loads(pickle.dumps(errors.status_error(refused(404))))
    assert again.response.status_code == 404
    assert again.response.json() == {"detail": "no"}
    assert again.response.request.url == "http://service.test/api/v1/x"
    headers = {name.lower(): value for name, value in again.response.request.headers.items()}
    assert headers["x-api-key"] == errors.REDACTED
    assert headers["user-agent"] == "test"


def test_headers_are_found_however_they_are_written() -> None:
    response = errors.ResponseInfo(429, {"Retry-After": "3", "X-Request-Id": "r-9"}, b"slow down")
    error = errors.status_error(response)
    for again in (error, pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        headers = again.response.headers
        assert headers["retry-after"] == headers["Retry-After"] == headers.get("RETRY-AFTER") == "3"
        assert "Retry-after" in headers
        assert "x-other" not in headers
        assert headers.get("X-Other", "none") == "none"
        assert (again.request_id, again.response.text, again.response.status_code) == ("r-9", "slow down", 429)
        with pytest.raises(KeyError):
            headers["X-Other"]


def test_research_code_builds_them_by_hand() -> None:
    response = refused(400)
    error = errors.BadRequestError("prompt too long", response=response, body=None)
    assert error.response is response
    assert error.status_code == 400
    assert error.request.url.path == "/api/v1/x"
    timeout = errors.APITimeoutError(request=response.request)
    assert isinstance(timeout, errors.APIConnectionError)
    assert isinstance(errors.RequestFailedError("m", "r", "nonsense").category, errors.RequestErrorCategory)
    assert errors.RequestFailedError("m", "r", "nonsense").category == "unknown"


def test_a_response_without_a_request_is_no_obstacle() -> None:
    error = errors.RateLimitError("slow down", response=httpx.Response(429), body=None)
    assert error.request is None
    assert pickle.loads(pickle.dumps(error)).status_code == 429


def test_errors_of_ours_are_also_what_they_are_in_python() -> None:
    assert isinstance(errors.InvalidDatumError("m"), ValueError)
    assert isinstance(errors.ConfigurationError("m"), ValueError)
    assert isinstance(errors.SessionClosedError("m"), RuntimeError)
    assert isinstance(errors.SubmissionFailedError("m", OSError()), RuntimeError)


def test_the_place_of_a_bad_datum_is_in_the_message() -> None:
    error = errors.InvalidDatumError("is empty", datum_index=3, field="model_input")
    assert str(error) == "datum 3 model_input: is empty"
    assert (error.datum_index, error.field) == (3, "model_input")


def test_the_hint_follows_the_message() -> None:
    assert "TINKER_API_KEY" in str(errors.status_error(refused(401)))
    assert str(errors.TinkerError("what", hint="do this")) == "what\ndo this"


def test_the_tree_is_drawn_as_it_is() -> None:
    drawn = errors.__doc__ or ""
    named = [name for name in errors.__all__ if name.endswith("Error")]
    assert [name for name in named if name not in drawn] == []
    assert all(issubclass(getattr(errors, name), errors.TinkerError) for name in named)
