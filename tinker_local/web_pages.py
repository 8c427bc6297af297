"""Web pages, kept from driving a service that needs no key. It does not know keys, nor what a request asks for.

A service on a loopback address trusts the programs of its machine. A browser is one of them, and runs the programs of
every page that is open in it. Two ways lead from a page to such a service, and both are closed here:

- *another site's request*: a page may send simple requests anywhere, though it cannot read the answers. Browsers say so
  themselves, by `Origin` and `Sec-Fetch-Site`; nothing else that speaks this protocol sends either.
- *rebinding*: a page's own domain name is made to lead to 127.0.0.1, so that for the browser the service belongs to the
  page. The name then stands in `Host`, and none of the names of a loopback service is one of the public web.

A page cannot send a key that it does not have, so a service that needs one needs none of this.
"""

import ipaddress
from urllib.parse import urlsplit

from starlette.requests import Request

from tinker_local.errors import ApiError

__all__ = ["check_no_page", "is_local_name"]

_OWN_SITE = ("none", "same-origin")
"""Values of `Sec-Fetch-Site` for an address that somebody typed, and for a page of the service itself."""


def check_no_page(request: Request) -> None:
    """Raises `ApiError` 403 for a request that a web page may have made."""
    origin = request.headers.get("origin")
    if origin is not None:
        raise _refused(f"the header Origin says that the web page {origin[:80]!r} sent this")
    site = request.headers.get("sec-fetch-site", "none")
    if site not in _OWN_SITE:
        raise _refused(f"the header Sec-Fetch-Site says that a web page sent this ({site[:40]!r})")
    host = request.headers.get("host", "")
    if not is_local_name(host):
        raise _refused(f"the header Host names {host[:80]!r}, and a page may have pointed such a name at this machine")


def is_local_name(host: str) -> bool:
    """Whether a `Host` header names no domain of the public web: an address, `localhost`, or a name without a dot.

    An address is what it says and cannot be pointed elsewhere, and a forwarded port or a container's alias has either
    one or a plain name.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    name = name.removesuffix(".")
    if name.endswith(".localhost") or (name and "." not in name and ":" not in name):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _refused(problem: str) -> ApiError:
    return ApiError(
        403,
        "web_page",
        f"{problem}. A service without keys answers programs, at a loopback address or localhost. "
        "To reach it otherwise, make a key (`tinker-hl keys create`) and send it",
    )
