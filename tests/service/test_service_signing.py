"""A signed link permits one path until one time, and nothing else."""

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinker_local.signing import new_secret, sign, verify

SECRET = b"s" * 32
PATH = "/archives/run%3A1/weights/ck"


def query_of(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))


@given(expires=st.integers(1, 2**40))
def test_it_is_good_until_it_expires(expires: int) -> None:
    url = sign(PATH, expires + 0.75, SECRET)
    assert urlsplit(url).path == PATH
    assert verify(PATH, query_of(url), SECRET, now=expires - 0.001)
    assert not verify(PATH, query_of(url), SECRET, now=expires)


@pytest.mark.parametrize(
    "change",
    [
        {"expires": "2000"},
        {"expires": ""},
        {"expires": "soon"},
        {"signature": ""},
        {"signature": "ü"},
        {"signature": "0" * 64},
    ],
)
def test_a_changed_query_is_worthless(change: dict[str, str]) -> None:
    query = query_of(sign(PATH, 1000, SECRET))
    assert verify(PATH, query, SECRET, now=999)
    assert not verify(PATH, query | change, SECRET, now=999)


def test_neither_another_path_nor_another_secret_will_do() -> None:
    query = query_of(sign(PATH, 1000, SECRET))
    assert not verify(PATH + "2", query, SECRET, now=0)
    assert not verify(PATH, query, new_secret(), now=0)
    assert not verify(PATH, {}, SECRET, now=0)


def test_path_and_time_cannot_trade_characters() -> None:
    query = query_of(sign("/a/1", 23, SECRET))
    assert not verify("/a/12", query | {"expires": "3"}, SECRET, now=0)


def test_secrets_differ() -> None:
    assert len({new_secret() for _ in range(100)}) == 100
