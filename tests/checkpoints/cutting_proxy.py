"""A proxy that breaks the connection after so many bytes of each file that is sent through it."""

import contextlib
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

FILES = (b"GET /downloads/", b"GET /files/")


class CuttingProxy:
    """Invariant: of an answer to a request for a file, no more than `cut_after` bytes of its body pass."""

    def __init__(self, base_url: str, cut_after: int | None) -> None:
        target = urlsplit(base_url)
        self._target = (target.hostname or "", target.port or 0)
        self.cut_after = cut_after
        self.requests: list[bytes] = []
        """The heads of requests for files."""
        self.before: Callable[[int], None] = lambda number: None
        """Called with the number of a request for a file before it is passed on."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._target) as server, contextlib.suppress(OSError):
            head = client.recv(65536)
            left = None
            if head.startswith(FILES):
                self.requests.append(head)
                self.before(len(self.requests))
                left = self.cut_after
            server.sendall(head)
            answer_head = left is not None
            while True:
                ready, _, _ = select.select([client, server], [], [])
                for source in ready:
                    data = source.recv(65536)
                    if not data:
                        return
                    if source is client or left is None:
                        (server if source is client else client).sendall(data)
                        continue
                    if answer_head:
                        end = data.index(b"\r\n\r\n") + 4
                        client.sendall(data[:end])
                        data, answer_head = data[end:], False
                    client.sendall(data[:left])
                    left -= len(data[:left])
                    if not left:
                        # A reset, as of a machine that is gone: bytes that the client has not read yet are lost too.
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        return


@contextmanager
def cutting(base_url: str, cut_after: int | None) -> Iterator[CuttingProxy]:
    proxy = CuttingProxy(base_url, cut_after)
    try:
        yield proxy
    finally:
        proxy.close()
