"""`tinker_hl.auth`: what is said of a machine's credentials, with and without asking the service."""

from pathlib import Path

import pytest
from client_bench import KEY, SocketService

import tinker_hl
from tinker_hl import auth
from tinker_hl.credentials import CredentialStore, StoredKey

VARIABLES = ("TINKER_API_KEY", "TINKER_BASE_URL", "TINKER_CREDENTIAL_CMD")


@pytest.fixture(autouse=True)
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No key in the environment, and a home without a login."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


def log_in(key: str = "tml-stored-key") -> None:
    CredentialStore().add("1", StoredKey(key=key, name="laptop"), default=True)


def test_without_any_credential_all_three_say_so() -> None:
    assert auth.get_tinker_token() is None
    assert not auth.tinker_has_credentials()
    with pytest.raises(tinker_hl.ConfigurationError, match="no API key"):
        auth.raise_if_tinker_not_accessible()


def test_the_token_is_the_environments_then_the_stored_one(monkeypatch: pytest.MonkeyPatch) -> None:
    log_in()
    assert auth.get_tinker_token() == "tml-stored-key"
    monkeypatch.setenv("TINKER_API_KEY", "tml-from-the-environment")
    assert auth.get_tinker_token() == "tml-from-the-environment"
    monkeypatch.setenv("TINKER_API_KEY", "")
    assert auth.get_tinker_token() == "tml-stored-key"
    assert auth.tinker_has_credentials()


def test_a_command_counts_and_is_never_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    monkeypatch.setenv("TINKER_CREDENTIAL_CMD", f"touch {ran}; echo tml-printed-key")
    assert auth.tinker_has_credentials()
    assert auth.get_tinker_token() is None
    assert not ran.exists()


def test_what_cannot_be_a_key_or_be_read_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINKER_API_KEY", "sk-of-another-service")
    assert auth.get_tinker_token() is None
    assert not auth.tinker_has_credentials()
    monkeypatch.delenv("TINKER_API_KEY")
    log_in()
    CredentialStore().path.write_text("{ no json")
    assert auth.get_tinker_token() is None
    assert not auth.tinker_has_credentials()


def test_a_server_of_ones_own_may_take_any_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINKER_BASE_URL", "http://mine.test")
    assert not auth.tinker_has_credentials()
    monkeypatch.setenv("TINKER_API_KEY", "any")
    assert auth.get_tinker_token() == "any"
    assert auth.tinker_has_credentials()


def test_a_service_that_takes_the_key_is_accessible(
    monkeypatch: pytest.MonkeyPatch, socket_service: SocketService
) -> None:
    monkeypatch.setenv("TINKER_BASE_URL", socket_service.base_url)
    monkeypatch.setenv("TINKER_API_KEY", KEY)
    auth.raise_if_tinker_not_accessible()
    monkeypatch.setenv("TINKER_API_KEY", "tml-of-somebody-else")
    with pytest.raises(tinker_hl.AuthenticationError) as caught:
        auth.raise_if_tinker_not_accessible()
    assert "tml-of-somebody-else" not in str(caught.value)


def test_a_service_that_cannot_be_reached_is_told_without_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINKER_BASE_URL", "http://127.0.0.1:9")
    events: list[str] = []
    monkeypatch.setattr("tinker_hl.connection.log_event", lambda event: events.append(event.kind))
    with pytest.raises(tinker_hl.APIConnectionError):
        auth.raise_if_tinker_not_accessible()
    assert "retried" not in events


def test_what_is_no_error_of_ours_is_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(connection: object) -> None:
        raise OSError("the network card is on fire")

    monkeypatch.setattr(auth, "_ask", broken)
    monkeypatch.setenv("TINKER_API_KEY", "tml-some-key")
    with pytest.raises(tinker_hl.TinkerError, match="on fire") as caught:
        auth.raise_if_tinker_not_accessible()
    assert isinstance(caught.value.__cause__, OSError)
