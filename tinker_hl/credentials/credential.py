"""The value of `X-API-Key`: a source's credential, or the short-lived token that the server trades it for."""

import hashlib
from collections.abc import Awaitable, Callable

from tinker_hl.credentials.command import COMMAND_VARIABLE
from tinker_hl.credentials.renewal import RenewedToken, Told
from tinker_hl.credentials.sources import CommandKey, KeySource, command_of
from tinker_hl.errors import ConfigurationError
from tinker_hl.retry import Clock

__all__ = ["Credential"]


class Credential:
    """See the module. Invariant: once tokens are traded, the source's own credential opens only the exchange.

    Args:
        source: From `find_source`.
        clock: The time that tokens are aged by.
        told: Hears of failed renewals that callers do not see.
    """

    def __init__(self, source: KeySource, clock: Clock, told: Told) -> None:
        self._source = source
        self._clock = clock
        self._told = told
        self._token: RenewedToken | None = None
        self._digest: str | None = None

    def __repr__(self) -> str:
        return f"Credential({self.digest[:8]})"

    @property
    def digest(self) -> str:
        """A name for the source that does not give it away."""
        if self._digest is None:
            self._digest = hashlib.sha256(self._source.identity.encode()).hexdigest()
        return self._digest

    @property
    def origin(self) -> tuple[str, str | None]:
        """Where the source's credential comes from, and the credential, as far as it is known without asking."""
        return self._source.origin, self._source.known

    @property
    def exchanges(self) -> bool:
        """Whether the server trades credentials for tokens."""
        return self._token is not None

    @property
    def has_token(self) -> bool:
        """Whether there is a token, which an exchange would only renew."""
        return self._token is not None and self._token.current is not None

    @property
    def secrets(self) -> tuple[str, ...]:
        """All that is known and must not be shown."""
        token = self._token.current if self._token is not None else None
        return tuple(secret for secret in (self._source.known, token) if secret)

    async def raw(self) -> str:
        """The source's own credential: what opens the configuration and the exchange."""
        return await self._source.read()

    async def value(self) -> str:
        """What to send now."""
        return await (self._source.read() if self._token is None else self._token.value())

    def trade_with(self, exchange: Callable[[], Awaitable[str]]) -> None:
        """From now on use tokens from `exchange`, renewed in the middle of their lives."""
        self._token = RenewedToken(exchange, self._clock, self._told, ahead=True)

    def demand_command(self) -> None:
        """The server takes only what the command prints, or a token.

        Raises:
            ConfigurationError: No command is set.
        """
        if self._source.gives_token or isinstance(self._source, CommandKey):
            return
        command = command_of(self._clock, self._told)
        if command is None:
            raise ConfigurationError(
                "the server wants credentials that a command prints, and none is set",
                hint=f"Set {COMMAND_VARIABLE} to a command that prints a valid credential; your organization knows it.",
            )
        self._source = command
        self._digest = None

    def refused(self, sent: str, *, raw: bool, token_invalid: bool) -> bool:
        """The server answered 401 to a value.

        Args:
            sent: The value.
            raw: Whether it was the source's own credential.
            token_invalid: Whether the server said that the value was a token which is no longer good.

        Returns:
            Whether the request is worth one more try with another value.
        """
        if self._token is None or raw:
            return self._source.forget(sent)
        if token_invalid:
            self._token.forget(sent)
        return token_invalid

    def after_fork(self) -> None:
        """Fetches that are under way are the parent's."""
        self._source.after_fork()
        if self._token is not None:
            self._token.after_fork()
