"""Requests over sockets, by aiohttp.

Chosen by measurement: httpx's pool costs more per call the more connections it holds, and collapses at a few hundred;
reqwest-based clients are as fast as this one but leave their runtime's threads behind in a fork. Proxies and trusted
certificates are the route's business; cookies are dropped.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import aiohttp
import attrs
from aiohttp import hdrs
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from tinker_hl import loop
from tinker_hl.codec.pieces import Pieces, in_slices
from tinker_hl.errors import holds_secret
from tinker_hl.redaction import redacted
from tinker_hl.transport.base import Body, Request, Response, TransportFault
from tinker_hl.transport.route import Proxy, Route

__all__ = ["CONNECT_TIMEOUT", "MAX_CONNECTIONS", "NetworkTransport"]

CONNECT_TIMEOUT = 5.0
"""Seconds to reach the server; the rest of a request has the request's own timeout."""
MAX_CONNECTIONS = 1024
"""Connections at once to all servers; a request beyond it waits for a free one."""
KEEP_ALIVE = 60.0
DNS_CACHE = 300
MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
LARGE, SLICE = 512 * 1024, 128 * 1024
"""Bytes above which a body is written in slices, and of each slice, about."""


class NetworkTransport:
    """One pool of connections, opened by the first request.

    Args:
        max_connections: Connections at once.
        connect_timeout: Seconds to reach the server.
        route: Proxy and certificates; None for what the environment says.
    """

    def __init__(
        self,
        *,
        max_connections: int = MAX_CONNECTIONS,
        connect_timeout: float = CONNECT_TIMEOUT,
        route: Route | None = None,
    ) -> None:
        self._max_connections = max_connections
        self._connect_timeout = connect_timeout
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        self._route = route or Route()
        self._proxies: dict[str, Proxy | None] = {}
        self._context: ssl.SSLContext | None = None
        self._parents: list[aiohttp.ClientSession] = []
        self._under_way: set[asyncio.Task[Any]] = set()
        self._ended: set[asyncio.Task[Any]] = set()
        loop.reset_after_fork(self)

    async def send(self, request: Request) -> Response:
        """Send one request and read the whole answer; see `Transport.send`.

        Redirects are followed here and not by aiohttp, which would take the key along to another host.
        """
        task = asyncio.current_task()
        assert task is not None
        self._under_way.add(task)
        try:
            response = await self._once(request)
            if request.follow_redirects and response.status in REDIRECTS:
                response = await self._followed(request, response)
            return response
        except asyncio.CancelledError:
            if task in self._ended and not task.uncancel():
                raise TransportFault("lost", "the client's connections were closed") from None
            raise
        finally:
            self._under_way.discard(task)
            self._ended.discard(task)
            del task  # or a cancelled task and this frame hold each other, and with them everything that called

    async def _followed(self, request: Request, response: Response) -> Response:
        for _ in range(MAX_REDIRECTS):
            location = response.headers.get("location")
            if response.status not in REDIRECTS or not location:
                break
            request = _redirected(request, location)
            response = await self._once(request)
        return response

    async def _once(self, request: Request) -> Response:
        if self._closed:
            raise TransportFault("lost", "the client's connections are closed")
        proxy = self._proxy(request.url)
        tls = await self._tls() if _speaks_tls(request.url, proxy) else True
        session = self._session or self._open()
        headers, proxy_headers = _with_proxys(request, proxy)
        try:
            async with session.request(
                request.method,
                URL(request.url, encoded=True),
                data=_body(request.body),
                headers=headers,
                timeout=_timeout(request.timeout, self._connect_timeout),
                allow_redirects=False,
                proxy=None if proxy is None else proxy.address,
                proxy_headers=proxy_headers,
                ssl=tls,
            ) as answer:
                content = await answer.read()
                answered = {name.lower(): value for name, value in answer.headers.items()}
                return Response(status=answer.status, headers=answered, content=content)
        except aiohttp.InvalidURL as error:
            raise ValueError(f"not a URL: {request.url}") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _fault(error, request) from error

    async def aclose(self) -> None:
        """Close all connections."""
        self._closed = True
        session, self._session = self._session, None
        # Closing a session leaves a request that is only just connecting to its timeout.
        for task in self._under_way:
            self._ended.add(task)
            task.cancel()
        if session is not None:
            await session.close()

    def after_fork(self) -> None:
        """The open connections are the parent's: keep them unused, so that nothing closes them here."""
        self._under_way, self._ended = set(), set()
        if self._session is not None:
            self._parents.append(self._session)
            self._session = None

    def _proxy(self, url: str) -> Proxy | None:
        """The proxy for this address; looked up once, as aiohttp's own way costs a thread for each request."""
        origin = url.split("/", 3)[:3]
        key = "/".join(origin)
        if key not in self._proxies:
            self._proxies[key] = self._route.proxy_for(origin[0].rstrip(":"), origin[-1].rpartition("@")[2])
        return self._proxies[key]

    async def _tls(self) -> ssl.SSLContext:
        """The TLS context; certificates are read beside the loop, as that takes a while."""
        if self._context is None:
            self._context = await loop.in_worker(self._route.tls)
        return self._context

    def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=self._max_connections,
            keepalive_timeout=KEEP_ALIVE,
            ttl_dns_cache=DNS_CACHE,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            # A body-less PUT or DELETE has no content type unless the caller names one.
            skip_auto_headers=(hdrs.CONTENT_TYPE, hdrs.USER_AGENT),
        )
        return self._session


