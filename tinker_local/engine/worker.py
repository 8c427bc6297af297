"""The engine's process: `python -m tinker_local.engine.worker FD`, started by `tinker_local.engine.process` only.

One thread reads frames, one (the main one) computes. Calls for one model wait in a queue of their own; each turn of the
loop gives one slice of work to one model, then as much time again to sampling, so that neither starves the other. The
process ends when its socket does, whatever it is doing: it never outlives its owner.
"""

import logging
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Generator
from typing import Any

import attrs

from tinker_local.engine import channel
from tinker_local.engine.protocol import EngineError, Hold, UserFaultError
from tinker_local.engine.shortage import failure_text

__all__ = ["Worker", "main"]

logger = logging.getLogger(__name__)

Answer = Any


@attrs.define(eq=False)
class _Call:
    """One call under way."""

    number: int
    method: str
    arguments: dict[str, Any]
    slices: Generator[None, None, Answer] | None = None
    began_at: float | None = None
    """Unix seconds."""
    began: float = 0.0
    """On a clock that is never set."""
    busy_seconds: float = 0.0

    def timing(self) -> list[float]:
        """When it began and ended, in Unix seconds, and how long it was worked on; a sample all the time."""
        if self.began_at is None:
            return [time.time(), time.time(), 0.0]
        took = time.perf_counter() - self.began
        return [self.began_at, self.began_at + took, took if self.method == "sample" else self.busy_seconds]


class Pipe:
    """The socket to the owner. Reading happens in a thread, which ends the process when the owner is gone."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._read, name="engine-pipe", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            self._take_in()
        except (EOFError, OSError):
            logger.debug("the owner went away", exc_info=True)
        except Exception:
            logger.exception("what came from the owner cannot be read")
        else:
            return
        os._exit(0)  # the owner is gone, and torch may be deep in work that nobody waits for

    def _take_in(self) -> None:
        """Until the owner closes. Raises `EOFError` or `OSError` when it is gone, perhaps in the middle of a frame."""
        stream = self._connection.makefile("rb")

        def taken(count: int) -> bytes:
            piece = stream.read(count)
            if len(piece) < count:
                raise EOFError
            return piece

        while True:
            header_length, body_length = channel.lengths(taken(channel.PREFIX.size))
            message = channel.decode(taken(header_length), taken(body_length))
            self.inbox.put(message)
            if message["method"] == "close":
                return

    def send(self, message: dict[str, Any]) -> None:
        """Write one frame; the owner always reads."""
        self._connection.sendall(b"".join(channel.encode(message)))


class Worker:
    """Carries out calls: in order for each model, in turn between models."""

    def __init__(self, pipe: Pipe) -> None:
        from tinker_local.engine.core import EngineCore  # torch: only here, so that the reading thread runs at once

        self._pipe = pipe
        self._core = EngineCore()
        self._queues: OrderedDict[str, deque[_Call]] = OrderedDict()
        self._pending_samplers: dict[str, str] = {}
        self._closing = False

    def run(self) -> None:
        """Work until told to stop."""
        while not self._closing:
            self._receive(wait=not self._queues and not self._core.sampling.busy)
            self._sample(self._work())

    def _receive(self, *, wait: bool) -> None:
        """Take every message that has come; with `wait`, at least one."""
        try:
            while True:
                self._accept(self._pipe.inbox.get(block=wait))
                wait = False
        except queue.Empty:
            return

    def _accept(self, message: dict[str, Any]) -> None:
        call = _Call(message["id"], message["method"], message["arguments"])
        if call.method == "close":
            self._closing = True
            return
        queue_name = self._queue_of(call)
        if queue_name is None:
            self._advance(call)
        else:
            self._queues.setdefault(queue_name, deque()).append(call)

    def _queue_of(self, call: _Call) -> str | None:
        """Whose turn a call waits for; None for what is done at once."""
        arguments = call.arguments
        if call.method == "create_sampler":
            owner = "start" if arguments["model_id"] is None else str(arguments["model_id"])
            return self._pending_samplers.setdefault(arguments["sampler_id"], owner)
        if call.method == "sample":  # behind the making of its sampler, if that is under way
            return self._pending_samplers.get(arguments["job"].sampler_id)
        if call.method == "unload_sampler":
            return self._pending_samplers.get(arguments["sampler_id"])
        if call.method == "cancel_sample":
            return None
        return str(arguments.get("model_id", "start"))

    def _work(self) -> float:
        """One slice for the model whose turn it is; returns the seconds it took."""
        if not self._queues:
            return 0.0
        began = time.perf_counter()
        name, waiting = self._queues.popitem(last=False)
        if self._advance(waiting[0]):
            waiting.popleft()
        if waiting:
            self._queues[name] = waiting  # to the end: the other models come first
        return time.perf_counter() - began

    def _advance(self, call: _Call) -> bool:
        """Whether the call is done; its answer is sent then."""
        began = time.perf_counter()
        if call.began_at is None:
            call.began_at, call.began = time.time(), began
        try:
            if call.slices is None:
                if call.method == "sample":
                    self._admit(call)
                    return True
                result = self._start(call)
                if not isinstance(result, Generator):
                    call.busy_seconds += time.perf_counter() - began
                    self._answer(call, result)
                    return True
                call.slices = result
            next(call.slices)
        except StopIteration as finished:
            call.busy_seconds += time.perf_counter() - began
            self._answer(call, finished.value)
        except Exception as error:  # the boundary: whatever fails is told to the caller, and the engine lives on
            self._refuse(call.number, call.method, error)
        else:
            call.busy_seconds += time.perf_counter() - began
            return False
        return True

    def _start(self, call: _Call) -> Any:
        """Begin a call; a generator where it takes several slices."""
        if call.method == "unload_sampler":
            return self._core.sampling.unload(**call.arguments)
        if call.method == "cancel_sample":
            return self._core.sampling.cancel(**call.arguments)
        if call.method == "create_sampler":
            self._pending_samplers.pop(call.arguments["sampler_id"], None)
        return getattr(self._core, call.method)(**call.arguments)

    def _admit(self, call: _Call) -> None:
        """Hand a job to the running batch, which tells whether it must wait and answers when it is done."""

        def done(answer: Any) -> None:
            if isinstance(answer, Exception):
                self._refuse(call.number, call.method, answer)
            else:
                self._answer(call, answer)

        def on_hold(hold: Hold | None) -> None:
            self._pipe.send({"id": call.number, "hold": hold})

        self._core.sampling.add(call.arguments["job"], done, on_hold)

    def _sample(self, seconds: float) -> None:
        """Draw for as long as training has just had, and at least once."""
        end = time.perf_counter() + seconds
        while self._core.sampling.busy:
            self._core.sampling.advance()
            if time.perf_counter() >= end:
                return
            self._receive(wait=False)

    def _answer(self, call: _Call, result: Any) -> None:
        self._pipe.send({"id": call.number, "result": result, "timing": call.timing()})

    def _refuse(self, number: int, method: str, error: Exception) -> None:
        kind, text = ("user", str(error)) if isinstance(error, UserFaultError) else ("engine", str(error))
        if kind == "engine" and not isinstance(error, EngineError):
            logger.error("%s failed", method, exc_info=error)
            text = failure_text(method, error)
        self._pipe.send({"id": number, "error": {"kind": kind, "message": text}})


def main() -> None:
    """Serve the owner at the other end of the socket whose descriptor is the only argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the owner decides when to stop
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s engine %(levelname)s %(message)s")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    pipe = Pipe(socket.socket(fileno=int(sys.argv[1])))
    Worker(pipe).run()


if __name__ == "__main__":
    main()
