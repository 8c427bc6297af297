"""Operations of the API that this service does not offer: each answered 404, with the reason."""

from collections.abc import Mapping

from tinker_local.errors import ApiError
from tinker_local.handlers.call import Call, Handler, Result

__all__ = ["HANDLERS", "NOT_OFFERED"]

NOT_OFFERED: Mapping[str, str] = {
    "create_custom_loss": "custom losses run in the client, which needs no upload",
}
"""Operation id -> why, and what to do instead."""


def _refusal(operation_id: str, reason: str) -> Handler:
    async def refuse(_: Call) -> Result:
        raise ApiError(404, "not_offered", f"{operation_id} is not offered by this service: {reason}")

    return refuse


HANDLERS: Mapping[str, Handler] = {name: _refusal(name, reason) for name, reason in NOT_OFFERED.items()}
