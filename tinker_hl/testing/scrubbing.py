"""Takes secrets out of requests and answers before they are kept: keys, tokens, signatures of links.

What is kept of headers is a short list of harmless names. In bodies, fields that are named like secrets lose their
values, and texts lose everything that looks like a key, a JWT or a signature, and the key that the request itself
carried, wherever it stands. A JWT is replaced by another one that opens nothing, so that what was recorded can still
be read as one.
"""

import base64
import re
from collections.abc import Mapping
from typing import Any

import attrs
import orjson

from tinker_hl.errors import REDACTED
from tinker_hl.transport.base import Request

__all__ = ["WORTHLESS_JWT", "Scrubber"]

_SECRET_FIELDS_TEXT = """
access_key access_key_id access_token api_key apikey authorization client_secret cookie credential credentials
id_token jwt passphrase password private_key refresh_token secret secret_access_key secret_key session_token
signature token weights_access_token x-api-key
"""
_SECRET_FIELDS = frozenset(_SECRET_FIELDS_TEXT.split())
_KEPT_HEADERS_TEXT = """
accept content-encoding content-type location retry-after retry-after-ms www-authenticate x-deprecation-level
x-deprecation-note x-idempotency-key x-request-id x-sdk-method x-should-retry x-stainless-retry-count
"""
_KEPT_HEADERS = frozenset(_KEPT_HEADERS_TEXT.split())
_KEY_HEADERS = ("x-api-key", "authorization", "x-tinker-weights-access-token", "cf-access-client-secret")
_SHORTEST_SECRET = 8
"""A shorter key is not looked for in texts: it would be found in words that mean nothing."""
_HOLDERS = (str, list, dict)
_JWT = re.compile(r"eyJ[\w-]+\.eyJ[\w-]+\.[\w-]*")
_KEY = re.compile(r"\b(?:tml|sk|hf)[-_][A-Za-z0-9_-]{16,}")
_SIGNATURE = re.compile(
    r"(?i)([?&](?:x-amz-(?:signature|credential|security-token)|x-goog-(?:signature|credential)|signature|sig|token|key"
    r"|access_token|awsaccesskeyid)=)[^&#\s\"']+"
)


def _unsigned(claims: Mapping[str, Any]) -> str:
    parts = (base64.urlsafe_b64encode(orjson.dumps(part)).rstrip(b"=").decode() for part in ({"alg": "none"}, claims))
    return ".".join([*parts, ""])


WORTHLESS_JWT = _unsigned({"exp": 4102444800})
"""Unsigned, and good until the year 2100."""


@attrs.frozen
class Scrubber:
    """Knows the secrets of one request, and takes them out of it and of its answer."""

    known: tuple[str, ...] = attrs.field(default=(), repr=False)

    @classmethod
    def of(cls, request: Request) -> "Scrubber":
        """For a request, whose credential is a secret wherever it stands."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        values = [headers[name].removeprefix("Bearer ") for name in _KEY_HEADERS if name in headers]
        return cls(tuple(value for value in values if len(value) >= _SHORTEST_SECRET))

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The harmless ones, in lower case."""
        found = {name.lower(): value for name, value in headers.items()}
        return {name: self.text(value) for name, value in found.items() if name in _KEPT_HEADERS}

    def text(self, text: str) -> str:
        """A text without what looks like a secret."""
        for secret in self.known:
            text = text.replace(secret, REDACTED)
        text = _JWT.sub(WORTHLESS_JWT, text)
        return _SIGNATURE.sub(rf"\g<1>{REDACTED}", _KEY.sub(REDACTED, text))

    def json(self, value: Any) -> Any:
        """A JSON value without secrets."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            # Most long lists are tokens and logprobs.
            return [self.json(item) for item in value] if any(isinstance(item, _HOLDERS) for item in value) else value
        if isinstance(value, dict):
            return {name: self._field(name, item) for name, item in value.items()}
        return value

    def binary(self, content: bytes) -> bytes:
        """Bytes in which the known secrets are overwritten in place, so that every length in them stays true."""
        for secret in self.known:
            content = content.replace(secret.encode(), b"*" * len(secret.encode()))
        return content

    def _field(self, name: str, value: Any) -> Any:
        if name.lower() in _SECRET_FIELDS and isinstance(value, str) and value:
            return WORTHLESS_JWT if _JWT.fullmatch(value) else REDACTED
        return self.json(value)
