"""`TINKER_LOG=debug` (or `info`, `warning`, `error`): shows what the logger `tinker_hl` says, and touches no other.

A program that sets up logging for itself gets the records through its own handlers, and sees none of them twice.
"""

import logging
import os
from typing import TextIO

__all__ = ["show_log"]

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
FORMAT = "[%(asctime)s - %(name)s:%(lineno)d - %(levelname)s] %(message)s"


class _OwnOutput(logging.StreamHandler[TextIO]):
    """The error stream, for as long as the program has no handlers of its own."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, unless the root logger's handlers do."""
        if not logging.getLogger().handlers:
            super().emit(record)


def show_log() -> None:
    """Do what `TINKER_LOG` says; other values of it mean nothing."""
    level = LEVELS.get(os.environ.get("TINKER_LOG", "").strip().lower())
    if level is None:
        return
    logger = logging.getLogger("tinker_hl")
    logger.setLevel(level)
    if not any(isinstance(handler, _OwnOutput) for handler in logger.handlers):
        output = _OwnOutput()
        output.setFormatter(logging.Formatter(FORMAT))
        logger.addHandler(output)
