"""The proof of `TrainingRun`: killed at 20 random points, it ends with the bits of the run that nobody disturbed.

What is killed is the training script, the engine, or the whole service, at random moments that a seed gives: while the
script starts, goes on from its journal, trains, or recovers from the kill before.
"""

import os
import random
import selectors
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from benchmarks.killable import KillableService

HERE = Path(__file__).parent
STEPS = 80
VICTIMS = ["script"] * 15 + ["engine"] * 3 + ["service"] * 2
SEED = 7
AT_ONCE, SOON, LATER = 0.25, 0.02, 0.6
"""The share of kills that come without a step since the one before, which hits starts and recoveries; and the seconds
until a kill, at most: after a step, and without one."""
LINE_SECONDS = 60.0


class Script:
    """The training script in a process of its own, and what it prints."""

    def __init__(self, service: KillableService, folder: Path) -> None:
        command = [sys.executable, "-W", "error", HERE / "killed_run.py", service.base_url, service.api_key, folder]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TINKER_")}
        self._log = folder.parent / f"{folder.name}.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*map(str, command), str(STEPS)], stdout=subprocess.PIPE, stderr=log, env=environment
            )
        assert self._process.stdout is not None
        self._pipe = self._process.stdout
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._pipe, selectors.EVENT_READ)
        self._buffer = b""

    def line(self, seconds: float = LINE_SECONDS) -> str | None:
        """The next line; None when there is none in time, or there will be none."""
        until = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            if not self._selector.select(max(0.0, until - time.monotonic())):
                return None
            read = os.read(self._pipe.fileno(), 65536)
            if not read:
                return None
            self._buffer += read
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line.decode()

    def expected_line(self) -> str:
        """The next line, which must come."""
        line = self.line()
        assert line is not None, self._log.read_text()[-4000:]
        return line

    def lines(self) -> list[str]:
        """All lines that are left, until it ends."""
        found = list(iter(self.line, None))
        assert self._process.wait(LINE_SECONDS) == 0, self._log.read_text()[-4000:]
        self.kill()
        return found

    def kill(self) -> None:
        """Kill it, and let go of it."""
        self._process.kill()
        self._process.wait()
        self._pipe.close()
        self._selector.close()


def bits(service: KillableService, path: str) -> dict[str, bytes]:
    """Every tensor of a checkpoint, adapter and optimizer."""
    run, name = path.removeprefix("tinker://").split("/weights/")
    files = sorted((service.data_dir / "checkpoints" / run).rglob(f"{name}/*.safetensors"))
    assert len(files) == 2
    return {f"{file.name}: {key}": tensor.tobytes() for file in files for key, tensor in load_file(file).items()}


@pytest.mark.timeout(300)
def test_t091_s4_10_twenty_random_kills_leave_no_trace(tmp_path: Path, killable: KillableService) -> None:
    """S4-10, T-091 to T-094, and what the port lacks: the steps that were lost are made again, exactly."""
    undisturbed = Script(killable, tmp_path / "undisturbed").lines()
    chooser = random.Random(SEED)
    victims = chooser.sample(VICTIMS, len(VICTIMS))
    script, killed = Script(killable, tmp_path / "killed"), Counter[str]()
    seen: list[str] = []
    for victim in victims:
        at_once = chooser.random() < AT_ONCE
        for _ in range(0 if at_once else chooser.randint(1, 3)):
            seen.append(script.expected_line())
        moment = time.monotonic() + chooser.uniform(0.0, LATER if at_once else SOON)
        while (left := moment - time.monotonic()) > 0:
            if (line := script.line(left)) is not None:
                seen.append(line)
        if victim == "script":
            script.kill()
            script = Script(killable, tmp_path / "killed")
        elif victim == "engine":
            killable.kill_engine()
        else:
            killable.kill()
        killed[victim] += 1
    print(f"killed {dict(killed)} after {len(seen)} lines")
    last = script.lines()
    assert sum(killed.values()) == 20
    assert not any(line.startswith("final") for line in seen), "it had ended before it was killed 20 times"
    assert last[-2] == undisturbed[-2], "the state: position in the data, and the losses of every third step"
    path, expected = (lines[-1].removeprefix("final ") for lines in (last, undisturbed))
    found, wanted = bits(killable, path), bits(killable, expected)
    assert path != expected
    assert found.keys() == wanted.keys()
    assert [name for name in wanted if found[name] != wanted[name]] == []
