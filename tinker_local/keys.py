"""API keys: made, kept as hashes, compared in constant time. It does not know headers or what a key permits.

A key is 256 random bits, so a salted SHA-256 is enough at rest: there is nothing to guess that a slow hash would slow.
Keys that a person chose pass through the same comparison; how good they are is up to that person. The salt is one per
data folder, so that a hash, or an owner's name, tells nothing to whoever has it and not the folder.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from functools import lru_cache

import attrs

__all__ = ["PREFIX", "KeyRing", "digest_of", "key_of", "new_key"]

PREFIX = "tml-"
"""Newer official clients refuse an API key that starts otherwise."""


def new_key() -> str:
    """A fresh key."""
    return PREFIX + secrets.token_urlsafe(32)


def key_of(secret: bytes) -> str:
    """The key that is made of 32 secret bytes: always the same one."""
    return PREFIX + base64.urlsafe_b64encode(secret).decode().rstrip("=")


def digest_of(key: str, salt: bytes) -> bytes:
    """What is kept of a key: its HMAC-SHA-256 (RFC 2104) under the salt.

    It is asked for with every request, so what depends on the salt alone is kept; `hmac` begins anew each time.
    """
    begun_inner, begun_outer = _begun(salt)
    inner, outer = begun_inner.copy(), begun_outer.copy()
    inner.update(key.encode())
    outer.update(inner.digest())
    return outer.digest()


@lru_cache(maxsize=8)
def _begun(salt: bytes) -> "tuple[hashlib._Hash, hashlib._Hash]":
    padded = salt.ljust(64, b"\0")
    inner, outer = (bytes(byte ^ filler for byte in padded) for filler in (0x36, 0x5C))
    return hashlib.sha256(inner), hashlib.sha256(outer)


@attrs.frozen(repr=False)
class _Entry:
    name: str
    digest: bytes


class KeyRing:
    """The keys that a service was started with. It holds salted hashes only; neither its `repr` nor a pickle can tell
    a key.
    """

    def __init__(self, keys: Iterable[str], salt: bytes) -> None:
        """Take the keys in.

        Args:
            keys: the keys.
            salt: 32 random bytes; owners keep their names as long as it stays the same.

        Raises:
            ValueError: one of the keys is blank.
        """
        self._salt = salt
        self._entries: list[_Entry] = []
        for key in keys:
            if not key.strip():
                raise ValueError("an API key is empty; give a text that is not blank")
            self._entries.append(_Entry(name=_name(key, salt), digest=digest_of(key, salt)))

    def __len__(self) -> int:
        return len(self._entries)

    def owner(self, key: str) -> str | None:
        """The name under which what this key makes is owned, or None if it is not one of these.

        The name stays the same over restarts and does not tell the key. Each entry is compared, whether or not one
        before it matched, so that the time tells nothing.
        """
        digest = digest_of(key, self._salt)
        found: str | None = None
        for entry in self._entries:
            if hmac.compare_digest(entry.digest, digest):
                found = entry.name
        return found

    def has_owner(self, name: str) -> bool:
        """Whether one of the keys has this name."""
        return any(entry.name == name for entry in self._entries)

    def __repr__(self) -> str:
        return f"KeyRing({len(self._entries)} keys)"


def _name(key: str, salt: bytes) -> str:
    """A name that lasts as long as the key and the folder: 48 bits of a hash that is of use for nothing else."""
    return "key-" + digest_of(f"name of {key}", salt).hex()[:12]
