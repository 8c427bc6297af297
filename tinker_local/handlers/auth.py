"""About the credential that a request carries: described, exchanged for a token, revoked."""

from collections.abc import Mapping

from tinker_local.errors import ApiError
from tinker_local.handlers.call import Call, Handler, Result

__all__ = ["HANDLERS"]


async def get_api_key(call: Call) -> Result:
    """The key's name, and what was noted when it was made. People are not known here, so the address is made up."""
    key = call.caller.key
    return {
        "key_id": 0 if key is None else key.key_id,
        "name": call.owner,
        "note": "given when the service was started" if key is None else key.note,
        "details": {"org_details": {"name": "local"}, "user_details": {"email": f"{call.owner}@localhost"}},
    }


async def delete_api_key(call: Call) -> Result:
    """Revoke the key that the request carries, and every token got with it, at once."""
    key = call.caller.key
    if key is None:
        raise ApiError(
            403, "not_stored", "this key was given when the service was started; start it again without the key"
        )
    await call.service.callers.revoke(key)
    call.service.audit.note("key_revoke", call.owner, key_id=key.key_id)
    return None


async def exchange_token(call: Call) -> Result:
    """A token that stands for the key for a while."""
    return {"jwt": call.service.callers.token(call.caller)}


HANDLERS: Mapping[str, Handler] = {
    "get_api_key": get_api_key,
    "delete_api_key": delete_api_key,
    "exchange_token": exchange_token,
}
