"""`tinker-hl auth`: log in and out, and see whether the service takes this machine's key. It shows no key unasked.

The stored login is the official command line's (`~/.tinker/credentials.json`), so that a login of either serves both.
"""

import contextlib
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

import click

from tinker_hl.cli.failures import FAILED, told
from tinker_hl.cli.forms import form, format_option
from tinker_hl.cli.output import note, on_terminal, print_record
from tinker_hl.cli.reach import Reach, reaching

if TYPE_CHECKING:
    from tinker_hl.credentials import StoredKey
    from tinker_hl.types.audit import ApiKeyInfo

__all__ = ["auth"]

CONSOLE = "https://tinker.thinkingmachines.ai"
PASTED = "pasted"
"""The id of a key whose server does not number keys."""


@click.group()
@format_option
def auth() -> None:
    """Log in, log out, and see whether the service takes your key."""


@auth.command()
@format_option
@click.option("--replace", is_flag=True, help="Also if somebody is logged in.")
@reaching
def login(reach: Reach, replace: bool) -> None:
    """Ask for an API key, try it, and store it for this user.

    Without a terminal the key is the first line of stdin.
    """
    from tinker_hl.credentials import CredentialStore, StoredKey

    store = CredentialStore()
    if store.default_id() is not None and not replace:
        raise click.ClickException(f"{store.path} has a key already; --replace stores another in its place")
    key = reach.api_key or _asked_key(reach)
    details = _key_details(Reach(reach.base_url, key, reach.timeout))
    if details is None:
        stored = StoredKey(key=key, name=_suggested_name())
        key_id = PASTED
    else:
        stored = StoredKey(
            key=key,
            name=details.name or _suggested_name(),
            note=details.note or None,
            org_name=details.details.org_details.name,
            user_email=details.details.user_details.email,
        )
        key_id = str(details.key_id)
    store.add(key_id, stored, default=True)
    note(f"Stored in {store.path}; clients use it where TINKER_API_KEY is not set.")
    print_record(_told(stored), _rows(stored))
    if os.environ.get("TINKER_API_KEY"):
        note("TINKER_API_KEY is set in this shell, and wins over the stored key.")


@auth.command()
@format_option
@reaching
def logout(reach: Reach) -> None:
    """Remove the stored key. One that was made for this machine is deleted on the server too."""
    from tinker_hl.credentials import CredentialStore

    store = CredentialStore()
    key_id, stored = store.default_id(), store.default_key()
    if key_id is None or stored is None:
        note("Nobody is logged in.")
        return
    if stored.kind == "generated":
        _delete_on_server(Reach(reach.base_url, stored.key, reach.timeout))
    store.delete(key_id)
    note(f"Removed the key {stored.name!r} from {store.path}.")
    if stored.kind != "generated":
        note(f"It still works: delete it {_key_place(reach)} if nothing else uses it.")


@auth.command()
@format_option
@reaching
def status(reach: Reach) -> int:
    """Tell whether there is a key, and whether the server takes it. The exit code is 1 if not."""
    from tinker_hl.auth import tinker_has_credentials
    from tinker_hl.credentials import resolve_base_url
    from tinker_hl.errors import TinkerError

    base_url = resolve_base_url(reach.base_url)
    available = bool(reach.api_key) or tinker_has_credentials()
    problem = None
    try:
        reach.wait(reach.rest().get_server_capabilities())
    except TinkerError as error:
        problem = told(error)
    found = {
        "base_url": base_url,
        "credentials_available": available,
        "accessible": problem is None,
        "problem": problem,
    }
    rows = [
        ("Server", base_url),
        ("Credentials available", "Yes" if available else "No"),
        ("Accessible", "Yes" if problem is None else f"No: {problem}"),
    ]
    print_record(found, rows)
    return 0 if problem is None else FAILED


@auth.command()
@format_option
@reaching
def whoami(reach: Reach) -> None:
    """Tell who the server takes you for."""
    who = reach.wait(reach.rest().whoami())
    rows = [("User", who.user_urn), ("Organization", who.org_urn), ("Email", who.email or "-")]
    print_record(who, rows)


@auth.command()
@format_option
@click.option("--show", is_flag=True, help="Also on a terminal, where it stays for others to read.")
def token(show: bool) -> None:
    """Print the key that clients here use, for another program.

    As in `curl -H "X-API-Key: $(tinker-hl auth token)" ...`. TINKER_CREDENTIAL_CMD is not run.
    """
    from tinker_hl.auth import get_tinker_token

    found = get_tinker_token()
    if found is None:
        raise click.ClickException("there is no key: set TINKER_API_KEY, or log in with `tinker-hl auth login`")
    if on_terminal() and not show:
        raise click.UsageError("the key would stay on the terminal for others to read; pipe it, or add --show.")
    if form() == "table":
        click.echo(found)
    else:
        print_record({"token": found}, ())


def _key_place(reach: Reach) -> str:
    """Where keys of a server are made and deleted."""
    from tinker_hl.credentials import is_hosted, resolve_base_url

    return f"at {CONSOLE}" if is_hosted(resolve_base_url(reach.base_url)) else "with `tinker-hl keys` on the server"


def _asked_key(reach: Reach) -> str:
    if not sys.stdin.isatty():
        key = sys.stdin.readline().strip()
    else:
        note(f"Make a key {_key_place(reach)}, for example with the name {_suggested_name()}.")
        key = click.prompt("API key", hide_input=True, err=True).strip()
    if not key:
        raise click.UsageError("no key was given.")
    return key


def _key_details(reach: Reach) -> "ApiKeyInfo | None":
    """Whose key it is; None where the server takes it and does not tell."""
    from tinker_api.api.auth import get_api_key

    from tinker_hl.errors import NotFoundError
    from tinker_hl.types.audit import ApiKeyInfo

    try:
        return ApiKeyInfo.model_validate_json(_with_raw_key(reach, get_api_key.asyncio_detailed))
    except NotFoundError:
        reach.wait(reach.rest().get_server_capabilities())
        return None


def _delete_on_server(reach: Reach) -> None:
    from tinker_api.api.auth import delete_api_key

    from tinker_hl.errors import AuthenticationError, NotFoundError

    # One that the server does not know is gone already.
    with contextlib.suppress(AuthenticationError, NotFoundError):
        _with_raw_key(reach, delete_api_key.asyncio_detailed)


def _with_raw_key(reach: Reach, function: Any) -> bytes:
    """Make a call that is about the key itself, not about a token that the server traded it for."""
    from tinker_hl.connection import Connection
    from tinker_hl.futures import APIFuture

    async def asked() -> bytes:
        connection = Connection(reach.base_url, reach.api_key)
        try:
            answer = await connection.request(function, connection.call("auth.key", raw_key=True))
            return bytes(answer.content)
        finally:
            await connection.aclose()

    return reach.wait(APIFuture(asked()))


def _suggested_name() -> str:
    return f"tinker-hl-{socket.gethostname()}"


def _told(stored: "StoredKey") -> dict[str, str | None]:
    """What may be said of a key."""
    return {"name": stored.name, "user_email": stored.user_email, "organization": stored.org_name}


def _rows(stored: "StoredKey") -> list[tuple[str, str]]:
    return [("Key", stored.name), ("User", stored.user_email or "-"), ("Organization", stored.org_name or "-")]
