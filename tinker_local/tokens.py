"""Signed statements that end: JSON Web Tokens (RFC 7519) with HMAC-SHA256. It does not know what is stated.

Only tokens that were made here are read, so there is one algorithm, and no header is believed.
"""

import base64
import hmac
from collections.abc import Mapping
from typing import Any

import orjson

__all__ = ["PREFIX", "InvalidTokenError", "issued", "read"]

PREFIX = "eyJ"
"""How every such token begins; an API key does not."""


class InvalidTokenError(Exception):
    """The token is none of ours, or its time is over."""


def issued(claims: Mapping[str, Any], secret: bytes) -> str:
    """A token. `claims` must have `exp`, the Unix time at which it ends."""
    signed = f"{_encoded({'alg': 'HS256', 'typ': 'JWT'})}.{_encoded(claims)}"
    return f"{signed}.{_signature(signed, secret)}"


def read(token: str, secret: bytes, *, now: float) -> dict[str, Any]:
    """The claims of a token.

    Raises:
        InvalidTokenError: see there.
    """
    signed, _, signature = token.rpartition(".")
    if not hmac.compare_digest(_signature(signed, secret).encode(), signature.encode()):
        raise InvalidTokenError("the token was not made by this service")
    payload = signed.partition(".")[2]
    claims: dict[str, Any] = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    if now >= claims["exp"]:
        raise InvalidTokenError("the token's time is over")
    return claims


def _encoded(content: Mapping[str, Any]) -> str:
    return _text(orjson.dumps(content))


def _signature(signed: str, secret: bytes) -> str:
    return _text(hmac.digest(secret, signed.encode(), "sha256"))


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
