"""Everything that clients do to a service, good and bad, at a low rate, for a while; prints how often each was done.

    python -m benchmarks.workloads.mixed_load MODEL SECONDS DATA_DIR

The service is the one that TINKER_BASE_URL and TINKER_API_KEY name; DATA_DIR is its data folder, where keys are made.
Runs are trained, saved, sampled, deleted and left; polls are abandoned; sessions are finished, or left to their
silence; keys are made, used and revoked; connections are cut in the middle of a request. An unexpected answer ends it.
"""

import asyncio
import collections
import json
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from benchmarks.plain_requests import Requests, datum, requests, sample_body

model, seconds, data_dir = sys.argv[1], float(sys.argv[2]), Path(sys.argv[3])
PAUSE = 1.0
STEPS_A_RUN = 40
SAMPLES_A_SESSION = 60
HEARTBEAT_SECONDS = 10.0
done: collections.Counter[str] = collections.Counter()
chance = random.Random(0)
until = time.monotonic() + seconds


def tokens(length: int) -> list[int]:
    return [chance.randrange(256) for _ in range(length)]


async def abandoned(service: Requests, request_id: str) -> None:
    """A poll whose client goes away before the answer."""
    try:
        async with asyncio.timeout(chance.random() * 0.02):
            await service.post("retrieve_future", {"request_id": request_id})
    except TimeoutError:
        done["poll abandoned"] += 1


async def fetched(service: Requests, operation: str, body: dict[str, object]) -> dict[str, object]:
    """A result whose first poll may be abandoned."""
    request_id = (await service.post(operation, body))["request_id"]
    if chance.random() < 0.5:
        await abandoned(service, request_id)
    done[operation] += 1
    outcome: dict[str, object] = await service.outcome(request_id)
    return outcome


async def finish(service: Requests, session_id: str) -> None:
    """Most sessions are finished; the others are left to their silence."""
    if chance.random() < 0.75:
        await service.post(f"sessions/{session_id}/finish", {"reason": {"type": "success"}})
        done["session finished"] += 1
    else:
        done["session left"] += 1


async def train(service: Requests) -> None:
    """One run: passes, steps, saves, samples from what was saved, a deletion or two, and its end."""
    session_id = await service.new_session()
    model_id = await service.new_model(session_id, 0, model)
    seq_id = 0

    def numbered(**more: object) -> dict[str, object]:
        nonlocal seq_id
        seq_id += 1
        return {"model_id": model_id, "seq_id": seq_id, **more}

    for step in range(STEPS_A_RUN):
        data = [datum(tokens(chance.randrange(8, 64))) for _ in range(4)]
        forward_backward = numbered(forward_backward_input={"data": data, "loss_fn": "cross_entropy"})
        optim_step = numbered(adam_params={"learning_rate": 1e-4})
        await asyncio.gather(
            fetched(service, "forward_backward", forward_backward), fetched(service, "optim_step", optim_step)
        )
        if step % 10 == 9:
            await fetched(service, "save_weights", numbered(path=f"step-{step}"))
            made = await fetched(service, "save_weights_for_sampler", numbered(sampling_session_seq_id=step))
            sampler_id = str(made["sampling_session_id"])
            await fetched(service, "asample", sample_body(sampler_id, 0, tokens(16), 8))
        if step % 20 == 19:
            await download(service, f"training_runs/{model_id}/checkpoints/weights/step-{step}/archive")
            await service.send("DELETE", f"training_runs/{model_id}/checkpoints/weights/step-{step}")
            done["checkpoint deleted"] += 1
        if step % 10 == 5:
            await service.post("session_heartbeat", {"session_id": session_id})
        await asyncio.sleep(PAUSE)
    for record in (await service.send("GET", f"training_runs/{model_id}/checkpoints"))["checkpoints"]:
        await service.send("DELETE", f"training_runs/{model_id}/checkpoints/{record['checkpoint_id']}")
    await finish(service, session_id)


async def download(service: Requests, path: str) -> None:
    """An archive by its link; now and then the connection is cut in the middle."""
    async with service.session.get(f"/api/v1/{path}") as answer:
        assert answer.status == 200, await answer.text()
        if chance.random() < 0.5:
            await answer.content.readexactly(1000)
            return
        await answer.read()
        done["archive"] += 1


async def sample(service: Requests) -> None:
    """One sampling session: several callers at once, some of whom change their mind."""
    session_id = await service.new_session()
    sampler_id = await service.new_sampler(session_id, 0, model)
    for number in range(0, SAMPLES_A_SESSION, 4):
        bodies = [sample_body(sampler_id, number + n, tokens(chance.randrange(4, 48)), 16) for n in range(4)]
        await asyncio.gather(*(fetched(service, "asample", body) for body in bodies[:3]))
        given_up = await service.post("asample", bodies[3])
        await service.post("cancel_future", {"request_id": given_up["request_id"]})
        done["sample cancelled"] += 1
        await service.post("session_heartbeat", {"session_id": session_id})
        await asyncio.sleep(PAUSE)
    await finish(service, session_id)


async def look(service: Requests) -> None:
    """What a dashboard asks for."""
    for path in ("training_runs?limit=20", "checkpoints?limit=20", "sessions?limit=20", "get_server_capabilities"):
        await service.send("GET", path)
        done["looked"] += 1
        await asyncio.sleep(PAUSE)


async def use_key(_: Requests) -> None:
    """A key that is made, used and revoked."""
    command = [str(Path(sys.executable).with_name("tinker-hl")), "keys", "create", "--name", "ann"]
    made = await asyncio.create_subprocess_exec(*command, "--data-dir", str(data_dir), stdout=asyncio.subprocess.PIPE)
    key = (await made.communicate())[0].decode().strip()
    assert key, "no key was made"
    async with requests(key) as service:
        session_id = await service.new_session()
        await service.post("auth/token", {})
        await service.post(f"sessions/{session_id}/finish", {"reason": {"type": "success"}})
        await service.send("DELETE", "auth/apikey/me")
    done["key made and revoked"] += 1
    await asyncio.sleep(20)


async def misbehave(service: Requests) -> None:
    """Refused requests, and connections that end in the middle of one."""
    for path, body in (("optim_step", {"model_id": "nobody's"}), ("create_session", {"tags": 3}), ("nothing", {})):
        async with service.session.post(f"/api/v1/{path}", json=body) as answer:
            assert 400 <= answer.status < 500, await answer.text()
            done["refused"] += 1
    place = urlsplit(os.environ["TINKER_BASE_URL"])
    _, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(b"POST /api/v1/create_session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")
    await writer.drain()
    writer.close()
    done["request cut"] += 1
    await asyncio.sleep(4 * PAUSE)


async def again(service: Requests, work: Callable[[Requests], Awaitable[None]]) -> None:
    while time.monotonic() < until:
        await work(service)


async def main() -> None:
    async with requests() as service:
        works = (train, train, sample, look, use_key, misbehave)
        await asyncio.gather(*(again(service, work) for work in works))


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except aiohttp.ClientError as error:
        raise SystemExit(f"the service went away: {error!r}") from error
    print(json.dumps(dict(sorted(done.items()))))
