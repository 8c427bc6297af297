"""How many bytes of request bodies there are at once, and who has them. It does not know what a body says.

A body counts from its first byte on: as much as it declares, then as much as came, then as it is unpacked. It counts
until its request is answered or, where that brought work, until the work has its result. While the others have `most`
bytes or more, one that would grow is refused (429), and its client sends it again.

No refusal may be for ever, though what waits for the missing request of its model (a gap in the order) waits for a
body that could be refused. So those have at most a quarter of the bytes, and beyond that lie on the disk
(`store.spool`); the other three quarters end by themselves, for what has them is read, refused or computed. And a body
counts only against the others' bytes, so that the largest one is welcome as well.
"""

from collections.abc import Callable

from tinker_local.errors import too_many

__all__ = ["Share", "UnderWay"]

_WAITING_PART = 4


class UnderWay:
    """All bodies of one service."""

    def __init__(self, most: int) -> None:
        """`most` bytes, which one body may exceed."""
        self.most = most
        self.size = 0
        """Bytes in memory now."""
        self.waiting = 0
        """How many of them are of requests behind a gap."""

    def share(self, *, free: int = 0) -> "Share":
        """That of a new request. Up to `free` bytes it is never refused."""
        return Share(self, free)


class Share:
    """The bytes of one request. Invariant: `size` is part of the whole's size, and of its waiting where `_waits`."""

    def __init__(self, whole: UnderWay, free: int) -> None:
        self._whole = whole
        self._free = free
        self.size = 0
        self._waits = False
        self._kept = False
        self.on_release: Callable[[], None] | None = None
        """Called once, when nothing is needed any more: of the bytes elsewhere, too."""

    @property
    def beyond(self) -> bool:
        """Whether the others have all the room already."""
        return self._whole.size - self.size >= self._whole.most

    def reach(self, size: int) -> None:
        """It has this many bytes. Raises `ApiError` 429 if it would grow, and there is no room."""
        if size == self.size:
            return
        if size > self.size and size > self._free and self.beyond:
            raise too_many(
                f"requests under way have {self._whole.most} bytes already (max_bytes_under_way); send this again in a "
                "moment"
            )
        self.take(size)

    def take(self, size: int) -> None:
        """It has this many bytes, whether or not there is room."""
        self._whole.size += size - self.size
        if self._waits:
            self._whole.waiting += size - self.size
        self.size = size

    def wait(self) -> bool:
        """Its request waits behind a gap from now on; False if there is no room for that in memory."""
        if self._whole.waiting + self.size > self._whole.most // _WAITING_PART:
            return False
        self._whole.waiting += self.size
        self._waits = True
        return True

    def go(self) -> None:
        """Its request's turn has come."""
        if self._waits:
            self._whole.waiting -= self.size
            self._waits = False

    def keep_until(self, ended: list[Callable[[], None]]) -> None:
        """Its bytes are needed until what is in the list is called."""
        self._kept = True
        ended.append(self.release)

    def settle(self) -> None:
        """The request is answered: release what it does not keep."""
        if not self._kept:
            self.release()

    def release(self) -> None:
        """It needs nothing any more."""
        if self.size:
            self.go()
            self.take(0)
        if self.on_release is not None:
            self.on_release()
            self.on_release = None
