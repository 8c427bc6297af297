"""The short way in: a request whose path has no parameters goes straight to its endpoint.

Starlette's way (a regular expression for each route, two layers that catch exceptions) takes as long as most
operations themselves do; it stays for all other paths, methods and faults. What is answered is the same. It does not
know what an operation does.
"""

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["Direct", "Endpoint", "Refusal"]

Endpoint = Callable[[Request], Awaitable[Response]]
Refusal = Callable[[Request, Exception], Awaitable[Response]]
"""Makes the answer of an exception."""


class Direct:
    """An ASGI app in front of another, which gets whatever is not in the table."""

    def __init__(
        self,
        app: ASGIApp,
        endpoints: Mapping[tuple[str, str], Endpoint],
        refusals: Mapping[type[Exception], Refusal],
    ) -> None:
        """`endpoints` by method and path; `refusals` by the type of exception, of which the nearest base counts.

        An exception that has no refusal goes on to whoever called, as one that comes after an answer has begun does.
        """
        self._app = app
        self._endpoints = endpoints
        self._refusals = refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        endpoint = self._endpoints.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive, send)
        try:
            response = await endpoint(request)
        except Exception as problem:
            refusal = next((self._refusals[kind] for kind in type(problem).__mro__ if kind in self._refusals), None)
            if refusal is None:
                raise
            response = await refusal(request, problem)
        await response(scope, receive, send)
