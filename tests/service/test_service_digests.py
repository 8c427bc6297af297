import asyncio
import base64
import hashlib
from collections.abc import AsyncGenerator

import pytest

from tinker_local.digests import LARGEST, Digests

PIECES = [b"one", b"two"]
EXPECTED = {"Repr-Digest": f"sha-256=:{base64.b64encode(hashlib.sha256(b'onetwo').digest()).decode()}:"}


class Content:
    def __init__(self, fails: int = 0) -> None:
        self.readings = 0
        self._fails = fails

    async def read(self) -> AsyncGenerator[bytes, None]:
        self.readings += 1
        for piece in PIECES:
            await asyncio.sleep(0)
            yield piece
        if self.readings <= self._fails:
            raise OSError("gone")


def test_content_is_read_once_for_all_who_ask() -> None:
    async def ask() -> None:
        digests, content = Digests(), Content()
        answers = await asyncio.gather(*(digests.header("a", 6, content.read) for _ in range(3)))
        assert answers == [EXPECTED] * 3
        assert await digests.header("a", 6, content.read) == EXPECTED
        assert content.readings == 1

    asyncio.run(ask())


def test_a_reading_that_failed_is_made_anew() -> None:
    async def ask() -> None:
        digests, content = Digests(), Content(fails=1)
        with pytest.raises(OSError, match="gone"):
            await digests.header("a", 6, content.read)
        assert await digests.header("a", 6, content.read) == EXPECTED

    asyncio.run(ask())


def test_what_would_keep_the_client_waiting_has_no_hash() -> None:
    async def ask() -> None:
        content = Content()
        assert await Digests().header("a", LARGEST + 1, content.read) == {}
        assert content.readings == 0

    asyncio.run(ask())
