"""A service of one's own: started in the background, reached by URL, ended with whoever started it.

It is an ordinary `tinker-hl serve` in a process of its own, on a free loopback port, with a key that nobody else has.
The key is made of the data folder's secret, which only the folder's owner can read: so whoever has the folder again is
the same to the service, and loads what an earlier process saved.
The pipe to its stdin is its lifeline: when the owner closes it or dies, however it dies, the service ends. A forked
child of the owner is no owner: it may use the service, and neither keeps it alive nor ends it.
"""

import atexit
import collections
import contextlib
import json
import logging
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self

from tinker_local.cli import DATA_DIR_BUSY
from tinker_local.datadir import candidates, is_ending, is_free
from tinker_local.keys import key_of
from tinker_local.settings import ModelSource, default_data_dir
from tinker_local.signing import EMBEDDED_KEY, SECRET_FILE, derived, kept_secret

__all__ = ["EmbeddedService", "EmbeddedStartError", "start"]

logger = logging.getLogger("tinker_local.embedded")

_TAIL_LINES = 20
_STOP_SECONDS = 10.0
_ENDING_SECONDS = 20.0
"""How long a folder is waited for whose service is ending."""
_LOOK_SECONDS = 0.05


class EmbeddedStartError(RuntimeError):
    """The service did not become ready. The message says why, or ends with the last lines that it logged."""


class EmbeddedService:
    """A running service; `close` ends it, and so does leaving it as a context manager or the interpreter's end."""

    def __init__(
        self, process: subprocess.Popen[bytes], *, base_url: str, api_key: str, data_dir: Path, passing: bool = False
    ) -> None:
        self.base_url = base_url
        """Where clients reach it, as in `http://127.0.0.1:40001`."""
        self.api_key = api_key
        """The key that clients must send: that of the data folder, worthless elsewhere."""
        self.data_dir = data_dir
        """Where its checkpoints are."""
        self.passing = passing
        """Whether the folder goes with the service, because there was none to keep anything in."""
        self._process = process
        self._owner = os.getpid()
        atexit.register(self.close)
        _live.add(self)

    @property
    def pid(self) -> int:
        """The process id of the service."""
        return self._process.pid

    @property
    def log_path(self) -> Path:
        """What it writes to stderr."""
        return _log_path(self.data_dir)

    def close(self) -> None:
        """End the service and wait until it has ended, at most about 10 seconds. Does nothing a second time, or in a
        forked child.
        """
        if os.getpid() != self._owner:
            return
        atexit.unregister(self.close)
        _end(self._process)
        if self.passing:
            shutil.rmtree(self.data_dir, ignore_errors=True)

    def _let_go(self) -> None:
        """In a forked child: drop the copy of the lifeline, which would keep the service alive after its owner."""
        _close_pipes(self._process)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"EmbeddedService({self.base_url!r}, pid={self.pid}, data_dir={str(self.data_dir)!r})"


_live: "weakref.WeakSet[EmbeddedService]" = weakref.WeakSet()


def _let_go_of_all() -> None:
    for service in list(_live):
        service._let_go()


os.register_at_fork(after_in_child=_let_go_of_all)


def start(
    *,
    models: Sequence[ModelSource] = (),
    data_dir: Path | None = None,
    threads: int | None = None,
    autosave_every: int | None = None,
    engine: Literal["torch", "null"] = "torch",
    deadline_seconds: float = 120.0,
) -> EmbeddedService:
    """Start a service and wait until it is ready.

    Args:
        models: base models to serve; none serves the packaged `tinker-hl/tiny`.
        data_dir: where it keeps checkpoints. None takes the first of `local`, `local-2`, ... beside
            `default_data_dir()` that no other service has; one that is ending, because its owner is gone, is waited
            for. Where that cannot be written to, it is a folder that goes with the service, with a warning.
        threads: torch threads; None leaves it to torch.
        autosave_every: optimizer steps after which each run is saved by itself, and restored if the engine or the
            service dies; None saves nothing by itself.
        engine: `null` answers without computing.
        deadline_seconds: how long it may take, loading of models included.

    Raises:
        EmbeddedStartError: it ended, or was not ready in time, or the folder that was given cannot be used.
    """
    until = time.monotonic() + deadline_seconds
    options = _options(models, threads, engine)
    if autosave_every is not None:
        options += ["--autosave-every", str(autosave_every)]
    if data_dir is not None:
        return _start_in(data_dir, options, until)
    try:
        return _start_in_first_free(options, until)
    except _DataDirUnusableError as error:
        passing = Path(tempfile.mkdtemp(prefix="tinker-hl-"))
        logger.warning("%s; what is saved is in %s, and goes when the local service ends", error, passing)
    try:
        return _start_in(passing, options, until, passing=True)
    except BaseException:
        shutil.rmtree(passing, ignore_errors=True)
        raise


