"""The short way in answers as the long one does: results, refusals, faults, and what has no path of its own."""

from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tinker_local.direct import Direct

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class FaultError(Exception):
    """What an endpoint refuses by."""


class NamedFaultError(FaultError):
    """One of its kinds."""


async def refused(request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"{request.url.path}: {error}", 418)


async def failed(request: Request, error: Exception) -> Response:
    return PlainTextResponse("failed", 500)


async def echo(request: Request) -> Response:
    return PlainTextResponse(await request.body() + b" " + request.query_params.get("q", "").encode())


async def refuse(request: Request) -> Response:
    raise NamedFaultError("no")


async def headers(request: Request) -> Response:
    """What is asked of headers: one of several, one in another case, the rest of them, and some that are not there."""
    asked = request.headers
    found = [asked.get("x-twice"), asked.get("X-Twice", "none"), asked["x-twice"], asked.getlist("x-twice")]
    return PlainTextResponse(repr([*found, asked.get("x-none"), asked.get("x-none", "none"), "x-none" in asked]))


async def break_down(request: Request) -> Response:
    raise RuntimeError("unexpected")


async def cut_short(request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        raise FaultError("too late to refuse")

    return StreamingResponse(pieces())


ENDPOINTS: dict[str, Callable[[Request], Awaitable[Response]]] = {
    "/echo": echo,
    "/headers": headers,
    "/refuse": refuse,
    "/break": break_down,
    "/cut": cut_short,
}


def app(*, direct: bool) -> Starlette:
    """All endpoints, by the short way or only by the long one."""
    table = {("POST", path): endpoint for path, endpoint in ENDPOINTS.items()} if direct else {}
    return Starlette(
        routes=[Route(path, endpoint, methods=["POST"]) for path, endpoint in ENDPOINTS.items()],
        middleware=[Middleware(Direct, endpoints=table, refusals={FaultError: refused})],
        exception_handlers={FaultError: refused, Exception: failed},
    )


async def answers(method: str, path: str) -> list[tuple[int, bytes] | str]:
    """What the short way and the long way answer, or the exception that the server sees."""
    found: list[tuple[int, bytes] | str] = []
    for direct in (True, False):
        transport = httpx.ASGITransport(app(direct=direct), raise_app_exceptions=path != "/break")
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            try:
                twice = [("X-Twice", "first"), ("x-twice", "second")]
                answer = await client.request(method, path, content=b"body", params={"q": "question"}, headers=twice)
                found.append((answer.status_code, answer.content))
            except (FaultError, RuntimeError) as error:
                found.append(repr(error))
    return found


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/echo", (200, b"body question")),
        ("POST", "/headers", (200, b"['first', 'first', 'first', ['first', 'second'], None, 'none', False]")),
        ("POST", "/refuse", (418, b"/refuse: no")),
        ("POST", "/break", (500, b"failed")),
        ("GET", "/echo", (405, b"Method Not Allowed")),
        ("POST", "/unknown", (404, b"Not Found")),
        ("POST", "/echo/", (307, b"")),
    ],
)
async def test_both_ways_answer_the_same(method: str, path: str, expected: tuple[int, bytes]) -> None:
    assert await answers(method, path) == [expected, expected]


async def test_an_answer_that_has_begun_is_no_longer_refused() -> None:
    short, long = await answers("POST", "/cut")
    assert "FaultError" in str(short) or "already started" in str(short)
    assert "FaultError" in str(long) or "already started" in str(long)


async def test_an_endpoint_of_the_table_is_the_one_that_answers() -> None:
    async def other(request: Request) -> Response:
        return PlainTextResponse("the short way")

    behind = app(direct=False)
    front = Direct(behind, {("POST", "/echo"): other}, {})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(front), base_url="http://here") as client:
        assert (await client.post("/echo")).text == "the short way"
        assert (await client.post("/refuse")).status_code == 418
