"""`tinker-hl version`: what is installed."""

import platform

import click

from tinker_hl.cli.forms import form, format_option
from tinker_hl.cli.output import print_json, print_record
from tinker_hl.version import SDK_VERSION, __version__

__all__ = ["version"]


@click.command()
@format_option
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--deps", is_flag=True, help="Also the versions of what it is built on, as far as it is installed.")
def version(as_json: bool, deps: bool) -> None:
    """Tell the versions of tinker-hl and of Python."""
    found: dict[str, object] = {
        "version": __version__,
        "python": platform.python_version(),
        "sdk_version": SDK_VERSION,
    }
    installed = _dependencies() if deps else {}
    if deps:
        found["dependencies"] = installed
    if as_json or form() == "json":
        print_json(found)
    elif form() == "jsonl":
        print_record(found, [])
    else:
        click.echo(f"tinker-hl {__version__} (Python {platform.python_version()})")
        if deps:
            print_record(found, [(name, number or "not installed") for name, number in installed.items()])


def _dependencies() -> dict[str, str | None]:
    """Installed versions of the packages that the distribution names, its extras' too, but not the developers'."""
    import re
    from importlib.metadata import PackageNotFoundError, requires
    from importlib.metadata import version as version_of

    lines = [line for line in requires("tinker-hl") or () if not re.search(r"extra\s*==\s*['\"]dev['\"]", line)]
    names = {re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in lines}
    found: dict[str, str | None] = {}
    for name in sorted(names):
        try:
            found[name] = version_of(name)
        except PackageNotFoundError:
            found[name] = None
    return found