class _DataDirTakenError(EmbeddedStartError):
    pass


class _DataDirUnusableError(EmbeddedStartError):
    pass


def _start_in_first_free(options: Sequence[str], until: float) -> EmbeddedService:
    for directory in candidates(default_data_dir()):
        _prepare(directory)
        _wait_for_the_ending(directory, until)
        if not is_free(directory):
            continue
        try:
            return _start_in(directory, options, until)
        except _DataDirTakenError:  # somebody was faster since the look at the lock
            continue
    raise AssertionError("the candidates are endless")


def _wait_for_the_ending(directory: Path, until: float) -> None:
    """A script that crashed and is started again finds its folder, though its first service needs a moment to end."""
    until = min(until, time.monotonic() + _ENDING_SECONDS)
    while time.monotonic() < until and is_ending(directory):
        time.sleep(_LOOK_SECONDS)


def _prepare(directory: Path) -> None:
    """Make the folder if need be. Raises `_DataDirUnusableError` where nothing can be written to it."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise _DataDirUnusableError(f"the local service cannot keep its data in {directory}: {error}") from error


def _options(models: Sequence[ModelSource], threads: int | None, engine: str) -> list[str]:
    options = ["--engine", engine]
    for model in models:
        options += ["--model", f"{model.name}={model.path}"]
        options += [part for alias in model.aliases for part in ("--alias", f"{alias}={model.name}")]
    return options + (["--threads", str(threads)] if threads is not None else [])


def _start_in(directory: Path, options: Sequence[str], until: float, *, passing: bool = False) -> EmbeddedService:
    _prepare(directory)
    try:
        key = key_of(derived(kept_secret(directory / SECRET_FILE), EMBEDDED_KEY))
    except (OSError, ValueError) as error:
        raise EmbeddedStartError(f"the local service has no secret in {directory}: {error}") from error
    # The hosted service's key is none of this service's business.
    environment = {name: value for name, value in os.environ.items() if name != "TINKER_API_KEY"}
    # -P: a `random.py` in the current folder must not stand in for the library's.
    command = [sys.executable, "-P", "-m", "tinker_local.cli", "--owned", "--port", "0", "--data-dir", str(directory)]
    with _log_path(directory).open("wb") as log:
        process = subprocess.Popen(
            [*command, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the owner, which still needs the service to finish its session
        )
    try:
        url = _handshake(process, key, directory, until)
    except BaseException:
        _end(process)
        raise
    return EmbeddedService(process, base_url=url, api_key=key, data_dir=directory, passing=passing)


def _handshake(process: subprocess.Popen[bytes], key: str, directory: Path, until: float) -> str:
    """Send the key, wait for the URL."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):  # it ended at once; its exit code and log say why
        process.stdin.write(f"{key}\n".encode())
        process.stdin.flush()
    line = _line(process.stdout, until)
    if line:
        url: str = json.loads(line)["base_url"]
        return url
    if line is None:
        raise EmbeddedStartError(f"the local service was not ready in time{_tail(directory)}")
    code = process.wait()
    kind = _DataDirTakenError if code == DATA_DIR_BUSY else EmbeddedStartError
    raise kind(f"the local service ended with code {code} before it was ready{_tail(directory)}")


def _line(stdout: IO[bytes], until: float) -> bytes | None:
    """One line; nothing if stdout ended, None if the time was up."""
    line = b""
    while not line.endswith(b"\n"):
        readable, _, _ = select.select([stdout], [], [], max(0.0, until - time.monotonic()))
        if not readable:
            return None
        piece = os.read(stdout.fileno(), 4096)
        if not piece:
            return b""
        line += piece
    return line


def _log_path(directory: Path) -> Path:
    return directory / "service.log"


def _tail(directory: Path) -> str:
    path = _log_path(directory)
    with path.open(errors="replace") as log:
        lines = collections.deque(log, maxlen=_TAIL_LINES)
    return f"; the end of {path}:\n{''.join(lines)}" if lines else f"; {path} is empty"


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, patience, SIGKILL. The signal, not the lifeline: a copy of the pipe may be held somewhere."""
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _close_pipes(process)
