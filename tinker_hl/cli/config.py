"""`tinker-hl config`: what a client made here would be told, and where each value comes from. It shows no key."""

import attrs
import click

from tinker_hl.cli.forms import form, format_option
from tinker_hl.cli.output import Column, print_json, print_records

__all__ = ["config"]


@attrs.frozen(kw_only=True)
class Shown:
    """One setting as it is in force."""

    name: str
    value: str | None
    """None is unset; a key has stars for its middle."""
    origin: str
    """As in `environment`, `file`, `profile`, `default`."""
    place: str | None
    """The variable, the file, the profile."""


COLUMNS: "tuple[Column[Shown], ...]" = (
    Column("Setting", lambda setting: setting.name),
    Column("Value", lambda setting: "-" if setting.value is None else setting.value, wraps=True),
)
ORIGIN: "Column[Shown]" = Column(
    "Origin", lambda setting: f"{setting.origin} ({setting.place})" if setting.place else setting.origin, wraps=True
)


@click.group()
@format_option
def config() -> None:
    """See the settings that clients here use."""


@config.command()
@format_option
@click.option("--origin", is_flag=True, help="Also where each comes from; the other forms always say.")
def show(origin: bool) -> None:
    """Show what a client made here without arguments would use. Keys are not shown.

    What is set in the environment and has no effect is told on stderr.
    """
    from tinker_hl.configuration import configuration_here

    found = configuration_here()
    settings = [
        Shown(name=name, value=shown or None, origin=found.origin(name).kind, place=found.origin(name).name or None)
        for name, shown, _ in found.rows()
    ]
    for variable, note in found.notes.items():
        click.echo(f"{variable} has no effect: {note}", err=True)
    if form() == "json":
        print_json({"settings": settings})
    else:
        print_records(settings, (*COLUMNS, ORIGIN) if origin else COLUMNS, name="settings", nothing="")
