"""Many samples that nobody finishes: what it costs to wait for them.

    python -m benchmarks.workloads.pending official|ours URL FUTURES SECONDS

It runs in the environment of whichever SDK it is for, and ends without clearing up: every future is still pending.
"""

import gc
import json
import os
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks.workloads.measuring import ready, sdk

side, url, futures, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
tinker = sdk(side)
PATIENCE = 240.0


def state() -> dict[str, Any]:
    """What the server sees."""
    with urllib.request.urlopen(f"{url}/api/v1/state", timeout=60) as answer:
        return dict(json.loads(answer.read()))


def resident_bytes() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def submitted(count: int) -> None:
    """Wait until the server has taken that many samples, and the client has come to rest."""
    until = time.monotonic() + PATIENCE
    while state()["samples"] < count:
        if time.monotonic() > until:
            raise TimeoutError(f"the server has {state()['samples']} of {count} samples")
        time.sleep(0.2)
    time.sleep(2.0)


def main() -> None:
    service = tinker.ServiceClient(base_url=url, api_key="tml-benchmark")
    sampler = ready(service.create_sampling_client(base_model="stub/model"))
    prompt = tinker.types.ModelInput.from_ints(list(range(200, 216)))
    params = tinker.types.SamplingParams(max_tokens=64, temperature=1.0)
    few = futures // 2
    # The first half brings connections and caches that are not to grow with the number of futures.
    made = [sampler.sample(prompt=prompt, num_samples=1, sampling_params=params) for _ in range(few)]
    submitted(few)
    with_few, before = state()["connections"], resident_bytes()
    made += [sampler.sample(prompt=prompt, num_samples=1, sampling_params=params) for _ in range(futures - few)]
    submitted(futures)
    after, cpu, began = resident_bytes(), time.process_time(), time.perf_counter()
    time.sleep(seconds)
    busy = (time.process_time() - cpu) / (time.perf_counter() - began)
    found = {
        "connections": state()["connections"],
        "connections with half the futures": with_few,
        "CPU ms a second": busy * 1000,
        "kB a future": (after - before) / 1000 / (futures - few),
    }
    assert not any(future.done() for future in made)
    print(json.dumps(found), flush=True)
    os._exit(0)


main()
