"""Links that carry their own permission: a path, the time it ends, and an HMAC over both. It has no state and no clock.

HMAC-SHA256 (RFC 2104). Whoever holds the link may follow it until it expires, without a key; nobody can make one or
change its path or its end without the secret.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping

__all__ = ["EXPIRES", "SIGNATURE", "new_secret", "sign", "verify"]

EXPIRES = "expires"
SIGNATURE = "signature"


def new_secret() -> bytes:
    """A secret for signing; links signed with another are worthless."""
    return secrets.token_bytes(32)


def sign(path: str, expires_at: float, secret: bytes) -> str:
    """`path` with the query that permits it.

    Args:
        path: the absolute path, percent-encoded as it is requested, without a query.
        expires_at: Unix time in seconds; fractions are cut.
        secret: 32 random bytes.
    """
    expires = str(int(expires_at))
    return f"{path}?{EXPIRES}={expires}&{SIGNATURE}={_signature(path, expires, secret)}"


def verify(path: str, query: Mapping[str, str], secret: bytes, *, now: float) -> bool:
    """Whether `query`, as requested with `path`, was made by `sign` with this secret and has not expired.

    The signature is compared in constant time, and before anything else is looked at.
    """
    expires = query.get(EXPIRES, "")
    expected = _signature(path, expires, secret)
    if not hmac.compare_digest(expected.encode(), query.get(SIGNATURE, "").encode()):
        return False
    return now < int(expires)


def _signature(path: str, expires: str, secret: bytes) -> str:
    # The line break cannot stand in either part, so no other pair of them gives the same text.
    return hmac.new(secret, f"{path}\n{expires}".encode(), hashlib.sha256).hexdigest()
