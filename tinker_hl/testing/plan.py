"""Which requests meet which faults: said one by one, or drawn from a seed.

A plan is a value and remembers nothing. It is asked for the fault of the n-th request to an endpoint, n from 1, and
always says the same; so requests to different endpoints may come in any order. `FaultSchedule` does the counting.
"""

import random
from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TypeAlias

import attrs

from tinker_hl.testing.endpoint import endpoint_of
from tinker_hl.testing.fault import SECONDS, SURVIVABLE, Fault, InjectedKind

__all__ = ["FaultPlan", "FaultSchedule"]


def _check_number(_: object, __: object, value: int) -> None:
    if value < 1:
        raise ValueError(f"requests are numbered from 1, got {value}")


def _check_rate(_: object, __: object, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"rate is the share of requests that meet a fault, from 0 to 1, got {value}")


def _check_kinds(_: object, __: object, value: tuple[InjectedKind, ...]) -> None:
    if not value:
        raise ValueError("kinds must name at least one fault")
    for kind in value:
        Fault(kind)


@attrs.frozen
class _Placed:
    """A fault for one request."""

    endpoint: str
    number: int = attrs.field(validator=_check_number)
    fault: Fault
    limit: int | None = None

    def fault_for(self, endpoint: str, number: int) -> Fault | None:
        hit = number == self.number and fnmatchcase(endpoint, self.endpoint)
        return self.fault if hit else None

    def __repr__(self) -> str:
        plain = Fault(self.fault.kind) == self.fault
        return f"FaultPlan.at({(self.endpoint, self.number)!r}, {self.fault.kind if plain else self.fault!r})"


@attrs.frozen
class _Drawn:
    """Faults at random, the same for the same seed."""

    seed: int
    rate: float = attrs.field(validator=_check_rate)
    kinds: tuple[InjectedKind, ...] = attrs.field(validator=_check_kinds)
    at: tuple[str, ...]
    limit: int | None
    seconds: float

    def fault_for(self, endpoint: str, number: int) -> Fault | None:
        if not any(fnmatchcase(endpoint, pattern) for pattern in self.at):
            return None
        # A generator for each request: no draw depends on what other endpoints were asked meanwhile.
        draws = random.Random(f"{self.seed}/{endpoint}/{number}")
        return Fault(draws.choice(self.kinds), self.seconds) if draws.random() < self.rate else None

    def __repr__(self) -> str:
        told = [repr(self.seed), f"rate={self.rate!r}"]
        told += [f"kinds={self.kinds!r}"] if self.kinds != SURVIVABLE else []
        told += [f"at={self.at!r}"] if self.at != ("*",) else []
        told += [f"limit={self.limit!r}"] if self.limit is not None else []
        told += [f"seconds={self.seconds!r}"] if self.seconds != SECONDS else []
        return f"FaultPlan.random({', '.join(told)})"


_Rule: TypeAlias = _Placed | _Drawn


@attrs.frozen(repr=False)
class FaultPlan:
    """Rules, of which the first one that has a fault for a request counts. `FaultPlan()` injects nothing.

    Plans are joined with `|`. The `repr` of a plan makes it again.
    """

    rules: tuple[_Rule, ...] = ()

    @classmethod
    def at(cls, place: tuple[str, int], fault: Fault | InjectedKind) -> "FaultPlan":
        """One fault for one request.

        Args:
            place: The endpoint, as in `"optim_step"` or `"sessions/*/finish"`, and which request to it, from 1. A
                retry is a request too.
            fault: What it meets.
        """
        endpoint, number = place
        return cls((_Placed(endpoint, number, Fault.of(fault)),))

    @classmethod
    def random(
        cls,
        seed: int,
        *,
        rate: float = 0.1,
        kinds: Sequence[InjectedKind] = SURVIVABLE,
        at: Sequence[str] = ("*",),
        limit: int | None = None,
        seconds: float = SECONDS,
    ) -> "FaultPlan":
        """Faults drawn at random, the same for the same seed.

        Args:
            seed: Of the draws.
            rate: The share of requests that meet a fault, from 0 to 1.
            kinds: Which faults, each as likely as the others.
            at: Endpoints, as shell patterns.
            limit: The most faults in all; None for no limit. Which ones come under it depends on the order of
                requests across endpoints.
            seconds: Of delays.

        Raises:
            ValueError: The rate is no share, or there is no such fault.
        """
        return cls((_Drawn(seed, rate, tuple(kinds), tuple(at), limit, seconds),))

    @property
    def kinds(self) -> frozenset[InjectedKind]:
        """Every fault that it may inject."""
        found: set[InjectedKind] = set()
        for rule in self.rules:
            found |= {rule.fault.kind} if isinstance(rule, _Placed) else set(rule.kinds)
        return frozenset(found)

    def __or__(self, other: "FaultPlan") -> "FaultPlan":
        return FaultPlan(self.rules + other.rules)

    def __repr__(self) -> str:
        return " | ".join(map(repr, self.rules)) or "FaultPlan()"


class FaultSchedule:
    """A plan that is being carried out.

    Invariant: requests are numbered from 1 for each endpoint, and no rule injects more often than its limit.

    Args:
        plan: What to carry out.
    """

    def __init__(self, plan: FaultPlan) -> None:
        self.plan = plan
        self._requests: Counter[str] = Counter()
        self._injected: Counter[int] = Counter()

    def next(self, url: str) -> tuple[str, int, Fault | None]:
        """Count a request: its endpoint, its number there, and what it meets."""
        endpoint = endpoint_of(url)
        self._requests[endpoint] += 1
        number = self._requests[endpoint]
        for index, rule in enumerate(self.plan.rules):
            fault = rule.fault_for(endpoint, number)
            if fault is not None and (rule.limit is None or self._injected[index] < rule.limit):
                self._injected[index] += 1
                return endpoint, number, fault
        return endpoint, number, None
