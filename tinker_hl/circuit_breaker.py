"""A circuit breaker for each class of endpoints: after some failures in a row, calls fail at once for a while.

States, after Nygard ("Release It!"): closed; open after `failures` failures in a row; half-open once `open_seconds`
have passed, when one request is let through as a probe: an answer closes the circuit, a failure opens it anew. A
failure is a request that got no answer, or a status of 500 and above other than 501. The module does not know what
requests are for.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Literal, get_args

import attrs

from tinker_hl import loop
from tinker_hl.errors import CircuitOpenError, RequestInfo
from tinker_hl.retry import Clock
from tinker_hl.transport.base import Request, Response, TransportFault

__all__ = ["Circuit", "CircuitBreaker", "Circuits", "EndpointClass", "circuits_of", "endpoint_class"]

EndpointClass = Literal["session", "training", "sampling", "polling", "rest"]
EVERY_CLASS: Final[frozenset[EndpointClass]] = frozenset(get_args(EndpointClass))
CircuitState = Literal["closed", "open", "half-open"]
Told = Callable[[str, str, CircuitState], None]
"""Takes an endpoint class, a sentence, and the new state."""

_CLASS_OF: Final[dict[str, EndpointClass]] = {
    "create_session": "session",
    "session_heartbeat": "session",
    "create_sampling_session": "session",
    "join_sampling_session": "session",
    "config": "session",
    "dynamic_config": "session",
    "token": "session",
    "finish": "session",
    "create_model": "training",
    "forward": "training",
    "forward_backward": "training",
    "optim_step": "training",
    "save_weights": "training",
    "save_weights_for_sampler": "training",
    "save_weights_external": "training",
    "load_weights": "training",
    "unload_model": "training",
    "get_info": "training",
    "create_custom_loss": "training",
    "asample": "sampling",
    "retrieve_future": "polling",
    "retrieve_futures": "polling",
    "cancel_future": "polling",
}


def endpoint_class(url: str) -> EndpointClass:
    """The class of the endpoint that a URL names; "rest" for what is in no other."""
    return _CLASS_OF.get(url.partition("?")[0].rstrip("/").rpartition("/")[2], "rest")


def _checked_classes(names: Iterable[EndpointClass]) -> frozenset[EndpointClass]:
    chosen = frozenset(names)
    unknown = sorted(chosen - EVERY_CLASS)
    if unknown:
        raise ValueError(f"no such classes of endpoints: {unknown}; there are {sorted(EVERY_CLASS)}")
    return chosen


@attrs.frozen(kw_only=True)
class CircuitBreaker:
    """When circuits open, and for how long. Clients of one server that are given equal ones share their circuits.

    Attributes:
        failures: This many failed requests in a row of one class open its circuit.
        open_seconds: Seconds before a probe.
        classes: The classes of endpoints that have a circuit.
    """

    failures: int = attrs.field(default=5, validator=attrs.validators.ge(1))
    open_seconds: float = attrs.field(default=30.0, validator=attrs.validators.gt(0))
    classes: frozenset[EndpointClass] = attrs.field(default=EVERY_CLASS, converter=_checked_classes)


class Circuit:
    """One circuit. Invariant: while it is not closed at most one admitted request, the probe, is unsettled.

    Each change of state begins a new generation; what was admitted before it says nothing any more.
    """

    def __init__(self, breaker: CircuitBreaker) -> None:
        self._breaker = breaker
        self._failures = 0
        self._opened_at: float | None = None
        self._probing = False
        self._generation = 0

    def state(self, now: float) -> CircuitState:
        """The state at a moment."""
        if self._opened_at is None:
            return "closed"
        return "half-open" if self.retry_after(now) <= 0 else "open"

    def retry_after(self, now: float) -> float:
        """Seconds until a probe may go; 0 or less if it may."""
        return 0.0 if self._opened_at is None else self._opened_at + self._breaker.open_seconds - now

    def admit(self, now: float) -> int | None:
        """A number to settle the request with, if it may go."""
        if self._opened_at is None:
            return self._generation
        if self._probing or self.retry_after(now) > 0:
            return None
        self._probing = True
        self._generation += 1
        return self._generation

    def settle(self, admission: int, answered: bool | None, now: float) -> CircuitState | None:
        """Take an admitted request's end into account.

        Args:
            admission: From `admit`.
            answered: Whether the server answered it; None if it was given up before that could be known.
            now: The time.

        Returns:
            The new state, if it has changed.
        """
        if admission != self._generation:
            return None
        probe, self._probing = self._probing, False
        if answered is None:
            return None
        self._failures = 0 if answered else self._failures + 1
        if probe and answered:
            return self._change(None, "closed")
        if probe or self._failures >= self._breaker.failures:
            return self._change(now, "open")
        return None

    def forget_probe(self) -> None:
        """Whoever probes will not tell: let another one."""
        self._probing = False

    def _change(self, opened_at: float | None, state: CircuitState) -> CircuitState:
        self._opened_at = opened_at
        self._failures = 0
        self._generation += 1
        return state


class Circuits:
    """The circuits of one server."""

    def __init__(self, breaker: CircuitBreaker) -> None:
        self._breaker = breaker
        self._circuits: dict[EndpointClass, Circuit] = {name: Circuit(breaker) for name in sorted(breaker.classes)}
        loop.reset_after_fork(self)

    async def send(
        self, request: Request, attempt: Callable[[Request], Awaitable[Response]], clock: Clock, told: Told
    ) -> Response:
        """Make one attempt, unless the circuit is open.

        Args:
            request: What to send.
            attempt: Sends it.
            clock: The time.
            told: Is told of changes.

        Raises:
            CircuitOpenError: It was not sent.
        """
        name = endpoint_class(request.url)
        circuit = self._circuits.get(name)
        if circuit is None:
            return await attempt(request)
        admission = circuit.admit(clock.now())
        if admission is None:
            raise _open_error(request, name, circuit.retry_after(clock.now()))
        answered: bool | None = None
        try:
            response = await attempt(request)
            answered = response.status < 500 or response.status == 501
            return response
        except TransportFault:
            answered = False
            raise
        finally:
            state = circuit.settle(admission, answered, clock.now())
            if state is not None:
                told(name, self._sentence(name, state), state)

    def after_fork(self) -> None:
        """A probe that is under way is the parent's."""
        for circuit in self._circuits.values():
            circuit.forget_probe()

    def _sentence(self, name: str, state: CircuitState) -> str:
        if state == "closed":
            return f"the circuit for {name} requests is closed again: the server answered"
        return f"the circuit for {name} requests is open: none is sent for {self._breaker.open_seconds:g} s"


_by_server: dict[tuple[tuple[str, str], CircuitBreaker], Circuits] = {}


def circuits_of(server: tuple[str, str], breaker: CircuitBreaker) -> Circuits:
    """The process's circuits for one (address, key digest); safe from any thread."""
    key = (server, breaker)
    found = _by_server.get(key)
    return found if found is not None else _by_server.setdefault(key, Circuits(breaker))


def _open_error(request: Request, name: str, retry_after: float) -> CircuitOpenError:
    # A probe that is under way leaves no time to name: look again soon.
    seconds = max(retry_after, 1.0)
    info = RequestInfo(request.method, request.url, request.headers)
    message = f"not sent: the circuit for {name} requests is open after several failures; try again in {seconds:.0f} s"
    return CircuitOpenError(info, message, endpoint_class=name, retry_after=seconds)
