"""The only seam to the network: something that sends one request and returns one answer.

`NetworkTransport` goes over sockets, `AsgiTransport` calls an application in this process; a transport that records, or
that injects faults, is a class with the same two methods. A transport neither retries nor authenticates nor judges a
status: it returns every answer that the server gave, and raises `TransportFault` where there was none.
"""

from tinker_hl.transport.asgi import AsgiTransport
from tinker_hl.transport.base import Request, Response, Transport, TransportFault
from tinker_hl.transport.network import NetworkTransport
from tinker_hl.transport.route import Route

__all__ = ["AsgiTransport", "NetworkTransport", "Request", "Response", "Route", "Transport", "TransportFault"]
