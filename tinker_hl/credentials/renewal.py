"""A token that is fetched when it is first needed, kept, and fetched anew before it ends.

Who fetches it, and from where, is the caller's business.
"""

import asyncio
from collections.abc import Awaitable, Callable

from tinker_hl import loop
from tinker_hl.credentials.tokens import seconds_left, whole_life
from tinker_hl.errors import AuthenticationError, PermissionDeniedError, TinkerError
from tinker_hl.retry import JITTER, Clock

__all__ = ["RENEWAL_MARGIN", "RETRY_SECONDS", "RenewedToken", "Told"]

RENEWAL_MARGIN = 60.0
"""Seconds of life left at which a caller waits for a new token."""
EARLY = (0.45, 0.55)
"""The part of its life after which a token is renewed in the background, at random between the two."""
RETRY_SECONDS = 60.0
"""Seconds from a failed renewal in the background to the next."""
URGENT_RETRY_SECONDS = 5.0
"""The same while callers wait for it, who get the old token meanwhile."""

Told = Callable[[str, int], None]
"""Hears what went wrong, and how much it matters as a level of `logging`."""


class RenewedToken:
    """See the module. Used on the loop thread only.

    Invariant: one fetch at a time; a token that was refused, or that has ended, is not given out again.

    Args:
        fetch: Gets a new one.
        clock: The time that tokens are aged by.
        told: Hears of failed renewals that callers do not see, because the old token still lives.
        ahead: Renew in the middle of a token's life, in the background, and not only at its end.
    """

    def __init__(self, fetch: Callable[[], Awaitable[str]], clock: Clock, told: Told, *, ahead: bool) -> None:
        self._fetch = fetch
        self._clock = clock
        self._told = told
        self._ahead = ahead
        self._token: str | None = None
        self._ends = self._margin = self._due = 0.0
        self._failing = False
        self._fetching: asyncio.Task[str] | None = None

    @property
    def current(self) -> str | None:
        """The token that is kept, if there is one."""
        return self._token

    async def value(self) -> str:
        """A token that lives.

        Raises:
            TinkerError: There is none: the fetch failed and no older one lives, or the server refuses the credential.
        """
        token, now = self._token, self._clock.now()
        if token is None or now >= self._ends:
            return await self._fetched()
        if now < self._due:
            return token
        if self._ends - now > self._margin:
            self._start()
            return token
        try:
            return await self._fetched()
        except (AuthenticationError, PermissionDeniedError):
            # The credential itself is refused: to go on with the old token would only put the news off.
            raise
        except TinkerError:
            if self._clock.now() >= self._ends:
                raise
            return token

    def forget(self, refused: str) -> None:
        """The server did not take this one; another that came meanwhile is kept."""
        if self._token == refused:
            self._token = None

    def after_fork(self) -> None:
        """A fetch that is under way is the parent's."""
        self._fetching = None

    async def _fetched(self) -> str:
        return await asyncio.shield(self._start())

    def _start(self) -> "asyncio.Task[str]":
        if self._fetching is None:
            self._fetching = loop.spawn(self._renew(), name="tinker-hl-token", shared=True, own_context=True)
        return self._fetching

    async def _renew(self) -> str:
        try:
            token = await self._fetch()
        except TinkerError as error:
            self._put_off(error)
            raise
        finally:
            self._fetching = None
        self._keep(token)
        return token

    def _keep(self, token: str) -> None:
        now, left, life = self._clock.now(), seconds_left(token), whole_life(token)
        self._token = token
        self._failing = False
        self._ends = now + left
        # A token that lives for a minute or two would otherwise be renewed by each request.
        self._margin = RENEWAL_MARGIN if life is None else min(RENEWAL_MARGIN, life / 2)
        early = left * JITTER.uniform(*EARLY) if self._ahead else left
        self._due = now + min(early, left - self._margin)

    def _put_off(self, error: TinkerError) -> None:
        now = self._clock.now()
        if self._token is None or now >= self._ends:
            return
        urgent = self._ends - now <= self._margin
        self._due = now + (URGENT_RETRY_SECONDS if urgent else RETRY_SECONDS)
        self._told(
            f"the credential could not be renewed, the old one lives {self._ends - now:.0f} s: {error.message}",
            10 if self._failing else 30,
        )
        self._failing = True
