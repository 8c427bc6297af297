"""Why the public surface differs from the official SDK's where it does, what its numbered faults are, what was run.

Each reason names the differences that it is for by shell patterns over `place: what`. A difference without a reason
fails the test, as does a pattern without a difference. The module knows nothing of how differences are found.
"""

from collections.abc import Mapping
from typing import Final

import attrs

__all__ = ["FAULTS", "FAULTS_THAT_CANNOT_BE", "PROGRAMS", "REASONS", "Reason"]


@attrs.frozen
class Reason:
    """A sentence or two, and the differences that it explains."""

    text: str
    patterns: tuple[str, ...]


REASONS: Final = (
    Reason(
        "The clients and futures are made by calls, not by their constructors: what these take is the inside of an "
        "SDK. `SamplingClient.create` takes such an inside too; `ServiceClient.create_sampling_client` is the call "
        "for it.",
        (
            "tinker.APIFuture: *",
            "tinker.Backcompat*ClientFuture: *",
            "tinker.SamplingClient: *",
            "tinker.TrainingClient: *",
            "tinker.lib.telemetry.Telemetry: *",
            "tinker.SamplingClient.create: *",
            "tinker.BackcompatSamplingClientFuture.create: *",
        ),
    ),
    Reason(
        "Types are frozen attrs classes here and not pydantic models. They have the pydantic methods that research "
        "code calls: `model_dump`, `model_dump_json`, `model_copy`, `model_validate`, `model_validate_json`, the names "
        "in `model_fields`, and `dict(...)` of an object; `vars(...)` has nothing to give. The others are pydantic's "
        "own machinery or its deprecated names; in 0.38 many of these types have none of them either.",
        ("pydantic.BaseModel.*", "tinker*.serialize_*", "tinker*.validate_*", "tinker.Datum.convert_tensors: *"),
    ),
    Reason(
        "They belong to the HTTP layer of a generated client, which is another one here. No public call takes or "
        "returns them; 0.7 has most of them in its namespace only because it imports them there.",
        (
            "tinker.APIResponse: *",
            "tinker.AsyncAPIResponse: *",
            "tinker.ProxiesTypes: *",
            "tinker.Transport: *",
            "tinker.file_from_path: *",
            "from tinker._types import *",
            "import tinker.resources*",
            "import tinker.proto*",
        ),
    ),
    Reason(
        "Modules and functions of the SDK's inside: connections, polling, retries, tracing of losses, the command "
        "line's credential files. Their work is done here, by other objects.",
        (
            "import tinker.lib.*",
            "from tinker.lib.public_interfaces.custom_loss import *",
            "from tinker.lib.public_interfaces.training_client import fetch_training_info: *",
            "from tinker.lib.retry_handler import *",
            "from tinker.lib.telemetry import *",
            "from tinker.types.topk_logprobs import topk_to_lists: *",
        ),
    ),
    Reason(
        "The two releases contradict each other; the signature is the newest one's. A call in the older form works "
        "all the same: a mapping in the second place is taken as `user_metadata`, and `adam_params` is still a name "
        "for the first argument of `optim_step`.",
        (
            "tinker.ServiceClient.create_training_client_from_state*: `user_metadata` is not argument 2*",
            "tinker.TrainingClient.optim_step*: `adam_params` is not argument 1*",
        ),
    ),
    Reason(
        "Only the SDK itself calls it, when its connection ends; here the end of the session does that.",
        ("tinker.lib.telemetry.Telemetry.close: *",),
    ),
    Reason(
        "The newest release requires it, and so does the service's protocol.",
        ("tinker.types.Telemetry*: requires `process_uuid`",),
    ),
    Reason(
        "The answers that the wire knows are the ones with `Internal` in their names; the public ones, in which a "
        "path is never None, are made from them.",
        ("tinker.types.FutureRetrieveResponse: has no SaveWeights*",),
    ),
    Reason(
        "The same failures have other classes here: ours for connections and lost results, where theirs are httpx's "
        "and internal ones. In 0.7 the field stands one place earlier.",
        ("tinker.lib.retry_handler.RetryConfig: `retryable_exceptions` *",),
    ),
    Reason(
        "It is the SDK's inside, and marked deprecated there. `ServiceClient.subscribe` shows what goes on.",
        ("tinker.ServiceClient.holder: *",),
    ),
)

