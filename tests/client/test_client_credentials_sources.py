"""Where the credential of a client comes from, and the stored login."""

import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinker_hl
from tinker_hl.credentials import (
    DEFAULT_BASE_URL,
    KEYLESS,
    CommandKey,
    CredentialStore,
    KeySource,
    StoredKey,
    find_source,
    is_hosted,
    resolve_base_url,
)
from tinker_hl.retry import InstantClock

OWN = "http://mine.test"
KEY = "tml-the-key"
COMMAND = "echo tml-printed"


@pytest.fixture(autouse=True)
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No key in the environment, and a home without a login."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("TINKER_API_KEY", "TINKER_CREDENTIAL_CMD", "TINKER_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)


def source(api_key: str | None = None, base_url: str = DEFAULT_BASE_URL) -> KeySource:
    return find_source(api_key, base_url, InstantClock(), lambda detail, level: None)


def log_in(key: str = "tml-stored") -> CredentialStore:
    store = CredentialStore()
    store.add("1", StoredKey(key=key, name="laptop"), default=True)
    return store


def test_the_order_is_argument_environment_command_login(monkeypatch: pytest.MonkeyPatch) -> None:
    log_in()
    assert source().known == "tml-stored"
    monkeypatch.setenv("TINKER_CREDENTIAL_CMD", COMMAND)
    assert isinstance(source(), CommandKey)
    monkeypatch.setenv("TINKER_API_KEY", "tml-environment")
    assert source().known == "tml-environment"
    assert source(KEY).known == KEY


@pytest.mark.parametrize("variable", ["TINKER_API_KEY", "TINKER_CREDENTIAL_CMD"])
def test_an_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "")
    log_in()
    assert source("").known == "tml-stored"


def test_a_key_of_another_form_gives_way_to_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for way in ("argument", "environment"):
        key = "sk-other" if way == "argument" else None
        if key is None:
            monkeypatch.setenv("TINKER_API_KEY", "sk-other")
        log_in()
        with pytest.raises(tinker_hl.ConfigurationError, match="tml-") as caught:
            source(key)
        assert "sk-other" not in str(caught.value)
        monkeypatch.setenv("TINKER_CREDENTIAL_CMD", COMMAND)
        assert isinstance(source(key), CommandKey)
        monkeypatch.delenv("TINKER_CREDENTIAL_CMD")


def test_a_token_is_a_key_too() -> None:
    found = source("eyJhbGciOiJub25lIn0.e30.sig")
    assert found.gives_token
    assert not source(KEY).gives_token


def test_another_server_takes_any_key_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert source(base_url=OWN).known == KEYLESS
    monkeypatch.setenv("TINKER_CREDENTIAL_CMD", COMMAND)
    assert source("any", OWN).known == "any"
    assert isinstance(source(base_url=OWN), CommandKey)


def test_the_stored_login_is_for_every_server() -> None:
    log_in("any-form-at-all")
    assert source(base_url=OWN).known == "any-form-at-all"
    with pytest.raises(tinker_hl.ConfigurationError, match=r"credentials\.json"):
        source()


def test_a_local_service_asks_for_no_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    log_in().path.write_text("broken")
    monkeypatch.setenv("TINKER_CREDENTIAL_CMD", "exit 1")
    assert source(base_url="local").known == KEYLESS


def test_no_credential_names_all_ways_to_give_one() -> None:
    with pytest.raises(tinker_hl.ConfigurationError) as caught:
        source()
    for way in ("TINKER_API_KEY", "api_key=", "TINKER_CREDENTIAL_CMD", "tinker-hl auth login"):
        assert way in str(caught.value)


def test_the_key_is_in_no_repr() -> None:
    assert KEY not in repr(source(KEY))
    assert KEY not in repr(StoredKey(key=KEY, name="laptop"))


@pytest.mark.parametrize(
    ("base_url", "hosted"),
    [
        (DEFAULT_BASE_URL, True),
        ("https://tinker.thinkingmachines.dev/services/other", True),
        ("https://tinker.thinkingmachines.dev.evil.test", False),
        ("http://[broken", False),
        (OWN, False),
    ],
)
def test_which_addresses_are_the_hosted_services(base_url: str, hosted: bool) -> None:
    assert is_hosted(base_url) is hosted


def test_an_address_with_a_password_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINKER_BASE_URL", "https://user:recognisable@mine.test/prefix")
    with pytest.raises(tinker_hl.ConfigurationError, match="default_headers_overrides") as caught:
        resolve_base_url(None)
    assert "recognisable" not in str(caught.value)
    assert resolve_base_url("http://mine.test/some@where") == "http://mine.test/some@where"


# The file.


