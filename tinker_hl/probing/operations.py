"""Every operation of the API, called once with arguments that do no harm, in an order in which each has what it needs.

It makes a session, two models of rank 1 and a few checkpoints, and deletes what it saved. Nothing of anybody else's is
touched; `delete_api_key`, which would take away the key in use, is not called. Nothing is retried: what a server
answers is what it offers.
"""

import pkgutil
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from typing import Any, Final, Literal

import attrs
import orjson
import tinker_api.api
from tinker_api.models import AuditEventType

from tinker_hl.connection import Connection
from tinker_hl.errors import APIStatusError, TinkerError
from tinker_hl.generated_client import EncodedBody
from tinker_hl.retry import NEVER
from tinker_hl.types.record import json_bytes

__all__ = ["OPERATIONS", "Outcome", "Probe", "Tried", "probe_operations"]

Outcome = Literal["offered", "missing", "refused", "failed", "not tried"]
"""*refused*: the operation is there, and this call of it was turned down. *not tried*: what it needs was not to be had,
or it would do harm."""
TOKENS: Final = (5, 9, 13, 17, 21, 25)
TTL_SECONDS: Final = 3600
RESULT_SECONDS: Final = 120.0
_MISSING: Final = frozenset({404, 405, 501})


def _functions() -> dict[str, Callable[..., Awaitable[Any]]]:
    """The generated function of each operation, by its id."""
    found = {}
    for group in pkgutil.iter_modules(tinker_api.api.__path__, "tinker_api.api."):
        for module in pkgutil.iter_modules(import_module(group.name).__path__, f"{group.name}."):
            found[module.name.rpartition(".")[2]] = import_module(module.name).asyncio_detailed
    return found


OPERATIONS: Final = tuple(sorted(_functions()))
"""The ids of all operations."""


@attrs.frozen(kw_only=True)
class Tried:
    """What one operation answered."""

    operation: str
    outcome: Outcome
    detail: str
    """The result in a few words, or the refusal."""
    seconds: float = 0.0


class NotToBeHadError(Exception):
    """What an operation needs, an earlier one did not give."""


class Probe:
    """The calls, and what they found out for one another.

    Args:
        connection: To the server.
        model: A base model that it serves.
    """

    def __init__(self, connection: Connection, model: str) -> None:
        self._connection = connection
        self._functions = _functions()
        self._model = model
        self._seq = 0
        self.answers: dict[str, Any] = {}
        """What operations answered, by their ids; the results of promises, where they promise one."""
        self.promises: dict[str, Any] = {}
        self.losses: dict[str, str | None] = {}
        """The losses that were tried, and why one was refused."""

    async def call(
        self, operation: str, body: Mapping[str, Any] | None = None, *, raw_key: bool = False, **arguments: Any
    ) -> Any:
        """Make one call; returns the answer's JSON, or None.

        Args:
            operation: Its id.
            body: Its JSON.
            raw_key: Whether the key itself is sent, and no token that it was traded for.
            arguments: Those of the generated function.
        """
        if body is not None:
            arguments["body"] = EncodedBody(json_bytes(dict(body)))
        call = self._connection.call(f"probe.{operation}", policy=NEVER, accept_redirect=True, raw_key=raw_key)
        answer = await self._connection.request(self._functions[operation], call, **arguments)
        location = answer.headers.get("location")
        if location is not None:
            return {"url": location}
        try:
            return orjson.loads(answer.content) if answer.content else None
        except ValueError:
            return None

    async def promised(self, operation: str, body: Mapping[str, Any]) -> Any:
        """Make a call that promises a result, and wait for that."""
        promise = self.promises[operation] = await self.call(operation, body)
        deadline = self._connection.clock.now() + RESULT_SECONDS
        while self._connection.clock.now() < deadline:
            found = await self.call("retrieve_future", {"request_id": promise["request_id"]})
            if not isinstance(found, dict) or found.get("type") != "try_again":
                break
            await self._connection.clock.sleep(0.1)
        else:
            raise TinkerError(f"no result within {RESULT_SECONDS:g} s")
        if isinstance(found, dict) and "error" in found:
            raise TinkerError(str(found["error"]))
        return found

    def known(self, operation: str, field: str) -> Any:
        """A field of what an earlier operation answered.

        Raises:
            NotToBeHadError: It did not, or has no such field.
        """
        found = self.answers.get(operation)
        if not isinstance(found, dict) or not found.get(field):
            raise NotToBeHadError(f"{operation} gave no {field}")
        return found[field]

    def next_seq(self) -> int:
        """The number of the model's next call; it counts the calls that were made."""
        self._seq += 1
        return self._seq

    @property
    def model(self) -> str:
        """The base model."""
        return self._model

    @property
    def session(self) -> str:
        """The session's id."""
        return str(self.known("create_session", "session_id"))

    def checkpoint(self, operation: str) -> dict[str, Any]:
        """A saved checkpoint, as the generated functions address it."""
        run, kind, name = str(self.known(operation, "path")).removeprefix("tinker://").split("/")
        return {"training_run_id": run, "checkpoint_kind": kind, "checkpoint_name": name}


Step = Callable[[Probe], Awaitable[Any]]


async def probe_operations(connection: Connection, model: str, told: Callable[[Tried], None]) -> Probe:
    """Call every operation.

    Args:
        connection: To the server.
        model: A base model that it serves.
        told: Hears of each operation, as it has answered.

    Returns:
        The probe, with the answers.
    """
    from tinker_hl.probing.steps import STEPS

    probe = Probe(connection, model)
    for operation, step in STEPS.items():
        began = time.perf_counter()
        outcome, detail = await _tried(probe, operation, step)
        told(Tried(operation=operation, outcome=outcome, detail=detail, seconds=round(time.perf_counter() - began, 3)))
    return probe


async def _tried(probe: Probe, operation: str, step: Step | str) -> tuple[Outcome, str]:
    if isinstance(step, str):
        return "not tried", step
    try:
        probe.answers[operation] = answer = await step(probe)
    except NotToBeHadError as error:
        return "not tried", str(error)
    except APIStatusError as error:
        said = f"status {error.status_code}: {_said(error)}"
        return ("missing" if error.status_code in _MISSING else "refused"), said
    except TinkerError as error:
        return "failed", error.message or str(error)
    except (TypeError, ValueError, KeyError) as error:
        return "failed", f"the answer is not what was promised: {type(error).__name__}: {error}"
    return "offered", _short(answer)


def _said(error: APIStatusError) -> str:
    detail = error.body.get("detail") if isinstance(error.body, dict) else None
    return str(detail or error.message)[:200]


def _short(answer: Any) -> str:
    if not isinstance(answer, dict) or not answer:
        return "done"
    return f"answers {', '.join(sorted(answer)[:4])}{', ...' if len(answer) > 4 else ''}"


def unique(prefix: str) -> str:
    """A name that nothing else has."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


AUDIT_ALL: Final = AuditEventType("all")
