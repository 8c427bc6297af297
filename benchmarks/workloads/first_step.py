"""From nothing to the first trained step, as a first script would: a local service starts, a model is made, one step.

python -m benchmarks.workloads.first_step MODEL
"""

import json
import sys

import tinker_hl
from benchmarks.workloads.measuring import peak_megabytes

with tinker_hl.ServiceClient(base_url="local") as service:
    client = service.create_lora_training_client(sys.argv[1], rank=32).result()
    tokens = client.get_tokenizer().encode("The first step of all.")
    inputs = {"target_tokens": tokens[1:], "weights": [1.0] * (len(tokens) - 1)}
    datum = tinker_hl.Datum(model_input=tinker_hl.ModelInput.from_ints(tokens[:-1]), loss_fn_inputs=inputs)
    passed = client.forward_backward([datum], "cross_entropy")
    client.optim_step(tinker_hl.AdamParams(learning_rate=1e-4)).result()
    assert passed.result().metrics["loss:sum"] > 0
    # Read by the parent, whose clock began before this interpreter did.
    print(json.dumps({"client peak MB": peak_megabytes()}), flush=True)
