"""A transport around another one that lets requests fare as a plan says, and keeps what was called.

It neither retries nor knows what a request means. Waits go through the clock that it is given.
"""

from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from tinker_hl.retry import Clock, default_clock
from tinker_hl.testing.fault import Fault
from tinker_hl.testing.plan import FaultPlan, FaultSchedule
from tinker_hl.testing.recorded_call import RecordedCall
from tinker_hl.testing.wrapper import TransportWrapper
from tinker_hl.transport.base import Request, Response, Transport, TransportFault

__all__ = ["FaultTransport"]


class FaultTransport(TransportWrapper):
    """See the module. Invariant: `calls` has every request in the order in which they were made.

    Args:
        inner: What delivers requests.
        plan: What goes wrong; None only keeps the calls.
        clock: The time that delays take; None for real time, and for none within `no_waiting`.
    """

    def __init__(self, inner: Transport, plan: FaultPlan | None = None, *, clock: Clock | None = None) -> None:
        super().__init__(inner)
        self._schedule = FaultSchedule(plan or FaultPlan())
        self._clock: Clock = clock or default_clock()
        self.calls: list[RecordedCall] = []
        """Every request so far, oldest first."""

    @property
    def plan(self) -> FaultPlan:
        """What goes wrong."""
        return self._schedule.plan

    @property
    def faults(self) -> list[RecordedCall]:
        """The calls that met a fault."""
        return [call for call in self.calls if call.fault is not None]

    def calls_to(self, endpoint: str) -> list[RecordedCall]:
        """The calls to endpoints that match a shell pattern, as in `"forward*"`."""
        return [call for call in self.calls if fnmatchcase(call.endpoint, endpoint)]

    async def send(self, request: Request) -> Response:
        """Let a request fare as the plan says; see `Transport.send`."""
        call = RecordedCall.of(request, *self._schedule.next(request.url))
        self.calls.append(call)
        try:
            response = await self._fare(request, call)
        except TransportFault as fault:
            call.error = fault.kind
            raise
        call.status = response.status
        return response

    async def _fare(self, request: Request, call: RecordedCall) -> Response:
        fault = call.fault
        if fault is None:
            return await self._deliver(request, call)
        if not fault.reaches_server:
            return _unseen(fault, request)
        if fault.kind == "delay":
            await self._late(request, fault)
        response = await self._deliver(request, call)
        if fault.status is not None:
            return fault.answer()
        if fault.kind == "duplicate":
            return await self._deliver(request, call)
        if fault.kind == "slow_body":
            await self._late(request, fault)
        elif fault.kind != "delay":
            raise _lost(fault, response)
        return response

    async def _deliver(self, request: Request, call: RecordedCall) -> Response:
        call.delivered += 1
        return await self._inner.send(request)

    async def _late(self, request: Request, fault: Fault) -> None:
        """Wait; a request whose time is up meanwhile fails as it would on the network."""
        await self._clock.sleep(min(fault.seconds, request.timeout))
        if fault.seconds >= request.timeout:
            raise TransportFault("timeout", f"no answer within {request.timeout:g} s (injected: {fault.kind})")


def _unseen(fault: Fault, request: Request) -> Response:
    """What becomes of a request that the server does not see."""
    if fault.status is not None:
        return fault.answer()
    host = urlsplit(request.url).hostname
    if fault.kind == "refused":
        raise TransportFault("refused", f"no connection to {host} (injected)")
    if fault.kind == "unresolved":
        raise TransportFault("unresolved", f"the host name {host} is unknown (injected)")
    raise TransportFault("lost", "the connection broke before the request was sent (injected)")


def _lost(fault: Fault, response: Response) -> TransportFault:
    if fault.kind == "cut_during_response":
        size = len(response.content)
        return TransportFault("lost", f"the connection broke after {size // 2} of {size} bytes (injected)")
    return TransportFault("lost", "the connection broke before the answer (injected)")
