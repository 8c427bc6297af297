"""The engine as the service holds it: a process of its own, spoken to over a socket pair.

This side never imports torch. It knows how to start the process, send it calls, hand back answers and notice its death;
what the calls do is in `tinker_local.engine.worker` and behind it.

Order: a call's frame is written at the moment the method is *called*, not when its result is awaited, and the engine
keeps the order of the frames for each model.
"""

import asyncio
import itertools
import logging
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from tinker_local.engine import channel
from tinker_local.engine.protocol import (
    BaseModelInfo,
    EngineDiedError,
    EngineError,
    LoraSpec,
    OnHold,
    OptimizerFamily,
    OptimizerSettings,
    SampleJob,
    SampleOutput,
    TrainingDatum,
    TrainingOutput,
    UserFaultError,
)
from tinker_local.engine.timing import TIMES, EngineTime
from tinker_local.settings import ModelSource

__all__ = ["ProcessEngine"]

logger = logging.getLogger(__name__)

_CLOSE_SECONDS = 5.0
_LAST_SECONDS = 1.0
"""From the end of its pipe to the end of a process that ends by itself."""
_KILLED = (
    "if nobody did so, the system did for lack of memory; start the service with a smaller --kv-cache-tokens or with "
    "--activation-checkpointing, unload models, or send smaller batches"
)
_ERRORS: Mapping[str, type[Exception]] = {"user": UserFaultError, "engine": EngineError}


class ProcessEngine:
    """An `Engine` that runs torch in a child process. The child ends when this process does, however it ends."""

    def __init__(
        self,
        models: Sequence[ModelSource],
        threads: int | None = None,
        *,
        device: str | None = None,
        dtype: Literal["float32", "bfloat16"] | None = None,
        activation_checkpointing: bool = False,
        compiled: bool = False,
        kv_cache_tokens: int | None = None,
        start_seconds: float = 1800.0,
    ) -> None:
        """Describe an engine; nothing runs before `start`.

        Args:
            models: the base models to load.
            threads: torch's threads on the CPU; None leaves it to torch.
            device: a torch device; None takes CUDA where there is one, else the CPU.
            dtype: of the base weights; None is float32 on the CPU and bfloat16 elsewhere. Adapters are float32.
            activation_checkpointing: whether layers are computed again for their gradients instead of kept.
            compiled: whether training passes are compiled by torch.
            kv_cache_tokens: tokens of each base model whose keys and values are kept at once for samples; None takes
                what a part of the memory holds.
            start_seconds: how long loading may take, a download included.
        """
        self._options = {
            "models": list(models),
            "threads": threads,
            "device": device,
            "dtype": dtype,
            "activation_checkpointing": activation_checkpointing,
            "compiled": compiled,
            "kv_cache_tokens": kv_cache_tokens,
        }
        self._start_seconds = start_seconds
        self._callbacks: list[Callable[[], Any]] = []
        self._child: _Child | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the running engine."""
        return self._child.process.pid if self._child is not None else None

    async def start(self) -> Sequence[BaseModelInfo]:
        """Start the process and load the base models; see `Engine.start`."""
        if self._child is not None:
            await self.close()
        child = await _Child.spawn(self._died)
        self._child = child
        try:
            async with asyncio.timeout(self._start_seconds):
                answer = await child.call("start", self._options)
        except TimeoutError:
            await self.close()
            raise EngineError(f"the engine did not load its models within {self._start_seconds:g} s") from None
        except BaseException:
            await self.close()
            raise
        infos: list[BaseModelInfo] = answer
        return infos

    async def close(self) -> None:
        """Stop the process; see `Engine.close`."""
        child, self._child = self._child, None
        if child is not None:
            await child.close()

    def on_death(self, callback: Callable[[], Any]) -> None:
        """Have `callback()` called on the event loop when the process ends without being asked to."""
        self._callbacks.append(callback)

    def _died(self, child: "_Child") -> None:
        if self._child is child:
            self._child = None
            for callback in self._callbacks:
                callback()

    def _call(self, method: str, **arguments: Any) -> Coroutine[Any, Any, Any]:
        if self._child is None:
            return _not_running()
        return self._child.call(method, arguments)

    def create_adapter(self, model_id: str, base_model: str, lora: LoraSpec) -> Coroutine[Any, Any, None]:
        """See `Engine.create_adapter`."""
        return self._call("create_adapter", model_id=model_id, base_model=base_model, lora=lora)

    def load_adapter(
        self,
        model_id: str,
        base_model: str | None,
        directory: Path,
        *,
        optimizer: bool,
        family: OptimizerFamily | None = None,
    ) -> Coroutine[Any, Any, LoraSpec]:
        """See `Engine.load_adapter`."""
        return self._call(
            "load_adapter",
            model_id=model_id,
            base_model=base_model,
            directory=directory,
            optimizer=optimizer,
            family=family,
        )

    def unload_adapter(self, model_id: str) -> Coroutine[Any, Any, None]:
        """See `Engine.unload_adapter`."""
        return self._call("unload_adapter", model_id=model_id)

    def save_adapter(self, model_id: str, directory: Path, *, optimizer: bool) -> Coroutine[Any, Any, None]:
        """See `Engine.save_adapter`."""
        return self._call("save_adapter", model_id=model_id, directory=directory, optimizer=optimizer)

    def forward_backward(
        self,
        model_id: str,
        data: Sequence[TrainingDatum],
        loss_fn: str,
        loss_fn_config: Mapping[str, float | str],
        *,
        backward: bool,
    ) -> Coroutine[Any, Any, TrainingOutput]:
        """See `Engine.forward_backward`."""
        return self._call(
            "forward_backward",
            model_id=model_id,
            data=data,
            loss_fn=loss_fn,
            loss_fn_config=loss_fn_config,
            backward=backward,
        )

    def optim_step(self, model_id: str, settings: OptimizerSettings) -> Coroutine[Any, Any, Mapping[str, float]]:
        """See `Engine.optim_step`."""
        return self._call("optim_step", model_id=model_id, settings=settings)

    def create_sampler(
        self, sampler_id: str, base_model: str | None, *, model_id: str | None = None, directory: Path | None = None
    ) -> Coroutine[Any, Any, None]:
        """See `Engine.create_sampler`."""
        return self._call(
            "create_sampler", sampler_id=sampler_id, base_model=base_model, model_id=model_id, directory=directory
        )

    def unload_sampler(self, sampler_id: str) -> Coroutine[Any, Any, None]:
        """See `Engine.unload_sampler`."""
        return self._call("unload_sampler", sampler_id=sampler_id)

    def sample(self, job: SampleJob, on_hold: OnHold | None = None) -> Coroutine[Any, Any, SampleOutput]:
        """See `Engine.sample`. Cancelling the awaiting task gives the job's slot back."""
        if self._child is None:
            return _not_running()
        return self._sampled(job.job_id, self._child.call("sample", {"job": job}, on_hold))

    async def _sampled(self, job_id: str, answer: Coroutine[Any, Any, SampleOutput]) -> SampleOutput:
        try:
            return await answer
        except asyncio.CancelledError:
            if self._child is not None:
                self._child.tell("cancel_sample", {"job_id": job_id})
            raise

    def cancel_sample(self, job_id: str) -> Coroutine[Any, Any, None]:
        """See `Engine.cancel_sample`."""
        return self._call("cancel_sample", job_id=job_id)


