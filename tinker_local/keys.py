"""API keys: made, kept as hashes, compared in constant time. It does not know headers or what a key permits.

A key is 256 random bits, so a salted SHA-256 is enough at rest: there is nothing to guess that a slow hash would slow.
Keys that a person chose pass through the same comparison; how good they are is up to that person.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable

import attrs

__all__ = ["PREFIX", "KeyRing", "new_key"]

PREFIX = "tml-"
"""Newer official clients refuse an API key that starts otherwise."""


def new_key() -> str:
    """A fresh key."""
    return PREFIX + secrets.token_urlsafe(32)


@attrs.frozen(repr=False)
class _Entry:
    name: str
    digest: bytes


class KeyRing:
    """The keys that are let in. It holds salted hashes only; neither its `repr` nor a pickle can tell a key.

    Args:
        keys: the keys; none lets everybody in.
    """

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._salt = secrets.token_bytes(16)
        self._entries: list[_Entry] = []
        for key in keys:
            if not key.strip():
                raise ValueError("an API key is empty; give a text that is not blank")
            self._entries.append(_Entry(name=_name(key), digest=self._digest(key)))

    @property
    def open(self) -> bool:
        """Whether nobody needs a key."""
        return not self._entries

    def owner(self, key: str | None) -> str | None:
        """The name under which what this key makes is owned, or None if it is not let in.

        The name stays the same over restarts and does not tell the key. Without any keys, everyone is `local`. Each
        entry is compared, whether or not one before it matched, so that the time tells nothing.
        """
        if self.open:
            return "local"
        digest = self._digest(key or "")
        found: str | None = None
        for entry in self._entries:
            if hmac.compare_digest(entry.digest, digest):
                found = entry.name
        return found

    def __repr__(self) -> str:
        return f"KeyRing({len(self._entries)} keys)"

    def _digest(self, key: str) -> bytes:
        return hashlib.sha256(self._salt + key.encode()).digest()


def _name(key: str) -> str:
    """A name that lasts as long as the key: 48 bits of a hash that is of use for nothing else."""
    return "key-" + hashlib.sha256(b"tinker-hl key name\0" + key.encode()).hexdigest()[:12]
