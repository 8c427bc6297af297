"""`tinker-hl serve` on a port that stays its own, killed without warning and started again: service and engine."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

__all__ = ["KillableService"]

KEY = "tml-killable"
_START_SECONDS = 60.0


class KillableService:
    """A service whose processes can be killed. It stays reachable under the same address, data and key."""

    def __init__(self, data_dir: Path, *options: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self.data_dir = data_dir
        self.api_key = KEY
        self.base_url = f"http://127.0.0.1:{self.port}"
        self._options = options
        self._log = data_dir.parent / f"{data_dir.name}.log"
        self._process = self._started()

    def kill(self) -> None:
        """Kill the service, and the engine with it, and start another one."""
        engine = self.engine_pid()
        self._process.kill()
        self._process.wait()
        _wait_for_end(engine)
        self._process = self._started()

    def kill_engine(self) -> None:
        """Kill the engine; the service starts another one."""
        pid = self.engine_pid()
        os.kill(pid, signal.SIGKILL)
        _wait_for_end(pid)

    def engine_pid(self) -> int:
        """The engine that works now, waited for."""
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until:
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
            if children and self.healthy():
                return int(children[0])
            time.sleep(0.02)
        raise TimeoutError(f"no engine; {self._log} says why")

    def healthy(self) -> bool:
        """Whether it can work."""
        try:
            return httpx.get(f"{self.base_url}/api/v1/healthz", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def log(self) -> str:
        """What it wrote to stderr."""
        return self._log.read_text(errors="replace")

    def _started(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-P", "-m", "tinker_local.cli", "--port", str(self.port), "--threads", "1"]
        options = ["--data-dir", str(self.data_dir), "--api-key", KEY, *self._options]
        with self._log.open("ab") as log:
            return subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, stderr=log)


def _wait_for_end(pid: int) -> None:
    """An engine notices the death of its service by itself; the port and the data are free when it has ended."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except (FileNotFoundError, ProcessLookupError):
            return
        time.sleep(0.01)
    raise TimeoutError(f"process {pid} did not end")
