"""Results: asks the server for each promised one until it is there, and for no longer.

A poll is a long one: the server holds it until the result is there or some seconds have passed, so a finished job costs
one round trip. Servers that announce finished samples in batches (`retrieve_futures`) are asked in batches; then any
number of pending samples holds one connection.

What ends a wait: the result; the server's word that the request failed; a status that no repetition can change; or an
outage, that is, failures without a good answer between them for longer than the policy's deadline.

The poller does not know what a result means: it hands over bytes and their content type.
"""

import asyncio
import copy
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import attrs
import orjson

from tinker_hl import loop
from tinker_hl.backpressure import backpressure_of
from tinker_hl.call_settings import options_in_force
from tinker_hl.configuration.profiles import Profile
from tinker_hl.connection import Connection
from tinker_hl.errors import (
    APIConnectionError,
    APIStatusError,
    CircuitOpenError,
    RequestFailedError,
    SessionClosedError,
    TinkerError,
)
from tinker_hl.generated_client import PROTOBUF, Call, EncodedBody
from tinker_hl.in_flight_budget import InFlightBudget
from tinker_hl.operations import retrieve_future, retrieve_futures
from tinker_hl.queue_state import Notice, PauseNotices, QueueState
from tinker_hl.redaction import redacted
from tinker_hl.retry import JITTER, NEVER, AttemptLog, RetryPolicy, named_wait, status_is_retryable

__all__ = ["Payload", "Poller", "Promise", "Watch"]

Watch = Callable[[], None]
"""Raises the error that a wait is to end with; called after each poll."""

POLL_TIMEOUT = 45.0
"""Seconds; servers answer long polls within 30 to 40."""
MAX_POLLS = 768
"""Polls at once; further ones wait their turn. It is three quarters of the transport's connections, or less, so that
submissions get through."""
HELD = 0.1
"""A poll that took this many seconds was held by the server and is repeated at once; a quicker one, after a while."""
BAD_REQUESTS = 3
WARN_EVERY = 60.0
"""Seconds between warnings about one result that cannot be asked for."""
ACK_TIMEOUT = 5.0
REMEMBERED = 100_000


@attrs.frozen(kw_only=True)
class Promise:
    """A request that the server has accepted."""

    request_id: str
    request_type: str
    """The wire's name of the kind of request, such as `ForwardBackward`."""
    call: str
    """The public method, for events."""
    protobuf: bool = False
    """Whether a protobuf result is wanted."""
    submitted_in: float = 0.0
    """Seconds that the submission took."""
    notices: PauseNotices | None = attrs.field(default=None, eq=False, repr=False)
    """Who is told that the server has paused it."""


@attrs.frozen
class Payload:
    """A result as it came."""

    content: bytes = attrs.field(repr=lambda body: f"<{len(body)} bytes>")
    is_protobuf: bool


