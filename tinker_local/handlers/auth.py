"""About the key that a request carries."""

from collections.abc import Mapping

from tinker_local.handlers.call import Call, Handler, Result

__all__ = ["HANDLERS"]


async def get_api_key(call: Call) -> Result:
    """The key's name; who owns it is not known here."""
    return {
        "key_id": 0,
        "name": call.owner,
        "note": "a key of this local service",
        "details": {"org_details": {"name": "local"}, "user_details": {"email": f"{call.owner}@localhost"}},
    }


HANDLERS: Mapping[str, Handler] = {"get_api_key": get_api_key}
