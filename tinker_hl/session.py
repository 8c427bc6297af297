"""A session: what the server counts models, samplers and their liveness by.

It is opened by the first call that needs it, kept alive by a heartbeat every 10 seconds, and finished when it is
closed, when the last client that belongs to it is dropped, or when the interpreter ends. The session does not know what
models and samplers do; it numbers them.
"""

import asyncio
import atexit
import itertools
import os
import random
import sys
import weakref
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Protocol

import attrs
import orjson

from tinker_hl import loop
from tinker_hl.connection import Connection
from tinker_hl.errors import APIStatusError, SessionClosedError, TinkerError
from tinker_hl.generated_client import EncodedBody
from tinker_hl.operations import create_session, finish_session, heartbeat_session
from tinker_hl.poller import Payload, Poller, Promise, Watch
from tinker_hl.retry import NEVER, RetryPolicy
from tinker_hl.version import SDK_VERSION

__all__ = ["EndStatus", "Session", "SessionOptions", "WireRecord", "json_body"]

HEARTBEAT_TIMEOUT = 10.0
REFRESH_AT_LEAST = 10.0
CHILD_STARTS = (1 << 20, 1 << 30)
"""Where a forked child may start to number: beyond what a parent reaches, and small enough for any server."""
FINISH_POLICY = RetryPolicy(deadline=10.0, connect_deadline=2.0, pause_for_billing=False)
EXIT_SECONDS = 3.0
"""Seconds that the end of the interpreter may wait for sessions to finish."""

EndStatus = Literal["success", "errored", "interrupted"]


class WireRecord(Protocol):
    """A public request type, as far as sending goes."""

    def wire_dict(self) -> dict[str, Any]:
        """What is sent."""
        ...


def json_body(record: WireRecord) -> EncodedBody:
    """A public request type as the body of a generated function."""
    return EncodedBody(orjson.dumps(record.wire_dict(), option=orjson.OPT_SERIALIZE_NUMPY))


@attrs.frozen(kw_only=True)
class SessionOptions:
    """What a session is opened with."""

    user_metadata: Mapping[str, str] = attrs.field(factory=dict)
    project_id: str | None = None
    display_name: str | None = None
    tags: tuple[str, ...] = ()


@attrs.define
class _Life:
    """What a session's background tasks need, without holding the session itself."""

    connection: Connection
    session_id: str | None = None
    owned: bool = True
    """Whether this process opened it, and so finishes it."""
    shared: bool = False
    """Whether another process may use it: then only an explicit close finishes it."""
    ended: bool = False
    heartbeat: "asyncio.Task[None] | None" = None
    process: int = attrs.field(factory=os.getpid)

    async def finish(self, status: EndStatus, detail: str | None) -> None:
        """Tell the server, once; a server that cannot be told is let be."""
        if self.ended:
            return
        self.ended = True
        # Not kept: a cancelled task holds its frame, and so this object, in a circle that would hold the sockets open.
        heartbeat, self.heartbeat = self.heartbeat, None
        if heartbeat is not None:
            heartbeat.cancel()
        if self.session_id is None or not self.owned:
            return
        patience = min(FINISH_POLICY.deadline, self.connection.policy.deadline)
        policy = attrs.evolve(FINISH_POLICY, deadline=patience)
        call = self.connection.call("ServiceClient.close", policy=policy, timeout=5.0)
        body = EncodedBody(orjson.dumps({"reason": {"type": status}, "detail": detail}))
        self.connection.events.emit("session_ended", "ServiceClient.close", detail=f"{self.session_id} {status}")
        try:
            await self.connection.request(finish_session.asyncio_detailed, call, session_id=self.session_id, body=body)
        except APIStatusError as error:
            if error.status_code not in (404, 405, 410, 501):
                raise

    async def drop(self, status: EndStatus = "success") -> None:
        """Nobody holds the session any more: finish it quietly, unless another process may use it."""
        if self.shared or self.process != os.getpid():
            self.ended = True
        try:
            await self.finish(status, None)
        except TinkerError as error:
            self.connection.events.emit("notice", "session", detail=f"not finished: {error.message}", level=10)


