"""Promises: what was accepted and will come to a result, or to `{"error", "category"}`. Waiters are woken in memory.

A promise never loses its result by being asked for it: it stays for a while after each delivery, then it is gone (410).
It does not know HTTP, nor who computes.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, Protocol

import attrs
import orjson

from tinker_local.clock import Clock
from tinker_local.engine.protocol import SampleOutput, TrainingOutput
from tinker_local.errors import gone, not_found
from tinker_local.unfetched import Unfetched
from tinker_local.wire.results import sample_json, sample_proto, training_json, training_proto
from tinker_local.wire.tensors import RowLayout

__all__ = [
    "Answer",
    "Category",
    "Failure",
    "Futures",
    "JsonAnswer",
    "Promise",
    "QueueState",
    "SampleAnswer",
    "TrainingAnswer",
]

Category = Literal["user", "server", "unknown"]
QueueState = Literal["active", "paused_capacity", "paused_rate_limit"]

_REMEMBERED = 200_000
"""Ids of promises that are gone, so that a late question is answered 410 and not 404; some 30 MB at most."""


_PER_SECOND = 1_000_000
"""More completions than one client of a sampling session gets in a second."""
_SMALL = 512
"""Bytes of a result without its numbers, about."""
_MANY = 100_000
"""Numbers of a result that take some milliseconds to encode."""


class Answer(Protocol):
    """What a promise comes to, in the forms in which clients ask for it."""

    @property
    def failed(self) -> bool:
        """Whether it is a failure."""
        ...

    @property
    def large(self) -> bool:
        """Whether making a form may take long enough to be noticed by others."""
        ...

    @property
    def size(self) -> int:
        """Bytes that it has in memory, about."""
        ...

    def json(self) -> bytes:
        """As JSON."""
        ...

    def protobuf(self) -> bytes | None:
        """As protobuf, where the protocol has such a form."""
        ...


@attrs.frozen
class JsonAnswer:
    """A result that is small, and JSON for everybody."""

    content: Mapping[str, Any]
    failed = False
    large = False
    size = _SMALL

    def json(self) -> bytes:
        """The content."""
        return orjson.dumps(self.content)

    def protobuf(self) -> None:
        """There is none."""
        return


@attrs.frozen
class Failure:
    """The work was refused (`user`) or could not be done (`server`)."""

    error: str
    category: Category
    failed = True
    large = False
    size = _SMALL

    def json(self) -> bytes:
        """The failure, told with status 200: clients ask again for ever after most others."""
        return orjson.dumps({"error": self.error, "category": self.category})

    def protobuf(self) -> None:
        """There is none."""
        return


@attrs.frozen(eq=False)
class TrainingAnswer:
    """What a pass through the model gave. Its forms are made when they are asked for, and not kept: most results are
    fetched once, and all of them stay in memory for minutes.
    """

    output: TrainingOutput
    failed = False

    @property
    def large(self) -> bool:
        """Whether it has many numbers."""
        return sum(values.size for values in self.output.logprobs) > _MANY

    @property
    def size(self) -> int:
        """That of its numbers, and a little."""
        return _SMALL + sum(values.nbytes for values in self.output.logprobs)

    def json(self) -> bytes:
        """For clients before 0.19."""
        return orjson.dumps(training_json(self.output), option=orjson.OPT_SERIALIZE_NUMPY)

    def protobuf(self) -> bytes:
        """For newer ones."""
        return training_proto(self.output)


@attrs.frozen(eq=False)
class SampleAnswer:
    """What sampling gave; made into its forms as a `TrainingAnswer` is."""

    output: SampleOutput
    sequence_ids: tuple[str, ...]
    layout: RowLayout | None = None
    """Of the tokens that were to be scored, where they were asked for in CSR."""
    failed = False

    @property
    def large(self) -> bool:
        """Whether it has many numbers."""
        return sum(sequence.tokens.size for sequence in self.output.sequences) > _MANY

    @property
    def size(self) -> int:
        """That of its numbers, and a little."""
        return _SMALL + self.output.nbytes

    def json(self) -> bytes:
        """For clients before 0.18.1."""
        content = sample_json(self.output, sequence_ids=self.sequence_ids, layout=self.layout)
        return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)

    def protobuf(self) -> bytes:
        """For newer ones."""
        return sample_proto(self.output, self.layout)


@attrs.define(eq=False, kw_only=True)
class Promise:
    """Something that was accepted. It gets its answer once; a second one is ignored."""

    request_id: str
    owner: str
    session_id: str | None = None
    model_id: str | None = None
    sequence_ids: tuple[str, ...] = ()
    fingerprint: bytes = b""
    """Tells whether a repeated submission is the same."""
    idempotency_key: str | None = None
    """The client's name for the call, where that is what tells its repeats."""
    feed: "Feed | None" = None
    """Where its completion is announced, for samples."""
    held_by: str | None = None
    """Why it does not run yet, for people."""
    queue_state: QueueState = "active"
    """Why it does not run yet, for programs."""
    journalled: "asyncio.Future[None] | None" = None
    """Done when the request is durable; None where nobody writes it down."""
    answer: Answer | None = attrs.field(default=None, init=False)
    keep_until: float | None = attrs.field(default=None, init=False)
    """Monotonic; None as long as nothing has been delivered and the session lives."""
    on_begin: Callable[[], None] | None = attrs.field(default=None, init=False)
    on_done: list[Callable[[], None]] = attrs.field(factory=list, init=False)

    @property
    def done(self) -> bool:
        """Whether there is an answer."""
        return self.answer is not None

    def begin(self) -> None:
        """The work is begun; called by the task that does it."""
        if self.on_begin is not None:
            self.on_begin()

    def resolve(self, answer: Answer) -> None:
        """Give the answer and wake whoever waits."""
        if self.answer is not None:
            return
        self.answer = answer
        self.held_by, self.queue_state = None, "active"
        callbacks, self.on_done = self.on_done, []
        for callback in callbacks:
            callback()
        if self.feed is not None:
            self.feed.announce(self)

    def fail(self, error: str, category: Category) -> None:
        """Give a failure as the answer."""
        self.resolve(Failure(error, category))

    async def wait(self, seconds: float) -> Answer | None:
        """The answer, or None if there is none within the time."""
        if self.answer is None and seconds > 0:
            await _woken(self.on_done, seconds)
        return self.answer

    def submitted(self) -> dict[str, Any]:
        """The `UntypedAPIFuture` that a submission is answered with."""
        body: dict[str, Any] = {"request_id": self.request_id}
        if self.model_id is not None:
            body["model_id"] = self.model_id
        if self.sequence_ids:
            body["sample_sequence_ids"] = list(self.sequence_ids)
        return body


