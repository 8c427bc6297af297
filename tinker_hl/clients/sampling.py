"""`SamplingClient`: draws from a base model or from trained weights. Samples run side by side, in no order.

A sample is submitted under a sequence number of its own, so that a submission can be repeated without drawing twice.
The client can be pickled: the pickle names server and sampler and holds no key; a copy, and a forked child, number
their samples in blocks of their own.
"""

import asyncio
import base64
import itertools
import random
import weakref
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import orjson
from tinker_api.api.futures import cancel_future
from tinker_api.api.sampling import create_sampling_session, get_sampler, join_sampling_session, sample
from tinker_api.api.service import get_server_capabilities

from tinker_hl import loop
from tinker_hl.backpressure import backpressure_of
from tinker_hl.call_settings import options_in_force
from tinker_hl.clients.sample_asking import answer_to, asked
from tinker_hl.connection import Connection
from tinker_hl.errors import NoProgressError, RateLimitError, TinkerError
from tinker_hl.futures import APIFuture
from tinker_hl.generated_client import EncodedBody
from tinker_hl.poller import Promise
from tinker_hl.queue_state import PauseNotices, QueueState
from tinker_hl.retry import RetryConfig, RetryPolicy, named_wait
from tinker_hl.sampling_progress import SamplingProgress
from tinker_hl.session import Session
from tinker_hl.telemetry import Telemetry
from tinker_hl.transport import NetworkTransport
from tinker_hl.types import (
    CreateSamplingSessionRequest,
    GetServerCapabilitiesResponse,
    ModelInput,
    SampleRequest,
    SampleResponse,
    SamplingParams,
    TensorData,
)

if TYPE_CHECKING:
    from tinker_hl.tokenizer import Tokenizer

__all__ = ["PendingSamplingClient", "Sampler", "SamplingClient", "open_sampler"]

CLONE_BLOCK = 10**9
INLINE_BYTES = 64 * 1024
SINCE_0_38 = ("topk_sample_logprobs", "prompt_alt_tokens_k", "record_stability_info")
"""Fields that are sent only when they are used: other servers may refuse what they do not know."""


R = TypeVar("R")


