"""`tinker-hl auth`: a stored login that the client uses, and no key where it does not belong."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Line

from tinker_hl.clients import sessionless
from tinker_hl.credentials import CredentialStore
from tinker_local import embedded


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, service: embedded.EmbeddedService) -> Iterator[Path]:
    """A user without a login or a key in the environment, and the service's address."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TINKER_BASE_URL", service.base_url)
    for name in ("TINKER_API_KEY", "TINKER_CREDENTIAL_CMD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sessionless, "_shared", {})
    monkeypatch.setattr("tinker_hl.local_door.key_of", lambda base_url: None)  # this process made the service
    return tmp_path


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, service: embedded.EmbeddedService) -> str:
    """The service's key comes by stdin."""
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{service.api_key}\n"))
    return service.api_key


def test_login_use_and_logout(line: Line, home: Path, typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = line.json("auth", "status", code=1)
    assert (told["credentials_available"], told["accessible"]) == (False, False)
    out, err = line.both("auth", "login")
    assert typed not in out + err
    store = CredentialStore(home / ".tinker" / "credentials.json")
    stored = store.default_key()
    assert stored is not None
    assert stored.key == typed
    assert stored.user_email
    assert stored.user_email in out

    told = line.json("auth", "status")
    assert (told["credentials_available"], told["accessible"]) == (True, True)
    assert "Accessible             Yes" in line("auth", "status")
    assert line("auth", "token") == f"{typed}\n"
    assert line.json("auth", "whoami")["user_urn"].startswith("tml:user:")
    assert line.json("model", "list")["models"], "other commands use it"

    assert "--replace" in line.both("auth", "login", code=1)[1]
    assert "It still works" in line.both("auth", "logout")[1]
    assert store.default_key() is None
    assert line.both("auth", "logout") == ("", "Nobody is logged in.\n")
    assert "there is no key" in line.both("auth", "token", code=1)[1]


def test_a_key_that_the_server_refuses_is_not_stored(line: Line, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("tml-not-a-key\n"))
    out, err = line.both("auth", "login", code=1)
    assert "(status 401)" in err
    assert "tml-not-a-key" not in out + err
    assert not (home / ".tinker").exists()
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    line("auth", "login", code=2)


def test_a_key_made_for_this_machine_is_deleted_on_the_server(
    line: Line, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tinker_hl.cli import auth
    from tinker_hl.credentials import StoredKey

    deleted: list[str | None] = []
    monkeypatch.setattr(auth, "_delete_on_server", lambda reach: deleted.append(reach.api_key))
    CredentialStore().add("7", StoredKey(key="tml-made", name="laptop", kind="generated"), default=True)
    out, err = line.both("auth", "logout")
    assert deleted == ["tml-made"]
    assert "It still works" not in err
    assert "tml-made" not in out + err


def test_a_key_on_the_line_wins(line: Line, home: Path, service: embedded.EmbeddedService) -> None:
    assert line.json("model", "list", "--api-key", service.api_key)["models"]
    assert "(status 401)" in line.both("model", "list", "--api-key", "tml-wrong", code=1)[1]
    assert "tml-" not in line.both("model", "list", "--api-key", "wrong key", code=2)[1]
