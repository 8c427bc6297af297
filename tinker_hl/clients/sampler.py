"""What a sampling client is a face of: numbers its samples, submits them, and fetches what was drawn.

A sample is submitted under a sequence number of its own, so that a submission can be repeated without drawing twice. A
copy of the client in another process, and a forked child, number their samples in blocks of their own.

It knows nothing of prompts and parameters beyond what the encoding does.
"""

import asyncio
import itertools
import random
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

import attrs
import orjson

from tinker_hl import loop
from tinker_hl.backpressure import backpressure_of
from tinker_hl.call_settings import options_in_force
from tinker_hl.chunking import estimate_input_bytes
from tinker_hl.clients.sample_asking import answer_to
from tinker_hl.errors import APIConnectionError, APIStatusError, NoProgressError, RateLimitError, TinkerError
from tinker_hl.generated_client import EncodedBody
from tinker_hl.operations import cancel_future, get_server_capabilities, join_sampling_session, sample
from tinker_hl.poller import Promise
from tinker_hl.queue_state import PauseNotices
from tinker_hl.retry import RetryConfig, RetryPolicy, named_wait, status_is_retryable
from tinker_hl.sampling_progress import SamplingProgress
from tinker_hl.session import Session
from tinker_hl.token_counts import sample_tokens_at_most
from tinker_hl.types import (
    GetServerCapabilitiesResponse,
    SampleRequest,
    SampleResponse,
)

__all__ = ["CLONE_BLOCK", "Sampler"]

NO_LIMIT = nullcontext()
CANCELS = 64
"""Cancelled samples that the server is told of at once."""
CLONE_BLOCK = 10**9
INLINE_BYTES = 64 * 1024
"""What is smaller is encoded and decoded at once; a worker thread would cost more than it saves."""
ASKS_FOR_429: Mapping[str, str] = {"X-Tinker-Sampling-Backpressure": "1"}
ONLY_429 = frozenset({429})
SINCE_0_38 = ("topk_sample_logprobs", "prompt_alt_tokens_k", "record_stability_info")
"""Fields that are sent only when they are used: other servers may refuse what they do not know."""


