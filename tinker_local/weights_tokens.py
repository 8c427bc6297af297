"""Weights access tokens: whoever has one may load and copy one checkpoint of somebody else. No state, no clock.

The operator makes them (`tinker-hl keys share`); the service checks them. A token is its claims and an HMAC-SHA256 over
them; deleting the checkpoint, or the token's end, is what takes it back.
"""

import base64
import hashlib
import hmac

import orjson

from tinker_local.store.paths import CheckpointPath

__all__ = ["PREFIX", "new_token", "permits"]

PREFIX = "tmlw-"


def new_token(path: CheckpointPath, expires_at: float, secret: bytes) -> str:
    """A token for one checkpoint.

    Args:
        path: the checkpoint.
        expires_at: Unix time in seconds; fractions are cut.
        secret: of the service, for this purpose alone.
    """
    claims = base64.urlsafe_b64encode(orjson.dumps([str(path), int(expires_at)])).decode().rstrip("=")
    return f"{PREFIX}{claims}.{_signature(claims, secret)}"


def permits(token: str, path: CheckpointPath, secret: bytes, *, now: float) -> bool:
    """Whether the token was made with this secret for this checkpoint, and has not ended."""
    claims, _, signature = token.removeprefix(PREFIX).partition(".")
    if not hmac.compare_digest(_signature(claims, secret).encode(), signature.encode()):
        return False
    granted, expires_at = orjson.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    return bool(granted == str(path) and now < expires_at)


def _signature(claims: str, secret: bytes) -> str:
    return hmac.new(secret, claims.encode(), hashlib.sha256).hexdigest()
