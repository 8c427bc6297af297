"""A transport that answers from a recording: a training loop runs again without any server.

A request is the same as a recorded one if method, path, query and body are. Left out of the comparison is what differs
from run to run though the same is asked: the client's version, the numbers of samples that are under way together, and
how far a batched poll has read. Equal requests get their recorded answers in order, and the last one again after that,
as a retry or one more poll would. Heartbeats and telemetry come and go with time: one that was not recorded is answered
with nothing.
"""

import difflib
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from tinker_hl.errors import TinkerError
from tinker_hl.testing.endpoint import endpoint_of
from tinker_hl.testing.recording import Exchange, RecordedRequest, read_recording
from tinker_hl.transport.base import Request, Response

__all__ = ["NotRecordedError", "ReplayTransport"]

_VOLATILE: Mapping[str, frozenset[str]] = {
    "asample": frozenset({"seq_id"}),
    "client/config": frozenset({"sdk_version"}),
    "client/dynamic_config": frozenset({"sdk_version"}),
    "create_session": frozenset({"sdk_version"}),
    "retrieve_future": frozenset({"allow_metadata_only"}),
    "retrieve_futures": frozenset({"prev_cursor", "retrieved_request_ids", "timeout"}),
}
"""Fields of each endpoint's body that say nothing about what is asked."""
_BACKGROUND = frozenset({"session_heartbeat", "telemetry"})
_NOTHING = Response(status=200, headers={"content-type": "application/json"}, content=b"{}")
SHOWN_LINES = 30


class NotRecordedError(TinkerError):
    """A request was made that the recording does not hold. `request` is it, `nearest` the most similar one there.

    Args:
        request: What was asked.
        nearest: None if the recording is empty.
    """

    default_hint = "The code has changed since the recording: record anew, or undo the change."

    def __init__(self, request: RecordedRequest, nearest: RecordedRequest | None) -> None:
        message = f"{request.method} {request.path} was not recorded with this body"
        super().__init__(f"{message}; {_difference(nearest, request)}")
        self.request = request
        self.nearest = nearest


class ReplayTransport:
    """See the module. Invariant: every answer it gives was recorded, but those to heartbeats and telemetry.

    Args:
        file: What `RecordingTransport` wrote.

    Raises:
        RecordingError: The file is no recording.
    """

    def __init__(self, file: str | os.PathLike[str]) -> None:
        self._exchanges = read_recording(file)
        self._waiting: dict[bytes, list[Exchange]] = defaultdict(list)
        for exchange in self._exchanges:
            self._waiting[_key(exchange.request)].append(exchange)

    async def send(self, request: Request) -> Response:
        """Answer as recorded.

        Raises:
            TransportFault: So it was recorded.
            NotRecordedError: The recording holds no such request.
        """
        asked = RecordedRequest.of(request)
        waiting = self._waiting.get(_key(asked))
        if waiting:
            return (waiting.pop(0) if len(waiting) > 1 else waiting[0]).outcome()
        if endpoint_of(asked.path) in _BACKGROUND:
            return _NOTHING
        raise NotRecordedError(asked, self._nearest(asked))

    async def aclose(self) -> None:
        """Nothing is held."""

    def _nearest(self, asked: RecordedRequest) -> RecordedRequest | None:
        """The recorded request to the same endpoint, or else to the most similar path, whose body is most similar."""
        requests = [exchange.request for exchange in self._exchanges]
        endpoint = endpoint_of(asked.path)
        same = [request for request in requests if endpoint_of(request.path) == endpoint]
        if not same:
            return max(requests, key=lambda request: _likeness(asked.path, request.path), default=None)
        lines = _lines(asked)
        return max(same, key=lambda request: _likeness(lines, _lines(request)))


def _key(request: RecordedRequest) -> bytes:
    return orjson.dumps([request.method, request.path, _steady(request)], option=orjson.OPT_SORT_KEYS)


def _steady(request: RecordedRequest) -> Mapping[str, Any]:
    """The body without what differs from run to run."""
    value = request.body.get("json")
    volatile = _VOLATILE.get(endpoint_of(request.path))
    if volatile is None or not isinstance(value, dict):
        return request.body
    return {"json": {name: item for name, item in value.items() if name not in volatile}}


def _lines(request: RecordedRequest) -> list[str]:
    options = orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2
    return [f"{request.method} {request.path}", *orjson.dumps(_steady(request), option=options).decode().splitlines()]


def _likeness(left: Sequence[str], right: Sequence[str]) -> float:
    return difflib.SequenceMatcher(None, left, right, autojunk=False).quick_ratio()


def _difference(recorded: RecordedRequest | None, asked: RecordedRequest) -> str:
    if recorded is None:
        return "the recording is empty"
    lines = list(difflib.unified_diff(_lines(recorded), _lines(asked), "recorded", "asked", n=1, lineterm=""))
    rest = [f"... and {len(lines) - SHOWN_LINES} more lines"] if len(lines) > SHOWN_LINES else []
    return "\n".join(["the nearest one that was:", *lines[:SHOWN_LINES], *rest])
