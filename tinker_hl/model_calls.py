"""The calls of one model, in order: submits them under their sequence ids and waits for their results.

A pass over many datums goes as several requests (chunks) with one id each. Where the server takes them side by side,
all but the first are sent at once and the first one last, so that the server has the whole batch when it may begin.
Datums are encoded in worker threads before the turn comes: protobuf where the server speaks it, JSON where not.

It knows nothing of losses, optimizers or the user's objects beyond what the codecs and the chunking do.
"""

import asyncio
import copy
import itertools
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

import attrs
import orjson

from tinker_hl import loop
from tinker_hl.backpressure import backpressure_of
from tinker_hl.codec import codec_of
from tinker_hl.codec.pieces import EncodedDatum
from tinker_hl.codec.results import forward_backward_output
from tinker_hl.errors import APIError, APIStatusError, CircuitOpenError, SubmissionFailedError, TinkerError
from tinker_hl.generated_client import JSON, PROTOBUF, EncodedBody
from tinker_hl.giving_way import giving_way
from tinker_hl.kept_memory import LARGE_PASS, keep_freed_memory
from tinker_hl.metrics_reduction import combine
from tinker_hl.operations import forward, forward_backward
from tinker_hl.poller import Payload, Promise
from tinker_hl.queue_state import PauseNotices
from tinker_hl.retry import status_refuses
from tinker_hl.saved_states import SavedStates
from tinker_hl.session import Session
from tinker_hl.token_counts import pass_tokens
from tinker_hl.turns import PartlyTakenError, Turn, Turns
from tinker_hl.types import Datum, ForwardBackwardOutput

__all__ = ["REFUSED", "ModelCalls", "MovedError", "Pass", "certainly_not_taken"]

F = TypeVar("F", bound="Future[Any]")

PARALLEL_CHUNKS = 8
PAUSE_GRACE = 10.0
"""Seconds that a pause of training lasts before the log tells of it."""
INLINE_BYTES = 64 * 1024
"""A result up to this size is decoded on the loop's thread: the hop to a worker would cost more."""
NOT_UNDERSTOOD = frozenset({400, 415, 422})
"""Statuses by which a server may say that it does not know a body's form."""
REFUSED = frozenset({400, 413, 415, 422})
KNOWS_REPEATS = REFUSED | {404, 410}
"""Statuses that a request gets for what it is: one that was taken before gets its promise instead. Others, as 401, are
given before the server looks for that, and say nothing of an earlier attempt that was cut off."""


@attrs.frozen(kw_only=True)
class Pass:
    """One pass over data, with or without gradients."""

    call: str
    """The public method."""
    data: Sequence[Datum]
    """At least one; not changed by anybody any more."""
    loss_fn: str
    loss_fn_config: Mapping[str, float | str] | None
    backward: bool
    chunks: Sequence[range] | None = None
    """The datums of each request; None leaves it to the server's limits."""


@attrs.frozen
class _Encoded:
    chunks: Sequence[range]
    datums: Sequence[EncodedDatum]
    protobuf: bool


class MovedError(Exception):
    """`recover` was called on a client: its calls go on elsewhere."""