class Session:
    """See the module. Invariant: opened at most once; after `aclose` every use raises `SessionClosedError`.

    Args:
        connection: The way to the server.
        options: What to open it with.
        session_id: One that another process opened; None to open a new one.
    """

    def __init__(
        self, connection: Connection, options: SessionOptions | None = None, session_id: str | None = None
    ) -> None:
        self.connection = connection
        self.options = options or SessionOptions()
        self._life = _Life(connection=connection, session_id=session_id, owned=session_id is None)
        self._model_numbers = itertools.count()
        self._sampler_numbers = itertools.count()
        self._loss_numbers = itertools.count()
        self._opening: asyncio.Task[str] | None = None
        self._poller: Poller | None = None
        self._siblings: list[_Life] = []
        _sessions.add(self)
        weakref.finalize(self, _drop_later, self._life).atexit = False
        loop.reset_after_fork(self)

    @property
    def session_id(self) -> str | None:
        """The server's name of it; None before it was opened."""
        return self._life.session_id

    def next_model(self) -> int:
        """A number for the session's next model."""
        return next(self._model_numbers)

    def next_sampler(self) -> int:
        """A number for the session's next sampling session."""
        return next(self._sampler_numbers)

    def next_loss(self) -> int:
        """A number for the session's next custom loss."""
        return next(self._loss_numbers)

    def share(self) -> None:
        """Another process is given a part of it: do not finish it just because this one drops it."""
        self._life.shared = True

    def refuse_closed(self) -> None:
        """Raise if it was closed."""
        if self._life.ended:
            raise SessionClosedError("the client is closed, or its session has ended")

    async def opened(self) -> str:
        """Open it if need be; its id."""
        self.refuse_closed()
        if self._opening is None:
            self._opening = loop.spawn(self._open(), name="tinker-hl-session", shared=True)
        task = self._opening
        try:
            return await asyncio.shield(task)
        except BaseException:
            if task.done() and self._opening is task:
                self._opening = None
            if self._life.ended and task.cancelled():
                raise SessionClosedError("the client was closed meanwhile") from None
            raise

    async def request(self, function: Callable[..., Awaitable[Any]], name: str, **arguments: Any) -> Any:
        """One call of the public method `name` through a generated function; `Connection.request` has the rest."""
        return await self.connection.request(function, self.connection.call(name), **arguments)

    async def result(
        self,
        promise: Promise,
        stream: tuple[str, int] | None = None,
        *,
        policy: RetryPolicy | None = None,
        watch: Watch | None = None,
    ) -> Payload:
        """Wait for an accepted request's result; see `Poller.result`."""
        if self._poller is None:
            self._poller = Poller(self.connection)
        return await self._poller.result(promise, stream, policy=policy, watch=watch)

    def sibling(self) -> "Session":
        """Another session on the same connection, which is finished when this one is closed, if not before."""
        other = Session(self.connection, self.options)
        self._siblings = [life for life in self._siblings if not life.ended]
        self._siblings.append(other._life)
        return other

    async def finish(self, status: EndStatus) -> None:
        """Finish it on the server, quietly, and leave the connection to others; safe to repeat."""
        await self._life.drop(status)

    async def aclose(self, status: EndStatus = "success", detail: str | None = None) -> None:
        """Finish it on the server and close the connection; safe to repeat."""
        try:
            await asyncio.gather(*(life.drop(status) for life in self._siblings))
            await self._life.finish(status, detail)
        finally:
            if self._opening is not None:
                self._opening.cancel()
            if self._poller is not None:
                self._poller.close()
            await self.connection.aclose()

    def after_fork(self) -> None:
        """The heartbeat and the polls are the parent's; the child beats too, and finishes nothing it did not open.

        It numbers from a start of its own: what it and its parent number alike is one model to the server.
        """
        start = random.SystemRandom().randrange(*CHILD_STARTS)
        self._model_numbers, self._sampler_numbers, self._loss_numbers = (itertools.count(start) for _ in range(3))
        self._poller = None
        self._life.heartbeat = None
        self._opening = None

    async def _open(self) -> str:
        await self.connection.ready()
        if self._life.session_id is None:
            answer = await self.request(create_session.asyncio_detailed, "create_session", body=self._creation())
            self._life.session_id = answer.parsed.session_id
            self._tell_messages(orjson.loads(answer.content))
            session_id = str(self._life.session_id)
            self.connection.events.emit("session_started", "ServiceClient", detail=session_id, session_id=session_id)
        elif self.connection.telemetry is not None:
            self.connection.telemetry.join(self._life.session_id)
        _finish_all_first()
        self._life.heartbeat = loop.spawn(
            _beat(weakref.ref(self), self._life), name="tinker-hl-heartbeat", own_context=True
        )
        return str(self._life.session_id)

    def _creation(self) -> EncodedBody:
        options = self.options
        body: dict[str, Any] = {
            "tags": list(options.tags),
            "user_metadata": dict(options.user_metadata),
            "sdk_version": SDK_VERSION,
            "type": "create_session",
        }
        if options.project_id is not None:
            body["project_id"] = options.project_id
        if options.display_name is not None:
            body["display_name"] = options.display_name
        return EncodedBody(orjson.dumps(body))

    def _tell_messages(self, answer: Mapping[str, Any]) -> None:
        for field, level in (("info_message", 20), ("warning_message", 30), ("error_message", 40)):
            if answer.get(field):
                self.connection.events.emit("notice", "ServiceClient", detail=str(answer[field]), level=level)


