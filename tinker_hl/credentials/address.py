"""Where the server is. Knows nothing of keys."""

import os
from urllib.parse import urlsplit, urlunsplit

from tinker_hl.errors import ConfigurationError

__all__ = ["DEFAULT_BASE_URL", "LOCAL", "is_hosted", "resolve_base_url"]

DEFAULT_BASE_URL = "https://tinker.thinkingmachines.dev/services/tinker-prod"
LOCAL = "local"
"""The `base_url` that asks for a service of this process's own."""
_HOSTED_HOST = urlsplit(DEFAULT_BASE_URL).hostname


def resolve_base_url(base_url: str | None) -> str:
    """The argument, else `TINKER_BASE_URL`, else the hosted service, in the spelling that addresses are compared in.

    Scheme and host are in lower case, a port that is the scheme's own is not there, nor is a slash at the end.
    """
    address = base_url or os.environ.get("TINKER_BASE_URL") or DEFAULT_BASE_URL
    if address != LOCAL and not address.lower().startswith(("http://", "https://")):
        raise ConfigurationError(
            f"base_url {address!r} is no address",
            hint='Give a URL that starts with http:// or https://, or "local" for a service of your own.',
        )
    if address.partition("://")[2].partition("/")[0].count("@"):
        # It would be shown wherever the address is: in errors, logs and handles.
        raise ConfigurationError(
            "base_url holds a user name or a password",
            hint="Give them in a header: default_headers_overrides={'Authorization': 'Basic ...'}.",
        )
    return address if address == LOCAL else _in_one_spelling(address)


def _in_one_spelling(address: str) -> str:
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return address.rstrip("/")  # no address at all, which the first request tells
    host = parts.netloc.lower()
    if port == {"http": 80, "https": 443}[parts.scheme]:
        host = host.removesuffix(f":{port}")
    return urlunsplit(parts._replace(netloc=host)).rstrip("/")


def is_hosted(base_url: str) -> bool:
    """Whether the address is one of the hosted service, which has rules for keys that no other server has."""
    try:
        return urlsplit(base_url).hostname == _HOSTED_HOST
    except ValueError:
        return False
