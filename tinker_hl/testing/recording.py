"""Recordings: requests and their answers in a file, one JSON object a line, without secrets.

The first line names the format. Every other one is an exchange: a request, and its answer or the way in which there was
none. JSON bodies are kept as JSON, other texts as text, binary bodies as base64; compressed request bodies are kept
unpacked, so that what is in them can be scrubbed and compared.
"""

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

import attrs
import orjson

from tinker_hl.errors import TinkerError
from tinker_hl.testing.scrubbing import Scrubber
from tinker_hl.testing.wrapper import TransportWrapper
from tinker_hl.transport.base import FaultKind, Request, Response, Transport, TransportFault

__all__ = ["Exchange", "RecordedRequest", "RecordingError", "RecordingTransport", "read_recording"]

FORMAT = {"format": "tinker-hl recording", "version": 1}


class RecordingError(TinkerError, ValueError):
    """A file is no recording, or is damaged."""

    default_hint = "Record it anew with tinker_hl.testing.RecordingTransport."


@attrs.frozen(kw_only=True)
class RecordedRequest:
    """What is kept of a request."""

    method: str
    path: str
    """With the query, its pairs in order of their names."""
    body: Mapping[str, Any]
    """`{"json": ...}`, `{"text": ...}`, `{"base64": ...}`, or nothing."""

    @classmethod
    def of(cls, request: Request) -> Self:
        """Of a request that is about to be sent."""
        scrubber = Scrubber.of(request)
        parts = urlsplit(request.url)
        query = urlencode(sorted(parse_qsl(parts.query, keep_blank_values=True)))
        path = scrubber.text(f"{parts.path}?{query}" if query else parts.path)
        return cls(method=request.method, path=path, body=_kept(_unpacked(request), scrubber))


@attrs.frozen(kw_only=True)
class Exchange:
    """A request and what came of it: an answer or a fault."""

    request: RecordedRequest
    answer: Response | None = None
    fault: FaultKind | None = None
    message: str = ""

    def outcome(self) -> Response:
        """The answer.

        Raises:
            TransportFault: There was none.
        """
        if self.answer is None:
            raise TransportFault(self.fault or "lost", self.message)
        return self.answer


class RecordingTransport(TransportWrapper):
    """Delivers requests by another transport and writes down what it sees.

    Invariant: each exchange that has ended is a whole line of the file.

    Args:
        inner: What delivers requests.
        file: Where to write; a file that is there is replaced.
    """

    def __init__(self, inner: Transport, file: str | os.PathLike[str]) -> None:
        super().__init__(inner)
        self.file = Path(file)
        self.file.write_bytes(orjson.dumps(FORMAT) + b"\n")

    async def send(self, request: Request) -> Response:
        """Send, and write down how it ended; see `Transport.send`."""
        kept = attrs.asdict(RecordedRequest.of(request))
        try:
            answer = await self._inner.send(request)
        except TransportFault as fault:
            message = Scrubber.of(request).text(fault.message)
            self._write({"request": kept, "fault": {"kind": fault.kind, "message": message}})
            raise
        self._write({"request": kept, "answer": _kept_answer(request, answer)})
        return answer

    def _write(self, line: Mapping[str, Any]) -> None:
        # Opened for each line: nothing is left open by a client that is never closed, or torn by a fork.
        with self.file.open("ab") as file:
            file.write(orjson.dumps(line) + b"\n")


def read_recording(file: str | os.PathLike[str]) -> list[Exchange]:
    """The exchanges of a recording, in the order in which they ended.

    Raises:
        RecordingError: It is no recording; the message names the line.
    """
    lines = Path(file).read_bytes().splitlines()
    if not lines or _parsed(lines[0]) != FORMAT:
        raise RecordingError(f"{file} is no recording: its first line is not {orjson.dumps(FORMAT).decode()}")
    exchanges = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            exchanges.append(_exchange(orjson.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RecordingError(f"{file}, line {number}: not an exchange: {type(error).__name__}: {error}") from error
    return exchanges


def _parsed(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except ValueError:
        return None


def _exchange(line: Mapping[str, Any]) -> Exchange:
    request = RecordedRequest(**line["request"])
    if "fault" in line:
        fault = line["fault"]
        return Exchange(request=request, fault=fault["kind"], message=fault["message"])
    answer = line["answer"]
    content = _content(answer["body"])
    return Exchange(
        request=request, answer=Response(status=answer["status"], headers=answer["headers"], content=content)
    )


def _kept_answer(request: Request, answer: Response) -> dict[str, Any]:
    scrubber = Scrubber.of(request)
    body = _kept(answer.content, scrubber)
    headers = scrubber.headers(answer.headers)
    # A transport has undone the encoding.
    headers.pop("content-encoding", None)
    return {"status": answer.status, "headers": headers, "body": body}


def _kept(content: bytes, scrubber: Scrubber) -> dict[str, Any]:
    if not content:
        return {}
    try:
        return {"json": scrubber.json(orjson.loads(content))}
    except ValueError:
        pass
    try:
        return {"text": scrubber.text(content.decode())}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(scrubber.binary(content)).decode()}


def _content(body: Mapping[str, Any]) -> bytes:
    if "json" in body:
        return orjson.dumps(body["json"])
    if "base64" in body:
        return base64.b64decode(body["base64"], validate=True)
    return str(body.get("text", "")).encode()


def _unpacked(request: Request) -> bytes:
    headers = {name.lower(): value for name, value in request.headers.items()}
    content = request.content or b""
    if headers.get("content-encoding") != "zstd":
        return content
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj().decompress(content)
