"""Takes secrets out of what is about to be shown: known values, what looks like a key, a token or a login, and what is
called one.

It knows nothing of where the text goes.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["HIDDEN", "MIN_SECRET", "redacted", "redacted_bytes", "redacted_command", "redacted_settings"]

HIDDEN = "***"
MIN_SECRET = 6
"""Shorter values are not searched for: they would be found inside ordinary words, and are no protection anyway."""
_LOOKS_SECRET = re.compile(
    r"\btml-[A-Za-z0-9_\-]{6,}"
    r"|\beyJ[A-Za-z0-9_\-]{6,}(?:\.[A-Za-z0-9_\-]*){0,2}"
    r"|(?<=://)[^\s/@:]*:[^\s/@]+(?=@)"  # the user name and the password of a URL
)
_CALLED_SECRET = re.compile(
    r"(?:^|[_-])(?:api[_-]?key|secret(?:[_-]key)?|passw(?:or)?d|credentials?"
    r"|(?:access|api|auth|bearer|hf|hub|wandb)[_-]token)$",
    re.IGNORECASE,
)
"""Names of settings. `token` alone is none: `eos_token` and `max_tokens` are what it mostly means here."""


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


def redacted_settings(settings: Any) -> Any:
    """Nested mappings and lists with each text replaced that is called a secret, as under `api_key`."""
    if isinstance(settings, Mapping):
        return {
            name: HIDDEN if isinstance(value, str) and _is_called_secret(name) else redacted_settings(value)
            for name, value in settings.items()
        }
    if isinstance(settings, (list, tuple)):
        return [redacted_settings(value) for value in settings]
    return settings


def redacted_command(words: Sequence[str]) -> list[str]:
    """A command line with the same replaced: in `--api-key VALUE`, `--api-key=VALUE` and `api_key=VALUE`."""
    shown: list[str] = []
    follows = False
    for word in words:
        name, equals, value = word.partition("=")
        is_secret = _is_called_secret(name.lstrip("-"))
        shown.append(HIDDEN if follows else f"{name}={HIDDEN}" if is_secret and value else word)
        follows = not follows and is_secret and not equals and word.startswith("-")
    return shown


def _is_called_secret(name: object) -> bool:
    return isinstance(name, str) and _CALLED_SECRET.search(name) is not None