class Sampler:
    """What a sampling client is a face of. Invariant: no sequence number is used for two different samples.

    Args:
        session: What it belongs to.
        sampling_session_id: The server's name of it.
        base_model: The base model's name, "" if unknown.
        tokenizer_id: Where the base model's tokenizer is, if the server said.
        retry_config: How samples are retried.
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
        self.retry_config = retry_config
        self.record_stability_info = record_stability_info
        self._clone: int | None = None if is_copy else 0
        self._numbers = itertools.count()
        self._joining: asyncio.Task[int] | None = None
        self._room: asyncio.Semaphore | None = None
        self.notices = PauseNotices(f"Sampling from {sampling_session_id}", grace=0.0)
        self._progress = SamplingProgress()
        loop.reset_after_fork(self)

    async def sample(self, call: str, request: SampleRequest) -> SampleResponse:
        """Draw, however often it has to be submitted until the result is there.

        Args:
            call: The public method.
            request: Everything but the addressing.
        """
        await self.session.opened()
        connection = self.session.connection
        room = backpressure_of(connection.server).sample(max(1, connection.capabilities.sample_max_concurrent_requests))
        async with self._own_room(), room:
            with self._progress.one(connection.clock):
                return await self._draw(call, request)

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
        policy = self._policy()
        log = connection.attempts(policy)
        while True:
            submission = await self._submit(call, request, attrs.evolve(policy, deadline=log.left))
            try:
                return await self._fetch(submission, request, policy)
            except NoProgressError:
                raise
            except TinkerError as error:
                if not self._draws_again(call, error) or not await log.wait():
                    raise
                connection.told_retry(call, error.message, log.retries, log.waited)

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
        seq_id = clone * CLONE_BLOCK + next(self._numbers)
        addressed = attrs.evolve(request, sampling_session_id=self.sampling_session_id, seq_id=seq_id)
        body = _body(addressed)
        described = connection.call(
            call,
            headers={"X-Tinker-Sampling-Backpressure": "1"},
            policy=policy,
            final_statuses=frozenset({429}),
        )
        pressure = backpressure_of(connection.server)
        limit = connection.capabilities.sample_dispatch_bytes_semaphore_size
        started = connection.clock.now()
        while True:
            try:
                async with pressure.submission(connection.clock, len(body.content), limit):
                    answer = await connection.request(sample.asyncio_detailed, described, body=body)
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
            await self.session.request(cancel_future.asyncio_detailed, "SamplingClient.cancel", body=body)
        except TinkerError as error:
            # The server finishes the sample for nobody; that is all.
            self.session.connection.events.emit("notice", "SamplingClient.cancel", detail=error.message, level=10)

    async def _clone_number(self) -> int:
        if self._clone is not None:
            return self._clone
        if self._joining is None:
            self._joining = loop.spawn(self._join(), shared=True)
        clone = await asyncio.shield(self._joining)
        self._clone = clone
        return clone

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
            return nullcontext()
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


class SamplingClient:
    """Draws sequences and scores prompts; made by `ServiceClient` or `TrainingClient`.

    Args:
        sampler: What it samples from.
    """

    def __init__(self, sampler: Sampler) -> None:
        self._own_sampler = sampler
        sampler.notices.attach(self)

    def on_queue_state_change(self, queue_state: QueueState, queue_state_reason: str | None = None) -> None:
        """The service has paused this client's samples, or goes on with them; for you to override or to replace.

        It is called on the client's loop thread, once for each change, and must be quick. As it is it does nothing: the
        log tells of pauses without it.

        Args:
            queue_state: `ACTIVE`, `PAUSED_RATE_LIMIT`, `PAUSED_CAPACITY` or `UNKNOWN`, which are texts too.
            queue_state_reason: The service's own words, if it said any.
        """

    @property
    def _sampler(self) -> Sampler:
        return self._own_sampler

    def _when_made(self, use: Callable[[Sampler], Coroutine[Any, Any, R]]) -> APIFuture[R]:
        """Use the sampler, once there is one."""
        self._own_sampler.session.refuse_closed()
        return APIFuture(use(self._own_sampler))

    def sample(
        self,
        prompt: ModelInput,
        num_samples: int,
        sampling_params: SamplingParams,
        include_prompt_logprobs: bool = False,
        topk_prompt_logprobs: int = 0,
        topk_sample_logprobs: int = 0,
        target_prompt_logprobs: TensorData | None = None,
        prompt_alt_tokens_k: int = 0,
        prompt_logprobs_last_n: int | None = None,
    ) -> APIFuture[SampleResponse]:
        """Draw sequences after a prompt.

        Args:
            prompt: What they follow.
            num_samples: How many, at least 1.
            sampling_params: Length, temperature, stops, seed.
            include_prompt_logprobs: Also score the prompt: one logprob for each of its tokens, None for the first.
            topk_prompt_logprobs: Also give the k most likely tokens at each prompt position.
            topk_sample_logprobs: The same at each drawn position.
            target_prompt_logprobs: int64 [len(prompt) - 1, K]: tokens to score instead; -1 asks for nothing.
            prompt_alt_tokens_k: Draw k other tokens at each prompt position after the first.
            prompt_logprobs_last_n: Score only the last n prompt positions.

        Returns:
            A future, which is also a `concurrent.futures.Future`.

        Raises:
            ValueError: An argument makes no sense.
        """
        request = asked(
            prompt,
            num_samples,
            sampling_params,
            include_prompt_logprobs=include_prompt_logprobs,
            prompt_logprobs_last_n=prompt_logprobs_last_n,
            topk_prompt_logprobs=topk_prompt_logprobs,
            topk_sample_logprobs=topk_sample_logprobs,
            target_prompt_logprobs=target_prompt_logprobs,
            prompt_alt_tokens_k=prompt_alt_tokens_k,
        )

        async def run(sampler: Sampler) -> SampleResponse:
            noted = attrs.evolve(request, record_stability_info=True) if sampler.record_stability_info else request
            return await sampler.sample("SamplingClient.sample", noted)

        return self._when_made(run)

    def compute_logprobs(
        self, prompt: ModelInput, prompt_logprobs_last_n: int | None = None
    ) -> APIFuture[list[float | None]]:
        """The logprob of each token of a prompt, given those before it.

        Args:
            prompt: What to score.
            prompt_logprobs_last_n: Score only the last n positions.

        Returns:
            A future of one value for each token, natural logarithm, None for the first and for those not scored.
        """
        request = asked(
            prompt,
            1,
            SamplingParams(max_tokens=1),
            include_prompt_logprobs=True,
            prompt_logprobs_last_n=prompt_logprobs_last_n,
        )

        async def run(sampler: Sampler) -> list[float | None]:
            response = await sampler.sample("SamplingClient.compute_logprobs", request)
            if response.prompt_logprobs is None:
                raise TinkerError("the server scored no prompt, although it was asked to")
            return response.prompt_logprobs

        return self._when_made(run)

    def get_tokenizer(self) -> "Tokenizer":
        """The tokenizer of the base model: `encode` gives a list of ids, `decode` text."""
        from tinker_hl.tokenizer import load_tokenizer  # only here: the library behind it is not small

        sampler = self._sampler
        place = sampler.tokenizer_id or APIFuture(sampler.tokenizer_place()).result()
        return load_tokenizer(sampler.base_model, place)

    def get_base_model(self) -> str:
        """The base model's name."""
        return self._sampler.base_model

    def get_sampler_handle(self) -> str:
        """A text that `from_sampler_handle` makes this client from, anywhere; it holds no key."""
        self._sampler.session.share()
        return base64.urlsafe_b64encode(orjson.dumps(self._sampler.state())).decode()

    @staticmethod
    def from_sampler_handle(handle: str, *, api_key: str | None = None) -> "SamplingClient":
        """A client from a handle.

        Args:
            handle: From `get_sampler_handle`.
            api_key: None for `TINKER_API_KEY`.
        """
        return _attach(orjson.loads(base64.urlsafe_b64decode(handle)), api_key)

    def get_telemetry(self) -> Telemetry | None:
        """The reports to the service; None unless the user sends some (`TINKER_TELEMETRY=1`)."""
        return self._sampler.session.connection.telemetry

    async def sample_async(
        self,
        prompt: ModelInput,
        num_samples: int,
        sampling_params: SamplingParams,
        include_prompt_logprobs: bool = False,
        topk_prompt_logprobs: int = 0,
        topk_sample_logprobs: int = 0,
        target_prompt_logprobs: TensorData | None = None,
        prompt_alt_tokens_k: int = 0,
        prompt_logprobs_last_n: int | None = None,
    ) -> SampleResponse:
        """See `sample`; the result is the response."""
        return await self.sample(
            prompt,
            num_samples,
            sampling_params,
            include_prompt_logprobs,
            topk_prompt_logprobs,
            topk_sample_logprobs,
            target_prompt_logprobs,
            prompt_alt_tokens_k,
            prompt_logprobs_last_n,
        )

    async def compute_logprobs_async(
        self, prompt: ModelInput, prompt_logprobs_last_n: int | None = None
    ) -> list[float | None]:
        """See `compute_logprobs`; the result is the list."""
        return await self.compute_logprobs(prompt, prompt_logprobs_last_n)

    async def get_base_model_async(self) -> str:
        """See `get_base_model`."""
        return self.get_base_model()

    def __reduce__(self) -> Any:
        """Server and sampler, and no key: the reader's own opens it."""
        sampler = self._sampler
        if not isinstance(sampler.session.connection.transport, NetworkTransport):
            raise TypeError("a sampling client whose transport lives in this process cannot be pickled")
        sampler.session.share()
        return _attach, ({**sampler.state(), "retry_config": sampler.retry_config}, None)