_sessions: "weakref.WeakSet[Session]" = weakref.WeakSet()


async def _beat(session: "weakref.ref[Session]", life: _Life) -> None:
    """Tell the server again and again that the session lives, for as long as somebody holds it."""
    connection, profile = life.connection, life.connection.settings.profile
    body = EncodedBody(orjson.dumps({"session_id": life.session_id, "type": "session_heartbeat"}))
    last_success = refreshed = asyncio.get_running_loop().time()
    while True:
        await asyncio.sleep(profile.heartbeat_interval)
        if session() is None or life.ended:
            return
        if asyncio.get_running_loop().time() - refreshed >= max(
            connection.dynamic.refresh_interval_sec, REFRESH_AT_LEAST
        ):
            refreshed = asyncio.get_running_loop().time()
            loop.spawn(connection.refresh_dynamic_quietly())
        call = connection.call("session_heartbeat", policy=NEVER, timeout=HEARTBEAT_TIMEOUT)
        try:
            await connection.request(heartbeat_session.asyncio_detailed, call, body=body)
        except TinkerError as error:
            if getattr(error, "status_code", None) == 410:
                life.ended = True
                connection.events.emit("session_ended", "session_heartbeat", detail="the server has ended the session")
                return
            silent = asyncio.get_running_loop().time() - last_success
            level = 30 if silent > profile.heartbeat_warning else 10
            detail = f"no heartbeat for {silent:.0f} s: {error.message}"
            connection.events.emit("heartbeat_failed", "session_heartbeat", detail=detail, level=level, silent_s=silent)
        else:
            last_success = asyncio.get_running_loop().time()


def _drop_later(life: _Life) -> None:
    """Runs when the last holder of a session dropped it, in whatever thread that was."""
    if not life.ended and life.session_id is not None:
        loop.run(life.drop())


def _exit_status() -> EndStatus:
    """How the program ended, as far as can be told."""
    last = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    if last is None:
        return "success"
    return "errored" if isinstance(last, Exception) else "interrupted"


def _finish_all_first() -> None:
    """Have sessions finished before anything that was registered until now ends, such as a local service."""
    atexit.unregister(_finish_all)
    atexit.register(_finish_all)


def _finish_all() -> None:
    """Finish what is still open when the interpreter ends, without holding it up for long."""
    open_lives = [session._life for session in list(_sessions) if not session._life.ended]
    lives = [life for life in open_lives if life.session_id is not None and life.process == os.getpid()]
    if lives:
        status = _exit_status()
        future = loop.run(_drop_all(lives, status))
        try:
            future.result(EXIT_SECONDS)
        except TimeoutError:
            future.cancel()


async def _drop_all(lives: list[_Life], status: EndStatus) -> None:
    await asyncio.gather(*(life.drop(status) for life in lives), return_exceptions=True)
    await asyncio.gather(*(life.connection.aclose() for life in lives), return_exceptions=True)