class Poller:
    """All waits for results of one session.

    Args:
        connection: Where to ask.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        connections = connection.settings.profile.max_connections
        self._polls = InFlightBudget()
        self.most_polls = min(MAX_POLLS, max(1, connections * 3 // 4))
        """Polls at once."""
        self._bytes = backpressure_of(connection.server).response_bytes
        self._streams: dict[tuple[str, int], _SampleStream] = {}

    async def result(
        self,
        promise: Promise,
        stream: tuple[str, int] | None = None,
        *,
        policy: RetryPolicy | None = None,
        watch: Watch | None = None,
    ) -> Payload:
        """Wait for a result.

        Args:
            promise: The accepted request.
            stream: The sampling session and clone number that a sample belongs to; None for other requests.
            policy: How long an outage may be; None for the connection's own.
            watch: May end the wait.

        Raises:
            RequestFailedError: The server worked on the request and failed.
            ResultExpiredError: The server no longer has the result.
            APIStatusError, APIConnectionError: It does not give it out, or was out of reach for too long.
        """
        began = self._connection.clock.now() - promise.submitted_in
        try:
            payload = await self._waited_for(promise, stream, policy, watch)
        except TinkerError as error:
            self._connection.told_failure(promise.call, error, promise.request_id)
            raise
        except asyncio.CancelledError:
            self._connection.events.emit("cancelled", promise.call, request_id=promise.request_id)
            raise
        taken = self._connection.clock.now() - began
        self._connection.events.emit("done", promise.call, request_id=promise.request_id, seconds=taken)
        if stream in self._streams:
            self._streams[stream].fetched(promise.request_id)
        return payload

    def close(self) -> None:
        """Stop asking for announcements."""
        for stream in self._streams.values():
            stream.close()
        self._streams.clear()

    async def _waited_for(
        self, promise: Promise, stream: tuple[str, int] | None, policy: RetryPolicy | None, watch: Watch | None
    ) -> Payload:
        announced = 0
        if stream is not None and self._connection.capabilities.sample_use_retrieve_futures:
            announced = await self._stream(stream).completed(promise.request_id, watch)
        turn = self._polls.held(1, self.most_polls)
        return await _Wait(self._connection, turn, self._bytes, promise, policy, watch).run(announced)

    def _stream(self, key: tuple[str, int]) -> "_SampleStream":
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = _SampleStream(self._connection, *key)
        return stream


class _Wait:
    """One wait for one result."""

    def __init__(
        self,
        connection: Connection,
        turn: AbstractAsyncContextManager[None],
        byte_budget: InFlightBudget,
        promise: Promise,
        policy: RetryPolicy | None,
        watch: Watch | None,
    ) -> None:
        self._connection = connection
        self._turn = turn
        self._byte_budget = byte_budget
        self._promise = promise
        self._policy = policy or connection.policy_in_force
        self._watch = watch
        self._log: AttemptLog = connection.attempts(_by_time_alone(self._policy))
        self._iteration = 0
        self._bad_requests = 0
        self._unheld = 0
        self._warned = float("-inf")

    async def run(self, announced: int) -> Payload:
        """Poll until it is over.

        Args:
            announced: Size of the result in bytes, if the server told it already; 0 if not.
        """
        reserved = 0
        try:
            if announced:
                reserved = await self._byte_budget.take(announced, self._limit)
            while True:
                started = self._connection.clock.now()
                answer = await self._poll(metadata_only=not reserved)
                if isinstance(answer, Payload):
                    return answer
                if self._watch is not None:
                    self._watch()
                size = answer.get("response_payload_size")
                if isinstance(size, int) and not reserved:
                    reserved = await self._byte_budget.take(max(size, 1), self._limit)
                elif answer:
                    self._tell_pending(answer)
                    await self._pace(self._connection.clock.now() - started)
        finally:
            self._byte_budget.give_back(reserved)
            if self._promise.notices is not None:
                self._promise.notices.over(self._promise.request_id)

    @property
    def _limit(self) -> int:
        return self._connection.capabilities.inflight_response_bytes_semaphore_size

    async def _poll(self, *, metadata_only: bool) -> Payload | Mapping[str, Any]:
        """One poll: the result, or what the server said instead ({} after a failure that was waited out)."""
        try:
            async with self._turn:
                if not self._log.retries:
                    # An outage begins with a poll, and not with waiting for one's turn to poll.
                    self._log.started = self._connection.clock.now()
                answer = await self._connection.request(
                    retrieve_future.asyncio_detailed, self._call(), body=self._body(metadata_only)
                )
        except APIStatusError as error:
            return await self._after_status(error)
        except APIConnectionError as error:
            await self._wait_out(error)
            return {}
        finally:
            self._iteration += 1
        self._log.succeeded()
        self._bad_requests = 0
        return self._read(answer.headers.get("content-type", ""), answer.content)

    def _call(self) -> Call:
        headers = {
            "X-Tinker-Request-Iteration": str(self._iteration),
            "X-Tinker-Request-Type": self._promise.request_type,
            "X-Stainless-Raw-Response": "raw",
            **options_in_force().headers,
        }
        if self._iteration == 0:
            headers["X-Tinker-Create-Promise-Roundtrip-Time"] = f"{self._promise.submitted_in:.6f}"
        if self._promise.protobuf:
            headers["Accept"] = PROTOBUF
        # The first poll of an outage may be a long one, whatever the deadline; the last one ends by it.
        timeout = min(POLL_TIMEOUT, max(self._log.left, POLL_TIMEOUT - self._log.elapsed, 1.0))
        return Call(name=self._promise.call, timeout=timeout, policy=NEVER, headers=headers)

    def _body(self, metadata_only: bool) -> EncodedBody:
        body = {"request_id": self._promise.request_id, "allow_metadata_only": metadata_only}
        return EncodedBody(orjson.dumps(body))

    def _read(self, content_type: str, content: bytes) -> Payload | Mapping[str, Any]:
        if PROTOBUF in content_type:
            return Payload(content, is_protobuf=True)
        # Small answers are looked into; a large one can only be a result.
        head = _object(content) if len(content) < 65536 or b'"error"' in content[:64] else {}
        if head.get("type") == "try_again" or head.get("status") == "complete_metadata":
            return head
        if "error" in head:
            raise self._failed(head)
        return Payload(content, is_protobuf=False)

    def _failed(self, body: Mapping[str, Any]) -> RequestFailedError:
        category = body.get("category")
        message = redacted(str(body["error"]), self._connection.credential.secrets)
        return RequestFailedError(message, self._promise.request_id, category if isinstance(category, str) else "")

    async def _after_status(self, error: APIStatusError) -> Mapping[str, Any]:
        """Go on after a status that says nothing final: what the server said; else raise."""
        status = error.status_code
        if status == 408:
            self._log.succeeded()
            return {**(error.body if isinstance(error.body, dict) else {}), "type": "try_again"}
        if status == 402 and await self._connection.paused_for_billing(self._promise.call, error.message, self._policy):
            self._log.succeeded()
            return {}
        if status == 400 and self._bad_requests < BAD_REQUESTS:
            # A proxy's noise, at times; a server that means it says so again.
            self._bad_requests += 1
        elif not status_is_retryable(status, error.response.headers):
            error.request_id = self._promise.request_id
            raise error
        await self._wait_out(error)
        return {}

    async def _wait_out(self, error: APIStatusError | APIConnectionError) -> None:
        if not await self._log.wait(named=_named(error)):
            error.request_id = self._promise.request_id
            raise error
        self._connection.told_retry(
            self._promise.call, error.message, self._log.retries, self._log.waited, self._retry_level()
        )

    def _retry_level(self) -> int:
        """A warning when an outage begins and once a minute; the polls between are for who looks closely."""
        now = self._connection.clock.now()
        if now - self._warned < WARN_EVERY:
            return logging.DEBUG
        self._warned = now
        return logging.WARNING

    def _tell_pending(self, answer: Mapping[str, Any]) -> None:
        state, reason = QueueState(answer.get("queue_state") or "active"), answer.get("queue_state_reason")
        notice = Notice(logging.DEBUG, f"{state}: {reason}" if reason else str(state))
        if self._promise.notices is not None:
            notice = self._promise.notices.told(self._promise.request_id, state, reason, self._connection.clock.now())
        self._connection.events.emit(
            "polled" if state is QueueState.ACTIVE else "queue_state",
            self._promise.call,
            request_id=self._promise.request_id,
            detail=notice.text,
            level=notice.level,
            queue_state=str(state),
            reason=reason,
        )

    async def _pace(self, took: float) -> None:
        """Keep a server that does not hold polls from being asked without pause."""
        if took >= HELD:
            self._unheld = 0
            return
        await self._connection.clock.sleep(_pause(self._connection.settings.profile, self._unheld))
        self._unheld += 1


class _SampleStream:
    """Announcements of finished samples of one sampling client, asked for while anybody waits.

    Invariant: each announced request wakes its waiter once, also when it is announced before it is waited for.
    """

    def __init__(self, connection: Connection, sampling_session_id: str, clone: int) -> None:
        self._connection = connection
        self._target = {
            "type": "sampling_session",
            "sampling_session_id": sampling_session_id,
            "cloned_sampler_id": clone,
        }
        self._cursor = 0
        self._waiting: dict[str, asyncio.Future[int]] = {}
        self._watch: Watch | None = None
        self._early: dict[str, int] = {}
        self._fetched: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    async def completed(self, request_id: str, watch: Watch | None = None) -> int:
        """Wait until a request is finished.

        Args:
            request_id: Which one.
            watch: May end the wait, and that of everybody of this stream: they are samples of one client.

        Returns:
            The size of its result in bytes, or 0 if it was not told.
        """
        self._watch = watch or self._watch
        if request_id in self._early:
            return self._early.pop(request_id)
        waiter: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = waiter
        if self._task is None or self._task.done():
            self._task = loop.spawn(self._run(), name="tinker-hl-announcements", own_context=True)
        try:
            return await waiter
        finally:
            self._waiting.pop(request_id, None)

    def fetched(self, request_id: str) -> None:
        """The result was read: the server may drop it."""
        self._fetched.add(request_id)

    def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            await self._follow()
        except SessionClosedError:
            pass  # Nothing was given up: who still waits is told by the closing itself.
        except TinkerError as error:
            self._connection.events.emit("polled", "retrieve_futures", detail=f"given up: {error.message}", level=30)
        finally:
            self._let_go()

    async def _follow(self) -> None:
        """Ask for announcements until nobody waits and everything is acknowledged."""
        log = self._connection.attempts(_by_time_alone(self._connection.policy))
        while self._waiting:
            await self._listen(log)
            if self._fetched:
                # Somebody may begin to wait meanwhile.
                await self._acknowledge()

    async def _listen(self, log: AttemptLog) -> None:
        unheld = 0
        while self._waiting:
            if not self._goes_on_waiting():
                return
            started = self._connection.clock.now()
            try:
                news = await self._ask(timeout=POLL_TIMEOUT)
            except (APIStatusError, APIConnectionError) as error:
                if not await self._goes_on(error, log):
                    raise
                continue
            log.succeeded()
            if self._tell(news) or self._connection.clock.now() - started >= HELD:
                unheld = 0
            else:
                await self._connection.clock.sleep(_pause(self._connection.settings.profile, unheld))
                unheld += 1

    def _goes_on_waiting(self) -> bool:
        """Whether nothing ends the waits; if something does, everybody is told."""
        try:
            if self._watch is not None:
                self._watch()
        except TinkerError as error:
            for waiter in self._waiting.values():
                if not waiter.done():
                    waiter.set_exception(copy.copy(error))
            self._waiting.clear()
            return False
        return True

    async def _ask(self, timeout: float, hold: float | None = None) -> Mapping[str, Any]:
        acknowledged = sorted(self._fetched)
        body = {"target": self._target, "prev_cursor": self._cursor, "retrieved_request_ids": acknowledged}
        if hold is not None:
            body["timeout"] = hold
        call = Call(name="retrieve_futures", timeout=timeout, policy=NEVER)
        answer = await self._connection.request(
            retrieve_futures.asyncio_detailed, call, body=EncodedBody(orjson.dumps(body))
        )
        self._fetched.difference_update(acknowledged)
        return _object(answer.content)

    def _tell(self, news: Mapping[str, Any]) -> bool:
        """Wake whoever waits for what is finished; whether there was any news."""
        cursor = news.get("cursor")
        if isinstance(cursor, int):
            self._cursor = max(self._cursor, cursor)
        completions = [item for item in news.get("completions") or () if isinstance(item, dict)]
        for item in completions:
            self._wake(str(item.get("request_id")), item.get("response_payload_uncompressed_size"))
        return bool(completions)

    def _wake(self, request_id: str, size: object) -> None:
        announced = size if isinstance(size, int) else 0
        waiter = self._waiting.get(request_id)
        if waiter is None:
            self._early[request_id] = announced
            if len(self._early) > REMEMBERED:
                self._early.pop(next(iter(self._early)))
        else:
            del self._waiting[request_id]
            if not waiter.done():
                waiter.set_result(announced)

    async def _goes_on(self, error: APIStatusError | APIConnectionError, log: AttemptLog) -> bool:
        if isinstance(error, APIStatusError):
            if error.status_code == 408:
                return True
            if error.status_code == 402:
                policy = self._connection.policy
                return await self._connection.paused_for_billing("retrieve_futures", error.message, policy)
            if not status_is_retryable(error.status_code, error.response.headers):
                return False
        if not await log.wait(named=_named(error)):
            return False
        self._connection.told_retry("retrieve_futures", error.message, log.retries, log.waited)
        return True

    def _let_go(self) -> None:
        """Announcements cannot be had: let everybody ask for their own result, which tells them what is wrong."""
        for waiter in self._waiting.values():
            if not waiter.done():
                waiter.set_result(0)

    async def _acknowledge(self) -> None:
        try:
            await self._ask(timeout=ACK_TIMEOUT, hold=0.0)
        except TinkerError as error:
            # Only a courtesy: the server drops what nobody fetches by itself.
            self._connection.events.emit("polled", "retrieve_futures", detail=f"not acknowledged: {error.message}")


def _pause(profile: Profile, unheld: int) -> float:
    """Seconds before poll number `unheld` in a row that the server does not hold; no two waiters in step."""
    longest = min(profile.poll_delay_max, profile.poll_delay_base * 2.0 ** min(unheld, 60))
    return longest * JITTER.uniform(0.5, 1.0)


def _by_time_alone(policy: RetryPolicy) -> RetryPolicy:
    """The policy with its deadline as the only end: each poll that finds nothing would else count as an attempt."""
    return policy if policy.max_retries is None else attrs.evolve(policy, max_retries=None)


def _named(error: APIStatusError | APIConnectionError) -> float | None:
    """The seconds after which it makes sense to ask again, if they are known."""
    if isinstance(error, CircuitOpenError):
        return error.retry_after
    return named_wait(error.response.headers) if isinstance(error, APIStatusError) else None


def _object(content: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(content)
    except ValueError:
        # Bare NaN, which some servers write in numbers: then it is a result, and the codec reads it.
        return {}
    return value if isinstance(value, dict) else {}
