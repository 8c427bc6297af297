"""A run's file of metrics: nothing that was logged is lost to a kill, and half a line harms nothing."""

import json
import math
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinker_hl.run_metrics import RunMetrics, append_record, read_records

VALUES = st.dictionaries(
    st.text(max_size=8), st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8), max_size=4
)


@given(st.lists(VALUES, min_size=1, max_size=5), st.data())
def test_a_torn_last_line_is_read_over_and_the_next_record_is_whole(records: list[Any], data: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _tear(Path(folder, "m.jsonl"), records, data)


def test_a_record_that_the_disk_takes_a_part_of_is_an_error(tmp_path: Path) -> None:
    """Where a file may grow to 100 bytes only, a longer write is cut there, and is no error by itself."""
    code = f"""
import resource
from pathlib import Path
from tinker_hl.run_metrics import append_record
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    append_record(Path({str(tmp_path / "m.jsonl")!r}), {{"text": "x" * 200}})
except OSError as error:
    print(error.strerror)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.strip() == "File too large"


def _tear(path: Path, records: list[Any], data: Any) -> None:
    for record in records:
        append_record(path, record)
    assert read_records(path).records == records
    content = path.read_bytes()
    start = content.rstrip(b"\n").rfind(b"\n") + 1
    cut = data.draw(st.integers(start, len(content) - 1))
    path.write_bytes(content[:cut])
    torn = read_records(path)
    whole = cut == len(content) - 1  # only the end of the line is missing
    assert torn.records == (records if whole else records[:-1])
    assert torn.torn == (0 if whole or cut == start else 1)
    append_record(path, {"after": 1})
    assert read_records(path).records == [*torn.records, {"after": 1}]


def test_numbers_of_every_kind_are_written_and_what_is_not_finite_is_null(tmp_path: Path) -> None:
    import torch

    path = tmp_path / "m.jsonl"
    append_record(
        path,
        {
            "nan": math.nan,
            "inf": -math.inf,
            "numpy": np.float32(0.5),
            "array": np.array([1, 2]),
            "torch": torch.tensor(2.5),
            "nested": {"names": ["a"]},
        },
    )
    assert json.loads(path.read_text()) == {
        "nan": None,
        "inf": None,
        "numpy": 0.5,
        "array": [1, 2],
        "torch": 2.5,
        "nested": {"names": ["a"]},
    }


def test_what_is_no_value_is_refused_by_its_name_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    with pytest.raises(TypeError, match="model: a object is no JSON value"):
        append_record(path, {"loss": 1.0, "model": object()})
    assert not path.exists()


KILLED = """
import itertools, sys
from tinker_hl.run_metrics import RunMetrics
metrics = RunMetrics(sys.argv[1])
for step in itertools.count():
    metrics.log({"loss": 1.0 / (step + 1), "text": "x" * 500}, step=step)
    print(step, flush=True)
"""


def test_a_killed_process_loses_nothing_that_it_logged(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    last = -1
    for line in process.stdout:
        last = int(line)
        if last == 200:
            process.send_signal(signal.SIGKILL)
            break
    rest = process.stdout.read().split()
    process.wait(30)
    process.stdout.close()
    told = int(rest[-1]) if rest else last
    found = read_records(tmp_path / "metrics.jsonl")
    assert [record["step"] for record in found.records[: told + 1]] == list(range(told + 1))
    assert found.torn == 0
    with RunMetrics(tmp_path) as again:
        again.log({"loss": 0.0}, step=told + 1)
    assert read_records(tmp_path / "metrics.jsonl").records[-1]["loss"] == 0.0


def test_threads_write_whole_lines(tmp_path: Path) -> None:
    metrics = RunMetrics(tmp_path)

    def log(thread: int) -> None:
        for step in range(50):
            metrics.log({f"of {thread}": step}, step=step)

    threads = [threading.Thread(target=log, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    found = read_records(metrics.path)
    assert (len(found.records), found.torn) == (200, 0)
