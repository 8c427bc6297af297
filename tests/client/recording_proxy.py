"""A proxy as a program: plain requests and CONNECT, for hosts that only it knows. Prints its port, then its requests.

    python recording_proxy.py TARGET_PORT [USER:PASSWORD]

Whatever host is asked for, it connects to TARGET_PORT of this machine. Each request is a JSON line on stdout.
"""

import asyncio
import base64
import json
import sys
from contextlib import suppress

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def splice(one: Streams, other: Streams) -> None:
    """Carry bytes both ways until both sides have ended."""
    await asyncio.gather(_carry(one[0], other[1]), _carry(other[0], one[1]))


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    with suppress(OSError):
        writer.close()


class Proxy:
    def __init__(self, target: int, user: str | None) -> None:
        self.target = target
        self.wanted = user and "Basic " + base64.b64encode(user.encode()).decode()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            writer.close()
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        method, asked, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        print(json.dumps({"method": method, "asked": asked, "headers": headers}), flush=True)
        if self.wanted and headers.get("proxy-authorization") != self.wanted:
            writer.write(
                b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
            await writer.drain()
            writer.close()
            return
        there = await asyncio.open_connection("127.0.0.1", self.target)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            path = "/" + asked.split("/", 3)[3]
            kept = [line for line in lines if line and not line.lower().startswith(("proxy-", "connection:"))]
            there[1].write(
                "\r\n".join([f"{method} {path} HTTP/1.1", *kept, "Connection: close", "", ""]).encode("latin-1")
            )
        await splice((reader, writer), there)


async def main() -> None:
    proxy = Proxy(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
