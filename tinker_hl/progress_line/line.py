"""When the line is shown: once somebody has waited for two seconds, and until nobody waits any more.

It is drawn from the loop's thread twice a second, and taken away by the thread whose wait ends, before that thread goes
on. Where there is nowhere to show it, no event is listened to and nothing is paid for.
"""

import logging
import threading
import time
import weakref
from collections.abc import Callable

from tinker_hl import loop
from tinker_hl.events import EventBus
from tinker_hl.progress_line.screen import Screen, find_screen
from tinker_hl.progress_line.under_way import UnderWay, sentence
from tinker_hl.waits import WAITS, Waits

__all__ = ["LINE", "ProgressLine"]

logger = logging.getLogger("tinker_hl")

AFTER = 2.0
"""Seconds of waiting after which the line is shown."""
EVERY = 0.5
"""Seconds between two drawings."""


class ProgressLine:
    """Invariant: a timer runs while somebody waits, and at no other time for longer than `AFTER`.

    Args:
        waits: Who waits.
        find: Where to show the line, asked for anew each time that it appears; None is nowhere.
    """

    def __init__(self, waits: Waits, find: Callable[[], Screen | None] = find_screen) -> None:
        self._waits = waits
        self._find = find
        self._lock = threading.RLock()
        self._connections: weakref.WeakSet[UnderWay] = weakref.WeakSet()
        self._screen: Screen | None = None
        self._ticking = False
        loop.reset_after_fork(self)

    def follow(self, events: EventBus) -> None:
        """Tell of a connection's requests from now on, if there is somewhere to show the line."""
        if self._find() is None:
            return
        under_way = UnderWay()
        events.subscribe(under_way.hear)
        with self._lock:
            self._connections.add(under_way)
        self._waits.watcher = self

    def wait_began(self) -> None:
        """Have the line drawn when this lasts."""
        with self._lock:
            if self._ticking:
                return
            self._ticking = True
        loop.event_loop().call_soon_threadsafe(self._tick)

    def wait_ended(self) -> None:
        """Take the line away: who waited writes next."""
        if self._screen is not None:
            self._hide()

    def step(self, now: float) -> float | None:
        """Draw what is to be seen now.

        Args:
            now: On the clock of `time.monotonic`.

        Returns:
            The seconds until it is to be drawn again; None when nobody waits.
        """
        with self._lock:
            oldest = self._waits.oldest()
            if oldest is None:
                self._hide()
                self._ticking = False
                return None
            waited = now - oldest
            if waited < AFTER:
                self._hide()
                return AFTER - waited
            self._show(sentence(waited, list(self._connections)))
            if self._waits.oldest() is None:
                # The wait ended meanwhile, before there was a line to take away.
                self._hide()
            return EVERY

    def after_fork(self) -> None:
        """The line on the screen is the parent's to take away."""
        self._lock = threading.RLock()
        self._screen = None
        self._ticking = False

    def _tick(self) -> None:
        seconds = self.step(time.monotonic())
        if seconds is not None:
            loop.event_loop().call_later(seconds, self._tick)

    def _show(self, text: str) -> None:
        if self._screen is None:
            self._screen = self._find()
        if self._screen is None:
            return
        try:
            self._screen.show(text)
        except Exception:
            # Whatever a notebook's or a user's bars do: the call that is waited for has nothing to do with it.
            logger.debug("the progress line cannot be shown", exc_info=True)
            self._screen = None

    def _hide(self) -> None:
        with self._lock:
            if self._screen is not None:
                self._screen.erase()
                self._screen = None


LINE = ProgressLine(WAITS)
"""That of this process."""
