"""`sample_many`: any number of prompts, a window of them under way, every result or failure as a value.

Where a result is from, in this order: the sink of an earlier run, the cache, the service. The prompts may be an endless
iterator: no more of them are taken than the window holds. It retries nothing: the client does.
"""

import asyncio
import concurrent.futures
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import attrs

from tinker_hl.clients.rest import RestClient
from tinker_hl.errors import APIStatusError, ConfigurationError, TinkerError
from tinker_hl.futures import APIFuture
from tinker_hl.many.cache import ResultCache
from tinker_hl.many.ledger import TokenLedger
from tinker_hl.many.sink import JsonlSink
from tinker_hl.many.task import SampleTask, task_of
from tinker_hl.types import ModelInput, SampleResponse, SamplingParams

if TYPE_CHECKING:
    from tinker_hl import SamplingClient

__all__ = ["SampleOutcome", "sample_many", "sample_many_async"]

CONCURRENCY: Final = 256
ASK_TIMEOUT: Final = 60.0
Item = SampleTask | ModelInput | Sequence[int]


@attrs.frozen(kw_only=True)
class SampleOutcome:
    """What became of one prompt: a response, or an error."""

    index: int
    """Its place among the prompts, from 0."""
    task: SampleTask
    response: SampleResponse | None
    error: TinkerError | None
    source: Literal["service", "sink", "cache"]
    """Where the response is from."""

    @property
    def ok(self) -> bool:
        """Whether there is a response."""
        return self.response is not None

    def unwrap(self) -> SampleResponse:
        """The response; raises the error if there is none."""
        if self.response is None:
            assert self.error is not None
            raise self.error
        return self.response


def sample_many(
    client: "SamplingClient",
    prompts: Iterable[Item],
    sampling_params: SamplingParams | None = None,
    *,
    num_samples: int = 1,
    include_prompt_logprobs: bool = False,
    ordered: bool = True,
    concurrency: int = CONCURRENCY,
    sink: str | Path | None = None,
    cache: ResultCache | None = None,
    ledger: TokenLedger | None = None,
    identity: str | None = None,
) -> Iterator[SampleOutcome]:
    """Sample from many prompts.

    Args:
        client: Samples.
        prompts: Inputs, lists of tokens, or tasks with settings of their own; they are taken as there is room.
        sampling_params: How to sample, where a prompt is no task.
        num_samples: For each prompt that is no task.
        include_prompt_logprobs: The same.
        ordered: Give outcomes in the order of the prompts; False gives them as they come.
        concurrency: Prompts under way, at least 1. In order, results that wait for an earlier one count too.
        sink: A JSONL file that results are appended to. Those that it holds already are not asked for again, so that a
            job that died goes on when it is run again.
        cache: Seeded samples and scored prompts that it holds are not asked for.
        ledger: Counts tokens; what would pass its budget is not asked for, and ends in a `BudgetExceededError`. One
            that watches the client counts by itself, given here or not.
        identity: Names the weights for `cache` and `sink`. None asks the server for the path of the checkpoint;
            a cache needs one or the other.

    Yields:
        An outcome for each prompt. A failure is one, too, and stops nothing.

    Raises:
        ConfigurationError: There is a cache, and nothing that identifies the weights.
        SinkError: The file is no sink; told when the first outcome is asked for.
        ValueError: An argument makes no sense.
    """
    job = _Job.begin(client, sink, cache, ledger, identity, concurrency, ordered)
    settings = {"num_samples": num_samples, "include_prompt_logprobs": include_prompt_logprobs}
    return _outcomes(job, (task_of(item, sampling_params, settings) for item in prompts))


async def sample_many_async(
    client: "SamplingClient",
    prompts: Iterable[Item],
    sampling_params: SamplingParams | None = None,
    *,
    num_samples: int = 1,
    include_prompt_logprobs: bool = False,
    ordered: bool = True,
    concurrency: int = CONCURRENCY,
    sink: str | Path | None = None,
    cache: ResultCache | None = None,
    ledger: TokenLedger | None = None,
    identity: str | None = None,
) -> AsyncIterator[SampleOutcome]:
    """See `sample_many`; for `async for`."""
    job = await asyncio.to_thread(_Job.begin, client, sink, cache, ledger, identity, concurrency, ordered)
    settings = {"num_samples": num_samples, "include_prompt_logprobs": include_prompt_logprobs}
    tasks = (task_of(item, sampling_params, settings) for item in prompts)
    try:
        await asyncio.to_thread(job.open)
        while job.fill(tasks):
            while (outcome := job.ready()) is None:
                waiting = [_observed(future) for future in job.awaited()]
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            yield outcome
    finally:
        job.close()


def _observed(future: APIFuture[SampleResponse]) -> "asyncio.Future[SampleResponse]":
    """In the running loop. How it ended is read from the future itself, so its error here is no forgotten one."""
    wrapped = asyncio.wrap_future(future)
    wrapped.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    return wrapped


def _outcomes(job: "_Job", tasks: Iterator[SampleTask]) -> Iterator[SampleOutcome]:
    try:
        job.open()
        while job.fill(tasks):
            while (outcome := job.ready()) is None:
                concurrent.futures.wait(job.awaited(), return_when=concurrent.futures.FIRST_COMPLETED)
            yield outcome
    finally:
        job.close()


@attrs.define
class _Pending:
    index: int
    task: SampleTask
    key: str
    future: APIFuture[SampleResponse] | None
    outcome: SampleOutcome | None = None
    reserved: int = 0


