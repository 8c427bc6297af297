"""The only seam to the network: something that sends one request and returns one answer.

`NetworkTransport` goes over sockets, `AsgiTransport` calls an application in this process; a transport that records, or
that injects faults, is a class with the same two methods. A transport neither retries nor authenticates nor judges a
status: it returns every answer that the server gave, and raises `TransportFault` where there was none.
The two transports are loaded when they are first asked for: the one over sockets brings aiohttp along.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tinker_hl.transport.base import Request, Response, Transport, TransportFault

if TYPE_CHECKING:
    from tinker_hl.transport.asgi import AsgiTransport
    from tinker_hl.transport.network import NetworkTransport
    from tinker_hl.transport.route import Route

__all__ = ["AsgiTransport", "NetworkTransport", "Request", "Response", "Route", "Transport", "TransportFault"]

_MODULES = {"AsgiTransport": "asgi", "NetworkTransport": "network", "Route": "route"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    return value