@lru_cache(64)
def _timeout(seconds: float, connect: float) -> aiohttp.ClientTimeout:
    """The same object for the same times: nearly all requests have one of a few."""
    return aiohttp.ClientTimeout(total=seconds, sock_connect=connect)


def _speaks_tls(url: str, proxy: Proxy | None) -> bool:
    return url.startswith("https:") or (proxy is not None and proxy.address.startswith("https:"))


def _with_proxys(request: Request, proxy: Proxy | None) -> tuple[Mapping[str, str], Mapping[str, str] | None]:
    """The headers of a request and those of its CONNECT: a plain request's proxy reads them from the request itself."""
    if proxy is None or not proxy.headers:
        return request.headers, None
    if request.url.startswith("https:"):
        return request.headers, proxy.headers
    return {**request.headers, **proxy.headers}, None


def _redirected(request: Request, location: str) -> Request:
    """The request that a redirect asks for: a GET, without credentials where it leads to another origin."""
    target = URL(request.url, encoded=True).join(URL(location, encoded=True))
    headers = dict(request.headers)
    if target.origin() != URL(request.url, encoded=True).origin():
        headers = {name: value for name, value in headers.items() if not holds_secret(name)}
    return attrs.evolve(request, method="GET", url=str(target), headers=headers, content=None)


class _LargeBody(aiohttp.payload.Payload):
    """A body that is written slice by slice: one large write would hold up the loop, and be copied again and again.

    One that comes in parts is never joined as a whole.
    """

    _autoclose = True

    def __init__(self, content: Body) -> None:
        super().__init__(content, content_type="application/octet-stream")
        self._size = len(content)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The bytes as text."""
        return str(bytes(self._value), encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write all of it."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write the first `content_length` bytes; None for all."""
        parts = self._value.parts if isinstance(self._value, Pieces) else (self._value,)
        left = len(self._value) if content_length is None else content_length
        for piece in in_slices(parts, SLICE):
            await writer.write(piece[:left])
            left -= len(piece)
            if left <= 0:
                return


def _body(content: Body | None) -> bytes | _LargeBody | None:
    if content is None or len(content) > LARGE:
        return None if content is None else _LargeBody(content)
    return bytes(content)


def _reason(error: OSError) -> str:
    """What the operating system says; what the libraries say around it tells no more."""
    number = error.errno or getattr(error.__cause__, "errno", None)
    return os.strerror(number).lower() if number else redacted(str(error))


def _fault(error: Exception, request: Request) -> TransportFault:
    """Sort an exception of aiohttp or the operating system by what the caller can do about it."""
    where = URL(request.url).origin() if URL(request.url).absolute else request.url
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return TransportFault("untrusted", f"the certificate of {where} is not trusted: {redacted(str(error))}")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return TransportFault("refused", f"the proxy let no request through to {where}: {error.status} {error.message}")
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return TransportFault("timeout", f"{where} could not be reached in time")
    if isinstance(error, asyncio.TimeoutError):
        return TransportFault("timeout", f"no answer from {where} within {request.timeout:g} s")
    if isinstance(error, aiohttp.ClientConnectorDNSError) or isinstance(error.__cause__, socket.gaierror):
        return TransportFault("unresolved", f"the host name of {where} is unknown")
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return TransportFault("refused", f"no connection to the proxy for {where}: {redacted(str(error))}")
    if isinstance(error, (aiohttp.ClientConnectorError, ConnectionRefusedError)):
        return TransportFault("refused", f"no connection to {where}: {_reason(error)}")
    said = redacted(str(error)) or type(error).__name__
    return TransportFault("lost", f"the connection to {where} broke: {said}")
