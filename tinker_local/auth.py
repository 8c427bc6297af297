"""Who is asking: the key in `X-API-Key`, compared in constant time. It does not know what an owner may do."""

import ipaddress

from starlette.requests import Request

from tinker_local.errors import ApiError
from tinker_local.keys import KeyRing
from tinker_local.settings import Settings

__all__ = ["Gate"]

_HEADER = "x-api-key"


class Gate:
    """Lets requests in, under the name of their key's owner."""

    def __init__(self, settings: Settings) -> None:
        """Raises `ValueError` for a service that everybody could reach and nobody would need a key for."""
        if not settings.api_keys and not _is_loopback(settings.host):
            raise ValueError(
                f"{settings.host} can be reached from other machines, so keys are needed: give Settings.api_keys"
            )
        self._keys = KeyRing(settings.api_keys)

    def owner(self, request: Request) -> str:
        """The owner's name; raises `ApiError` 401."""
        key = request.headers.get(_HEADER)
        owner = self._keys.owner(key)
        if owner is None:
            problem = "the X-API-Key header is missing" if not key else "the key in X-API-Key is not known here"
            raise ApiError(401, "unauthorized", problem)
        return owner


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