def test_the_file_is_the_official_one(tmp_path: Path) -> None:
    """Its layout and its modes, as the official command line writes and reads them."""
    old = os.umask(0)
    try:
        store = log_in()
    finally:
        os.umask(old)
    assert store.path == tmp_path / ".tinker" / "credentials.json"
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700
    expected = {"version": 1, "default": "1", "keys": {"1": {"type": "manual", "key": "tml-stored", "name": "laptop"}}}
    assert json.loads(store.path.read_text()) == expected
    assert os.listdir(store.path.parent) == ["credentials.json"]


def test_a_file_of_the_official_command_line_is_read() -> None:
    store = CredentialStore()
    store.path.parent.mkdir()
    details = {"org_details": {"name": "Org"}, "user_details": {"email": "a@b.test"}}
    record = {"type": "generated", "key": "tml-made", "name": "cli", "note": "why", "details": details}
    store.path.write_text(json.dumps({"version": 1, "default": "a", "keys": {"a": record}}))
    expected = StoredKey(
        key="tml-made", name="cli", kind="generated", note="why", org_name="Org", user_email="a@b.test"
    )
    assert store.default_key() == expected
    assert expected.record() == record


def test_what_is_unknown_in_the_file_is_kept() -> None:
    store = log_in()
    document = json.loads(store.path.read_text())
    document["future"] = {"x": 1}
    document["keys"]["1"]["more"] = 2
    store.path.write_text(json.dumps(document))
    store.add("2", StoredKey(key="tml-second", name="other"))
    after = json.loads(store.path.read_text())
    assert after["future"] == {"x": 1}
    assert after["keys"]["1"]["more"] == 2
    assert store.default_id() == "1"


def test_keys_come_and_go() -> None:
    store = log_in()
    store.add("2", StoredKey(key="tml-second", name="other"))
    assert list(store.keys()) == ["1", "2"]
    store.set_default("2")
    assert store.default_key() == StoredKey(key="tml-second", name="other")
    store.delete("2")
    assert store.default_id() is None
    assert store.default_key() is None
    for call in (lambda: store.delete("2"), lambda: store.set_default("2")):
        with pytest.raises(KeyError):
            call()


def test_a_default_that_is_gone_is_none() -> None:
    store = log_in()
    document = json.loads(store.path.read_text())
    store.path.write_text(json.dumps({**document, "default": "gone"}))
    assert store.default_id() is None
    assert store.default_key() is None


def test_a_write_that_fails_leaves_the_file_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    store = log_in()
    before = store.path.read_bytes()

    def broken(source: str, target: Path) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="disk is full"):
        store.add("2", StoredKey(key="tml-second", name="other"))
    assert store.path.read_bytes() == before
    assert os.listdir(store.path.parent) == ["credentials.json"]


@pytest.mark.parametrize(
    "content",
    [
        "{ no json tml-secret-inside",
        "[]",
        '{"keys": []}',
        '{"version": 2, "keys": {}}',
        '{"keys": {"1": {"type": "manual", "name": "n"}}}',
        '{"keys": {"1": {"type": "other", "key": "tml-secret-inside", "name": "n"}}}',
        '{"keys": {"1": {"type": "manual", "key": 3, "name": "n"}}}',
        '{"keys": {"1": "tml-secret-inside"}}',
        '{"keys": {"1": {"type": "manual", "key": "tml-secret-inside", "name": "n", "details": "x"}}}',
    ],
)
def test_a_broken_file_is_named_and_not_overwritten(content: str) -> None:
    store = CredentialStore()
    store.path.parent.mkdir()
    store.path.write_text(content)
    for call in (source, store.keys, lambda: store.add("2", StoredKey(key="tml-second", name="other"))):
        with pytest.raises(tinker_hl.ConfigurationError) as caught:
            call()
        assert str(store.path) in str(caught.value)
        assert "secret-inside" not in str(caught.value)
    assert store.path.read_text() == content


TEXT = st.text(min_size=1, max_size=20)


@given(
    st.dictionaries(
        TEXT,
        st.builds(
            StoredKey,
            key=TEXT,
            name=TEXT,
            kind=st.sampled_from(["manual", "generated"]),
            note=st.none() | TEXT,
            org_name=TEXT,
            user_email=TEXT,
        ),
        max_size=4,
    )
)
def test_what_was_stored_is_read_again(tmp_path_factory: pytest.TempPathFactory, keys: dict[str, StoredKey]) -> None:
    store = CredentialStore(tmp_path_factory.mktemp("store") / "credentials.json")
    for key_id, key in keys.items():
        store.add(key_id, key, default=True)
    assert store.keys() == keys
    assert store.default_key() == (list(keys.values())[-1] if keys else None)
