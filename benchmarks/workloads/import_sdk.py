"""Import an SDK, and say what it took.

python -m benchmarks.workloads.import_sdk MODULE                only that
python -m benchmarks.workloads.import_sdk MODULE names          and the classes that every script uses
python -m benchmarks.workloads.import_sdk MODULE client URL     and a training client on that server
"""

import json
import resource
import sys
import time
from pathlib import Path

sys.modules["torch"] = None  # type: ignore[assignment]  # what the import system takes for "there is no such module"

# As a fresh interpreter has it: what json and time load is paid already, for both sides.
before = resource.getrusage(resource.RUSAGE_SELF)
began = time.perf_counter()
module = __import__(sys.argv[1])
if len(sys.argv) > 2:
    types = module.types
    for owner, names in (
        (module, ("ServiceClient", "TrainingClient", "SamplingClient", "TinkerError")),
        (types, ("Datum", "ModelInput", "TensorData", "SamplingParams", "AdamParams", "ForwardBackwardOutput")),
    ):
        for name in names:
            getattr(owner, name)
if len(sys.argv) > 3:
    service = module.ServiceClient(base_url=sys.argv[3], api_key="tml-benchmark")
    client = service.create_lora_training_client("stub/model", rank=32)
    client.get_info()  # ours is a future of the client that answers for it
seconds = time.perf_counter() - began
status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
# Of this program alone: what getrusage calls the peak is that of whoever started it, if it was larger.
(resident,) = [int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM:")]
after = resource.getrusage(resource.RUSAGE_SELF)
cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
loaded = {name for name, module in sys.modules.items() if module is not None}
heavy = sorted({"torch", "transformers", "numpy", "aiohttp", "httpx", "pydantic"} & loaded)
print(json.dumps({"milliseconds": seconds * 1000, "cpu ms": cpu * 1000, "resident MB": resident, "heavy": heavy}))