class ModelCalls:
    """See the module. Invariant: the server gets the calls in the order in which their turns were reserved.

    Calls may be made before the model exists: its creation has the first place in their order.

    Args:
        session: What the model belongs to.
        verifies: Whether the results of passes are to be verified; whoever makes passes does so.
    """

    def __init__(self, session: Session, *, verifies: bool = False) -> None:
        self.session = session
        self.verifies = verifies
        self.turns = Turns(certainly_not_taken, self._broken_error)
        self.states = SavedStates()
        self.notices = PauseNotices("Training", PAUSE_GRACE)
        self.lock = threading.Lock()
        self.successor: object = None
        """The client that goes on where these calls ended; guarded by `lock`."""
        self._model_id: str | None = None
        loop.reset_after_fork(self)

    @property
    def model_id(self) -> str:
        """The server's name of the model."""
        if self._model_id is None:
            raise RuntimeError("the model was being made when the process forked; only the parent gets it")
        return self._model_id

    def begin(self, model_id: str, next_id: int = 1) -> None:
        """The model exists.

        Args:
            model_id: The server's name of it.
            next_id: Its first free sequence id.
        """
        self._model_id = model_id
        self.turns.next_id = next_id

    def never_began(self, call: str, error: BaseException) -> None:
        """Its creation failed, and so do all calls behind it."""
        self._model_id = None
        self.turns.fail(call, error)

    def creation_ended(self, call: str) -> None:
        """The creation is over, perhaps before it began."""
        if self._model_id is None:
            self.never_began(call, asyncio.CancelledError("it was cancelled"))

    def after_fork(self) -> None:
        """Who goes on in the parent does not do so here."""
        self.lock = threading.Lock()
        self.successor = None

    def start(self, call: str, begin: Callable[[Turn], F], **told: Any) -> F:
        """Take the next place in the order, in the calling thread, and begin the call that has it.

        An interruption in between, such as Ctrl-C, gives the place back: all later calls would wait for it for ever.

        Args:
            call: The public method.
            begin: Makes the call's future.
            told: What listeners and guards are told of it, such as `most_tokens`.
        """
        self.session.refuse_closed()
        events = self.session.connection.events
        with events.call_of_future(call, detail=self._model_id or "", **told) as ends_with:
            turn = Turn(self.turns, call)
            try:
                self.turns.enter(turn)
                future = begin(turn)
            except BaseException:
                loop.event_loop().call_soon_threadsafe(turn.give_up)
                raise
            ends_with(future)
            return future

    async def single(
        self,
        turn: Turn,
        function: Callable[..., Awaitable[Any]],
        request_type: str,
        fields: Mapping[str, Any],
        *,
        keep: bool = False,
        numbered: bool = True,
    ) -> Payload:
        """Submit one request and wait for its result.

        Args:
            turn: Its place.
            function: The generated function to submit with.
            request_type: The wire's name of the kind of request.
            fields: The request, but for the model and the sequence id.
            keep: Whether the turn is needed for another submission.
            numbered: Whether this kind of request has a sequence id.
        """

        async def send(ids: range) -> list[Promise]:
            addressed = {**fields, "model_id": self.model_id, **({"seq_id": ids.start} if numbered else {})}
            body = EncodedBody(orjson.dumps(addressed, option=orjson.OPT_SERIALIZE_NUMPY))
            return [await self._post(turn.name, function, request_type, body, protobuf=False)]

        (promise,) = await turn.submit(int(numbered), send, keep=keep)
        return await self.session.result(promise)

    async def run_pass(self, turn: Turn, work: Pass, *, keep: bool = False) -> ForwardBackwardOutput:
        """Submit a pass and wait for its result.

        Args:
            turn: Its place.
            work: What to do.
            keep: Whether the turn is needed for another submission.
        """
        await self.session.connection.ready()
        encoded = await self._encode(work, self.session.connection.wants_protobuf)

        async def send(ids: range) -> list[Promise]:
            return await self._send_pass(work, encoded, ids)

        try:
            promises = await turn.submit(len(encoded.chunks), send, keep=keep)
        except APIError as error:
            if keep and not certainly_not_taken(error):
                # The rest of it was never submitted, so that it is to be made again, whatever became of this part.
                raise SubmissionFailedError(
                    f"{turn.name} was not made: it is not known whether the server took its first pass "
                    f"({type(error).__name__}: {error})",
                    error,
                ) from error
            raise
        parts = ([work.data[index] for index in chunk] for chunk in encoded.chunks)
        outputs = await asyncio.gather(*map(self._output, promises, parts))
        return outputs[0] if len(outputs) == 1 else combine(outputs)

    def _broken_error(self, call: str, failed: str, error: BaseException) -> Exception:
        if isinstance(error, MovedError):
            return SubmissionFailedError(f"{call} was not made: {error}", error, hint="Use the client that it gave.")
        if self._model_id is not None:
            return SubmissionFailedError(
                f"{call} was not submitted: an earlier call of this client, {failed}, failed in a way that leaves open "
                f"what the server took of it ({type(error).__name__}: {error})",
                error,
            )
        if isinstance(error, TinkerError):
            return copy.copy(error)
        return SubmissionFailedError(
            f"{call} was not made: {failed} made no model ({type(error).__name__}: {error})", error
        )

    async def plan(self, data: Sequence[Datum]) -> Sequence[range]:
        """The datums of each request, by the server's limits, for passes that are to be cut alike."""
        await self.session.connection.ready()
        return await loop.in_worker(self._plan, data)

    def _plan(self, data: Sequence[Datum]) -> Sequence[range]:
        return self.session.connection.chunk_limits.plan(data)

    async def _output(self, promise: Promise, data: Sequence[Datum]) -> ForwardBackwardOutput:
        try:
            payload = await self.session.result(promise)
        except asyncio.CancelledError:
            # The server, which has accepted it, makes it for nobody.
            self._told_tokens(promise, data)
            raise
        self._told_tokens(promise, data)
        decode = partial(forward_backward_output, is_protobuf=payload.is_protobuf)
        if len(payload.content) <= INLINE_BYTES:
            return decode(payload.content)
        return await loop.in_worker(decode, payload.content)

    def _told_tokens(self, promise: Promise, data: Sequence[Datum]) -> None:
        events = self.session.connection.events
        if events.wants("tokens"):
            events.emit("tokens", promise.call, request_id=promise.request_id, trained=pass_tokens(data))

    async def _encode(self, work: Pass, protobuf: bool) -> _Encoded:
        def encode() -> _Encoded:
            chunks = work.chunks or self._plan(work.data)
            codec = codec_of(protobuf=protobuf)
            datums = [codec.encode_datum(datum) for datum in giving_way(work.data)]
            if sum(map(len, datums)) >= LARGE_PASS:
                keep_freed_memory()
            return _Encoded(chunks, datums, protobuf)

        return await loop.in_worker(encode)

    async def _send_pass(self, work: Pass, encoded: _Encoded, ids: range) -> list[Promise]:
        connection = self.session.connection
        if encoded.protobuf and connection.speaks_protobuf is False:
            # An earlier call found that out, while this one waited for its turn.
            encoded = await self._encode(work, protobuf=False)
        unproven = encoded.protobuf and connection.speaks_protobuf is None
        try:
            promises = await self._send_chunks(work, encoded, ids)
        except APIStatusError as error:
            if not unproven or error.status_code not in NOT_UNDERSTOOD:
                raise
            plain = await self._encode(work, protobuf=False)
            try:
                promises = await self._send_chunks(work, plain, ids)
            except APIStatusError:
                # Refused in both forms: it was not the form.
                raise error from None
            connection.speaks_protobuf = False
            return promises
        if unproven:
            connection.speaks_protobuf = True
        return promises

    async def _send_chunks(self, work: Pass, encoded: _Encoded, ids: range) -> list[Promise]:
        """Post every chunk; the promises in chunk order."""

        def post(index: int) -> Awaitable[Promise]:
            return self._post_chunk(work, encoded, encoded.chunks[index], ids[index])

        count = len(encoded.chunks)
        if count == 1:
            return [await post(0)]
        if not self.session.connection.capabilities.parallel_fwdbwd_chunks:
            return await _in_order(post, range(count), [])
        slots = asyncio.Semaphore(PARALLEL_CHUNKS)

        async def bounded(index: int) -> Promise:
            async with slots:
                return await post(index)

        others = await asyncio.gather(*(bounded(index) for index in range(1, count)), return_exceptions=True)
        promises = [other for other in others if isinstance(other, Promise)]
        failures = [other for other in others if isinstance(other, BaseException)]
        if failures:
            _raise_together(failures, promises)
        return [*(await _in_order(post, range(1), promises)), *promises]

    async def _post_chunk(self, work: Pass, encoded: _Encoded, chunk: range, seq_id: int) -> Promise:
        datums = [encoded.datums[index] for index in chunk]
        size = sum(map(len, datums))
        plain_forward = not (work.backward or encoded.protobuf)
        function = forward.asyncio_detailed if plain_forward else forward_backward.asyncio_detailed
        request_type = "ForwardBackward" if work.backward else "Forward"
        connection = self.session.connection
        limit = connection.capabilities.fwdbwd_dispatch_bytes_semaphore_size
        async with backpressure_of(connection.server).training_body(size, limit):
            body = _build(self.model_id, seq_id, datums, work, encoded.protobuf)
            if encoded.protobuf and connection.capabilities.proto_compress_fwdbwd:
                body = _compressed(body) if size <= INLINE_BYTES else await loop.in_worker(_compressed, body)
            return await self._post(work.call, function, request_type, body, protobuf=encoded.protobuf)

    async def _post(
        self,
        call: str,
        function: Callable[..., Awaitable[Any]],
        request_type: str,
        body: EncodedBody,
        *,
        protobuf: bool,
    ) -> Promise:
        connection = self.session.connection
        started = connection.clock.now()
        answer = await self.session.request(function, call, body=body)
        promise = Promise(
            request_id=answer.parsed.request_id,
            request_type=request_type,
            call=call,
            protobuf=protobuf,
            submitted_in=connection.clock.now() - started,
            notices=self.notices,
        )
        connection.events.emit("sent", call, request_id=promise.request_id)
        return promise


