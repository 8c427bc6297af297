"""The configuration of a client as it stands: each value with its origin, for people and for programs, no secret in it.

It reads what a connection holds; it changes nothing and asks nobody.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from tinker_hl.configuration.origin import BUILT_IN, Origin, Setting, without_user
from tinker_hl.configuration.settings import read_settings
from tinker_hl.configuration.variables import notes_on
from tinker_hl.credentials import credential_origin, is_hosted, resolve_base_url
from tinker_hl.errors import REDACTED, TinkerError, holds_secret

if TYPE_CHECKING:
    from tinker_hl.connection import Connection

__all__ = ["Configuration", "configuration_here", "configuration_of"]

CONFIG_OPERATION: Final = "client/config"


class Configuration(Mapping[str, Any]):
    """A client's values by name; `origin(name)` tells where each comes from. `str()` is a table without secrets.

    Args:
        settings: Every value.
        notes: What to say of environment variables that have no effect.
    """

    def __init__(self, settings: Mapping[str, Setting], notes: Mapping[str, str] | None = None) -> None:
        self._settings = dict(settings)
        self.notes = dict(notes or {})
        """Environment variables that have no effect, with what may have been meant."""

    def __getitem__(self, name: str) -> Any:
        """The value as it is used, a secret as it is shown."""
        setting = self._settings[name]
        return setting.shown if setting.secret else setting.value

    def __iter__(self) -> Iterator[str]:
        return iter(self._settings)

    def __len__(self) -> int:
        return len(self._settings)

    def origin(self, name: str) -> Origin:
        """Where a value comes from.

        Raises:
            KeyError: There is no such setting.
        """
        return self._settings[name].origin

    def rows(self) -> list[tuple[str, str, str]]:
        """Name, value as shown, origin of each setting."""
        return [(one.name, one.shown, str(one.origin)) for one in self._settings.values()]

    def to_json(self) -> dict[str, dict[str, str]]:
        """The same by name, for programs."""
        return {name: {"value": shown, "origin": origin} for name, shown, origin in self.rows()}

    def __str__(self) -> str:
        rows = self.rows()
        name_width, value_width = (max(len(row[place]) for row in rows) for place in (0, 1))
        lines = [f"{name:<{name_width}}  {shown:<{value_width}}  {origin}" for name, shown, origin in rows]
        return "\n".join([*lines, *(f"{name} has no effect: {note}" for name, note in self.notes.items())])

    __repr__ = __str__


def configuration_of(connection: "Connection", base_url: str | None) -> Configuration:
    """What a connection has been told, by arguments, environment and, once it has answered, its server.

    Args:
        connection: Which one.
        base_url: The argument that it was made with.
    """
    settings = connection.settings
    where, key = connection.credential.origin
    found = {
        "base_url": _address(base_url, connection.base_url),
        "api_key": Setting(name="api_key", value=key, origin=_key_origin(where), secret=True),
        **settings.all,
        **_chunk_limits(connection),
        "telemetry": settings.reports(hosted=is_hosted(connection.base_url)),
    }
    return Configuration(_shown_ways(found), notes_on(os.environ))


def configuration_here(environ: Mapping[str, str] | None = None) -> Configuration:
    """What a client that is made here without arguments would be told. Makes no request and runs no command.

    Args:
        environ: The environment; None for the process's own, which the credential is taken from in any case.

    Raises:
        ConfigurationError: A value that cannot be meant.
    """
    environment = os.environ if environ is None else environ
    settings = read_settings(environ=environment)
    base_url = resolve_base_url(None)
    found = {"base_url": _address(None, base_url), "api_key": _key_here(base_url), **settings.all}
    found["telemetry"] = settings.reports(hosted=is_hosted(base_url))
    return Configuration(_shown_ways(found), notes_on(environment))


def _address(argument: str | None, base_url: str) -> Setting:
    if argument:
        origin = Origin("argument", "base_url=")
    else:
        origin = Origin("environment", "TINKER_BASE_URL") if os.environ.get("TINKER_BASE_URL") else BUILT_IN
    return Setting(name="base_url", value=base_url, origin=origin)


def _key_here(base_url: str) -> Setting:
    try:
        where, key = credential_origin(base_url)
    except (OSError, TinkerError):
        where, key = "", None
    return Setting(name="api_key", value=key, origin=_key_origin(where), secret=True)


def _key_origin(where: str) -> Origin:
    if where == "api_key":
        return Origin("argument", "api_key=")
    if where.startswith("TINKER_"):
        return Origin("environment", where)
    if where == "the embedded service":
        return Origin("server", where)
    return Origin("file", where) if os.sep in where else BUILT_IN


def _chunk_limits(connection: "Connection") -> dict[str, Setting]:
    limits = connection.chunk_limits
    told = connection.capabilities.named
    origins = {
        "chunk_items": ("fwdbwd_max_chunk_len", limits.max_items),
        "chunk_size": ("fwdbwd_max_chunk_bytes_count", limits.max_size),
    }
    profile = connection.settings.profile
    found = {}
    for name, (field, value) in origins.items():
        origin = Origin("server", CONFIG_OPERATION) if field in told else BUILT_IN
        if getattr(profile, name) == value and getattr(connection.capabilities, field) != value:
            origin = Origin("profile", profile.name)
        found[name] = Setting(name=name, value=value, origin=origin)
    return found


def _shown_ways(found: dict[str, Setting]) -> dict[str, Setting]:
    """The same without what is secret in the middle of a value: a proxy's password, headers that hold a key."""
    ways: dict[str, Callable[[Any], Any]] = {
        "proxy": without_user,
        "default_headers": _without_secrets,
        "default_query": _without_secrets,
    }
    for name, way in ways.items():
        if found[name].value:
            found[name] = attrs.evolve(found[name], value=way(found[name].value))
    return found


def _without_secrets(named: Mapping[str, str]) -> dict[str, str]:
    return {name: REDACTED if holds_secret(name) else value for name, value in named.items()}
