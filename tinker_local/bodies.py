"""A request's body: read within a limit, unpacked, parsed. It does not know schemas, nor what a body says."""

import asyncio
from typing import Any

import orjson
from starlette.requests import Request

from tinker_local.beside import beside
from tinker_local.errors import ApiError
from tinker_local.spec import Operation
from tinker_local.under_way import Share
from tinker_local.wire.inflate import inflate

__all__ = ["JSON", "PROTOBUF", "content_type", "parsed", "read"]

JSON = "application/json"
PROTOBUF = "application/x-protobuf"
_IDLE_SECONDS = 60.0
"""How long a body may bring nothing: its client has gone, or is no client."""
_RENEWAL_SECONDS = 1.0
"""How often the patience with a body is renewed: most come in one piece, and each renewal costs as much as a piece."""
_DEEPEST = 200
"""Objects and lists within one another; what is stored or compared is written again by orjson, which stops at 254."""


def content_type(request: Request, operation: Operation) -> str:
    """The body's media type; nothing said means JSON. Raises `ApiError` 415."""
    given = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if given == JSON or given.endswith("+json"):
        return JSON
    if given == PROTOBUF and operation.takes_protobuf:
        return PROTOBUF
    taken = f"{JSON} or {PROTOBUF}" if operation.takes_protobuf else JSON
    raise ApiError(415, "unsupported_media_type", f"{given[:80]!r}: the body must be {taken}")


async def read(request: Request, most: int, most_inflated: int, share: Share) -> bytes:
    """The body as it was before its content coding, whose bytes `share` has when this returns.

    Raises:
        ApiError: 413 if it is larger than `most` bytes, 429 if bodies have too many bytes together, before it is read
            where it says how long it is; 400 if nothing comes for too long.
        WireFault: its coding is unknown or wrong, or it unpacks to more than `most_inflated` bytes.
    """
    declared = request.headers.get("content-length", "0")
    if len(declared) > 18 or (declared.isdecimal() and int(declared) > most):
        raise _too_large(most)
    if declared.isdecimal():
        share.reach(int(declared))
    pieces, size = [], 0
    try:
        time = asyncio.get_running_loop().time
        began = time()
        async with asyncio.timeout(_IDLE_SECONDS) as patience:
            async for piece in request.stream():
                size += len(piece)
                if size > most:
                    raise _too_large(most)
                if size > share.size:
                    share.reach(size)
                pieces.append(piece)
                if time() > began + _RENEWAL_SECONDS:
                    began = time()
                    patience.reschedule(began + _IDLE_SECONDS)
    except TimeoutError:
        raise ApiError(400, "too_slow", f"nothing of the body came for {_IDLE_SECONDS:g} s") from None
    raw = b"".join(pieces)
    coding = request.headers.get("content-encoding")
    if coding is not None:
        raw = await beside(lambda: inflate(raw, coding, most_inflated))
    share.reach(len(raw))
    return raw


def parsed(raw: bytes) -> Any:
    """The body as JSON. Raises `ApiError` 400."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ApiError(400, "not_json", f"the body is not JSON: {error}") from None
    if raw.count(b"[") + raw.count(b"{") > _DEEPEST and _depth(value) > _DEEPEST:
        raise ApiError(400, "too_deep", f"the body is nested more than {_DEEPEST} levels deep")
    return value


def _depth(value: Any) -> int:
    """How deep the containers are nested, without recursion; lists of numbers are not looked through."""
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [child for node in level for child in _children(node)]
    return depth


def _children(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return [child for child in node.values() if isinstance(child, dict | list)]
    if isinstance(node, list) and node and not isinstance(node[0], int | float):
        return [child for child in node if isinstance(child, dict | list)]
    return []


def _too_large(most: int) -> ApiError:
    return ApiError(413, "too_large", f"the body has more than {most} bytes; send fewer data a request")
