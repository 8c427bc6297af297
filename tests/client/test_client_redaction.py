"""What is taken out of text before it is shown, and what is left in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinker_hl.errors import secret_values, without_secrets
from tinker_hl.redaction import HIDDEN, MIN_SECRET, redacted, redacted_bytes

TOKEN = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2ln"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no tml-abcdef123 here", "no *** here"),
        (f"'{TOKEN}'", "'***'"),
        ("http://me:word@proxy.test:80/x", "http://***@proxy.test:80/x"),
        ("http://proxy.test:80/x@y", "http://proxy.test:80/x@y"),
        ("tml:organization:7", "tml:organization:7"),
        ("tinker://run/weights/x", "tinker://run/weights/x"),
        ("a key of mine", "a key of mine"),
        ("short pw12 stays", "short pw12 stays"),
        ("known-secret-value and known-secret", "*** and ***"),
    ],
)
def test_what_is_hidden_and_what_is_not(text: str, shown: str) -> None:
    assert redacted(text, ("known-secret", "known-secret-value", "pw12", "")) == shown


@given(st.text(), st.text(), st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=MIN_SECRET))
def test_a_known_secret_is_never_left(before: str, after: str, secret: str) -> None:
    assert secret not in redacted(before + secret + after, (secret,)).replace(HIDDEN, "\n")
    content = before.encode() + secret.encode() + after.encode()
    assert secret.encode() not in redacted_bytes(content, (secret,)).replace(HIDDEN.encode(), b"\n")


@given(st.binary())
def test_bytes_without_a_secret_stay_as_they_are(content: bytes) -> None:
    if b"tml-" not in content and b"eyJ" not in content and b"://" not in content:
        assert redacted_bytes(content) == content


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("X-API-Key", True),
        ("authorization", True),
        ("CF-Access-Client-Id", True),
        ("Cookie", True),
        ("X-My-Token", True),
        ("X-Password", True),
        ("my-apikey", True),
        ("X-Idempotency-Key", False),
        ("Content-Type", False),
        ("WWW-Authenticate", False),
        ("x-request-id", False),
    ],
)
def test_headers_that_hold_secrets_are_known_by_their_names(name: str, secret: bool) -> None:
    assert secret_values({name: "value"}) == (("value",) if secret else ())
    assert (without_secrets({name: "value"})[name] == "value") is not secret