def _launch(descriptor: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tinker_local.engine.worker", str(descriptor)]
    return subprocess.Popen(command, pass_fds=[descriptor], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


async def _not_running() -> Any:
    raise EngineDiedError("the engine is not running; start it and load the model again from a checkpoint")


class _Child:
    """One life of the process: its pipe, and the answers still owed. Every call ends when the pipe does."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        died: Callable[["_Child"], None],
    ) -> None:
        self.process = process
        self._reader, self._writer, self._died = reader, writer, died
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._on_hold: dict[int, OnHold] = {}
        self._ended = self._closing = False
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def spawn(cls, died: Callable[["_Child"], None]) -> "_Child":
        ours, theirs = socket.socketpair()
        with theirs:
            process = _launch(theirs.fileno())
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        return cls(process, reader, writer, died)

    def call(
        self, method: str, arguments: Mapping[str, Any], on_hold: OnHold | None = None
    ) -> Coroutine[Any, Any, Any]:
        """Send at once; the coroutine waits for the answer, and `on_hold` is told what comes before it."""
        if self._ended:
            return _not_running()
        number = next(self._ids)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        if on_hold is not None:
            self._on_hold[number] = on_hold
        self._send(number, method, arguments)
        return self._answer(number, method, answer)

    def tell(self, method: str, arguments: Mapping[str, Any]) -> None:
        """Send, and care for no answer."""
        if not self._ended:
            self._send(0, method, arguments)

    def _send(self, number: int, method: str, arguments: Mapping[str, Any]) -> None:
        self._writer.writelines(channel.encode({"id": number, "method": method, "arguments": dict(arguments)}))

    async def _answer(self, number: int, method: str, answer: "asyncio.Future[Any]") -> Any:
        try:
            result, timing = await answer
            times = TIMES.get()
            if times is not None:
                times.append(EngineTime(method, *timing))
            return result
        finally:
            self._waiting.pop(number, None)
            self._on_hold.pop(number, None)

    async def _listen(self) -> None:
        try:
            while True:
                header_length, body_length = channel.lengths(await self._reader.readexactly(channel.PREFIX.size))
                header = await self._reader.readexactly(header_length)
                body = await self._reader.readexactly(body_length)
                self._deliver(channel.decode(header, body))
        except (asyncio.IncompleteReadError, ConnectionError):
            logger.debug("the engine's pipe closed")
        finally:
            # At once: what is asked of it from now on must wait for the next life, and not fail with this one.
            self._end()
            if not self._closing:
                ending = await asyncio.to_thread(self._ending)
                logger.error("the engine's process %d %s", self.process.pid, ending)

    def _ending(self) -> str:
        """How the process ended; it is made to, where it lives on without its pipe: nobody could speak to it."""
        try:
            code = self.process.wait(_LAST_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return "closed its pipe, and was stopped"
        if code == -signal.SIGKILL:
            return f"was killed: {_KILLED}"
        return f"ended by signal {-code}" if code < 0 else f"ended with code {code}"

    def _deliver(self, message: Mapping[str, Any]) -> None:
        answer = self._waiting.get(message["id"])
        if answer is None or answer.done():
            return
        if "hold" in message:
            if (on_hold := self._on_hold.get(message["id"])) is not None:
                on_hold(message["hold"])
            return
        error = message.get("error")
        if error is None:
            answer.set_result((message["result"], message["timing"]))
        else:
            answer.set_exception(_ERRORS[error["kind"]](error["message"]))

    def _end(self) -> None:
        self._ended = True
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(EngineDiedError("the engine's process ended before this work was done"))
                answer.exception()  # the caller may have gone: no "exception was never retrieved"
        self._writer.close()
        self._died(self)

    async def close(self) -> None:
        """Ask the process to end, and kill it where it does not."""
        self.tell("close", {})
        self._closing = True
        try:
            await asyncio.to_thread(self.process.wait, _CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            await asyncio.to_thread(self.process.wait)
        await self._listening
