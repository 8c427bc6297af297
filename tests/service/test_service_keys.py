"""Keys: who is let in, under which name, and that no key can be read back."""

import pickle
import re

import pytest

from tinker_local.keys import KeyRing, new_key

SALT = b"s" * 32


def test_new_keys_differ_and_have_the_form_that_clients_accept() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(re.fullmatch(r"tml-[A-Za-z0-9_-]{43}", key) for key in keys)


def test_only_the_keys_of_the_ring_are_let_in() -> None:
    first, second, other = new_key(), new_key(), new_key()
    ring = KeyRing([first, second], SALT)
    assert ring.owner(first) not in (None, ring.owner(second))
    assert [ring.owner(key) for key in (other, first[:-1], first + " ", "")] == [None] * 4


def test_an_owner_keeps_its_name_and_the_name_is_not_the_key() -> None:
    key = new_key()
    name = KeyRing([key], SALT).owner(key)
    assert name is not None
    assert name == KeyRing([new_key(), key], SALT).owner(key)
    assert name not in key
    assert key[4:] not in name
    assert KeyRing([key], SALT).has_owner(name)
    assert not KeyRing([new_key()], SALT).has_owner(name)


def test_the_same_key_has_another_name_in_another_folder() -> None:
    """Else whoever reads names could try guesses at weak keys beforehand."""
    assert KeyRing(["tml-weak"], SALT).owner("tml-weak") != KeyRing(["tml-weak"], b"t" * 32).owner("tml-weak")


def test_an_empty_key_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        KeyRing(["tml-x", " "], SALT)


def test_no_key_can_be_read_back() -> None:
    key = "tml-very-secret-key"
    ring = KeyRing([key], SALT)
    assert key.encode() not in pickle.dumps(ring)
    assert key not in repr(ring) + repr(vars(ring))