class PendingSamplingClient(SamplingClient, APIFuture[SamplingClient]):
    """A future of a sampling client that can also be used as the client itself.

    Calls made on it return at once and wait for the client. What does not go to the service, as `get_base_model`,
    blocks until it is there; in a coroutine, await the client before that.
    """

    def __init__(self, coroutine: Any, on_end: Any = None) -> None:
        APIFuture.__init__(self, coroutine, on_end)

    @property
    def _sampler(self) -> Sampler:
        self._warn_if_a_loop_waits()
        return self.result()._sampler

    def _when_made(self, use: Callable[[Sampler], Coroutine[Any, Any, R]]) -> APIFuture[R]:
        async def run() -> R:
            return await use((await self)._sampler)

        return APIFuture(run())


async def open_sampler(
    session: Session,
    call: str,
    *,
    model_path: str | None = None,
    base_model: str | None = None,
    retry_config: RetryConfig | None = None,
    record_stability_info: bool = False,
) -> SamplingClient:
    """Make a sampling session on the server, and a client of it.

    Args:
        session: What it belongs to.
        call: The public method.
        model_path: Saved weights; None for the base model itself.
        base_model: The base model's name; with `model_path` it only spares a question.
        retry_config: How samples are retried.
        record_stability_info: Whether the server should keep what some losses need later.
    """
    if model_path is not None and not model_path.startswith("tinker://"):
        raise ValueError(f"model_path must start with tinker://, got {model_path!r}")
    number = session.next_sampler()
    request = CreateSamplingSessionRequest(
        session_id=await session.opened(),
        sampling_session_seq_id=number,
        base_model=None if model_path else base_model,
        model_path=model_path,
    )
    body = EncodedBody(orjson.dumps(request.wire_dict()))
    answer = await session.request(create_sampling_session.asyncio_detailed, call, body=body)
    sampling_session_id = answer.parsed.sampling_session_id
    if not base_model:
        record = await session.request(get_sampler.asyncio_detailed, call, sampler_id=sampling_session_id)
        base_model = record.parsed.base_model
    return SamplingClient(
        Sampler(
            session,
            sampling_session_id=sampling_session_id,
            base_model=base_model or "",
            retry_config=retry_config,
            record_stability_info=record_stability_info,
        )
    )


