"""What a JSON web token says of itself. Nothing is verified: that is the server's business."""

import base64
import time
from typing import Any

import orjson

__all__ = ["has_ended", "is_sendable", "is_token", "seconds_left", "token_claims", "whole_life"]

TOKEN_PREFIX = "eyJ"


def is_token(credential: str) -> bool:
    """Whether a credential is a JWT and no plain key: every JWT starts with the letters of `{"`."""
    return credential.startswith(TOKEN_PREFIX)


def is_sendable(credential: str) -> bool:
    """Whether a header can hold it: no space, no line break, nothing that is not ASCII."""
    return all(33 <= ord(character) <= 126 for character in credential)


def token_claims(token: str) -> dict[str, Any]:
    """The claims of a JWT, unverified; {} if it is none."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return {}
    return claims if isinstance(claims, dict) else {}


def has_ended(credential: str) -> bool:
    """Whether a credential is a token whose time is over by this machine's clock."""
    expires = _moment(credential, "exp") if is_token(credential) else None
    return expires is not None and expires <= time.time()


def whole_life(token: str) -> float | None:
    """Seconds from the token's issue to its end; None where it does not say."""
    issued, expires = _moment(token, "iat"), _moment(token, "exp")
    return expires - issued if issued is not None and expires is not None and expires > issued else None


def seconds_left(token: str) -> float:
    """Seconds that a token which has just arrived will live; infinity for what has no end.

    A token that seems to have ended already, or to live longer than it was issued for, shows that the two machines'
    clocks differ; then its whole life is what counts. By the clock alone each request would ask for a new token.
    """
    expires = _moment(token, "exp")
    if expires is None:
        return float("inf")
    left, life = expires - time.time(), whole_life(token)
    return life if life is not None and not 0.0 < left <= life else left


def _moment(token: str, claim: str) -> float | None:
    value = token_claims(token).get(claim)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
