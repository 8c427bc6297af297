"""What each operation does: a few lines each, one file a tag of the spec.

A handler gets a `Call` whose body and parameters were checked against the spec, and returns a JSON object, a response
of its own making, or nothing (204). `HANDLERS` has one for each operation, by its id.
"""

from collections.abc import Mapping

from tinker_local.handlers import (
    admin,
    auth,
    checkpoints,
    custom_losses,
    futures,
    imports,
    sampling,
    service,
    sessions,
    telemetry,
    training,
    training_runs,
    weights,
)
from tinker_local.handlers.call import Handler

__all__ = ["HANDLERS"]

HANDLERS: Mapping[str, Handler] = {
    **admin.HANDLERS,
    **auth.HANDLERS,
    **checkpoints.HANDLERS,
    **custom_losses.HANDLERS,
    **futures.HANDLERS,
    **imports.HANDLERS,
    **sampling.HANDLERS,
    **service.HANDLERS,
    **sessions.HANDLERS,
    **telemetry.HANDLERS,
    **training.HANDLERS,
    **training_runs.HANDLERS,
    **weights.HANDLERS,
}