_attached: "weakref.WeakValueDictionary[tuple[str, str], Session]" = weakref.WeakValueDictionary()


def _attach(state: Mapping[str, Any], api_key: str | None = None) -> SamplingClient:
    """A client from `Sampler.state`; copies of one session in one process share its heartbeat and its connections."""
    key = (state["base_url"], state["session_id"])
    session = _attached.get(key) if api_key is None else None
    if session is None:
        connection = Connection(state["base_url"], api_key, headers=state.get("headers"))
        session = Session(connection, session_id=state["session_id"])
        if api_key is None:
            # A key that was given for one copy is not for the others.
            _attached[key] = session
    config = state.get("retry_config")
    return SamplingClient(
        Sampler(
            session,
            sampling_session_id=state["sampling_session_id"],
            base_model=state["base_model"],
            tokenizer_id=state.get("tokenizer_id"),
            retry_config=RetryConfig.of_json(config) if isinstance(config, Mapping) else config,
            record_stability_info=state.get("record_stability_info", False),
            is_copy=True,
        )
    )


def _body(request: SampleRequest) -> EncodedBody:
    fields = request.wire_dict()
    for name in SINCE_0_38:
        if not fields.get(name):
            fields.pop(name, None)
    return EncodedBody(orjson.dumps(fields, option=orjson.OPT_SERIALIZE_NUMPY))
