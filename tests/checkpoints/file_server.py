"""A server of one file that does as it is told, request by request."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import attrs

Answer = Callable[[BaseHTTPRequestHandler], None]


@attrs.define
class FileServer:
    """`answers` are given in turn, the last one again and again; `seen` are the requests' headers, in lower case."""

    url: str
    answers: list[Answer]
    seen: list[dict[str, str]] = attrs.field(factory=list)


@contextmanager
def serving(*answers: Answer) -> Iterator[FileServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            file.seen.append({name.lower(): value for name, value in self.headers.items()})
            answer = file.answers.pop(0) if len(file.answers) > 1 else file.answers[0]
            answer(self)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    file = FileServer(f"http://127.0.0.1:{server.server_address[1]}/a?signature=secret", list(answers))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield file
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def sends(
    body: bytes, *, status: int = 200, promised: int | None = None, headers: dict[str, str] | None = None
) -> Answer:
    """The body, and a length that may be another one."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body) if promised is None else promised))
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def refuses(status: int, **headers: str) -> Answer:
    """A status without a body."""
    return sends(b"", status=status, headers={name.replace("_", "-"): value for name, value in headers.items()})