async def _woken(callbacks: list[Callable[[], None]], seconds: float) -> None:
    """Wait until one of the callbacks is called, or the time is up."""
    loop = asyncio.get_running_loop()
    woken = loop.create_future()

    def wake() -> None:
        if not woken.done():
            woken.set_result(None)

    callbacks.append(wake)
    alarm = loop.call_later(seconds, wake)
    try:
        await woken
    finally:
        alarm.cancel()
        if wake in callbacks:
            callbacks.remove(wake)


@attrs.define(eq=False)
class Feed:
    """Completions of one client of a sampling session, numbered one by one; acknowledged ones are forgotten."""

    _cursor: int = 0
    """The number of the newest one."""
    _completions: deque[tuple[int, Promise]] = attrs.field(factory=deque, init=False)
    _waiting: list[Callable[[], None]] = attrs.field(factory=list, init=False)

    def announce(self, promise: Promise) -> None:
        """One more is done."""
        self._cursor += 1
        self._completions.append((self._cursor, promise))
        waiting, self._waiting = self._waiting, []
        for wake in waiting:
            wake()

    def forget(self, promises: Container[Promise]) -> None:
        """Their results are no longer kept: not every client asks for news, and so acknowledges them."""
        self._completions = deque(pair for pair in self._completions if pair[1] not in promises)

    async def after(self, cursor: int, seconds: float) -> tuple[list[Promise], int]:
        """Those announced after `cursor`, waited for if there are none yet; and the new cursor, never below the old."""
        while self._completions and self._completions[0][0] <= cursor:
            self._completions.popleft()
        if not self._completions and seconds > 0:
            await _woken(self._waiting, seconds)
        news = [promise for number, promise in self._completions if number > cursor]
        return news, max(cursor, self._cursor)


