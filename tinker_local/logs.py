"""What the service writes to stderr: one line an event, `time level logger message key=value ...`, or a JSON object.

It does not know what is worth telling. Values given as `extra={"fields": {...}}` follow the message; a value whose name
says that it is secret, and anything that looks like an API key, is masked wherever it stands.
"""

import json
import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

__all__ = ["FORMATTERS", "JsonFormatter", "LineFormatter", "configure", "masked"]

_KEY = re.compile(r"\btml-[A-Za-z0-9_-]{4,}|\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_SIGNATURE = re.compile(r"(signature=)[0-9a-f]+")
_SECRET_NAME = re.compile(r"key$|token$|secret|password|authorization", re.IGNORECASE)
_MASK = "***"


def masked(text: str) -> str:
    """The text without API keys, JWTs and the signatures of links."""
    return _SIGNATURE.sub(rf"\1{_MASK}", _KEY.sub(_MASK, text))


class LineFormatter(logging.Formatter):
    """One record as one line, or more if it carries a traceback; secrets are masked in all of them."""

    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03d"

    def format(self, record: logging.LogRecord) -> str:
        """The line, without a line break at its end."""
        parts = [self.formatTime(record), record.levelname.lower(), record.name, record.getMessage()]
        fields = getattr(record, "fields", None)
        if isinstance(fields, Mapping):
            parts += [f"{name}={_value(name, value)}" for name, value in fields.items()]
        line = " ".join(parts)
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return masked(line)


class JsonFormatter(logging.Formatter):
    """One record as one JSON object on one line, for programs that collect logs; secrets are masked in it."""

    def format(self, record: logging.LogRecord) -> str:
        """The object: `time` (RFC 3339, UTC), `level`, `logger`, `message`, the record's fields, `exception`."""
        fields = getattr(record, "fields", None)
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if isinstance(fields, Mapping):
            told |= {name: _MASK if _SECRET_NAME.search(name) else value for name, value in fields.items()}
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return masked(json.dumps(told, default=str))


FORMATTERS: Mapping[str, type[logging.Formatter]] = {"text": LineFormatter, "json": JsonFormatter}


def _value(name: str, value: object) -> str:
    if _SECRET_NAME.search(name):
        return _MASK
    text = str(value)
    return text if text and re.fullmatch(r"[^\s\"=]+", text) else json.dumps(text)


def configure(level: str = "info", stream: TextIO | None = None, form: str = "text") -> None:
    """Send the records of `tinker_local` and `uvicorn` to `stream` (stderr); others go where they went.

    `form` is `text` or `json`.

    uvicorn tells about starts and ends at level info, which the service says better: those show up with `debug` only.
    Calling it again replaces what it set up.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(FORMATTERS[form]())
    quieter = level if level in ("debug", "error") else "warning"
    for name, least in (("tinker_local", level), ("uvicorn", quieter)):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(least.upper())
