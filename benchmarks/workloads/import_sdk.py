"""Import an SDK, and say what it took.

python -m benchmarks.workloads.import_sdk MODULE [names]     `names`: also fetch the classes that every script needs
"""

import json
import resource
import sys
import time

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
seconds = time.perf_counter() - began
after = resource.getrusage(resource.RUSAGE_SELF)
cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
loaded = {name for name, module in sys.modules.items() if module is not None}
heavy = sorted({"torch", "transformers", "numpy", "aiohttp", "httpx", "pydantic"} & loaded)
print(
    json.dumps(
        {"milliseconds": seconds * 1000, "cpu ms": cpu * 1000, "resident MB": after.ru_maxrss / 1024, "heavy": heavy}
    )
)
