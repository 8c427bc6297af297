"""Adapters that are sent in: tried by the engine beside the models of others, and gone as a whole where that fails."""

import base64
from pathlib import Path
from typing import Any

import pytest
from service_bench import SOURCES, Bench

from tinker_local.engine.null import NullEngine
from tinker_local.engine.protocol import EngineDiedError, EngineError, LoraSpec, UserFaultError

WEIGHTS = b"weights"


class TryingEngine(NullEngine):
    """Notes the names under which it loads and unloads, and fails to load as it is told."""

    def __init__(self) -> None:
        super().__init__(SOURCES)
        self.told: list[tuple[str, str]] = []
        self.problem: Exception | None = None

    async def load_adapter(self, model_id: str, *arguments: Any, **options: Any) -> LoraSpec:
        self.told.append(("load", model_id))
        if self.problem is not None:
            raise self.problem
        return await super().load_adapter(model_id, *arguments, **options)

    async def unload_adapter(self, model_id: str) -> None:
        self.told.append(("unload", model_id))
        await super().unload_adapter(model_id)


def import_body(session_id: str, **more: Any) -> dict[str, Any]:
    adapter = {
        "adapter_config": {"peft_type": "LORA", "r": 2, "lora_alpha": 2},
        "adapter_model": base64.b64encode(WEIGHTS).decode(),
    }
    return {"session_id": session_id, "model_seq_id": 0, "path": "a", "base_model": "null/base", **adapter, **more}


def left_over(bench: Bench) -> list[Path]:
    return list((bench.data_dir / "checkpoints" / ".staging").iterdir())


def test_what_is_tried_is_no_model_of_anybodys(bench: Bench) -> None:
    """A client that makes a model of the same number at that moment keeps it."""
    engine = TryingEngine()
    api = bench.start(engine)
    session_id = api.session()
    path = api.ok("import_weights", body=import_body(session_id))["tinker_path"]
    (loaded, name), (unloaded, same) = engine.told
    assert (loaded, unloaded, name) == ("load", "unload", same)
    assert path == f"tinker://{session_id}:train:0/weights/a"
    assert name != f"{session_id}:train:0"
    folder = bench.data_dir / "checkpoints" / f"{session_id}:train:0" / "weights" / "a"
    assert (folder / "adapter_model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        (UserFaultError("no such layer"), 400),
        (EngineDiedError("no such layer"), 503),
        (EngineError("no such layer"), 503),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_what_the_engine_cannot_load_leaves_nothing(bench: Bench, problem: Exception, status: int) -> None:
    engine = TryingEngine()
    engine.problem = problem
    api = bench.start(engine)
    session_id = api.session()
    assert "no such layer" in api.refused(status, "import_weights", body=import_body(session_id))["detail"]
    assert not left_over(bench)
    engine.problem = None
    api.ok("import_weights", body=import_body(session_id))


def test_weights_that_are_not_base64_are_named(bench: Bench) -> None:
    api = bench.start()
    fault = api.refused(422, "import_weights", body=import_body(api.session(), adapter_model="no *base64*"))
    assert fault["detail"][0]["loc"] == ["body", "adapter_model"]
    assert not left_over(bench)
