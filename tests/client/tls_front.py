"""A TLS server before another one: it ends TLS with a certificate of an authority of its own and carries bytes on."""

import asyncio
import ssl
import threading
from pathlib import Path

import trustme
from recording_proxy import splice


class TlsFront:
    """On a free loopback port, in a thread with a loop of its own. `authority` is the file of who signed it."""

    def __init__(self, target: int, folder: Path, *names: str) -> None:
        issuer = trustme.CA()
        self.authority = folder / "authority.pem"
        issuer.cert_pem.write_to_path(str(self.authority))
        self._target = target
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issuer.issue_cert(*names).configure_cert(self._context)
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self._thread.start()
        assert self._ready.wait(30)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(30)
        self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0, ssl=self._context)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._end.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await splice((reader, writer), await asyncio.open_connection("127.0.0.1", self._target))
