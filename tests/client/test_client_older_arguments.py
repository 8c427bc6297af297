"""Arguments that release 0.7 of the official SDK handed to its HTTP library: what each of them does here."""

import warnings

import pytest
from scripted_server import ScriptedServer


def test_default_headers_are_sent_and_the_newer_argument_wins() -> None:
    server = ScriptedServer()
    older = {"x-proxy": "from 0.7", "x-both": "older"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        service = server.client(default_headers=older, default_headers_overrides={"x-both": "newer"})
    with service:
        service.get_server_capabilities()
    headers = server.seen[-1].headers
    assert (headers["x-proxy"], headers["x-both"]) == ("from 0.7", "newer")


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ({"http_client": None}, r"\['http_client'\]; write transport= for http_client="),
        ({"no_such_thing": 1}, r"unknown arguments: \['no_such_thing'\]$"),
    ],
)
def test_the_others_are_ignored_and_the_warning_says_what_to_write(arguments: dict[str, object], advice: str) -> None:
    with pytest.warns(FutureWarning, match=advice) as told:
        ScriptedServer().client(**arguments)
    assert told[0].filename.endswith("scripted_server.py"), "the warning names the caller's line"
