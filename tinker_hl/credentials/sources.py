"""Where a credential comes from: an argument, the environment, a command, or the stored login.

1. `api_key=`, else the key of a service that this process or an ancestor embeds, else `TINKER_API_KEY`
2. `TINKER_CREDENTIAL_CMD`
3. the default key of `~/.tinker/credentials.json`

The hosted service takes keys that begin with `tml-` and tokens that begin with `eyJ`; a key of another form gives way
to the command, and is refused where there is none. Another server may take any key, or none.
"""

import os
from typing import Protocol

from tinker_hl import local_door, loop
from tinker_hl.credentials.address import LOCAL, is_hosted
from tinker_hl.credentials.command import COMMAND_VARIABLE, run_command
from tinker_hl.credentials.renewal import RenewedToken, Told
from tinker_hl.credentials.store import CredentialStore
from tinker_hl.credentials.tokens import has_ended, is_sendable, is_token
from tinker_hl.errors import ConfigurationError
from tinker_hl.retry import Clock, LoopClock

__all__ = [
    "KEYLESS",
    "CommandKey",
    "KeySource",
    "StaticKey",
    "command_of",
    "credential_origin",
    "find_source",
    "static_key",
]

KEYLESS = "tml-local"
"""Sent where no key is set: a server of one's own may check none, but clients always send one."""
KEY_VARIABLE = "TINKER_API_KEY"
HOSTED_PREFIXES = ("tml-", "eyJ")


class KeySource(Protocol):
    """Gives a credential."""

    @property
    def identity(self) -> str:
        """What stays the same while credentials of this source follow one another; a secret, too."""
        ...

    @property
    def origin(self) -> str:
        """Where it comes from: `api_key`, a variable, a file, or "nowhere"."""
        ...

    @property
    def gives_token(self) -> bool:
        """Whether it is known to give a JWT, and no plain key."""
        ...

    @property
    def known(self) -> str | None:
        """The credential, as far as it is known without asking."""
        ...

    async def read(self) -> str:
        """The credential."""
        ...

    def forget(self, refused: str) -> bool:
        """The server did not take it; whether asking anew may give another."""
        ...

    def after_fork(self) -> None:
        """Forget what is under way in the parent."""
        ...


class StaticKey:
    """A key, or a token, that stays what it is.

    Args:
        key: Itself.
        origin: Where it comes from, for errors.
    """

    def __init__(self, key: str, origin: str = "api_key") -> None:
        if not is_sendable(key):
            raise ConfigurationError(
                f"the key from {origin} holds a space, a line break or another character that no key has"
            )
        self._key = key
        self.origin = origin

    def __repr__(self) -> str:
        return f"StaticKey(origin={self.origin!r})"

    @property
    def identity(self) -> str:
        """The key."""
        return self._key

    @property
    def gives_token(self) -> bool:
        """Whether the key is a JWT."""
        return is_token(self._key)

    @property
    def known(self) -> str:
        """The key."""
        return self._key

    async def read(self) -> str:
        """The key.

        Raises:
            ConfigurationError: It is a token that has ended, which the server would only refuse.
        """
        if has_ended(self._key):
            raise ConfigurationError(
                f"the token from {self.origin} has ended",
                hint=f"Pass a fresh one, or set {COMMAND_VARIABLE} to a command that prints one.",
            )
        return self._key

    def forget(self, refused: str) -> bool:
        """There is no other."""
        return False

    def after_fork(self) -> None:
        """Nothing is under way."""