def certainly_not_taken(error: BaseException) -> bool:
    """Whether a failed submission was certainly not taken: it was refused outright, or never left this process."""
    if isinstance(error, APIStatusError):
        told = not error.after_doubt or error.status_code in KNOWS_REPEATS
        return status_refuses(error.status_code) and told
    if isinstance(error, CircuitOpenError):
        return not error.sent
    return not isinstance(error, (APIError, asyncio.CancelledError))


async def _in_order(
    post: Callable[[int], Awaitable[Promise]], indices: range, taken_before: Sequence[Promise]
) -> list[Promise]:
    promises: list[Promise] = []
    for index in indices:
        try:
            promises.append(await post(index))
        except Exception as error:
            _raise_together([error], [*taken_before, *promises])
    return promises


def _raise_together(failures: Sequence[BaseException], taken: Sequence[Promise]) -> None:
    """Raise the first failure, marked if some of the call was taken or may have been."""
    uncertain = [failure for failure in failures if not certainly_not_taken(failure)]
    first = next(itertools.chain(uncertain, failures))
    if taken or uncertain:
        raise PartlyTakenError from first
    raise first


def _build(model_id: str, seq_id: int, datums: Sequence[EncodedDatum], work: Pass, protobuf: bool) -> EncodedBody:
    codec = codec_of(protobuf=protobuf)
    content = codec.forward_backward_body(
        model_id, seq_id, datums, work.loss_fn, work.loss_fn_config, forward_only=not work.backward
    )
    return EncodedBody(content, PROTOBUF if protobuf else JSON)


def _compressed(body: EncodedBody) -> EncodedBody:
    import zstandard

    return EncodedBody(zstandard.ZstdCompressor(level=1).compress(bytes(body.content)), body.content_type, "zstd")