@attrs.define
class _Job:
    """The window. Invariant: each task that was taken from the iterator is in it until its outcome was given."""

    client: "SamplingClient"
    sink_path: str | Path | None
    cache: ResultCache | None
    ledger: TokenLedger | None
    identity: str
    concurrency: int
    ordered: bool
    sink: JsonlSink | None = attrs.field(default=None, init=False)
    _window: deque[_Pending] = attrs.field(factory=deque, init=False)
    _next: int = attrs.field(default=0, init=False)
    _exhausted: bool = attrs.field(default=False, init=False)

    @classmethod
    def begin(
        cls,
        client: "SamplingClient",
        sink: str | Path | None,
        cache: ResultCache | None,
        ledger: TokenLedger | None,
        identity: str | None,
        concurrency: int,
        ordered: bool,
    ) -> "_Job":
        if concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, got {concurrency}")
        if identity is None and (sink is not None or cache is not None):
            identity = _identity(client)
        if ledger is not None and ledger.watches(client._sampler.session.connection.events):
            ledger = None
        if cache is not None and not identity:
            raise ConfigurationError(
                "the cache must know which weights it is for, and the server names no checkpoint",
                hint="give identity=, a text that no other weights have, or sample from saved weights",
            )
        if not identity and sink is not None:
            # Enough to tell base models apart; weights without a path are the caller's to name.
            identity = client.get_base_model()
        return cls(client, sink, cache, ledger, identity or "", concurrency, ordered)

    def open(self) -> None:
        """Open the sink: only when the first outcome is asked for, since nobody closes what was never begun."""
        if self.sink_path is not None:
            self.sink = JsonlSink(self.sink_path)

    def fill(self, tasks: Iterator[SampleTask]) -> bool:
        """Take tasks while there is room; whether anything is left to give."""
        while not self._exhausted and len(self._window) < self.concurrency:
            task = next(tasks, None)
            if task is None:
                self._exhausted = True
                break
            self._window.append(self._asked(task))
        return bool(self._window)

    def awaited(self) -> list[APIFuture[SampleResponse]]:
        """What to wait for until there may be an outcome."""
        chosen = [self._window[0]] if self.ordered else list(self._window)
        return [pending.future for pending in chosen if pending.future is not None]

    def ready(self) -> SampleOutcome | None:
        """The next outcome, if it is there."""
        for pending in self._window:
            # Whatever has come is written down at once, also where it is not its turn yet.
            if pending.outcome is None and pending.future is not None and pending.future.done():
                pending.outcome = self._ended(pending, pending.future)
        for place, pending in enumerate(self._window):
            if pending.outcome is not None:
                del self._window[place]
                return pending.outcome
            if self.ordered:
                return None
        return None

    def close(self) -> None:
        """Nobody wants the rest."""
        for pending in self._window:
            if pending.future is not None and pending.outcome is None:
                if pending.future.done():
                    self._ended(pending, pending.future)
                else:
                    pending.future.cancel()
                    self._settle(pending, None)
        self._window.clear()
        if self.sink is not None:
            self.sink.close()

    def _asked(self, task: SampleTask) -> _Pending:
        pending = _Pending(self._next, task, task.key(self.identity), None)
        self._next += 1
        found = self.sink.find(pending.index, pending.key) if self.sink is not None else None
        if found is not None:
            pending.outcome = self._outcome(pending, found, "sink")
            return pending
        found = self.cache.get(pending.key) if self.cache is not None and task.repeats else None
        if found is not None:
            self._write(pending, found)
            pending.outcome = self._outcome(pending, found, "cache")
            return pending
        try:
            if self.ledger is not None:
                pending.reserved = self.ledger.reserve(task.most_tokens)
            pending.future = self.client.sample(
                task.prompt,
                task.num_samples,
                task.sampling_params,
                include_prompt_logprobs=task.include_prompt_logprobs,
            )
        except TinkerError as error:
            self._settle(pending, None)
            self._write(pending, error)
            pending.outcome = self._outcome(pending, error, "service")
        except BaseException:
            self._settle(pending, None)
            raise
        return pending

    def _ended(self, pending: _Pending, future: APIFuture[SampleResponse]) -> SampleOutcome:
        try:
            result: SampleResponse | TinkerError = future.result(0)
        except TinkerError as error:
            result = error
        except concurrent.futures.CancelledError:
            result = TinkerError("the sample was cancelled")
        if isinstance(result, SampleResponse):
            self._settle(pending, result)
            if self.cache is not None and pending.task.repeats:
                self.cache.put(pending.key, result)
        else:
            self._settle(pending, None)
        self._write(pending, result)
        return self._outcome(pending, result, "service")

    def _settle(self, pending: _Pending, response: SampleResponse | None) -> None:
        if self.ledger is None:
            return
        reserved, pending.reserved = pending.reserved, 0
        taken = None
        if response is not None:
            taken = self.ledger.sampled(pending.task.prompt.known_length or 0, response)
        self.ledger.settle(reserved, taken)

    def _write(self, pending: _Pending, result: SampleResponse | TinkerError) -> None:
        if self.sink is not None:
            self.sink.write(pending.index, pending.key, result)

    def _outcome(
        self, pending: _Pending, result: SampleResponse | TinkerError, source: Literal["service", "sink", "cache"]
    ) -> SampleOutcome:
        response = None if isinstance(result, TinkerError) else result
        error = result if isinstance(result, TinkerError) else None
        return SampleOutcome(index=pending.index, task=pending.task, response=response, error=error, source=source)


def _identity(client: "SamplingClient") -> str | None:
    """The checkpoint that the client samples from, by its path; None where the server names none.

    Weights that are only in a server's memory have no name, and look like the base model.
    """
    sampler = client._sampler
    rest = RestClient(sampler.session.connection)
    try:
        return rest.get_sampler(sampler.sampling_session_id).result(ASK_TIMEOUT).model_path
    except APIStatusError:
        return None
