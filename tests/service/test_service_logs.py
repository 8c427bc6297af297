"""Log lines: one an event, readable by people and by programs, without secrets."""

import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tinker_local import logs
from tinker_local.keys import new_key
from tinker_local.signing import sign


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What is logged; the loggers are as before afterwards."""
    loggers = [logging.getLogger(name) for name in ("tinker_local", "uvicorn")]
    before = [(logger.handlers, logger.propagate, logger.level) for logger in loggers]
    stream = io.StringIO()
    logs.configure("info", stream)
    yield stream
    for logger, (handlers, propagate, level) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


LOGGER = logging.getLogger("tinker_local.test")


def test_a_line_has_time_level_name_message_and_fields(stream: io.StringIO) -> None:
    LOGGER.info("saved %s", "ck", extra={"fields": {"run": "a:1", "bytes": 12, "why": 'two "words"'}})
    line = stream.getvalue()
    assert re.fullmatch(
        r'\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3} info tinker_local\.test saved ck run=a:1 bytes=12 why="two \\"words\\""\n',
        line,
    )


def test_secrets_are_masked_wherever_they_stand(stream: io.StringIO) -> None:
    key, token = new_key(), "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2ln"
    link = sign("/archive", 1, b"s")
    LOGGER.warning("refused %s", key, extra={"fields": {"api_key": "hunter2", "header": f"X-API-Key: {token}"}})
    try:
        raise ValueError(f"bad key {key} in {link}")
    except ValueError:
        LOGGER.exception("failed")
    text = stream.getvalue()
    for secret in (key, "hunter2", token, link.rpartition("=")[2]):
        assert secret not in text
    assert "ValueError: bad key *** in /archive?expires=1&signature=***" in text


def test_lower_levels_are_left_out_and_setting_up_again_repeats_nothing(stream: io.StringIO) -> None:
    logs.configure("error", stream)
    LOGGER.warning("unseen")
    logging.getLogger("uvicorn.error").error("seen")
    assert stream.getvalue().count("\n") == 1
    assert "uvicorn.error seen" in stream.getvalue()


def test_the_servers_chatter_needs_debug(stream: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").info("chatter")
    assert not stream.getvalue()
    logs.configure("debug", stream)
    logging.getLogger("uvicorn.error").info("chatter")
    assert "chatter" in stream.getvalue()


def test_stderr_is_the_default(capsys: pytest.CaptureFixture[str], stream: io.StringIO) -> None:
    logs.configure()
    handler = logging.getLogger("tinker_local").handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    assert handler.stream is sys.stderr


def test_json_lines_hold_the_same_and_mask_the_same(stream: io.StringIO) -> None:
    key = new_key()
    logs.configure("info", stream, "json")
    LOGGER.info("saved %s", key, extra={"fields": {"run": "a:1", "bytes": 12, "api_key": "plain", "where": Path("x")}})
    try:
        raise ValueError(f"about {key}")
    except ValueError:
        LOGGER.exception("it failed")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert datetime.fromisoformat(first.pop("time")).tzinfo is not None
    assert first == {
        "level": "info",
        "logger": "tinker_local.test",
        "message": "saved ***",
        "run": "a:1",
        "bytes": 12,
        "api_key": "***",
        "where": "x",
    }
    assert (second["level"], second["message"]) == ("error", "it failed")
    assert "ValueError: about ***" in second["exception"]
    assert key not in stream.getvalue()