PROGRAMS: Final = """\
## Programs written for it

Tests run the same files, unmodified, on the official SDK and through `tinker_hl.compat`, and compare what they saw:
supervised fine-tuning with checkpoints, a restart and a download, reinforcement learning, preferences by a custom loss
(`tests/interop/test_compat_loops.py`), and scripts in the style of each release (`test_compat_training.py`).

Recipes of tinker-cookbook 0.6.1 were run by hand, on 2026-11-28: they need `datasets`, transformers and more than a
test should install. The cookbook takes a folder for a model's name, so the local service serves one under that name:

```bash
tinker-hl serve --model /models/tiny=/models/tiny --api-key tml-any
export TINKER_BASE_URL=http://127.0.0.1:8787 TINKER_API_KEY=tml-any
python -m tinker_hl.compat -m tinker_cookbook.recipes.math_rl.train env=arithmetic model_name=/models/tiny \\
    renderer_name=role_colon group_size=4 groups_per_batch=4 max_tokens=4 loss_fn=importance_sampling max_steps=3
```

These ended, with metrics and checkpoints:

- `recipes.math_rl.train` as above, also with `save_every=2`;
- the same with `loss_fn=ppo max_steps=4 max_steps_off_policy=1`, which samples and trains at once;
- `recipes.chat_sl.train` with `dataset=conversations.jsonl batch_size=8 learning_rate=1e-3`; the loss fell.

The default loss of the first, `stable_reinforce`, is the hosted service's own, and its formula is not published.
"""
"""What the page says of them; the tests that it names are there."""

FAULTS: Final[Mapping[int, str]] = {
    1: "A sampler's save and the optimizer's step after it reach the server in the wrong order",
    2: "Cancelling a queued training call hangs the client for ever",
    3: "A submission that fails leaves a gap in the sequence that the server waits for",
    4: "A timeout on `await` cancels the training call itself",
    5: "What cannot be encoded is found only when it is submitted",
    6: "Misspelt sampling parameters are ignored; losses and their inputs are not checked by name",
    7: "Integer tensors cut floats off silently",
    8: "A metric of an unexpected name fails the whole call, or vanishes",
    9: "A hash metric loses bits as a float, or depends on the process",
    10: "Every call hangs in a forked child",
    11: "A timeout error cannot be unpickled",
    12: "Changing an array changes the calls that are still queued",
    13: "A pickled client loses its retry settings",
    14: "Errors wait for telemetry to be sent",
    15: "An address that nobody answers is told after five minutes",
    16: "A checkpoint's name that is taken is tried again for five minutes",
    17: "Refusals while a result is fetched lose their type and status",
    18: "Failures while a result is fetched are repeated without a pause",
    19: "Layers of retries multiply, without jitter or a deadline, and ignore Retry-After",
    20: "Each repetition has a new idempotency key",
    21: "The end of a session is reported on every error, and not at its end",
    22: "Telemetry of clients without a session is sent again for ever",
    23: "Making a client blocks the caller's event loop",
    24: "A wait of a quarter of an hour is silent",
    25: "The key is inside telemetry",
    26: "The key is inside pickles of clients and errors",
    27: "Telemetry sends messages and stack traces, to any server, unless one turns it off",
    28: "A tokenizer's remote code is run without asking",
    29: "Importing the package takes seconds, and imports torch where that is installed",
    30: "The command line's help waits for the import of the whole package",
    31: "transformers is installed for one method",
    32: "The first tokenizer waits for the import of transformers",
    33: "Bodies are encoded and results decoded on the event loop, while heartbeats wait",
    34: "Values are made into a list at each access; each appended token is a chunk of its own",
    35: "Each parallel training request opens a client and a connection of its own, and keeps them",
    36: "Limits on bytes under way are overshot by one large request",
    37: "Dropped clients beat on and keep their connections until the process ends",
    38: "Examples of the documentation do not work: targets from a model input, `result.loss`",
    39: "Results lost pydantic's methods, types their constructors, clients their HTTP settings between releases",
    40: "`RetryConfig` is not exported; timeouts, retries and the HTTP client cannot be set",
    41: "Arrays and tensors are refused as tokens, unsigned and bool arrays as values, tuples as loss inputs",
    42: "No deadline for a call, no word of its progress, no local backend, no loop over all checkpoints",
    43: "Cancelling a training call stops nothing; of a cancelled sample the server hears only sometimes",
    44: "Sessions are not finished, or only by an explicit call",
    45: "The command line: dates that are not ISO 8601, 0 after a failure, progress on stdout, mistakes and Ctrl-C "
    "told as unexpected errors",
    46: "Activations cannot be read or changed",
    47: "`max_tokens` of a sample is to become required one day",
    48: "Settings that nothing reads; a round trip that is reported is never measured",
    49: "The two kinds of clients have different tokenizers, made with a keyword that transformers does not have",
    50: "The revisions of tokenizers that are code are out of date",
}
"""Number -> what is wrong, in a few words. The numbers are those of the tests' names."""

FAULTS_THAT_CANNOT_BE: Final[Mapping[int, str]] = {
    46: "The API has no operation for it, so no client can have it. A base model of the local service is a folder, and "
    "an adapter loads in plain peft, where torch's hooks do both.",
    47: "It stays optional: programs rely on that, and a service has a limit of its own.",
}
"""Number -> why the fault cannot be had here, for those without a test."""
