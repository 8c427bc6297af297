"""Which key opens which address, and the short-lived token that some servers trade it for.

A key never leaves this module except as the value of the header `X-API-Key`; no `repr` shows it.
"""

import base64
import hashlib
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from tinker_hl import local_door
from tinker_hl.errors import ConfigurationError

__all__ = ["DEFAULT_BASE_URL", "LOCAL", "Credential", "resolve_api_key", "resolve_base_url", "token_claims"]

DEFAULT_BASE_URL = "https://tinker.thinkingmachines.dev/services/tinker-prod"
LOCAL = "local"
"""The `base_url` that asks for a service of this process's own."""
KEYLESS = "tml-local"
"""Sent where no key is set: a server of one's own may check none, but clients always send one."""
REFRESH_MARGIN = 60.0
"""Seconds of life left at which a token is traded for a new one."""


def resolve_base_url(base_url: str | None) -> str:
    """The argument, else `TINKER_BASE_URL`, else the hosted service; without a trailing slash."""
    address = base_url or os.environ.get("TINKER_BASE_URL") or DEFAULT_BASE_URL
    if address != LOCAL and not address.startswith(("http://", "https://")):
        raise ConfigurationError(
            f"base_url {address!r} is no address",
            hint='Give a URL that starts with http:// or https://, or "local" for a service of your own.',
        )
    return address.rstrip("/")


def resolve_api_key(api_key: str | None, base_url: str) -> str:
    """The argument, else `TINKER_API_KEY`; the hosted service needs one, other addresses may do without.

    A service that this process or an ancestor embeds is opened by its own key.
    """
    key = api_key or local_door.key_of(base_url) or os.environ.get("TINKER_API_KEY") or ""
    if not key and base_url == DEFAULT_BASE_URL:
        raise ConfigurationError(
            "no API key for the hosted service",
            hint='Set TINKER_API_KEY or pass api_key=; or pass base_url="local" to train on this machine.',
        )
    if any(ord(character) < 33 or ord(character) > 126 for character in key):
        raise ConfigurationError("the API key holds a space, a line break or another character that no key has")
    return key or KEYLESS


class Credential:
    """The value of `X-API-Key`: the key itself, or a token that it was traded for.

    Args:
        key: The API key, or a JWT.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._token: str | None = None
        self._exchange: Callable[[], Awaitable[str]] | None = None

    def __repr__(self) -> str:
        return f"Credential({self.digest[:8]})"

    @property
    def raw(self) -> str:
        """The key itself: what opens the configuration and the exchange."""
        return self._key

    @property
    def digest(self) -> str:
        """A name for the key that does not give it away."""
        return hashlib.sha256(self._key.encode()).hexdigest()

    @property
    def exchanges(self) -> bool:
        """Whether the server trades keys for tokens."""
        return self._exchange is not None

    def trade_with(self, exchange: Callable[[], Awaitable[str]]) -> None:
        """From now on use tokens from `exchange`."""
        self._exchange = exchange

    async def value(self) -> str:
        """What to send now."""
        if self._exchange is None:
            return self._key
        if self._token is None or _life_left(self._token) < REFRESH_MARGIN:
            self._token = await self._exchange()
        return self._token

    def forget_token(self) -> None:
        """The server did not take the token: get a new one next time."""
        self._token = None


def token_claims(token: str) -> dict[str, Any]:
    """The claims of a JWT, unverified: they are the server's to check; {} if it is none."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return {}
    return claims if isinstance(claims, dict) else {}


def _life_left(token: str) -> float:
    expires = token_claims(token).get("exp")
    return float(expires) - time.time() if isinstance(expires, (int, float)) else float("inf")
