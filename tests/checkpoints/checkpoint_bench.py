"""What the tests of checkpoints share: an engine whose checkpoints are large and hold nothing."""

import random
from pathlib import Path

import attrs

from tinker_local.engine.null import NullEngine

WEIGHTS = random.Random(5).randbytes(700_001)


class LargeEngine(NullEngine):
    """Saves as many bytes as it takes to be cut often."""

    async def save_adapter(self, model_id: str, directory: Path, *, optimizer: bool) -> None:
        await super().save_adapter(model_id, directory, optimizer=optimizer)
        (directory / "adapter_model.safetensors").write_bytes(WEIGHTS)


@attrs.frozen
class Saved:
    """One checkpoint of each kind, of one run."""

    training: str
    sampler: str
    external: str
