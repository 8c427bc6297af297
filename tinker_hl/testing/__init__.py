"""For tests of code that uses this client: faults, recorded calls, recordings to replay, time that does not pass.

    plan = FaultPlan.random(seed=7, rate=0.2)
    with no_waiting(), FaultTransport(NetworkTransport(), plan) as transport:
        service = tinker_hl.ServiceClient(base_url="local", transport=transport)
        ...
    assert transport.faults

It needs no test framework, and knows nothing of the local service: any server will do.
"""

from tinker_hl.retry import InstantClock
from tinker_hl.testing.fault import KINDS, SURVIVABLE, Fault, InjectedKind
from tinker_hl.testing.fault_proxy import FaultProxy
from tinker_hl.testing.fault_transport import FaultTransport
from tinker_hl.testing.instant_time import TimelessClock, no_waiting
from tinker_hl.testing.plan import FaultPlan
from tinker_hl.testing.recorded_call import RecordedCall
from tinker_hl.testing.recording import RecordingError, RecordingTransport
from tinker_hl.testing.replay import NotRecordedError, ReplayTransport

__all__ = [
    "KINDS",
    "SURVIVABLE",
    "Fault",
    "FaultPlan",
    "FaultProxy",
    "FaultTransport",
    "InjectedKind",
    "InstantClock",
    "NotRecordedError",
    "RecordedCall",
    "RecordingError",
    "RecordingTransport",
    "ReplayTransport",
    "TimelessClock",
    "no_waiting",
]
