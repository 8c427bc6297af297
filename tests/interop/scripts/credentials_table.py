"""Where the official SDK takes its credential from, case by case, and what its stored login holds.

Reads cases as JSON from stdin: {"home": ..., "cases": [{"argument", "environment", "command", "stored", "enforced"}]}.
Prints one line of JSON: what each case gives, the keys that it reads in the home's login, and after that it writes a
login of its own there.
"""

import json
import os
import sys
from pathlib import Path

from tinker._exceptions import TinkerError
from tinker.lib import _auth_token_provider as providers
from tinker.lib import credentials


def outcome(case: dict) -> str:
    for variable, value in (("TINKER_API_KEY", case["environment"]), ("TINKER_CREDENTIAL_CMD", case["command"])):
        os.environ.pop(variable, None)
        if value is not None:
            os.environ[variable] = value
    path = credentials.default_credentials_path()
    path.unlink(missing_ok=True)
    if case["stored"] is not None:
        store = credentials.JsonCredentialStore(path)
        store.add_key("1", credentials.ManualKey(key=case["stored"], name="n"))
        store.set_default("1")
    try:
        provider = providers.resolve_auth_provider(case["argument"], case["enforced"])
    except TinkerError:
        return "error"
    return getattr(provider, "api_key", "command")


def main() -> None:
    question = json.load(sys.stdin)
    path = Path(question["home"]) / ".tinker" / "credentials.json"
    store = credentials.JsonCredentialStore(path)
    read = {"default": store.get_default_key().model_dump(), "second": store.get_key("second").model_dump()}
    details = {"org_details": {"name": "Org"}, "user_details": {"email": "a@b.test"}}
    store.add_key("official", credentials.GeneratedKey(key="tml-official", name="o", details=details))
    store.set_default("official")
    print(json.dumps({"read": read, "outcomes": [outcome(case) for case in question["cases"]]}))


main()
