"""Links that carry their own permission: a path, the time it ends, and an HMAC over both. It has no clock.

HMAC-SHA256 (RFC 2104). Whoever holds the link may follow it until it expires, without a key; nobody can make one or
change its path or its end without the secret.
"""

import contextlib
import hashlib
import hmac
import os
import secrets
import uuid
from collections.abc import Mapping
from pathlib import Path

from tinker_local import durable

__all__ = [
    "API_KEYS",
    "EMBEDDED_KEY",
    "EXPIRES",
    "LINKS",
    "SECRET_FILE",
    "SIGNATURE",
    "TOKENS",
    "WEIGHTS_TOKENS",
    "derived",
    "kept_secret",
    "new_secret",
    "sign",
    "verify",
]

SECRET_FILE = "secret"
"""In the data folder: from it every other secret of a service is derived."""
API_KEYS = "api keys"
EMBEDDED_KEY = "key of an embedded service"
LINKS = "links"
TOKENS = "tokens"
WEIGHTS_TOKENS = "weights access tokens"

EXPIRES = "expires"
SIGNATURE = "signature"
_SECRET_BYTES = 32


def new_secret() -> bytes:
    """A secret for signing; links signed with another are worthless."""
    return secrets.token_bytes(_SECRET_BYTES)


def kept_secret(path: Path) -> bytes:
    """The secret in a file, which is made if need be, readable by its owner only; it outlives restarts.

    Raises:
        ValueError: the file holds something else.
    """
    if not path.exists():
        # Written aside and linked: whoever else begins at the same moment never reads half a secret.
        aside = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
        aside.touch(mode=0o600)
        durable.write(aside, new_secret())
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
        aside.unlink()
    secret = path.read_bytes()
    if len(secret) != _SECRET_BYTES:
        raise ValueError(
            f"{path} is not {_SECRET_BYTES} bytes long; restore it, or delete it and make new keys: those of the "
            'folder, links, and what base_url="local" saved there are then not known again'
        )
    return secret


def derived(secret: bytes, purpose: str) -> bytes:
    """A secret for one purpose: what is signed for one is worthless for another."""
    return hmac.digest(secret, purpose.encode(), "sha256")


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