class CommandKey:
    """What a command prints; run in a thread, when a credential is first needed, near its end, and after a refusal.

    Invariant: one run at a time, and none for a request that a living credential can serve.

    Args:
        command: For the shell.
        clock: The time that its tokens are aged by.
        told: Hears of failures that callers do not see.
    """

    def __init__(self, command: str, clock: Clock, told: Told) -> None:
        self._command = command
        self._output = RenewedToken(self._run, clock, told, ahead=False)

    def __repr__(self) -> str:
        return "CommandKey()"

    @property
    def origin(self) -> str:
        """The variable that names the command."""
        return COMMAND_VARIABLE

    @property
    def identity(self) -> str:
        """The command, as its output changes."""
        return f"{COMMAND_VARIABLE}={self._command}"

    @property
    def gives_token(self) -> bool:
        """Not known before it has run."""
        return False

    @property
    def known(self) -> str | None:
        """What it last printed."""
        return self._output.current

    async def read(self) -> str:
        """What it printed, or prints now."""
        return await self._output.value()

    def forget(self, refused: str) -> bool:
        """Run it again next time."""
        self._output.forget(refused)
        return True

    def after_fork(self) -> None:
        """A run that is under way is the parent's."""
        self._output.after_fork()

    async def _run(self) -> str:
        # Threads for code that may block, so that encoding is not held up; and a fork of the process takes its time.
        return await loop.in_user_thread(run_command, self._command)


def find_source(api_key: str | None, base_url: str, clock: Clock, told: Told) -> KeySource:
    """Where the credential for a server comes from; the module's docstring has the order. Runs no command.

    Args:
        api_key: The argument of a client.
        base_url: From `resolve_base_url`.
        clock: The time.
        told: Hears of failures that callers do not see.

    Raises:
        ConfigurationError: There is none and the server needs one, or what there is cannot be one.
    """
    if base_url == LOCAL:
        # The service says its own key once it runs.
        return StaticKey(api_key or KEYLESS)
    command = command_of(clock, told)
    key = _key(api_key, base_url)
    if key is not None and (command is None or not is_hosted(base_url) or key.identity.startswith(HOSTED_PREFIXES)):
        return _fitting(key, base_url)
    if command is not None:
        return command
    stored = _stored_key()
    if stored is not None:
        return _fitting(stored, base_url)
    if is_hosted(base_url):
        raise ConfigurationError(
            "no API key for the hosted service",
            hint=f"Set {KEY_VARIABLE}, pass api_key=, set {COMMAND_VARIABLE} to a command that prints one, or log in "
            'with `tinker-hl auth login`; or pass base_url="local" to train on this machine.',
        )
    return StaticKey(KEYLESS, "nowhere")


def static_key(base_url: str) -> str | None:
    """The key of the environment or of the stored login, without running any command; None if there is none.

    Raises:
        ConfigurationError: What there is cannot be a key of this server.
    """
    found = _key(None, base_url) or _stored_key()
    return None if found is None else _fitting(found, base_url).identity


def credential_origin(base_url: str) -> tuple[str, str | None]:
    """Where the credential of a client that is made without one comes from, and what is known of it; runs no command.

    Raises:
        ConfigurationError: There is none and the server needs one, or what there is cannot be one.
    """
    source = find_source(None, base_url, LoopClock(), lambda detail, level: None)
    return source.origin, source.known


def command_of(clock: Clock, told: Told) -> CommandKey | None:
    """The command of the environment, if one is set."""
    command = os.environ.get(COMMAND_VARIABLE)
    return CommandKey(command, clock, told) if command else None


def _key(api_key: str | None, base_url: str) -> StaticKey | None:
    if api_key:
        return StaticKey(api_key)
    embedded = local_door.key_of(base_url)
    if embedded:
        return StaticKey(embedded, "the embedded service")
    key = os.environ.get(KEY_VARIABLE)
    return StaticKey(key, KEY_VARIABLE) if key else None


def _stored_key() -> StaticKey | None:
    store = CredentialStore()
    stored = store.default_key()
    return None if stored is None else StaticKey(stored.key, str(store.path))


def _fitting(key: StaticKey, base_url: str) -> StaticKey:
    """The key, if the server can take one of its form."""
    if is_hosted(base_url) and not key.identity.startswith(HOSTED_PREFIXES):
        raise ConfigurationError(
            f"{key!r} is no key of the hosted service: those begin with 'tml-', tokens with 'eyJ'",
            hint=f"Check what was copied, or set {COMMAND_VARIABLE} to a command that prints a credential.",
        )
    return key
