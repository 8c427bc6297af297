"""`tinker-hl serve`, which tells how much it holds when it is sent SIGUSR1.

    python -m benchmarks.workloads.watched_service FILE [options of serve]

FILE gets one JSON object: the tasks of the event loop, and how many Python objects of each type there are.
"""

import asyncio
import collections
import gc
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tinker_local.cli import serve

MOST_TYPES = 60


def tell(file: Path) -> None:
    """Written aside and renamed, so that nobody reads half of it."""
    kinds = collections.Counter(type(thing).__qualname__ for thing in gc.get_objects())
    content: dict[str, Any] = {"tasks": len(asyncio.all_tasks()), "objects": dict(kinds.most_common(MOST_TYPES))}
    aside = file.with_suffix(".aside")
    aside.write_text(json.dumps(content), encoding="utf-8")
    os.replace(aside, file)


def main() -> None:
    file = Path(sys.argv.pop(1))
    # A handler of Python's own, which runs in the main thread, where the event loop is.
    signal.signal(signal.SIGUSR1, lambda *_: tell(file))
    serve(prog_name="tinker-hl serve")


if __name__ == "__main__":
    main()