class Futures:
    """All promises of one service, by id."""

    def __init__(
        self,
        clock: Clock,
        retention: float,
        *,
        unfetched: Unfetched,
        recall: Callable[[str], "Promise | None"],
        existed: Callable[[str, str], bool],
        unfinished: Callable[[str], "Promise | None"] = lambda _: None,
        follow: Callable[[Promise], None] = lambda _: None,
        keep: Callable[[Promise], None] = lambda _: None,
        gone_before: Iterable[str] = (),
        news_before: Callable[[str, int], "Sequence[Promise] | None"] = lambda *_: None,
    ) -> None:
        """Begin with none.

        Args:
            clock: for retention.
            retention: seconds that a result stays after its last delivery, or after its session's end.
            unfetched: how many results of open sessions stay that were never delivered.
            recall: a kept promise from before the service was started, with its answer.
            existed: whether an id that is unknown here was given out to this owner before the service was started.
            unfinished: what an id came to whose work an earlier life of the service left unfinished.
            follow: told of each new promise.
            keep: told of each promise that has its answer.
            news_before: what one client of a sampling session has not fetched of an earlier life, with the answers;
                None for a session of this life.
            gone_before: ids of promises that were here before the service was started, and are no longer kept.
        """
        self._clock = clock
        self._retention = retention
        self._unfetched = unfetched
        self._recall = recall
        self._existed = existed
        self._unfinished = unfinished
        self._follow = follow
        self._keep = keep
        self._news_before = news_before
        self._promises: dict[str, Promise] = {}
        self._gone: OrderedDict[str, str] = OrderedDict.fromkeys(gone_before, "")
        """Their owners, as far as that is known here."""
        self._feeds: dict[tuple[str, int], Feed] = {}

    def __len__(self) -> int:
        return len(self._promises)

    def add(self, promise: Promise) -> Promise:
        """Take a new promise in."""
        self._promises[promise.request_id] = promise
        if not promise.done:
            self._follow(promise)
            promise.on_done.append(partial(self._done, promise))
        return promise

    def make_room(self, session_id: str | None) -> None:
        """See that a session may have another result. Raises `ApiError` 429 if too many were not fetched."""
        for request_id in self._unfetched.make_room(session_id or ""):
            self._promises[request_id].keep_until = self._clock.monotonic()

    def _done(self, promise: Promise) -> None:
        self._keep(promise)
        if promise.session_id is not None and promise.answer is not None and promise.keep_until is None:
            self._unfetched.add(promise.session_id, promise.request_id, promise.answer.size)

    def find(self, request_id: str) -> Promise | None:
        """A promise, if it is still here or can be recalled."""
        promise = self._promises.get(request_id)
        if promise is None and not self.was(request_id):
            promise = self._recall(request_id)
            if promise is not None:
                self.add(promise)
        return promise

    def was(self, request_id: str) -> bool:
        """Whether a promise of this id was here, and is no longer."""
        return request_id in self._gone

    def get(self, request_id: str, owner: str) -> Promise:
        """A promise of this owner. Raises `ApiError`: 410 if it is no longer kept, 404 if it never was."""
        promise = self.find(request_id)
        if promise is None and not self.was(request_id):
            promise = self._unfinished(request_id)
        if promise is not None and promise.owner == owner:
            return promise
        if promise is None and (self._gone.get(request_id) == owner or self._existed(request_id, owner)):
            raise gone(f"the result of {request_id} is no longer kept; make the request again if it is still needed")
        raise not_found(f"no request {request_id[:120]}")

    def feed(self, sampling_session_id: str, clone: int) -> Feed:
        """The completions of one client of a sampling session."""
        key = sampling_session_id, clone
        feed = self._feeds.get(key)
        if feed is None:
            earlier = self._news_before(*key)
            # Beyond every number of an earlier life: its client goes on from the one that it saw last.
            feed = self._feeds[key] = Feed() if earlier is None else Feed(int(self._clock.wall()) * _PER_SECOND)
            for promise in earlier or ():
                feed.announce(promise)
        return feed

    def delivered(self, promise: Promise) -> None:
        """Its answer is on the way: from now on the time runs."""
        if promise.keep_until is None:
            self._unfetched.remove(promise.session_id, promise.request_id)
        promise.keep_until = self._clock.monotonic() + self._retention

    def taken(self, request_id: str, owner: str) -> None:
        """Its answer has arrived for certain: it need not be kept."""
        promise = self._promises.get(request_id)
        if promise is not None and promise.owner == owner and promise.done:
            self.delivered(promise)
            promise.keep_until = self._clock.monotonic()

    def end_session(self, session_id: str) -> None:
        """Forget its feeds; its results stay for the usual time, see `sweep`."""
        for key in [key for key in self._feeds if key[0].startswith(f"{session_id}:")]:
            del self._feeds[key]
        self._unfetched.end_session(session_id)

    def note_gone(self, request_ids: Iterable[str]) -> None:
        """These were here, and are no longer kept."""
        self._gone.update(dict.fromkeys((one for one in request_ids if one not in self._gone), ""))

    def sweep(self, is_open: Callable[[str], bool]) -> list[str]:
        """Forget what need not be kept any longer; what nobody fetched stays as long as its session is open, unless
        there is too much of it.

        Returns:
            The ids of what was forgotten.
        """
        forgotten = []
        now = self._clock.monotonic()
        done = [promise for promise in self._promises.values() if promise.done]
        in_feeds: dict[Feed, set[Promise]] = {}
        for promise in done:
            if promise.keep_until is None:
                if promise.session_id is None or not is_open(promise.session_id):
                    self.delivered(promise)
            elif promise.keep_until <= now:
                del self._promises[promise.request_id]
                self._gone[promise.request_id] = promise.owner
                forgotten.append(promise.request_id)
                if promise.feed is not None:
                    in_feeds.setdefault(promise.feed, set()).add(promise)
        for feed, promises in in_feeds.items():
            feed.forget(promises)
        while len(self._gone) > _REMEMBERED:
            self._gone.popitem(last=False)
        return forgotten
