"""Takes secrets out of text that is about to be shown: known values, and whatever looks like a key, a token or a login.

It knows nothing of where the text goes.
"""

import re
from collections.abc import Iterable

__all__ = ["HIDDEN", "MIN_SECRET", "redacted", "redacted_bytes"]

HIDDEN = "***"
MIN_SECRET = 6
"""Shorter values are not searched for: they would be found inside ordinary words, and are no protection anyway."""
_LOOKS_SECRET = re.compile(
    r"\btml-[A-Za-z0-9_\-]{6,}"
    r"|\beyJ[A-Za-z0-9_\-]{6,}(?:\.[A-Za-z0-9_\-]*){0,2}"
    r"|(?<=://)[^\s/@:]*:[^\s/@]+(?=@)"  # the user name and the password of a URL
)


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """The text with each secret replaced.

    Args:
        text: Any.
        secrets: Values that must not be in it; those shorter than `MIN_SECRET` characters are left.
    """
    # The longest first, so that a secret which is a part of another does not leave the other's rest.
    for secret in sorted((value for value in secrets if len(value) >= MIN_SECRET), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return _LOOKS_SECRET.sub(HIDDEN, text)


def redacted_bytes(content: bytes, secrets: Iterable[str] = ()) -> bytes:
    """The same for bytes, which need not be text."""
    # Latin-1 gives each byte a character of its own and back; keys and tokens are ASCII.
    return redacted(content.decode("latin-1"), secrets).encode("latin-1")
