"""The gate: whether a service may be reached by others at all, and the credential in `X-API-Key`.

It does not know who has which credential (`tinker_local.callers`), nor what a caller may do. Where no key is needed it
keeps web pages out.
"""

from starlette.requests import Request

from tinker_local.callers import Caller, Callers
from tinker_local.settings import DATABASE_FILE, Settings, is_loopback
from tinker_local.store.keys import were_made
from tinker_local.web_pages import check_no_page

__all__ = ["admitted", "check_reach"]

_HEADER = "x-api-key"


def check_reach(settings: Settings) -> None:
    """Raises `ValueError` for a service that everybody could reach and nobody would need a key for."""
    if settings.api_keys or is_loopback(settings.host) or were_made(settings.data_dir / DATABASE_FILE):
        return
    raise ValueError(
        f"{settings.host} can be reached from other machines, so keys are needed: give Settings.api_keys, "
        "or make one with `tinker-hl keys create`"
    )


def admitted(request: Request, callers: Callers) -> Caller:
    """Who sent a request. Raises `ApiError`: 401, or 403 for a web page where no key would stop it."""
    caller = callers.caller(request.headers.get(_HEADER, ""))
    if not callers.locked:
        check_no_page(request)
    return caller
