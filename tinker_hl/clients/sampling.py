"""`SamplingClient`: draws from a base model or from trained weights. Samples run side by side, in no order.

The client can be pickled: the pickle names server and sampler and holds no key.
"""

import base64
import weakref
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from tinker_hl.clients.sample_asking import asked
from tinker_hl.clients.sampler import Sampler
from tinker_hl.connection import Connection
from tinker_hl.errors import TinkerError
from tinker_hl.futures import APIFuture
from tinker_hl.generated_client import EncodedBody
from tinker_hl.operations import create_sampling_session, get_sampler
from tinker_hl.queue_state import QueueState
from tinker_hl.retry import RetryConfig
from tinker_hl.session import Session
from tinker_hl.telemetry import Telemetry
from tinker_hl.types import (
    CreateSamplingSessionRequest,
    ModelInput,
    SampleResponse,
    SamplingParams,
    TensorData,
)

if TYPE_CHECKING:
    from tinker_hl.tokenizer import Tokenizer

__all__ = ["PendingSamplingClient", "SamplingClient", "open_sampler"]


R = TypeVar("R")


class SamplingClient:
    """Draws sequences and scores prompts; made by `ServiceClient` or `TrainingClient`.

    Args:
        sampler: What it samples from.
    """

    def __init__(self, sampler: Sampler) -> None:
        self._own_sampler = sampler
        # Programs that trace the official SDK's calls read it; a client that is still being made has none, as there.
        self._sampling_session_id = sampler.sampling_session_id
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

        return self._when_made(lambda sampler: sampler.sample("SamplingClient.sample", request))

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
        """The reports to the service; None where they are off, as for any service but the hosted one."""
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
        from tinker_hl.transport import NetworkTransport  # late: it brings aiohttp along

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
        self.add_done_callback(_observe)

    @property
    def _sampler(self) -> Sampler:
        self._warn_if_a_loop_waits()
        return self.result()._sampler

    def _when_made(self, use: Callable[[Sampler], Coroutine[Any, Any, R]]) -> APIFuture[R]:
        async def run() -> R:
            return await use((await self)._sampler)

        return APIFuture(run())


def _observe(client: "Future[SamplingClient]") -> None:
    """A client that was still being made has a hook too, which may be the one that was replaced."""
    if isinstance(client, PendingSamplingClient) and not client.cancelled() and client.exception() is None:
        client._sampler.notices.attach(client)


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
