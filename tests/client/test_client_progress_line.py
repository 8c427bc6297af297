"""The line that says what is waited for: after two seconds, on a terminal alone, and gone when the wait is over."""

import asyncio
import io
import logging
import os
import pty
import select
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from scripted_server import Reply, ScriptedServer, Seen

import tinker_hl
from tinker_hl import AdamParams, loop
from tinker_hl.events import Event, EventBus
from tinker_hl.progress_line import LINE, ProgressLine
from tinker_hl.progress_line.line import AFTER, EVERY
from tinker_hl.progress_line.screen import NotebookLine, TerminalLine, find_screen
from tinker_hl.progress_line.under_way import UnderWay, sentence
from tinker_hl.retry import LoopClock
from tinker_hl.waits import WAITS, Waits

PAUSED = {"type": "try_again", "queue_state": "paused_capacity", "queue_state_reason": "full house"}


class Terminal:
    """A pseudo-terminal, and what a person would see on it."""

    def __init__(self) -> None:
        self._master, slave = pty.openpty()
        self.stream = os.fdopen(slave, "w")
        self._written = ""

    def is_stderr(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """To be called by the test itself: pytest sets the stream anew after the fixtures."""
        monkeypatch.setattr(sys, "stderr", self.stream)

    def close(self) -> None:
        self.stream.close()
        os.close(self._master)

    def lines(self) -> list[str]:
        """The lines as they stand; the last one is the cursor's."""
        while select.select([self._master], [], [], 0)[0]:
            self._written += os.read(self._master, 65536).decode()
        lines, column = [""], 0
        rest = self._written
        while rest:
            if rest.startswith("\x1b[K"):
                lines[-1], rest = lines[-1][:column], rest[3:]
            elif rest[0] == "\r":
                column, rest = 0, rest[1:]
            elif rest[0] == "\n":
                lines.append("")
                column, rest = 0, rest[1:]
            else:
                lines[-1] = lines[-1][:column].ljust(column) + rest[0] + lines[-1][column + 1 :]
                column, rest = column + 1, rest[1:]
        return lines

    def wait_for(self, condition: Callable[[str], bool]) -> str:
        """The cursor's line, once it is as wanted."""
        ends = time.monotonic() + 20
        while not condition(self.lines()[-1]):
            left = ends - time.monotonic()
            assert left > 0, self.lines()
            select.select([self._master], [], [], left)
        return self.lines()[-1]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("TINKER_PROGRESS", raising=False)
    yield terminal
    WAITS.watcher = None
    while LINE._ticking:  # or the next test's waits would be shown by this one's timer
        loop.run(asyncio.sleep(0.01)).result(10)
    terminal.close()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinker_hl.progress_line.line.AFTER", 0.02)
    monkeypatch.setattr("tinker_hl.progress_line.line.EVERY", 0.02)


class Held(ScriptedServer):
    """A server whose results are there when `go` is set; until then they are paused."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.answer: dict[str, Any] = PAUSED
        self.gone = False

    def on_retrieve_future(self, request: Seen) -> Any:
        if self.go.is_set() or self.gone:
            return super().on_retrieve_future(request)
        return self.answer

    def waiting(self, **options: Any) -> Any:
        """A client, and a call of it that is under way."""
        self.go.set()
        service = self.client(clock=LoopClock(), **options)
        training = service.create_lora_training_client("base").result(10)
        self.go.clear()
        return service, training.optim_step(AdamParams())


# What is to be read on the line.


def told(*events: tuple[str, str, str | None, dict[str, Any]]) -> UnderWay:
    under_way = UnderWay()
    for kind, call, request_id, fields in events:
        detail = fields.pop("detail", "")
        under_way.hear(Event(kind=kind, call=call, request_id=request_id, detail=detail, fields=fields))  # type: ignore[arg-type]
    return under_way


def test_the_line_names_what_is_waited_for_and_why_it_waits() -> None:
    sent = [("sent", "SamplingClient.sample", f"r{number}", {}) for number in range(3)]
    paused = {"queue_state": "paused_rate_limit", "reason": "too\nmany\x1b[2J"}
    step = ("sent", "TrainingClient.optim_step", "s", {})
    assert sentence(2.4, []) == "waiting 2 s"
    assert sentence(2, [told(step)]) == "waiting 2 s for optim_step"
    busy = told(*sent, step, ("queue_state", "SamplingClient.sample", "r1", dict(paused)))
    line = "waiting 61 s for 3 sample, optim_step | paused_rate_limit: too many [2J (1 of 4)"
    assert sentence(61, [busy]) == line, "without control characters"
    again = told(*sent, ("queue_state", "SamplingClient.sample", "r1", dict(paused)), ("polled", "x.sample", "r1", {}))
    assert sentence(3, [again, told(step)]) == "waiting 3 s for 3 sample, optim_step"
    ends = [(kind, "SamplingClient.sample", f"r{n}", {}) for n, kind in enumerate(("done", "failed", "cancelled"))]
    assert sentence(3, [told(*sent, *ends)]) == "waiting 3 s"


def test_the_line_says_what_is_tried_again_until_it_works_or_is_given_up() -> None:
    refused = ("retried", "ServiceClient.create_session", None, {"detail": "connection refused"})
    assert sentence(2, [told(refused)]) == "waiting 2 s | trying create_session again: connection refused"
    assert sentence(2, [told(refused, ("failed", "ServiceClient.create_session", None, {}))]) == "waiting 2 s"
    step = ("retried", "TrainingClient.optim_step", None, {"detail": "503"})
    sent = ("sent", "TrainingClient.optim_step", "r1", {})
    assert sentence(2, [told(step, sent)]) == "waiting 2 s for optim_step"


# When it is shown.


class Shown:
    """A screen that keeps what it was told."""

    def __init__(self) -> None:
        self.text: str | None = None

    def show(self, text: str) -> None:
        self.text = text

    def erase(self) -> None:
        self.text = None


def test_fault_24_it_is_there_after_two_seconds_and_not_before() -> None:
    """The official client is silent for a quarter of an hour."""
    waits, screen = Waits(), Shown()
    line = ProgressLine(waits, lambda: screen)
    assert (AFTER, EVERY) == (2.0, 0.5)
    began = time.monotonic()
    wait = waits.begin()
    assert line.step(began + 1.5) == pytest.approx(0.5, abs=0.1)
    assert screen.text is None
    assert line.step(began + 2.5) == EVERY
    assert screen.text == "waiting 2 s"
    assert line.step(began + 3.6) == EVERY
    assert screen.text == "waiting 4 s"
    waits.end(wait)
    assert line.step(began + 4) is None
    assert screen.text is None


def test_the_longest_wait_counts_and_each_end_takes_the_line_away() -> None:
    waits, screen = Waits(), Shown()
    line = ProgressLine(waits, lambda: screen)
    line.follow(EventBus())
    waits.watcher = line
    first = waits.begin()
    began = time.monotonic()
    second = waits.begin()
    line.step(began + 3)
    assert screen.text == "waiting 3 s"
    waits.end(second)
    assert screen.text is None, "its caller may write now"
    line.step(began + 4)
    assert screen.text == "waiting 4 s"
    waits.end(first)
    assert screen.text is None


def test_a_screen_that_fails_fails_no_call() -> None:
    class Broken(Shown):
        def show(self, text: str) -> None:
            raise ValueError("no widgets")

    waits = Waits()
    line = ProgressLine(waits, Broken)
    waits.begin()
    assert line.step(time.monotonic() + 5) == EVERY


def test_fault_24_a_caller_sees_the_queues_state_and_its_reason_while_it_waits(
    terminal: Terminal, soon: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal.is_stderr(monkeypatch)
    server = Held()
    service, future = server.waiting()
    with ThreadPoolExecutor() as pool:
        result = pool.submit(future.result, 20)
        shown = terminal.wait_for(lambda line: "full house" in line)
        assert shown == "waiting 0 s for optim_step | paused_capacity: full house"
        server.answer = {"type": "try_again", "queue_state": "active"}
        terminal.wait_for(lambda line: line == "waiting 0 s for optim_step")
        server.go.set()
        result.result(20)
        assert terminal.lines() == [""], "nothing is left of it"
    service.close().result(10)


def test_it_is_shown_to_who_awaits_too_and_is_gone_after_an_error(
    terminal: Terminal, soon: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal.is_stderr(monkeypatch)
    server = Held()
    service, future = server.waiting()

    async def wait() -> None:
        await future

    with ThreadPoolExecutor() as pool:
        result = pool.submit(asyncio.run, wait())
        terminal.wait_for(lambda line: "full house" in line)
        server.answer = {"error": "no such weather", "category": "user"}
        assert isinstance(result.exception(20), tinker_hl.RequestFailedError)
        assert terminal.lines() == [""]
    server.go.set()
    service.close().result(10)


def test_nobody_waits_when_nobody_asks_for_a_result(
    terminal: Terminal, soon: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal.is_stderr(monkeypatch)
    server = Held()
    service, future = server.waiting()
    polled = len(server.paths("retrieve_future"))
    ends = time.monotonic() + 20
    while len(server.paths("retrieve_future")) < polled + 3:
        assert time.monotonic() < ends
        loop.run(asyncio.sleep(0)).result(10)
    assert terminal.lines() == [""]
    server.go.set()
    future.result(20)
    service.close().result(10)


def test_a_timeout_is_the_end_of_a_wait(terminal: Terminal, soon: None, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.is_stderr(monkeypatch)
    server = Held()
    service, future = server.waiting()
    with pytest.raises(TimeoutError):
        future.result(0.2)
    assert terminal.lines() == [""]
    assert WAITS.oldest() is None
    server.go.set()
    future.result(20)
    service.close().result(10)


# Where it is not shown.


@pytest.mark.parametrize("off", ["argument", "variable", "pipe", "dumb"])
def test_it_can_be_switched_off_and_is_silent_where_there_is_no_terminal(
    terminal: Terminal, soon: None, monkeypatch: pytest.MonkeyPatch, off: str
) -> None:
    terminal.is_stderr(monkeypatch)
    pipe = io.StringIO()
    if off == "variable":
        monkeypatch.setenv("TINKER_PROGRESS", "0")
    elif off == "pipe":
        monkeypatch.setattr(sys, "stderr", pipe)
    elif off == "dumb":
        monkeypatch.setenv("TERM", "dumb")
    server = Held()
    service, future = server.waiting(progress=off != "argument")
    assert WAITS.watcher is None, "nothing is paid for"
    with pytest.raises(TimeoutError):
        future.result(0.15)
    assert terminal.lines() == [""]
    assert pipe.getvalue() == ""
    server.go.set()
    future.result(20)
    service.close().result(10)


@pytest.mark.parametrize(("value", "wanted"), [("", True), ("1", True), ("0", False), ("OFF", False), ("no", False)])
def test_the_environments_no_wins(monkeypatch: pytest.MonkeyPatch, value: str, wanted: bool) -> None:
    monkeypatch.setenv("TINKER_PROGRESS", value)
    assert tinker_hl.ServiceClient(base_url="http://s.test").config["progress"] is wanted
    assert tinker_hl.ServiceClient(base_url="http://s.test", progress=False).config["progress"] is False


def test_under_pytests_capture_there_is_nowhere_to_show_it() -> None:
    assert find_screen() is None
    stream = io.StringIO()
    stream.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        assert find_screen() is None


def test_a_fork_draws_nothing_of_its_parents() -> None:
    waits, screen = Waits(), Shown()
    line = ProgressLine(waits, lambda: screen)
    waits.begin()
    line.step(time.monotonic() + 3)
    line.after_fork()
    waits.after_fork()
    assert waits.oldest() is None
    line.wait_ended()
    assert screen.text == "waiting 3 s", "it is the parent's"


# Beside others who write.


def test_log_records_stand_on_lines_of_their_own(terminal: Terminal) -> None:
    logger = logging.getLogger("a program's own")
    handler = logging.StreamHandler(terminal.stream)
    seen: list[str] = []
    own = logging.Filter()
    own.filter = lambda record: seen.append(record.getMessage()) or True  # type: ignore[method-assign,func-returns-value]
    handler.addFilter(own)
    logger.addHandler(handler)
    try:
        line = TerminalLine(terminal.stream)
        line.show("waiting 5 s for a long, long time")
        logger.warning("short")
        line.show("waiting 6 s")
        assert terminal.lines() == ["short", "waiting 6 s"]
        line.erase()
        assert handler.filters == [own], "the handler is as it was"
        assert seen == ["short"]
        assert terminal.lines() == ["short", ""]
    finally:
        logger.removeHandler(handler)


def test_what_is_printed_meanwhile_is_printed_over_it(terminal: Terminal) -> None:
    line = TerminalLine(terminal.stream)
    line.show("wait")
    print("a program's own line", file=terminal.stream, flush=True)
    line.show("waiting 6 s")
    assert terminal.lines() == ["a program's own line", "waiting 6 s"]


def test_a_long_line_is_cut_to_the_terminal(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinker_hl.progress_line.screen._width", lambda stream: 11)
    line = TerminalLine(terminal.stream)
    line.show("waiting 5 s for ever")
    assert terminal.lines() == ["waiting 5 "]
    line.show("完了完了完了完了")
    assert terminal.lines() == ["完了完了完"], "two columns each"


def test_it_keeps_away_from_tqdms_bars(terminal: Terminal) -> None:
    from tqdm import tqdm

    line = TerminalLine(terminal.stream)
    with tqdm(total=2, file=io.StringIO()):
        line.show("waiting 5 s")
        assert terminal.lines() == [""]
    line.show("waiting 6 s")
    assert terminal.lines() == ["waiting 6 s"]
    line.erase()


def test_a_terminal_that_is_gone_disturbs_nobody() -> None:
    stream = io.StringIO()
    line = TerminalLine(stream)
    line.show("waiting")
    stream.close()
    line.show("waiting")
    line.erase()


def test_in_a_notebook_tqdm_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """tqdm writes a text where there are no widgets; it is taken away like any bar that is not left."""
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    monkeypatch.setattr("tinker_hl.progress_line.screen.in_notebook", lambda: True)
    line = find_screen()
    assert isinstance(line, NotebookLine)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        line.show("waiting 5 s")
        line.show("waiting 6 s")
        line.erase()
        line.erase()
    assert written.getvalue() == "\rwaiting 5 s\rwaiting 6 s\r           \r"


def test_events_carry_the_queues_state() -> None:
    server = ScriptedServer()
    events: list[Event] = []
    with server.client() as service:
        service.subscribe(events.append)
        training = service.create_lora_training_client("base").result(10)
        server.faults["retrieve_future"] = [Reply(body=PAUSED)]
        training.optim_step(AdamParams()).result(10)
    (paused,) = (event for event in events if event.kind == "queue_state")
    assert (paused.fields["queue_state"], paused.fields["reason"]) == ("paused_capacity", "full house")
