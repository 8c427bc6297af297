"""What the workloads share: which SDK, and the clocks. Only the standard library, for it runs in the official SDK's
environment too, where nothing of ours is installed.
"""

import asyncio
import importlib
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PAUSE = 0.0005


def sdk(name: str) -> Any:
    """The module of one side: `official` or `ours`."""
    return importlib.import_module({"official": "tinker", "ours": "tinker_hl"}[name])


def ready(value: Any) -> Any:
    """A client itself, where the SDK gave a future of it."""
    return value.result() if hasattr(value, "result") else value


def peak_megabytes() -> float:
    """The most that this program had; what getrusage says is that of whoever started it, if it was larger."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    (peak,) = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")]
    return peak / 1024


class LongestBlock:
    """The longest that an event loop kept a ready callback waiting while the context was open, in milliseconds."""

    def __init__(self) -> None:
        self.milliseconds = 0.0

    async def __aenter__(self) -> Self:
        self._task = asyncio.get_running_loop().create_task(self._watch())
        await asyncio.sleep(0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(PAUSE)
            self.milliseconds = max(self.milliseconds, (time.perf_counter() - before - PAUSE) * 1000)
