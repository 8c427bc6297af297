"""`tinker-hl config`: what a client would do here, setting by setting, and where each comes from. It shows no key."""

import os
from typing import Final, Literal

import attrs
import click

from tinker_hl.cli.forms import form, format_option
from tinker_hl.cli.output import Column, print_json, print_records

__all__ = ["config"]

HIDDEN: Final = "set, not shown"


@attrs.frozen(kw_only=True)
class Setting:
    """One setting as it is in force."""

    name: str
    value: str | None
    """None is unset; a secret only says that it is there."""
    origin: Literal["environment", "stored login", "default"]
    place: str | None = None
    """The variable or the file."""


COLUMNS: "tuple[Column[Setting], ...]" = (
    Column("Setting", lambda setting: setting.name),
    Column("Value", lambda setting: "-" if setting.value is None else setting.value),
)
ORIGIN: "Column[Setting]" = Column(
    "Origin", lambda setting: f"{setting.origin} ({setting.place})" if setting.place else setting.origin
)


@click.group()
@format_option
def config() -> None:
    """See the settings that clients here use."""


@config.command()
@format_option
@click.option("--origin", is_flag=True, help="Also where each comes from; the other forms always say.")
def show(origin: bool) -> None:
    """Show what a client made here without arguments would use. Keys are not shown."""
    settings = _settings()
    if form() == "json":
        print_json({"settings": settings})
    else:
        print_records(settings, (*COLUMNS, ORIGIN) if origin else COLUMNS, name="settings", nothing="")


def _settings() -> list[Setting]:
    from tinker_hl.credentials import resolve_base_url

    told = os.environ.get("TINKER_BASE_URL")
    base_url = Setting(
        name="base_url",
        value=resolve_base_url(None),
        origin="environment" if told else "default",
        place="TINKER_BASE_URL" if told else None,
    )
    return [base_url, _credential(), *(_variable(name, variable, secret) for name, variable, secret in VARIABLES)]


VARIABLES: Final = (
    ("project_id", "TINKER_PROJECT_ID", False),
    ("tags", "TINKER_TAGS", False),
    ("telemetry", "TINKER_TELEMETRY", False),
    ("log", "TINKER_LOG", False),
    ("trust_remote_code", "TINKER_TRUST_REMOTE_CODE", False),
    ("home", "TINKER_HL_HOME", False),
    ("access_client_id", "CLOUDFLARE_ACCESS_CLIENT_ID", True),
    ("access_client_secret", "CLOUDFLARE_ACCESS_CLIENT_SECRET", True),
)


def _variable(name: str, variable: str, secret: bool) -> Setting:
    value = os.environ.get(variable) or None
    if value is None:
        return Setting(name=name, value=None, origin="default")
    return Setting(name=name, value=HIDDEN if secret else value, origin="environment", place=variable)


def _credential() -> Setting:
    """The first of those that a client would take; a command is not run."""
    for variable in ("TINKER_API_KEY", "TINKER_CREDENTIAL_CMD"):
        if os.environ.get(variable):
            return Setting(name="credential", value=HIDDEN, origin="environment", place=variable)
    from tinker_hl.credentials import CredentialStore

    store = CredentialStore()
    if store.default_key() is not None:
        return Setting(name="credential", value=HIDDEN, origin="stored login", place=str(store.path))
    return Setting(name="credential", value=None, origin="default")
