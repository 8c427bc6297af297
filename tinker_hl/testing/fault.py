"""What can go wrong with one request on its way, as names and values. It knows neither transports nor plans."""

import math
from collections.abc import Mapping
from typing import Literal, get_args

import attrs
import orjson

from tinker_hl.transport.base import Response

__all__ = ["KINDS", "SURVIVABLE", "Fault", "InjectedKind"]

InjectedKind = Literal[
    "refused",
    "unresolved",
    "cut_before_send",
    "cut_after_commit",
    "cut_during_response",
    "402",
    "410",
    "429",
    "429_retry_after",
    "500",
    "503",
    "503_after_commit",
    "delay",
    "duplicate",
    "slow_body",
]
"""How a request can fare.

- `refused`, `unresolved`: nobody listens; the host name is unknown.
- `cut_before_send`: the connection breaks, and the server never sees the request.
- `cut_after_commit`: the server does what it was asked, and its answer is lost.
- `cut_during_response`: the same, and the connection breaks in the middle of the answer.
- `402`, `410`, `429`, `500`, `503`: answered with that status before the server sees the request; `429_retry_after`
  also says how long to wait.
- `503_after_commit`: the server does what it was asked, and something before it answers 503 in its place.
- `delay`: the request is late.
- `duplicate`: the request is delivered twice; the second answer counts.
- `slow_body`: the answer is late.
"""
KINDS: tuple[InjectedKind, ...] = get_args(InjectedKind)
SURVIVABLE: tuple[InjectedKind, ...] = (
    "cut_before_send",
    "cut_after_commit",
    "cut_during_response",
    "429",
    "429_retry_after",
    "500",
    "503",
    "503_after_commit",
    "delay",
    "duplicate",
    "slow_body",
)
"""What a client is to get over without its caller noticing."""
SECONDS = 0.05
_UNSEEN: frozenset[InjectedKind] = frozenset(
    {"refused", "unresolved", "cut_before_send", "402", "410", "429", "429_retry_after", "500", "503"}
)


def _check_kind(_: object, __: object, value: str) -> None:
    if value not in KINDS:
        raise ValueError(f"there is no fault {value!r}; there are {', '.join(KINDS)}")


@attrs.frozen
class Fault:
    """One fault. Its `repr` makes it again."""

    kind: InjectedKind = attrs.field(validator=_check_kind)
    seconds: float = SECONDS
    """How late a `delay` or a `slow_body` is, and what a `429_retry_after` asks for."""

    @classmethod
    def of(cls, value: "Fault | InjectedKind") -> "Fault":
        """A fault as it is, or one by its name."""
        return value if isinstance(value, Fault) else cls(value)

    @property
    def reaches_server(self) -> bool:
        """Whether the server sees the request."""
        return self.kind not in _UNSEEN

    @property
    def status(self) -> int | None:
        """The status that is answered in the server's place; None for the faults that answer nothing of their own."""
        head = self.kind.partition("_")[0]
        return int(head) if head.isdigit() else None

    def answer(self) -> Response:
        """What is answered in the server's place.

        Raises:
            ValueError: This fault answers nothing.
        """
        if self.status is None:
            raise ValueError(f"a {self.kind} answers nothing of its own")
        body = {"detail": f"{self.status} injected by tinker_hl.testing"}
        return Response(status=self.status, headers=self._headers(), content=orjson.dumps(body))

    def _headers(self) -> Mapping[str, str]:
        headers = {"content-type": "application/json"}
        if self.kind == "429_retry_after":
            # The standard header knows whole seconds only; clients of this API read the finer one first.
            headers |= {"retry-after-ms": f"{self.seconds * 1000:g}", "retry-after": str(math.ceil(self.seconds))}
        return headers

    def __repr__(self) -> str:
        return f"Fault({self.kind!r})" if self.seconds == SECONDS else f"Fault({self.kind!r}, {self.seconds!r})"
