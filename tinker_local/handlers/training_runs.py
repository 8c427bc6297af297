"""Training runs: listed and shown."""

from collections.abc import Mapping
from typing import Any

import attrs

from tinker_local.clock import rfc3339
from tinker_local.errors import not_found
from tinker_local.handlers.call import Call, Handler, Result
from tinker_local.handlers.checkpoints import knows_external, shown
from tinker_local.handlers.labels import as_texts
from tinker_local.service import Service
from tinker_local.store.paths import EXTERNAL, SAMPLER, TRAINING
from tinker_local.store.records import RunRecord

__all__ = ["HANDLERS", "owned_run"]

_MOST_ON_A_PAGE = 1000


async def list_training_runs(call: Call) -> Result:
    """The caller's, the last used first."""
    limit, offset = min(call.parameters["limit"], _MOST_ON_A_PAGE), call.parameters["offset"]
    runs, total = call.service.records.runs(call.whose, call.parameters["project_id"], limit, offset)
    return {
        "training_runs": [_shown(call.service, run) for run in runs],
        "cursor": {"offset": offset, "limit": limit, "total_count": total},
    }


async def get_training_run(call: Call) -> Result:
    """One of them."""
    return _shown(call.service, owned_run(call))


async def list_training_run_checkpoints(call: Call) -> Result:
    """All of one run's, in the order in which they were saved."""
    run = owned_run(call)
    found = call.service.records.checkpoints_of(run.run_id)
    seen = [record for record in found if record.path.kind != EXTERNAL or knows_external(call)]
    return {"checkpoints": [shown(record) for record in seen]}


def owned_run(call: Call) -> RunRecord:
    """The run that the path names. Raises `ApiError` 404."""
    run_id = call.parameters["training_run_id"]
    run = call.service.records.run(run_id)
    if run is None or call.whose not in (None, run.owner):
        raise not_found(f"no training run {run_id[:120]}")
    return run


def _shown(service: Service, run: RunRecord) -> dict[str, Any]:
    model = service.models.in_memory(run.run_id)
    if model is not None:  # when it was last used is stored now and then only
        run = attrs.evolve(run, last_request_at=model.record.last_request_at)
    newest = {kind: service.records.newest_checkpoint(run.run_id, kind) for kind in (TRAINING, SAMPLER)}
    return {
        "training_run_id": run.run_id,
        "base_model": run.base_model,
        "model_owner": run.owner,
        "is_lora": True,
        "corrupted": False,
        "lora_rank": run.lora.rank,
        "last_request_time": rfc3339(run.last_request_at),
        "last_checkpoint": shown(newest[TRAINING]),
        "last_sampler_checkpoint": shown(newest[SAMPLER]),
        "user_metadata": as_texts(run.user_metadata),
        "started_from": service.records.origin(run.run_id),
    }


HANDLERS: Mapping[str, Handler] = {
    "list_training_runs": list_training_runs,
    "get_training_run": get_training_run,
    "list_training_run_checkpoints": list_training_run_checkpoints,
}
