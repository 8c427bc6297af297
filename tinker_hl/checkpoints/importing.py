"""`import_adapter`: a LoRA adapter that was trained elsewhere, as a checkpoint on a server that takes such.

What can be seen here is checked here: that it is plain LoRA of one rank, with finite values and shapes that fit each
other. Whether its layers are those of the base model is the server's to say.
"""

import asyncio
import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from tinker_hl.checkpoints.adapter import WEIGHTS_FILE, Adapter
from tinker_hl.checkpoints.errors import AdapterError, CheckpointError
from tinker_hl.errors import APIStatusError
from tinker_hl.futures import APIFuture
from tinker_hl.generated_client import EncodedBody
from tinker_hl.operations import import_weights

if TYPE_CHECKING:
    from tinker_hl import ServiceClient

__all__ = ["import_adapter", "import_adapter_async"]

CALL: Final = "checkpoints.import_adapter"
_NOT_OFFERED: Final = frozenset({404, 405, 501})
_REFUSED: Final = frozenset({400, 422})
MOST_BYTES: Final = 190 * 2**20
"""Of the weights file: a request of the local service may have 256 MiB, and base64 adds a third."""


def import_adapter(
    service: "ServiceClient",
    folder: str | Path,
    base_model: str,
    *,
    name: str = "imported",
    ttl_seconds: int | None = None,
    timeout: float = 600.0,
) -> str:
    """Make a checkpoint of an adapter that peft or another service wrote.

    Go on with `service.create_training_client_from_state(path)` or `service.create_sampling_client(path)`. It has no
    optimizer state.

    Args:
        service: Its server takes the adapter, into a new run of this session.
        folder: Holds `adapter_config.json` and `adapter_model.safetensors`.
        base_model: The name under which the server serves the adapter's base model.
        name: Of the checkpoint.
        ttl_seconds: Seconds until it is deleted; None keeps it.
        timeout: Seconds to wait.

    Returns:
        `tinker://<run>/weights/<name>`.

    Raises:
        AdapterError: It is no plain LoRA adapter, too large to send, or does not fit the base model.
        CheckpointError: The server takes no adapters.
    """
    folder = Path(folder)
    adapter = Adapter.read(folder)
    weights = folder / WEIGHTS_FILE
    if weights.stat().st_size > MOST_BYTES:
        raise AdapterError(
            f"{weights} has {weights.stat().st_size} bytes, more than the {MOST_BYTES} that can be sent",
            hint="bring it to a smaller rank by tinker_hl.checkpoints.compress, or save it as bfloat16",
        )
    body: dict[str, Any] = {
        "base_model": base_model,
        "path": name,
        "adapter_config": dict(adapter.config),
        "adapter_model": base64.b64encode(weights.read_bytes()).decode(),
    }
    if ttl_seconds is not None:
        body["ttl_seconds"] = ttl_seconds
    try:
        return APIFuture(_send(service, body)).result(timeout)
    except APIStatusError as error:
        if error.status_code in _REFUSED:
            said = error.body.get("detail") if isinstance(error.body, dict) else None
            raise AdapterError(f"the server refused the adapter in {folder}: {said or error.message}") from error
        if error.status_code in _NOT_OFFERED and not _told(error):
            raise CheckpointError(
                "the server takes no adapters that were trained elsewhere",
                hint="the local service does: ServiceClient(base_url='local') or tinker-hl serve",
            ) from error
        raise


async def import_adapter_async(
    service: "ServiceClient",
    folder: str | Path,
    base_model: str,
    *,
    name: str = "imported",
    ttl_seconds: int | None = None,
    timeout: float = 600.0,
) -> str:
    """See `import_adapter`; the work is done in a thread."""
    return await asyncio.to_thread(
        import_adapter, service, folder, base_model, name=name, ttl_seconds=ttl_seconds, timeout=timeout
    )


async def _send(service: "ServiceClient", body: dict[str, Any]) -> str:
    session = service._session
    session_id = await session.opened()
    content = orjson.dumps({**body, "session_id": session_id, "model_seq_id": service._number()})
    answer = await session.request(import_weights.asyncio_detailed, CALL, body=EncodedBody(content))
    return str(answer.parsed.tinker_path)


def _told(error: APIStatusError) -> bool:
    """Whether a 404 is about something that the request names, and not about the operation."""
    return isinstance(error.body, dict) and error.body.get("code") not in (None, "no_such_route")
