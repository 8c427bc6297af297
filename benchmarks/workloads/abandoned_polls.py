"""Samples whose polls are cut off, each at a moment of its own, and then asked for again: how many results are lost.

    python -m benchmarks.workloads.abandoned_polls MODEL POLLS

The service is the one that TINKER_BASE_URL and TINKER_API_KEY name.
"""

import asyncio
import json
import random
import sys
import time

import aiohttp

from benchmarks.plain_requests import Requests, requests, sample_body

model, polls = sys.argv[1], int(sys.argv[2])
AT_ONCE = 100
LATEST_SECONDS = 0.02
"""Some polls are cut before they are sent, some while they are answered, some after."""
chance = random.Random(0)


async def cut(service: Requests, request_id: str) -> bool:
    """One poll whose connection is closed; whether that was before its answer had arrived."""
    try:
        async with asyncio.timeout(chance.random() * LATEST_SECONDS):
            await service.post("retrieve_future", {"request_id": request_id})
    except TimeoutError:
        return True
    return False


async def fate(service: Requests, request_id: str) -> int:
    """The status of a poll that is waited for, and has a result."""
    async with service.session.post("/api/v1/retrieve_future", json={"request_id": request_id}) as answer:
        found = await answer.json()
        return answer.status if answer.status != 200 or "sequences" in found else 0


async def main() -> dict[str, float]:
    async with requests() as service:
        session_id = await service.new_session()
        sampler_id = await service.new_sampler(session_id, 0, model)
        abandoned, asked, not_found, lost = 0, 0, 0, 0
        began = time.perf_counter()
        while abandoned < polls:
            bodies = [sample_body(sampler_id, asked + n, [1, 2, 3], 2) for n in range(AT_ONCE)]
            submitted = await asyncio.gather(*(service.post("asample", body) for body in bodies))
            asked += AT_ONCE
            ids = [one["request_id"] for one in submitted]
            abandoned += sum(await asyncio.gather(*(cut(service, request_id) for request_id in ids)))
            for status in await asyncio.gather(*(fate(service, request_id) for request_id in ids)):
                not_found += status == 404
                lost += status != 200
            await service.post("session_heartbeat", {"session_id": session_id})
        seconds = time.perf_counter() - began
    return {"abandoned": abandoned, "404": not_found, "lost": lost, "seconds": seconds}


if __name__ == "__main__":
    try:
        print(json.dumps(asyncio.run(main())))
    except aiohttp.ClientError as error:
        raise SystemExit(f"the service went away: {error!r}") from error
