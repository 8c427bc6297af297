"""`tinker-hl version`: what is installed."""

import platform

import click

from tinker_hl.version import __version__

__all__ = ["version"]


@click.command()
def version() -> None:
    """Tell the versions of tinker-hl and of Python."""
    click.echo(f"tinker-hl {__version__} (Python {platform.python_version()})")
