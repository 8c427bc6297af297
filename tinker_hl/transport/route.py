"""The way to a server: which proxy stands between, and whose certificates are trusted.

A proxy is taken from where it was named for this client, else from `HTTP_PROXY`, `HTTPS_PROXY` and `ALL_PROXY`, but for
the hosts of `NO_PROXY`. The system's certificates are trusted (`SSL_CERT_FILE`, `SSL_CERT_DIR`), and those given here
besides. It sends nothing itself.
"""

import base64
import os
import ssl
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import attrs

from tinker_hl.errors import REDACTED, ConfigurationError

__all__ = ["Certificates", "Proxy", "Route", "proxy_at"]

Certificates = str | os.PathLike[str] | ssl.SSLContext
"""A file or a folder of certificates in PEM form, or a whole TLS context."""
SYSTEM_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


@attrs.frozen
class Proxy:
    """A proxy that requests go through. Its `repr` shows no credential."""

    address: str
    """Without user name and password."""
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=lambda headers: f"{sorted(headers)}: {REDACTED}")
    """What the proxy is told with each request, or with each CONNECT, and the server never."""


def proxy_at(address: str, headers: Mapping[str, str] | None = None, *, name: str = "proxy=") -> Proxy:
    """A proxy by its URL, `http://user:password@host:port` or less.

    Args:
        address: The URL; a user name and a password in it become the header `Proxy-Authorization`.
        headers: More headers for the proxy; they win.
        name: Where the URL comes from, for errors.

    Raises:
        ConfigurationError: It is no address of a proxy that speaks HTTP.
    """
    hint = "Give http://host:port or http://user:password@host:port; https:// where the proxy itself speaks TLS."
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        port = parts.port
    except ValueError:
        raise ConfigurationError(f"{name} is no address", hint=hint) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"{name} names no HTTP proxy but {parts.scheme or 'nothing'}://", hint=hint)
    own: dict[str, str] = {}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        own["Proxy-Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    place = f"{parts.scheme}://{host}" + (f":{port}" if port else "")
    return Proxy(place, {**own, **(headers or {})})


@attrs.frozen(kw_only=True)
class Route:
    """See the module.

    Attributes:
        proxy: The URL of a proxy for every address; None for what the environment says.
        proxy_headers: More headers for the proxy, whichever it is.
        certificates: Trusted beside the system's, or a TLS context in place of everything.
        skips_proxy: Whether `NO_PROXY` holds for `proxy`, too.

    Raises:
        ConfigurationError: The URL of the proxy is none.
    """

    proxy: str | None = attrs.field(default=None, repr=lambda given: "None" if given is None else REDACTED)
    proxy_headers: Mapping[str, str] = attrs.field(factory=dict, repr=lambda headers: f"{sorted(headers)}")
    certificates: Certificates | None = None
    skips_proxy: bool = False

    def __attrs_post_init__(self) -> None:
        if self.proxy is not None:
            proxy_at(self.proxy)

    def proxy_for(self, scheme: str, host: str) -> Proxy | None:
        """The proxy for an origin.

        Args:
            scheme: `http` or `https`.
            host: With the port, if there is one.
        """
        if self.proxy is not None and not (self.skips_proxy and proxy_bypass(host)):
            return proxy_at(self.proxy, self.proxy_headers)
        if self.proxy is not None or proxy_bypass(host):
            return None
        set_ones = getproxies()
        for name in (scheme, "all"):
            if set_ones.get(name):
                return proxy_at(set_ones[name], self.proxy_headers, name=f"{name.upper()}_PROXY")
        return None

    def tls(self) -> ssl.SSLContext:
        """The context for servers whose address begins with https. Reads files when it is first asked for.

        Raises:
            ConfigurationError: There are no such certificates.
        """
        if isinstance(self.certificates, ssl.SSLContext):
            return self.certificates
        given = None if self.certificates is None else os.fspath(self.certificates)
        return _context(given, tuple(os.environ.get(name, "") for name in SYSTEM_CERTIFICATES))


@cache
def _context(certificates: str | None, system: tuple[str, ...]) -> ssl.SSLContext:
    """One context for all connections that trust the same; loading certificates takes tens of milliseconds."""
    for name, place in zip(SYSTEM_CERTIFICATES, system, strict=True):
        # OpenSSL would trust nobody, and every connection fail with a sentence about certificates.
        if place and not all(Path(part).exists() for part in place.split(os.pathsep)):
            raise ConfigurationError(f"{name} names {place!r}, which is not there")
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if certificates is not None:
        _trust(context, Path(certificates))
    return context


def _trust(context: ssl.SSLContext, place: Path) -> None:
    try:
        if place.is_dir():
            for file in sorted(file for file in place.iterdir() if file.suffix in (".pem", ".crt", ".cer")):
                context.load_verify_locations(cafile=file)
        else:
            context.load_verify_locations(cafile=place)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"the certificates {place} cannot be used: {error}", hint="Give a file in PEM form, or a folder of some."
        ) from error
