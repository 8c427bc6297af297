"""Refusals: what the service answers instead of a result, each with a status, a text, and a stable code for programs.

It does not know when something is refused. A failure of work that was accepted is no refusal: it is told through the
work's promise (`tinker_local.futures`).
"""

import errno
import logging
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tinker_local.wire.faults import WireFault

__all__ = [
    "DISK_FULL",
    "ApiError",
    "bad_request",
    "conflict",
    "disk_full",
    "gone",
    "invalid",
    "is_disk_full",
    "not_found",
    "on_api_error",
    "on_http_exception",
    "on_storage_error",
    "on_unexpected",
    "on_wire_fault",
    "too_many",
    "unavailable",
]

logger = logging.getLogger(__name__)

DISK_FULL = "the disk of the service is full, so nothing was written; delete checkpoints, or free space there"
_SPACE_RETRY_AFTER = 10
_CODES: Mapping[int, str] = {404: "no_such_route", 405: "method_not_allowed"}


class ApiError(Exception):
    """A refusal with its HTTP status."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str | Sequence[Mapping[str, Any]],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, code, detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})

    @property
    def final(self) -> bool:
        """Whether the same request would be refused again, so that clients do not send it again."""
        return 400 <= self.status < 500 and self.status not in (408, 409, 425, 429)

    @property
    def text(self) -> str:
        """The detail as one text, for places that have no list."""
        if isinstance(self.detail, str):
            return self.detail
        return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in self.detail)

    def response(self) -> Response:
        """The JSON answer; its body is never empty, which some clients take for a proxy's answer."""
        body = orjson.dumps({"detail": self.detail, "code": self.code})
        return Response(body, self.status, self.headers, "application/json")


def bad_request(detail: str, code: str = "bad_request") -> ApiError:
    """400: it makes no sense, nor would it later. Also for what exists already: clients try a 409 for minutes."""
    return ApiError(400, code, detail)


def not_found(detail: str) -> ApiError:
    """404: there is no such thing, or it belongs to somebody else."""
    return ApiError(404, "not_found", detail)


def gone(detail: str) -> ApiError:
    """410: it was there once."""
    return ApiError(410, "gone", detail)


def conflict(detail: str) -> ApiError:
    """409: a key was used for something else; trying again is of no use, and the header says so."""
    return ApiError(409, "conflict", detail, {"x-should-retry": "false"})


def too_many(detail: str, retry_after: int = 1) -> ApiError:
    """429: not now; the same request will be welcome in `retry_after` seconds."""
    return ApiError(429, "busy", detail, {"Retry-After": str(retry_after)})


def unavailable(detail: str, retry_after: int = 1) -> ApiError:
    """503: the service is starting, or recovering."""
    return ApiError(503, "unavailable", detail, {"Retry-After": str(retry_after)})


def invalid(loc: Sequence[str | int], message: str, kind: str = "value_error") -> ApiError:
    """422: one field is wrong."""
    return ApiError(422, "invalid_request", [{"loc": list(loc), "msg": message, "type": kind}])


def is_disk_full(error: BaseException) -> bool:
    """Whether an error of the file system or of SQLite means that no more can be written."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def disk_full() -> ApiError:
    """503: nothing was written, and the same request will be welcome when there is space."""
    return unavailable(DISK_FULL, _SPACE_RETRY_AFTER)


async def on_storage_error(request: Request, error: Exception) -> Response:
    """What could not be written: a full disk, which clients wait out, or a fault."""
    if not is_disk_full(error):
        return await on_unexpected(request, error)
    logger.error("%s %s: %s", request.method, request.url.path, DISK_FULL)
    return disk_full().response()


async def on_api_error(_: Request, error: Exception) -> Response:
    """A refusal, as it is."""
    assert isinstance(error, ApiError)
    return error.response()


async def on_wire_fault(_: Request, error: Exception) -> Response:
    """What the codec could not read."""
    assert isinstance(error, WireFault)
    return invalid(error.loc, error.message).response()


async def on_http_exception(_: Request, error: Exception) -> Response:
    """Starlette's own refusals: an unknown path, a wrong method."""
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, "refused")
    return ApiError(error.status_code, code, error.detail or "refused", dict(error.headers or {})).response()


async def on_unexpected(request: Request, error: Exception) -> Response:
    """A fault of this program: told in the log, not to the caller."""
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return ApiError(500, "internal", "the service met an error of its own; its log says which").response()
