"""`tinker-hl completion`: what a shell needs to complete commands and options; click makes it."""

import click
from click.shell_completion import get_completion_class

__all__ = ["completion"]

VARIABLE = "_TINKER_HL_COMPLETE"
"""Where click looks for what the shell asks: it follows from the program's name."""
_LINES = {
    "bash": ("~/.bashrc", 'eval "$(tinker-hl completion bash)"'),
    "zsh": ("~/.zshrc", 'eval "$(tinker-hl completion zsh)"'),
    "fish": ("~/.config/fish/config.fish", "tinker-hl completion fish | source"),
}


@click.command(
    epilog="\b\n" + "\n".join(f"{shell}: add to {file}\n    {line}" for shell, (file, line) in _LINES.items())
)
@click.argument("shell", type=click.Choice(sorted(_LINES)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the lines that let SHELL complete commands and options."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"the installed click does not complete {shell}")
    click.echo(kind(context.find_root().command, {}, "tinker-hl", VARIABLE).source())
