"""A value and where it comes from. It does not know how either is found."""

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

import attrs

from tinker_hl.errors import REDACTED, holds_secret

__all__ = ["BUILT_IN", "Origin", "OriginKind", "Setting", "masked_key", "without_user"]

OriginKind = Literal["argument", "environment", "file", "server", "profile", "default"]
MASKED_FROM: Final = 24
"""Characters of a key from which its ends are shown: of a shorter one they would be too much."""
HEAD, TAIL = 6, 4


@attrs.frozen
class Origin:
    """Where a value comes from.

    Attributes:
        kind: `argument`, `environment`, `file`, `server`, `profile` or `default`.
        name: Which one: the argument, the variable, the file, the operation, the profile; "" for a default.
    """

    kind: OriginKind
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" if self.name else self.kind


BUILT_IN: Final = Origin("default")


@attrs.frozen(kw_only=True)
class Setting:
    """One value of a client's configuration. Neither `repr` nor `shown` holds a secret."""

    name: str
    value: Any = attrs.field(repr=False)
    origin: Origin = BUILT_IN
    secret: bool = False
    """Whether nothing of it may be shown."""

    @property
    def shown(self) -> str:
        """The value for people: keys masked, secrets hidden, "" for none."""
        if self.value is None:
            return ""
        if self.name == "api_key":
            return masked_key(str(self.value))
        if self.secret:
            return REDACTED
        return _shown(self.value)


def masked_key(key: str) -> str:
    """Enough of a key to tell it from others: its ends, or only stars for a short one."""
    return f"{key[:HEAD]}...{key[-TAIL:]}" if len(key) >= MASKED_FROM else "*" * len(key)


def without_user(address: str) -> str:
    """An address, with its scheme or without, without the user name and the password in it."""
    return re.sub(r"^([a-z][a-z0-9+.-]*://)?[^/]*@", rf"\g<1>{REDACTED}@", address, count=1, flags=re.IGNORECASE)


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        pairs = (f"{name}={REDACTED if holds_secret(str(name)) else one}" for name, one in value.items())
        return ", ".join(pairs)
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)
