"""Where the CPU of one large forward_backward goes: P2's pass of this client, by function, on a stub server.

    python -m benchmarks.workloads.profiled_pass [ROUNDS [DATUMS [TOKENS]]]

Each function's share is what its thread's own CPU clock says of it, without the other functions of the list that it
calls; what no function of the list did is the last row. Functions that a version does not have are left out, so that
the script can be laid into an older checkout and run there.
"""

import functools
import importlib
import statistics
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.stub_server import running

FUNCTIONS = {
    "tinker_hl.types.model_input:ModelInput.from_ints": "ids of a list to int32",
    "tinker_hl.types.tensor_data:TensorData.from_numpy": "arrays copied",
    "tinker_hl.types.datum:Datum.__init__": "a datum of its parts",
    "tinker_hl.clients.training:_checked": "datums checked",
    "tinker_hl.chunking:estimate_bytes": "sizes for the plan of requests",
    "tinker_hl.codec.proto:encode_datum": "datums encoded",
    "tinker_hl.codec.proto:forward_backward_body": "bodies put together",
    "asyncio.selector_events:_SelectorSocketTransport.write": "sending (the kernel's copy)",
    "asyncio.selector_events:_SelectorSocketTransport._read_ready": "receiving",
    "tinker_hl.codec.proto:decode_forward_backward_output": "results decoded",
    "tinker_hl.types.tensor_data:TensorData.to_numpy": "logprobs read",
}


class Shares:
    """Seconds of CPU by function, exclusive, over all threads."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._lock = threading.Lock()
        self._inner = threading.local()

    def counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its time noted."""

        @functools.wraps(function)
        def timed(*arguments: Any, **options: Any) -> Any:
            outer = getattr(self._inner, "seconds", 0.0)
            self._inner.seconds = 0.0
            began = time.thread_time()
            try:
                return function(*arguments, **options)
            finally:
                passed = time.thread_time() - began
                with self._lock:
                    self.seconds[name] += passed - self._inner.seconds
                self._inner.seconds = outer + passed

        return timed

    def watch(self, place: str) -> None:
        """Note the function at `module:name` from now on, if it is there."""
        module_name, _, path = place.partition(":")
        try:
            owner: Any = importlib.import_module(module_name)
            *classes, name = path.split(".")
            for part in classes:
                owner = getattr(owner, part)
            found = vars(owner)[name]
        except (ImportError, AttributeError, KeyError):
            return
        if isinstance(found, classmethod):
            setattr(owner, name, classmethod(self.counted(place, found.__func__)))
        else:
            setattr(owner, name, self.counted(place, found))


def main(rounds: int = 8, datums: int = 256, tokens: int = 4096) -> None:
    shares = Shares()
    for place in FUNCTIONS:
        shares.watch(place)
    import tinker_hl
    from tinker_hl import types

    generator = np.random.default_rng(0)
    made = [generator.integers(0, 150_000, tokens + 1) for _ in range(datums)]
    given = [(ids[:-1].tolist(), ids[1:], np.ones(tokens, dtype=np.float32)) for ids in made]

    def once(client: Any) -> float:
        began = time.process_time()
        data = [
            types.Datum(
                model_input=types.ModelInput.from_ints(ids),
                loss_fn_inputs={
                    "target_tokens": types.TensorData.from_numpy(targets),
                    "weights": types.TensorData.from_numpy(weights),
                },
            )
            for ids, targets, weights in given
        ]
        output = client.forward_backward(data, "cross_entropy").result()
        for record in output.loss_fn_outputs:
            record["logprobs"].to_numpy()
        return time.process_time() - began

    found: list[tuple[float, dict[str, float]]] = []
    with running() as url:
        service = tinker_hl.ServiceClient(base_url=url, api_key="tml-benchmark")
        client = service.create_lora_training_client("stub/model", rank=32).result()
        once(client)
        for _ in range(rounds):
            shares.seconds.clear()
            whole = once(client)
            found.append((whole, dict(shares.seconds)))
        service.close().result()
    show(found)


def show(found: list[tuple[float, dict[str, float]]]) -> None:
    """A table of medians, for a page."""
    whole = statistics.median(one for one, _ in found)
    print("| Function | | ms | share |\n|---|---|--:|--:|")
    rows = {place: statistics.median(one.get(place, 0.0) for _, one in found) for place in FUNCTIONS}
    for place, seconds in sorted(rows.items(), key=lambda row: -row[1]):
        print(f"| `{place.partition(':')[2]}` | {FUNCTIONS[place]} | {seconds * 1000:.1f} | {seconds / whole:.0%} |")
    rest = whole - sum(rows.values())
    print(f"| everything else | the event loop, HTTP, threads | {rest * 1000:.1f} | {rest / whole:.0%} |")
    print(f"| all | CPU of the process | {whole * 1000:.1f} | 100% |")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