class Sampler:
    """What a sampling client is a face of. Invariant: no sequence number is used for two different samples.

    Args:
        session: What it belongs to.
        sampling_session_id: The server's name of it.
        base_model: The base model's name, "" if unknown.
        tokenizer_id: Where the base model's tokenizer is, if the server said.
        retry_config: How samples are retried; None for what the client's profile says.
        record_stability_info: Whether the server should keep what some losses need later.
        is_copy: Whether another process or handle made it.
    """

    def __init__(
        self,
        session: Session,
        *,
        sampling_session_id: str,
        base_model: str,
        tokenizer_id: str | None = None,
        retry_config: RetryConfig | None = None,
        record_stability_info: bool = False,
        is_copy: bool = False,
    ) -> None:
        self.session = session
        self.sampling_session_id = sampling_session_id
        self.base_model = base_model
        self.tokenizer_id = tokenizer_id
        self.retry_config = retry_config or session.connection.settings.retry_config
        self.record_stability_info = record_stability_info
        self._clone: int | None = None if is_copy else 0
        self._numbers = itertools.count()
        self._joining: asyncio.Task[int] | None = None
        self._room: asyncio.Semaphore | None = None
        self._cancels = asyncio.Semaphore(CANCELS)
        self.notices = PauseNotices(f"Sampling from {sampling_session_id}", grace=0.0)
        self._progress = SamplingProgress()
        loop.reset_after_fork(self)

    async def sample(self, call: str, request: SampleRequest) -> SampleResponse:
        """Draw, however often it has to be submitted until the result is there.

        Args:
            call: The public method.
            request: Everything but the addressing, and whether to keep what losses need later.
        """
        connection = self.session.connection
        most = sample_tokens_at_most(request.prompt, request.num_samples, request.sampling_params)
        with connection.events.call(call, most_tokens=most):
            await self.session.opened()
            limit = max(1, connection.capabilities.sample_max_concurrent_requests)
            room = backpressure_of(connection.server).sample(connection.clock, limit)
            async with self._own_room(), room:
                with self._progress.one(connection.clock):
                    response = await self._draw(call, request)
            if connection.events.wants("tokens"):
                drawn = sum(int(sequence.tokens_np.size) for sequence in response.sequences)
                connection.events.emit("tokens", call, prompt=request.prompt.known_length or 0, sampled=drawn)
            return response

    def state(self) -> dict[str, Any]:
        """What a copy in another process needs; no secret."""
        return {
            "base_url": self.session.connection.base_url,
            "headers": self.session.connection.shareable_headers,
            "session_id": self.session.session_id,
            "sampling_session_id": self.sampling_session_id,
            "base_model": self.base_model,
            "tokenizer_id": self.tokenizer_id,
            "record_stability_info": self.record_stability_info,
            "retry_config": None if self.retry_config is None else self.retry_config.to_json(),
        }

    def after_fork(self) -> None:
        """The child is another client: it numbers its samples in a block of its own."""
        self._clone = None
        self._numbers = itertools.count()
        self._joining = None
        self._room = None
        self._cancels = asyncio.Semaphore(CANCELS)
        self._progress = SamplingProgress()

    async def tokenizer_place(self) -> str | None:
        """Where the tokenizer is, asking the server if need be."""
        if self.tokenizer_id is None:
            answer = await self.session.request(
                get_server_capabilities.asyncio_detailed, "SamplingClient.get_tokenizer"
            )
            models = GetServerCapabilitiesResponse.model_validate_json(answer.content).supported_models
            names = {model.model_name: model.tokenizer_id for model in models}
            self.tokenizer_id = names.get(self.base_model)
        return self.tokenizer_id

    async def _draw(self, call: str, request: SampleRequest) -> SampleResponse:
        """Submit and fetch; again, under a new number, where the result was lost on the way. One deadline holds."""
        connection = self.session.connection
        policy = for_submission = self._policy()
        log = connection.attempts(policy)
        while True:
            submission = await self._submit(call, request, for_submission)
            accepted = connection.clock.now()
            try:
                return await self._fetch(submission, request, policy)
            except NoProgressError:
                raise
            except TinkerError as error:
                if not _is_outage(error):
                    # The server worked on it meanwhile, which may take as long as it takes.
                    log.pardon(connection.clock.now() - accepted)
                if not self._draws_again(call, error) or not await log.wait():
                    raise
                connection.told_retry(call, error.message, log.retries, log.waited)
            for_submission = attrs.evolve(policy, deadline=log.left)

    async def _fetch(self, submission: "_Submission", request: SampleRequest, policy: RetryPolicy) -> SampleResponse:
        promise, stream = submission.promise, (self.sampling_session_id, submission.clone)
        try:
            payload = await self.session.result(promise, stream, policy=policy, watch=self._watch)
        except asyncio.CancelledError:
            self._cancel(promise)
            raise
        if len(payload.content) <= INLINE_BYTES:
            return answer_to(request, payload, submission.sequence_ids)
        return await loop.in_worker(answer_to, request, payload, submission.sequence_ids)

    async def _submit(self, call: str, request: SampleRequest, policy: RetryPolicy) -> "_Submission":
        connection = self.session.connection
        clone = await self._clone_number()
        address = {"sampling_session_id": self.sampling_session_id, "seq_id": clone * CLONE_BLOCK + next(self._numbers)}
        if self.record_stability_info and call == "SamplingClient.sample":
            address["record_stability_info"] = True
        small = estimate_input_bytes(request.prompt) <= INLINE_BYTES
        body = _body(request, address) if small else await loop.in_worker(_body, request, address)
        described = connection.call(call, headers=ASKS_FOR_429, policy=policy, final_statuses=ONLY_429)
        pressure = backpressure_of(connection.server)
        limit = connection.capabilities.sample_dispatch_bytes_semaphore_size
        started = connection.clock.now()
        while True:
            try:
                answer = await pressure.submission(
                    connection.clock,
                    len(body.content),
                    limit,
                    lambda: connection.request(sample.asyncio_detailed, described, body=body),
                )
                break
            except RateLimitError as error:
                pause = pressure.pushed_back(connection.clock, len(body.content), named_wait(error.response.headers))
                if connection.clock.now() + pause > started + self._patience(policy):
                    connection.told_failure(call, error)
                    raise
                connection.told_retry(call, error.message, 0, pause)
                self._watch()
        took = connection.clock.now() - started
        request_id = answer.parsed.request_id
        connection.events.emit("sent", call, request_id=request_id)
        promise = Promise(
            request_id=request_id,
            request_type="Sample",
            call=call,
            protobuf=connection.capabilities.has_config,
            submitted_in=took,
            notices=self.notices,
        )
        ids = answer.parsed.sample_sequence_ids
        return _Submission(promise, clone, list(ids) if isinstance(ids, list) else None)

    def _cancel(self, promise: Promise) -> None:
        if self.session.connection.dynamic.sample_cancel_enabled:
            loop.spawn(self._tell_cancelled(promise))

    async def _tell_cancelled(self, promise: Promise) -> None:
        body = EncodedBody(orjson.dumps({"request_id": promise.request_id}))
        try:
            async with self._cancels:
                await self.session.request(cancel_future.asyncio_detailed, "SamplingClient.cancel", body=body)
        except TinkerError as error:
            # The server finishes the sample for nobody; that is all.
            self.session.connection.events.emit("notice", "SamplingClient.cancel", detail=error.message, level=10)

    async def _clone_number(self) -> int:
        if self._clone is not None:
            return self._clone
        if self._joining is None:
            self._joining = loop.spawn(self._join(), shared=True)
        task = self._joining
        try:
            number = await asyncio.shield(task)
        finally:
            if task.done() and self._joining is task:
                # One that failed is tried anew by the next sample.
                self._joining = None
        self._clone = number
        return number

    async def _join(self) -> int:
        if not self.session.connection.capabilities.sample_join_sampling_session:
            return random.SystemRandom().randint(1, CLONE_BLOCK)
        body = EncodedBody(
            orjson.dumps({"sampling_session_id": self.sampling_session_id, "type": "join_sampling_session"})
        )
        answer = await self.session.request(join_sampling_session.asyncio_detailed, "SamplingClient", body=body)
        return int(answer.parsed.client_counter)

    def _own_room(self) -> AbstractAsyncContextManager[None]:
        """What the user allows this client; the server's limit is for all of them together."""
        if self.retry_config is None or self.retry_config.max_connections is None:
            return NO_LIMIT
        if self._room is None:
            self._room = asyncio.Semaphore(self.retry_config.max_connections)
        return self._room

    def _policy(self) -> RetryPolicy:
        told = options_in_force().retry_policy
        if told is None and self.retry_config is not None:
            return self.retry_config.policy()
        return told or self.session.connection.policy

    def _patience(self, policy: RetryPolicy) -> float:
        """Seconds for which 429 is waited out: as long as anything may take, unless somebody said otherwise."""
        if not policy.enabled:
            return 0.0
        if options_in_force().retry_policy is not None:
            return policy.deadline
        return (self.retry_config or RetryConfig()).progress_timeout

    def _draws_again(self, call: str, error: TinkerError) -> bool:
        """Whether a sample whose result could not be had is submitted anew."""
        if self.session.connection.capabilities.sample_no_retries and call == "SamplingClient.sample":
            return False
        return (self.retry_config or RetryConfig()).retries(error)

    def _watch(self) -> None:
        """Raise if this client is stuck."""
        config = self.retry_config or RetryConfig()
        connection = self.session.connection
        if config.enable_stuck_detection and connection.capabilities.sample_enable_stuck_detection:
            self._progress.check(connection.clock.now(), config.progress_timeout)


@attrs.frozen
class _Submission:
    promise: Promise
    clone: int
    sequence_ids: list[str] | None


def _is_outage(error: TinkerError) -> bool:
    """Whether a result could not be asked for, in contrast to one that the server said something about."""
    if isinstance(error, APIStatusError):
        return status_is_retryable(error.status_code, error.response.headers)
    return isinstance(error, APIConnectionError)


def _body(request: SampleRequest, address: Mapping[str, Any]) -> EncodedBody:
    fields = {**request.wire_dict(), **address}
    for name in SINCE_0_38:
        if not fields.get(name):
            fields.pop(name, None)
    return EncodedBody(orjson.dumps(fields, option=orjson.OPT_SERIALIZE_NUMPY))
