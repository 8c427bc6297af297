"""What the client has to say while a command runs (a call that is made again, a queue that waits), as lines on stderr.

The same line is said once, however often a call is made again. With `TINKER_LOG` the log says it all, and this nothing.
"""

import logging

import click

from tinker_hl.cli.wording import one_line

__all__ = ["show_notices"]

_logger = logging.getLogger("tinker_hl")


class _Notices(logging.Handler):
    """Invariant: `last` is the line that was said last."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        said = one_line(record.getMessage())
        if said != self.last:
            self.last = said
            click.echo(f"Warning: {said}", err=True)


def show_notices() -> None:
    """Show warnings of the client from now on, those that the command before it had forgotten."""
    for handler in [one for one in _logger.handlers if isinstance(one, _Notices)]:
        _logger.removeHandler(handler)
    if not any(isinstance(handler, logging.StreamHandler) for handler in _logger.handlers):
        _logger.addHandler(_Notices())
