"""Closing ends whatever waits, also between two attempts of a call."""

import asyncio
import threading
import time
from typing import Any

import pytest
from scripted_server import ScriptedServer, Seen

import tinker_hl
from tinker_hl import AdamParams, RetryPolicy
from tinker_hl.retry import InstantClock


class PatientClock(InstantClock):
    """A clock whose sleeps between attempts never end; `slept` is set when one has begun."""

    def __init__(self) -> None:
        super().__init__()
        self.asleep = threading.Event()

    async def sleep(self, seconds: float) -> None:
        self.asleep.set()
        await asyncio.Event().wait()


def test_closing_ends_the_wait_between_two_attempts() -> None:
    server, clock = ScriptedServer(), PatientClock()
    service = server.client(clock=clock, retry_policy=RetryPolicy(deadline=3600.0))
    training = service.create_lora_training_client("base").result(10)
    server.faults["optim_step"] = [None]
    first, second = training.optim_step(AdamParams()), training.save_state("x")
    assert clock.asleep.wait(10)
    service.close().result(10)
    for future in (first, second):
        with pytest.raises(tinker_hl.SessionClosedError):
            future.result(10)


def test_closing_ends_calls_on_a_client_that_is_still_being_made() -> None:
    server, clock = ScriptedServer(), PatientClock()
    service = server.client(clock=clock, retry_policy=RetryPolicy(deadline=3600.0))
    server.faults["create_model"] = [None]
    training = service.create_lora_training_client("base")
    step = training.optim_step(AdamParams())
    assert clock.asleep.wait(10)
    started = time.perf_counter()
    service.close().result(10)
    for future in (training, step):
        with pytest.raises(tinker_hl.SessionClosedError):
            future.result(10)
    assert time.perf_counter() - started < 5


def test_a_call_that_is_cancelled_between_two_attempts_is_cancelled() -> None:
    server, clock = ScriptedServer(), PatientClock()
    service = server.client(clock=clock, retry_policy=RetryPolicy(deadline=3600.0))

    async def lose(request: Seen) -> Any:
        return None

    server.faults["get_server_capabilities"] = [lose]

    async def use() -> None:
        asking = asyncio.create_task(service.get_server_capabilities_async())
        assert await asyncio.to_thread(clock.asleep.wait, 10)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(use())
    service.close().result(10)
