"""`tinker-hl config show --origin`: which setting comes from where, and no secret."""

from pathlib import Path

import pytest
from command_line import Line

from tinker_hl.credentials import DEFAULT_BASE_URL, CredentialStore, StoredKey

SECRETS = {
    "TINKER_API_KEY": "tml-a-recognisable-key",
    "CLOUDFLARE_ACCESS_CLIENT_ID": "recognisable-id",
    "CLOUDFLARE_ACCESS_CLIENT_SECRET": "recognisable-secret",
}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (*SECRETS, "TINKER_BASE_URL", "TINKER_CREDENTIAL_CMD", "TINKER_TAGS", "TINKER_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_what_is_in_force_and_whence(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {one["name"]: one for one in line.json("config", "show")["settings"]}
    assert (settings["base_url"]["value"], settings["base_url"]["origin"]) == (DEFAULT_BASE_URL, "default")
    assert (settings["project_id"]["value"], settings["tags"]["value"]) == (None, None)
    monkeypatch.setenv("TINKER_BASE_URL", "http://127.0.0.1:8787/")
    monkeypatch.setenv("TINKER_TAGS", "a,b")
    out = line("config", "show", "--origin")
    assert "Origin" in out
    rows = {text.split()[0]: text.split()[1:] for text in out.splitlines()}
    assert rows["base_url"] == ["http://127.0.0.1:8787", "environment", "(TINKER_BASE_URL)"]
    assert rows["tags"] == ["a,", "b", "environment", "(TINKER_TAGS)"]
    assert "Origin" not in line("config", "show")


def test_no_secret_is_shown(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    for more in (["--origin"], ["--format", "json"], ["--format", "jsonl"]):
        out, err = line.both("config", "show", *more)
        assert "recognisable" not in out + err
        assert "TINKER_API_KEY" in out


def test_the_stored_login_and_the_command(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    store = CredentialStore()
    store.add("1", StoredKey(key="tml-recognisable", name="laptop"), default=True)
    out = line("config", "show", "--origin")
    assert f"file ({store.path})" in out
    assert "recognisable" not in out
    monkeypatch.setenv("TINKER_CREDENTIAL_CMD", "echo tml-recognisable")
    out = line("config", "show", "--origin")
    assert "(TINKER_CREDENTIAL_CMD)" in out
    assert "recognisable" not in out


def test_a_variable_that_means_nothing_is_told(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINKER_BASEURL", "http://127.0.0.1:8787")
    _, err = line.both("config", "show")
    assert "TINKER_BASEURL has no effect" in err
    assert "TINKER_BASE_URL" in err


def test_a_profile_is_where_its_values_come_from(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINKER_PARITY", "beam")
    settings = {one["name"]: one for one in line.json("config", "show")["settings"]}
    assert (settings["parity"]["origin"], settings["parity"]["place"]) == ("environment", "TINKER_PARITY")
    assert (settings["timeout"]["value"], settings["timeout"]["origin"]) == ("120", "profile")


def test_an_address_that_is_none_is_2(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINKER_BASE_URL", "nonsense")
    assert "is no address" in line.both("config", "show", code=2)[1]
