"""The official SDK and ours take the same credential from the same machine, and share the stored login."""

import base64
import itertools
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from scripts.official_venv import NEWEST, official_python
from tinker_hl.credentials import DEFAULT_BASE_URL, CommandKey, Credential, CredentialStore, StoredKey, find_source
from tinker_hl.errors import ConfigurationError
from tinker_hl.retry import InstantClock

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

SCRIPT = Path(__file__).parent / "scripts" / "credentials_table.py"
TOKEN = f"eyJhbGciOiJub25lIn0.{base64.urlsafe_b64encode(orjson.dumps({'exp': time.time() + 9999})).decode()}.c2ln"
KEYS = (None, "", "tml-given", "sk-other", TOKEN)
NAMES = ("argument", "environment", "command", "stored", "enforced")
CASES = [
    dict(zip(NAMES, values, strict=True))
    for values in itertools.product(
        KEYS, KEYS, (None, "echo tml-printed"), (None, "tml-stored", "sk-stored"), (False, True)
    )
]


def ours(case: dict[str, Any], store: CredentialStore, patch: pytest.MonkeyPatch) -> str:
    """What our client takes, in the same words."""
    for variable, value in (("TINKER_API_KEY", case["environment"]), ("TINKER_CREDENTIAL_CMD", case["command"])):
        patch.delenv(variable, raising=False)
        if value is not None:
            patch.setenv(variable, value)
    store.path.unlink(missing_ok=True)
    if case["stored"] is not None:
        store.add("1", StoredKey(key=case["stored"], name="n"), default=True)
    try:
        credential = Credential(_source(case), InstantClock(), lambda detail, level: None)
        if case["enforced"]:
            credential.demand_command()
    except ConfigurationError:
        return "error"
    return "command" if isinstance(credential._source, CommandKey) else credential.secrets[0]


def _source(case: dict[str, Any]) -> Any:
    return find_source(case["argument"], DEFAULT_BASE_URL, InstantClock(), lambda detail, level: None)


def test_both_take_the_same_credential_and_share_the_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "ours"))
    shared = tmp_path / "shared"
    login = CredentialStore(shared / ".tinker" / "credentials.json")
    login.add(
        "first", StoredKey(key="tml-first", name="laptop", note="why", org_name="O", user_email="e"), default=True
    )
    login.add("second", StoredKey(key="tml-second", name="old"))
    ended = subprocess.run(
        [official_python(NEWEST), SCRIPT],
        input=json.dumps({"home": str(shared), "cases": CASES}),
        env=os.environ | {"HOME": str(tmp_path / "theirs")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    answer = json.loads(ended.stdout)
    details = {"org_details": {"name": "O"}, "user_details": {"email": "e"}}
    first = {"type": "manual", "key": "tml-first", "name": "laptop", "note": "why", "details": details}
    assert answer["read"]["default"] == first
    assert answer["read"]["second"]["key"] == "tml-second"
    assert login.keys().keys() == {"first", "second", "official"}
    expected = StoredKey(key="tml-official", name="o", kind="generated", org_name="Org", user_email="a@b.test")
    assert login.default_key() == expected
    store = CredentialStore()
    differing = [
        (case, theirs, mine)
        for case, theirs in zip(CASES, answer["outcomes"], strict=True)
        if (mine := ours(case, store, monkeypatch)) != theirs
    ]
    assert differing == []
    assert {"error", "command", "tml-given", "tml-stored", TOKEN} == set(answer["outcomes"])
